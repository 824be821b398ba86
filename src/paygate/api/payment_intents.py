"""`/payment-intents`: the wire's side of the payment flows."""

from typing import Any

import msgspec

from paygate.api.card_testing import watch_declines
from paygate.api.endpoint import Desk, Endpoint
from paygate.api.exchange import Exchange
from paygate.api.objects import (
    CreatedPaymentIntentObject,
    PaymentIntentObject,
    PublicPaymentIntentObject,
    created_payment_intent_object,
    payment_intent_object,
    public_payment_intent_object,
)
from paygate.domain.access import Action
from paygate.domain.payment_intent import PaymentIntent
from paygate.flows.cancel_payment_intent import CancelPaymentIntent, cancel_payment_intent
from paygate.flows.confirm_payment_intent import ConfirmPaymentIntent, confirm_payment_intent
from paygate.flows.create_payment_intent import Created, CreatePaymentIntent, create_payment_intent
from paygate.flows.read_payment_intent import read_payment_intent


async def _create(desk: Desk, exchange: Exchange, body: CreatePaymentIntent) -> Created:
    return await create_payment_intent(desk.ctx, exchange.known_caller, body)


async def _read(desk: Desk, exchange: Exchange, _: Any) -> PaymentIntent:
    return await read_payment_intent(desk.ctx, exchange.known_caller, exchange.path["id"])


async def _confirm(desk: Desk, exchange: Exchange, body: ConfirmPaymentIntent) -> PaymentIntent:
    return await confirm_payment_intent(desk.ctx, exchange.known_caller, exchange.path["id"], body)


async def _cancel(desk: Desk, exchange: Exchange, body: CancelPaymentIntent) -> PaymentIntent:
    return await cancel_payment_intent(desk.ctx, exchange.known_caller, exchange.path["id"], body)


def _show_created(_: Exchange, created: Created) -> msgspec.Struct:
    return created_payment_intent_object(created.intent, created.client_secret)


def _show(exchange: Exchange, intent: PaymentIntent) -> msgspec.Struct:
    if exchange.client_side:
        return public_payment_intent_object(intent)
    return payment_intent_object(intent)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/payment-intents",
        summary="Create a payment intent. Nothing is charged.",
        action=Action.INTENT_CREATE,
        body=CreatePaymentIntent,
        answer=CreatedPaymentIntentObject,
        status=201,
        handle=_create,
        show=_show_created,
        hot=True,
    ),
    Endpoint(
        method="GET",
        path="/payment-intents/{id}",
        summary="Read a payment intent.",
        action=Action.INTENT_READ,
        answer=PaymentIntentObject,
        public_answer=PublicPaymentIntentObject,
        handle=_read,
        show=_show,
        hot=True,
    ),
    Endpoint(
        method="POST",
        path="/payment-intents/{id}/confirm",
        summary="Confirm a payment intent: the provider is asked for the money.",
        action=Action.INTENT_CONFIRM,
        body=ConfirmPaymentIntent,
        answer=PaymentIntentObject,
        public_answer=PublicPaymentIntentObject,
        handle=watch_declines(_confirm),
        show=_show,
        hot=True,
    ),
    Endpoint(
        method="POST",
        path="/payment-intents/{id}/cancel",
        summary="Cancel a payment intent that nobody has confirmed.",
        action=Action.INTENT_CANCEL,
        body=CancelPaymentIntent,
        answer=PaymentIntentObject,
        handle=_cancel,
        show=_show,
    ),
)
