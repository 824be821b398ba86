"""`/discrepancies`: what of the provider's money is not as it was recorded. They are of the
provider's account, and so of the keys of `default`.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from paygate.api.edge.bodies import about
from paygate.api.edge.body_faults import NOT_BLANK
from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.pages import ListObject, PageQuery, cut_of
from paygate.api.settlement_object import DiscrepancyObject, discrepancy_object
from paygate.domain.access.roles import Action
from paygate.domain.settlements.discrepancy import (
    DecisionAction,
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
)
from paygate.flows.settlements.decide import resolve_discrepancy
from paygate.flows.settlements.read import list_discrepancies, read_discrepancy
from paygate.storage.settlements.reader import DiscrepancyFilters

PATH: Final = "/discrepancies"
_Id = Annotated[str, Meta(min_length=1, max_length=64)]


class DiscrepancyList(ListObject[DiscrepancyObject], frozen=True, kw_only=True):
    """A page of discrepancies."""


class DiscrepancyQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /discrepancies`."""

    kind: DiscrepancyKind | None = None
    status: DiscrepancyStatus | None = None
    settlement: _Id | None = None
    payment_intent: _Id | None = None


class ResolveDiscrepancy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /discrepancies/{id}/resolve`."""

    action: Annotated[
        DecisionAction,
        about("What was explained may still be resolved; what is resolved stays so.", "resolve"),
    ]
    reason: Annotated[
        Annotated[str, Meta(pattern=NOT_BLANK, max_length=1000)],
        about("Why, in words that an auditor understands.", "the provider credited it on May 4"),
    ]


async def _list(api: ApiContext, exchange: Exchange, query: DiscrepancyQuery) -> DiscrepancyList:
    filters = DiscrepancyFilters(
        kind=query.kind,
        status=query.status,
        settlement=query.settlement,
        payment_intent=query.payment_intent,
    )
    cut = cut_of(query, "discrepancy")
    page = await list_discrepancies(api.ctx, exchange.known_caller, cut, filters, exchange.query)
    now = api.ctx.now()
    data = tuple(discrepancy_object(each, now) for each in page.items)
    return DiscrepancyList(data=data, has_more=page.has_more, url=PATH)


async def _read(api: ApiContext, exchange: Exchange, _: Any) -> DiscrepancyObject:
    found = await read_discrepancy(api.ctx, exchange.known_caller, exchange.path["id"])
    return discrepancy_object(found, api.ctx.now())


async def _resolve(api: ApiContext, exchange: Exchange, body: ResolveDiscrepancy) -> Discrepancy:
    caller, discrepancy_id = exchange.known_caller, exchange.path["id"]
    return await resolve_discrepancy(api.ctx, caller, discrepancy_id, body.action, body.reason)


def _show(_: Exchange, discrepancy: Discrepancy) -> DiscrepancyObject:
    return discrepancy_object(discrepancy)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=PATH,
        summary="List discrepancies, newest first.",
        action=Action.DISCREPANCY_LIST,
        query=DiscrepancyQuery,
        response=DiscrepancyList,
        handle=_list,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        summary="Read a discrepancy: what was expected, and what was found.",
        action=Action.DISCREPANCY_READ,
        response=DiscrepancyObject,
        handle=_read,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/resolve",
        summary="Explain or resolve a discrepancy, with a reason.",
        action=Action.DISCREPANCY_RESOLVE,
        body=ResolveDiscrepancy,
        response=DiscrepancyObject,
        handle=_resolve,
        show=_show,
    ),
)
