"""`/refunds`: money on its way back, and who decides on it."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from paygate.api.edge.bodies import about
from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.objects import time_text
from paygate.api.pages import ListObject, PageQuery, cut_of
from paygate.domain.access.roles import Action
from paygate.domain.money import major_units
from paygate.domain.refunds.refund import (
    PendingReason,
    Refund,
    RefundReason,
    RefundState,
    RefundStatus,
    states_of,
)
from paygate.flows.refunds.approve import approve_refund, reject_refund
from paygate.flows.refunds.create import NewRefund, refund_payment_intent
from paygate.flows.refunds.read import list_refunds, read_refund
from paygate.storage.refunds import RefundFilters

PATH: Final = "/refunds"


class RefundFailureObject(msgspec.Struct, frozen=True):
    """Why the money did not go back."""

    code: str
    message: str


class ApprovalObject(msgspec.Struct, frozen=True):
    """A second person's word on it."""

    requested_by: str
    decided_by: str | None
    decision: str | None
    expires_at: str


class RefundObject(msgspec.Struct, frozen=True, kw_only=True):
    """A refund. Amounts are integers of the currency's smallest unit."""

    object: Literal["refund"] = "refund"
    id: str
    livemode: bool
    payment_intent: str
    amount: int
    currency: str
    status: RefundStatus
    pending_reason: PendingReason | None
    pending_message: str | None
    reason: RefundReason | None
    failure: RefundFailureObject | None
    expected_by: str
    customer_message: str
    approval: ApprovalObject | None
    tracking_reference: str | None
    provider_reference: str | None
    metadata: Mapping[str, str]
    version: int
    created_at: str
    updated_at: str


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


def refund_object(refund: Refund) -> RefundObject:
    """The refund as clients see it."""
    failure, approval = refund.failure, refund.approval
    return RefundObject(
        id=refund.id,
        livemode=refund.livemode,
        payment_intent=refund.intent,
        amount=refund.amount,
        currency=refund.currency,
        status=refund.status,
        pending_reason=refund.pending_reason,
        pending_message=None if refund.pending_reason is None else refund.message,
        reason=refund.reason,
        failure=None if failure is None else RefundFailureObject(failure.code, failure.message),
        expected_by=refund.expected_by.isoformat(),
        customer_message=_customer_message(refund),
        approval=None
        if approval is None
        else ApprovalObject(
            approval.requested_by,
            approval.decided_by,
            approval.decision,
            time_text(approval.expires_at),
        ),
        tracking_reference=refund.tracking_reference,
        provider_reference=refund.provider_reference,
        metadata=refund.metadata,
        version=refund.version,
        created_at=time_text(refund.created_at),
        updated_at=time_text(refund.updated_at),
    )


def _customer_message(refund: Refund) -> str:
    """What the payer may be told, in plain words."""
    amount = major_units(refund.amount, refund.currency)
    match refund.status:
        case RefundStatus.FAILED:
            return f"The refund of {amount} did not go through. We will find another way."
        case RefundStatus.PENDING if refund.state is RefundState.AWAITING_APPROVAL:
            return f"We are looking into the refund of {amount}."
        case RefundStatus.PENDING:
            return f"We are refunding {amount}. Your bank should show it by {_day(refund)}."
        case _:
            return f"We have refunded {amount}. Your bank shows it by {_day(refund)}."


def _day(refund: Refund) -> str:
    day = refund.expected_by
    return f"{day:%B} {day.day}, {day.year}"


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
