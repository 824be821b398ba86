"""`/reconciliations`: rounds of holding our payments against the provider's, and what they found.
They are of the provider's account, and so of the keys of `default`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from paygate.api.edge.bodies import about
from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.objects import time_text
from paygate.api.pages import ListObject, PageQuery, cut_of
from paygate.domain.access.roles import Action
from paygate.domain.reconciliation.finding import Finding, FindingAction, FindingKind
from paygate.domain.reconciliation.run import Cause, Reconciliation, RunStatus
from paygate.flows.reconciliation.begin import order_reconciliation
from paygate.flows.reconciliation.read import (
    list_findings,
    list_reconciliations,
    read_reconciliation,
)

PATH = "/reconciliations"


class WindowObject(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """The time whose payments were compared, by the provider's clock; null until it is known."""

    since: str | None
    until: str | None


class ExaminedObject(msgspec.Struct, frozen=True):
    """How many payments and refunds were examined: ours, and the provider's."""

    ours: int
    theirs: int


class ReconciliationObject(msgspec.Struct, frozen=True, kw_only=True):
    """A round. `ours` are in step, healed or held; `theirs` are those, orphans and foreign ones."""

    object: Literal["reconciliation"] = "reconciliation"
    id: str
    livemode: bool
    cause: Cause
    status: RunStatus
    window: WindowObject
    examined: ExaminedObject
    in_step: int
    healed: int
    held: int
    orphans: int
    foreign: int
    dead_letters_replayed: int
    provider_calls: int
    started_at: str
    finished_at: str | None
    created_at: str


class FindingObject(msgspec.Struct, frozen=True, kw_only=True):
    """What a round found of one payment, refund or event: what each side says of what differs. One
    that could not be examined says nothing of either side, and why in `reason`.
    """

    object: Literal["reconciliation_finding"] = "reconciliation_finding"
    id: str
    livemode: bool
    kind: FindingKind
    action: FindingAction
    payment_intent: str | None
    provider_reference: str | None
    ours: Mapping[str, str | int | bool | None]
    theirs: Mapping[str, str | int | bool | None]
    reason: str
    created_at: str


class ReconciliationList(ListObject[ReconciliationObject], frozen=True, kw_only=True):
    """A page of reconciliations."""


class FindingList(ListObject[FindingObject], frozen=True, kw_only=True):
    """A page of findings."""


class BeginReconciliation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /reconciliations`."""

    since: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        about(
            "ISO 8601 with an offset, in the past: compare what was made since then. Left out, it"
            " goes on where the last one ended.",
            "2026-11-24T12:00:00Z",
        ),
    ] = None


def reconciliation_object(run: Reconciliation) -> ReconciliationObject:
    """The round as clients see it."""
    tally = run.tally
    return ReconciliationObject(
        id=run.id,
        livemode=run.livemode,
        cause=run.cause,
        status=run.status,
        window=WindowObject(_time(run.since), _time(run.until)),
        examined=ExaminedObject(tally.ours, tally.theirs),
        in_step=tally.in_step,
        healed=tally.healed,
        held=tally.held,
        orphans=tally.orphans,
        foreign=tally.foreign,
        dead_letters_replayed=tally.dead_letters_replayed,
        provider_calls=tally.provider_calls,
        started_at=time_text(run.started_at),
        finished_at=_time(run.finished_at),
        created_at=time_text(run.created_at),
    )


def finding_object(finding: Finding) -> FindingObject:
    """The finding as clients see it."""
    return FindingObject(
        id=finding.id,
        livemode=finding.livemode,
        kind=finding.kind,
        action=finding.action,
        payment_intent=finding.payment_intent,
        provider_reference=finding.provider_reference,
        ours=finding.ours,
        theirs=finding.theirs,
        reason=finding.reason,
        created_at=time_text(finding.created_at),
    )


def _time(at: datetime | None) -> str | None:
    return None if at is None else time_text(at)


async def _begin(api: ApiContext, exchange: Exchange, body: BeginReconciliation) -> Reconciliation:
    return await order_reconciliation(api.ctx, exchange.known_caller, since=body.since)


async def _list(api: ApiContext, exchange: Exchange, query: PageQuery) -> ReconciliationList:
    cut = cut_of(query, "reconciliation")
    page = await list_reconciliations(api.ctx, exchange.known_caller, cut, exchange.query)
    data = tuple(reconciliation_object(run) for run in page.items)
    return ReconciliationList(data=data, has_more=page.has_more, url=PATH)


async def _read(api: ApiContext, exchange: Exchange, _: None) -> ReconciliationObject:
    caller, run_id = exchange.known_caller, exchange.path["id"]
    return reconciliation_object(await read_reconciliation(api.ctx, caller, run_id))


async def _findings(api: ApiContext, exchange: Exchange, query: PageQuery) -> FindingList:
    caller, run_id = exchange.known_caller, exchange.path["id"]
    cut = cut_of(query, "reconciliation_finding")
    page = await list_findings(api.ctx, caller, run_id, cut, exchange.query)
    data = tuple(finding_object(finding) for finding in page.items)
    return FindingList(data=data, has_more=page.has_more, url=f"{PATH}/{run_id}/findings")


def _show(_: Exchange, run: Reconciliation) -> ReconciliationObject:
    return reconciliation_object(run)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=PATH,
        summary="Begin a reconciliation, which a worker goes on with.",
        action=Action.RECONCILIATION_BEGIN,
        body=BeginReconciliation,
        response=ReconciliationObject,
        status=201,
        handle=_begin,
        show=_show,
    ),
    Endpoint(
        method="GET",
        path=PATH,
        summary="List reconciliations, newest first.",
        action=Action.RECONCILIATION_LIST,
        query=PageQuery,
        response=ReconciliationList,
        handle=_list,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        summary="Read a reconciliation.",
        action=Action.RECONCILIATION_READ,
        response=ReconciliationObject,
        handle=_read,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}/findings",
        summary="List what a reconciliation healed, and what it holds for a person.",
        action=Action.RECONCILIATION_FINDING_LIST,
        query=PageQuery,
        response=FindingList,
        handle=_findings,
    ),
)
