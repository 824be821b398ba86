"""`/disputes`: what payers' banks ask back."""

from typing import Annotated, Any, Final

from msgspec import Meta

from paygate.api.dispute_object import DisputeObject, dispute_object
from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.pages import ListObject, PageQuery, cut_of
from paygate.domain.access.roles import Action
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.outcome import DisputeStatus
from paygate.flows.disputes.read import list_disputes, read_dispute
from paygate.storage.disputes import DisputeFilters

PATH: Final = "/disputes"


class DisputeList(ListObject[DisputeObject], frozen=True, kw_only=True):
    """A page of disputes."""


class DisputeQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /disputes`."""

    payment_intent: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    status: DisputeStatus | None = None


async def _list(api: ApiContext, exchange: Exchange, query: DisputeQuery) -> DisputeList:
    filters = DisputeFilters(payment_intent=query.payment_intent, status=query.status)
    cut = cut_of(query, "dispute")
    page = await list_disputes(api.ctx, exchange.known_caller, cut, filters, exchange.query)
    data = tuple(dispute_object(dispute) for dispute in page.items)
    return DisputeList(data=data, has_more=page.has_more, url=PATH)


async def _read(api: ApiContext, exchange: Exchange, _: Any) -> Dispute:
    return await read_dispute(api.ctx, exchange.known_caller, exchange.path["id"])


def _show(_: Exchange, dispute: Dispute) -> DisputeObject:
    return dispute_object(dispute)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=PATH,
        summary="List disputes, newest first.",
        action=Action.DISPUTE_LIST,
        query=DisputeQuery,
        response=DisputeList,
        handle=_list,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        summary="Read a dispute.",
        action=Action.DISPUTE_READ,
        response=DisputeObject,
        handle=_read,
        show=_show,
    ),
)
