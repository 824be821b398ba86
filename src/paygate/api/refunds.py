"""`/refunds`: money on its way back, and who decides on it."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from paygate.api.edge.bodies import about
from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.pages import ListObject, PageQuery, cut_of
from paygate.api.refund_object import RefundObject, refund_object
from paygate.domain.access.roles import Action
from paygate.domain.refunds.refund import (
    Refund,
    RefundReason,
    RefundStatus,
    states_of,
)
from paygate.flows.refunds.approve import approve_refund, reject_refund
from paygate.flows.refunds.create import NewRefund, refund_payment_intent
from paygate.flows.refunds.read import list_refunds, read_refund
from paygate.storage.refunds import RefundFilters

PATH: Final = "/refunds"


class RefundList(ListObject[RefundObject], frozen=True, kw_only=True):
    """A page of refunds."""


class RefundQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /refunds`."""

    payment_intent: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    status: RefundStatus | None = None


class CreateRefund(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /payment-intents/{id}/refund`; without an amount all that is left."""

    amount: Annotated[
        int | None,
        about("In the smallest unit, up to what can still be refunded.", 500),
    ] = None
    reason: Annotated[
        RefundReason | None,
        about("Why the money goes back; the provider is told.", "requested_by_customer"),
    ] = None


async def _create(api: ApiContext, exchange: Exchange, body: CreateRefund) -> Refund:
    new = NewRefund(body.amount, body.reason)
    caller, intent_id = exchange.known_caller, exchange.path["id"]
    return await refund_payment_intent(api.ctx, caller, intent_id, new)


async def _list(api: ApiContext, exchange: Exchange, query: RefundQuery) -> RefundList:
    filters = RefundFilters(
        payment_intent=query.payment_intent,
        states=None if query.status is None else states_of(query.status),
    )
    cut = cut_of(query, "refund")
    page = await list_refunds(api.ctx, exchange.known_caller, cut, filters, exchange.query)
    data = tuple(refund_object(refund) for refund in page.items)
    return RefundList(data=data, has_more=page.has_more, url=PATH)


async def _read(api: ApiContext, exchange: Exchange, _: Any) -> Refund:
    return await read_refund(api.ctx, exchange.known_caller, exchange.path["id"])


async def _approve(api: ApiContext, exchange: Exchange, _: Any) -> Refund:
    return await approve_refund(api.ctx, exchange.known_caller, exchange.path["id"])


async def _reject(api: ApiContext, exchange: Exchange, _: Any) -> Refund:
    return await reject_refund(api.ctx, exchange.known_caller, exchange.path["id"])


def _show(_: Exchange, refund: Refund) -> RefundObject:
    return refund_object(refund)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/payment-intents/{id}/refund",
        summary="Give captured money back, all that is left of it or `amount`.",
        action=Action.REFUND_CREATE,
        body=CreateRefund,
        response=RefundObject,
        status=201,
        handle=_create,
        show=_show,
    ),
    Endpoint(
        method="GET",
        path=PATH,
        summary="List refunds, newest first.",
        action=Action.REFUND_LIST,
        query=RefundQuery,
        response=RefundList,
        handle=_list,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        summary="Read a refund.",
        action=Action.REFUND_READ,
        response=RefundObject,
        handle=_read,
        show=_show,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/approve",
        summary="Approve a refund that somebody else asked for: it is sent.",
        action=Action.REFUND_APPROVE,
        response=RefundObject,
        handle=_approve,
        show=_show,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/reject",
        summary="Reject a refund that somebody else asked for.",
        action=Action.REFUND_REJECT,
        response=RefundObject,
        handle=_reject,
        show=_show,
    ),
)
