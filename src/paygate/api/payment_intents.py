"""`/payment-intents`: the wire's side of the payment flows."""

from typing import Any

from paygate.api.endpoint import Desk, Endpoint
from paygate.api.exchange import Exchange
from paygate.api.objects import PaymentIntentObject, payment_intent_object
from paygate.domain.access import Action, Caller
from paygate.flows.confirm_payment_intent import ConfirmPaymentIntent, confirm_payment_intent
from paygate.flows.create_payment_intent import CreatePaymentIntent, create_payment_intent
from paygate.flows.read_payment_intent import read_payment_intent


async def _create(desk: Desk, exchange: Exchange, body: CreatePaymentIntent) -> PaymentIntentObject:
    return payment_intent_object(await create_payment_intent(desk.ctx, _caller(exchange), body))


async def _read(desk: Desk, exchange: Exchange, _: Any) -> PaymentIntentObject:
    intent = await read_payment_intent(desk.ctx, _caller(exchange), exchange.path["id"])
    return payment_intent_object(intent)


async def _confirm(
    desk: Desk, exchange: Exchange, body: ConfirmPaymentIntent
) -> PaymentIntentObject:
    intent = await confirm_payment_intent(desk.ctx, _caller(exchange), exchange.path["id"], body)
    return payment_intent_object(intent)


def _caller(exchange: Exchange) -> Caller:
    assert exchange.caller is not None, "these routes are behind an API key"
    return exchange.caller


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/payment-intents",
        summary="Create a payment intent. Nothing is charged.",
        action=Action.INTENT_CREATE,
        body=CreatePaymentIntent,
        answer=PaymentIntentObject,
        status=201,
        handle=_create,
        hot=True,
    ),
    Endpoint(
        method="GET",
        path="/payment-intents/{id}",
        summary="Read a payment intent.",
        action=Action.INTENT_READ,
        answer=PaymentIntentObject,
        handle=_read,
        hot=True,
    ),
    Endpoint(
        method="POST",
        path="/payment-intents/{id}/confirm",
        summary="Confirm a payment intent: the provider is asked for the money.",
        action=Action.INTENT_CONFIRM,
        body=ConfirmPaymentIntent,
        answer=PaymentIntentObject,
        handle=_confirm,
        hot=True,
    ),
)
