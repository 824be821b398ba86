"""`/disputes/{id}/evidence`, `/submit` and `/accept`: how a dispute is answered."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from paygate.api.dispute_object import DisputeObject, dispute_object
from paygate.api.edge.bodies import about
from paygate.api.edge.endpoint import ApiContext, Endpoint, FormShape
from paygate.api.edge.exchange import Exchange
from paygate.api.edge.forms import Form
from paygate.domain.access.roles import Action
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.evidence import FILE_MOST, FILES, TEXTS
from paygate.domain.disputes.outcome import ComplianceNetwork
from paygate.flows.disputes.accept import accept_dispute
from paygate.flows.disputes.stage_evidence import SentFile, stage_files, stage_texts
from paygate.flows.disputes.submit import submit_evidence

TEXTS_LIMIT: Final = 1024 * 1024
"""The most bytes of a JSON body: 150,000 characters, all of them escaped, are 900,000."""
FORM_LIMIT: Final = FILE_MOST + 64 * 1024
"""The most bytes of a form: a file of the largest size, and what stands around it. All files of a
dispute together are less."""

EvidenceTexts = msgspec.defstruct(
    "EvidenceTexts",
    [
        (
            field,
            Annotated[
                Annotated[str, Meta(min_length=1)] | UnsetType | None,
                about(
                    f"The provider's field of this name, up to {most} characters; null takes it"
                    " out.",
                    "As the bank is to read it.",
                ),
            ],
            UNSET,
        )
        for field, most in TEXTS.items()
    ],
    frozen=True,
    forbid_unknown_fields=True,
    module=__name__,
)
"""The texts that are set, and those that are unset by null; what is left out stays."""
EvidenceFilesUnset = msgspec.defstruct(
    "EvidenceFilesUnset",
    [
        (
            field,
            Annotated[UnsetType | None, about("Null takes the file of this field out.", None)],
            UNSET,
        )
        for field in sorted(FILES)
    ],
    frozen=True,
    forbid_unknown_fields=True,
    module=__name__,
)
"""The fields whose file is taken out, by null; files are sent as multipart/form-data."""


class StageEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /disputes/{id}/evidence` that is JSON."""

    texts: Annotated[
        EvidenceTexts,  # type: ignore[valid-type]  # made above
        about("By the provider's field names; null takes one out.", {"customer_name": "Ada"}),
    ] = EvidenceTexts()
    files: Annotated[
        EvidenceFilesUnset,  # type: ignore[valid-type]  # made above
        about("Fields whose file is taken out; files are sent as a form.", {"receipt": None}),
    ] = EvidenceFilesUnset()


class SubmitEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /disputes/{id}/submit`."""

    fees_acknowledged: Annotated[
        tuple[ComplianceNetwork, ...],
        about("Networks whose fee for a compliance case you agree to pay.", ["visa"]),
    ] = ()


async def _stage(api: ApiContext, exchange: Exchange, body: StageEvidence | Form) -> Dispute:
    caller, dispute_id = exchange.known_caller, exchange.path["id"]
    if isinstance(body, Form):
        sent = [SentFile(p.name, p.content, p.filename, p.content_type) for p in body.parts]
        return await stage_files(api.ctx, caller, dispute_id, sent)
    texts, unset = _given(body.texts), tuple(_given(body.files))
    return await stage_texts(api.ctx, caller, dispute_id, texts, unset)


def _given(fields: msgspec.Struct) -> dict[str, Any]:
    """The fields that were sent."""
    values = {name: getattr(fields, name) for name in fields.__struct_fields__}
    return {name: value for name, value in values.items() if value is not UNSET}


async def _submit(api: ApiContext, exchange: Exchange, body: SubmitEvidence) -> Dispute:
    caller, dispute_id = exchange.known_caller, exchange.path["id"]
    return await submit_evidence(api.ctx, caller, dispute_id, body.fees_acknowledged)


async def _accept(api: ApiContext, exchange: Exchange, _: Any) -> Dispute:
    return await accept_dispute(api.ctx, exchange.known_caller, exchange.path["id"])


def _show(_: Exchange, dispute: Dispute) -> DisputeObject:
    return dispute_object(dispute)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/disputes/{id}/evidence",
        summary="Stage evidence, texts as JSON or files as a form; nothing is submitted.",
        action=Action.DISPUTE_STAGE,
        body=StageEvidence,
        body_limit=TEXTS_LIMIT,
        form=FormShape(FILES, FILE_MOST, FORM_LIMIT),
        response=DisputeObject,
        handle=_stage,
        show=_show,
    ),
    Endpoint(
        method="POST",
        path="/disputes/{id}/submit",
        summary="Submit the staged evidence: once, before its deadline.",
        action=Action.DISPUTE_SUBMIT,
        body=SubmitEvidence,
        response=DisputeObject,
        handle=_submit,
        show=_show,
    ),
    Endpoint(
        method="POST",
        path="/disputes/{id}/accept",
        summary="Accept a dispute: the money is given up, for ever.",
        action=Action.DISPUTE_ACCEPT,
        response=DisputeObject,
        handle=_accept,
        show=_show,
    ),
)
