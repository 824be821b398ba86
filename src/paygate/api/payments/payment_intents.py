"""`/payment-intents`: the wire's side of the payment flows."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.objects import (
    CreatedPaymentIntentObject,
    PaymentIntentObject,
    PublicPaymentIntentObject,
    created_payment_intent_object,
    payment_intent_object,
    public_payment_intent_object,
)
from paygate.api.pages import ListObject, Moment, PageQuery, cut_of, in_reach
from paygate.api.payments.bodies import (
    AttachPaymentMethod,
    CancelPaymentIntent,
    CapturePaymentIntent,
    ConfirmPaymentIntent,
    CreatePaymentIntent,
    chosen,
)
from paygate.api.payments.card_testing import watch_declines
from paygate.domain.access.roles import Action
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.payments.attach import attach_payment_method
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.capture import capture_payment_intent
from paygate.flows.payments.confirm import confirm_payment_intent
from paygate.flows.payments.create import Created, create_payment_intent
from paygate.flows.payments.list import list_payment_intents
from paygate.flows.payments.read import read_payment_intent
from paygate.storage.reader import IntentFilters

PATH = "/payment-intents"


class PaymentIntentList(ListObject[PaymentIntentObject], frozen=True, kw_only=True):
    """A page of payment intents."""


class PaymentIntentQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /payment-intents`. Times are ISO 8601 with an offset, and exclusive."""

    status: Status | None = None
    reference: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    customer: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None


async def _create(api: ApiContext, exchange: Exchange, body: CreatePaymentIntent) -> Created:
    return await create_payment_intent(api.ctx, exchange.known_caller, body.value())


async def _list(
    api: ApiContext, exchange: Exchange, query: PaymentIntentQuery
) -> PaymentIntentList:
    cut = cut_of(query, "payment_intent")
    filters = IntentFilters(
        status=query.status,
        reference=query.reference,
        customer=query.customer,
        created_after=in_reach(query.created_after),
        created_before=in_reach(query.created_before),
    )
    page = await list_payment_intents(api.ctx, exchange.known_caller, cut, filters, exchange.query)
    data = tuple(payment_intent_object(intent) for intent in page.items)
    return PaymentIntentList(data=data, has_more=page.has_more, url=PATH)


async def _read(api: ApiContext, exchange: Exchange, _: Any) -> PaymentIntent:
    return await read_payment_intent(api.ctx, exchange.known_caller, exchange.path["id"])


async def _attach(api: ApiContext, exchange: Exchange, body: AttachPaymentMethod) -> PaymentIntent:
    caller, intent_id = exchange.known_caller, exchange.path["id"]
    instrument = chosen(body.payment_method)
    return await attach_payment_method(api.ctx, caller, intent_id, instrument)


async def _confirm(
    api: ApiContext, exchange: Exchange, body: ConfirmPaymentIntent
) -> PaymentIntent:
    caller, intent_id = exchange.known_caller, exchange.path["id"]
    return await confirm_payment_intent(api.ctx, caller, intent_id, body.value())


async def _capture(
    api: ApiContext, exchange: Exchange, body: CapturePaymentIntent
) -> PaymentIntent:
    caller, intent_id = exchange.known_caller, exchange.path["id"]
    return await capture_payment_intent(api.ctx, caller, intent_id, amount=body.amount)


async def _cancel(api: ApiContext, exchange: Exchange, body: CancelPaymentIntent) -> PaymentIntent:
    caller, intent_id = exchange.known_caller, exchange.path["id"]
    return await cancel_payment_intent(api.ctx, caller, intent_id, reason=body.reason)


def _show_created(_: Exchange, created: Created) -> msgspec.Struct:
    return created_payment_intent_object(created.intent, created.client_secret)


def _show(exchange: Exchange, intent: PaymentIntent) -> msgspec.Struct:
    if exchange.client_side:
        return public_payment_intent_object(intent)
    return payment_intent_object(intent)


METHOD_LIMIT: Final = 8 * 1024
"""Twice what a confirm's longest parameters come to. A payer's browser may send a method, so its
bodies are kept short."""

ENDPOINTS = (
    Endpoint(
        method="POST",
        path=PATH,
        summary="Create a payment intent. Nothing is charged.",
        action=Action.INTENT_CREATE,
        body=CreatePaymentIntent,
        response=CreatedPaymentIntentObject,
        status=201,
        handle=watch_declines(_create, lambda body: body.payment_method is not None),
        show=_show_created,
    ),
    Endpoint(
        method="GET",
        path=PATH,
        summary="List payment intents, newest first.",
        action=Action.INTENT_LIST,
        query=PaymentIntentQuery,
        response=PaymentIntentList,
        handle=_list,
    ),
    Endpoint(
        method="GET",
        path="/payment-intents/{id}",
        summary="Read a payment intent.",
        action=Action.INTENT_READ,
        response=PaymentIntentObject,
        public_response=PublicPaymentIntentObject,
        handle=_read,
        show=_show,
    ),
    Endpoint(
        method="POST",
        path="/payment-intents/{id}/payment-method",
        summary="Attach a payment method to be reviewed before confirming; null detaches it.",
        action=Action.INTENT_ATTACH,
        body=AttachPaymentMethod,
        body_limit=METHOD_LIMIT,
        response=PaymentIntentObject,
        public_response=PublicPaymentIntentObject,
        handle=watch_declines(_attach),
        show=_show,
    ),
    Endpoint(
        method="POST",
        path="/payment-intents/{id}/confirm",
        summary="Confirm a payment intent: the provider is asked for the money.",
        action=Action.INTENT_CONFIRM,
        body=ConfirmPaymentIntent,
        body_limit=METHOD_LIMIT,
        response=PaymentIntentObject,
        public_response=PublicPaymentIntentObject,
        handle=watch_declines(_confirm),
        show=_show,
    ),
    Endpoint(
        method="POST",
        path="/payment-intents/{id}/capture",
        summary="Take the money of a held payment, all of it or `amount`; the rest is released.",
        action=Action.INTENT_CAPTURE,
        body=CapturePaymentIntent,
        response=PaymentIntentObject,
        handle=_capture,
        show=_show,
    ),
    Endpoint(
        method="POST",
        path="/payment-intents/{id}/cancel",
        summary="Cancel a payment intent: a hold is released, a challenge ends.",
        action=Action.INTENT_CANCEL,
        body=CancelPaymentIntent,
        response=PaymentIntentObject,
        handle=_cancel,
        show=_show,
    ),
)
