"""`/settlements/import`, `/settlements/imports/{id}[/withdraw]`: reports that are uploaded."""

from typing import Any, Final

import msgspec

from paygate.api.edge.endpoint import ApiContext, Endpoint, FormShape
from paygate.api.edge.exchange import Exchange
from paygate.api.edge.forms import Form
from paygate.api.settlement_import_object import (
    SettlementImportObject,
    settlement_import_object,
)
from paygate.domain.access.roles import Action
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.settlements.report_import import SettlementImport
from paygate.flows.settlements.upload_report import (
    ReportUpload,
    import_uploaded,
    read_import,
)
from paygate.flows.settlements.withdraw_import import withdraw_import

FILE: Final = "file"
FILE_MOST: Final = 512 * 1024 * 1024
"""The most bytes of a report: over a million lines as Stripe writes them."""
FORM_MOST: Final = FILE_MOST + 64 * 1024


class ImportReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /settlements/import` is a form."""


class WithdrawReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /settlements/imports/{id}/withdraw`: nothing, or an empty object."""


def _upload(api: ApiContext, exchange: Exchange) -> ReportUpload:
    return ReportUpload(api.ctx, exchange.known_caller)


async def _import(
    api: ApiContext, exchange: Exchange, body: ImportReport | Form
) -> SettlementImport:
    if not isinstance(body, Form):
        raise Refusal(ErrorCode.CONTENT_TYPE_UNSUPPORTED, "send the report as multipart/form-data")
    file = next(part for part in body.parts if part.name == FILE)
    upload: ReportUpload = body.upload
    content = bytes.fromhex(file.streamed or "")
    return await import_uploaded(api.ctx, exchange.known_caller, upload, content)


async def _get(api: ApiContext, exchange: Exchange, _: Any) -> SettlementImport:
    return await read_import(api.ctx, exchange.known_caller, exchange.path["id"])


async def _withdraw(api: ApiContext, exchange: Exchange, _: Any) -> SettlementImport:
    return await withdraw_import(api.ctx, exchange.known_caller, exchange.path["id"])


def _show(_: Exchange, done: SettlementImport) -> SettlementImportObject:
    return settlement_import_object(done)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/settlements/import",
        summary="Upload a settlement report; a worker reads it.",
        handle=_import,
        show=_show,
        response=SettlementImportObject,
        action=Action.SETTLEMENT_IMPORT,
        body=ImportReport,
        form=FormShape(frozenset({FILE, "format", "mapping"}), FILE_MOST, FORM_MOST, FILE),
        upload=_upload,
        status=202,
    ),
    Endpoint(
        method="GET",
        path="/settlements/imports/{id}",
        summary="How far a settlement report was read.",
        handle=_get,
        show=_show,
        response=SettlementImportObject,
        action=Action.SETTLEMENT_IMPORT_READ,
    ),
    Endpoint(
        method="POST",
        path="/settlements/imports/{id}/withdraw",
        summary="Take a settlement report back where its settlements are open.",
        handle=_withdraw,
        show=_show,
        response=SettlementImportObject,
        action=Action.SETTLEMENT_IMPORT_WITHDRAW,
        body=WithdrawReport,
    ),
)
