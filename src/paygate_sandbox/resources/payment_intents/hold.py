"""An authorization's end: captured, cancelled, or run out.

It must never start a new attempt.
"""

from typing import Any

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.resources.balance.rows import record_charge
from paygate_sandbox.resources.charges import release
from paygate_sandbox.resources.disputes.aftermath import follow
from paygate_sandbox.resources.payment_intents.attempt import EXPIRE_AUTHORIZATION
from paygate_sandbox.resources.payment_intents.intent import (
    UNEXPECTED_STATE,
    apply_notes,
    drop_action,
    quoted,
    unexpected_state,
)
from paygate_sandbox.resources.payment_methods import card_of
from paygate_sandbox.store.objects import Record

# A debit under way is the bank's: Stripe stops one in rare cases only, the sandbox never.
CANCELABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
)


def capture(books: Books, intent: Record, params: dict[str, Any]) -> Record:
    amount = _amount_to_capture(intent, params)
    charge = _charge_of(books, intent)
    method = books.find("payment_method", charge.body["payment_method"])
    assert method is not None, "a charge has its payment method"
    charge.body["captured"], charge.body["amount_captured"] = True, amount
    card = card_of(method)
    charge.body["balance_transaction"] = record_charge(
        books, charge.body, amount, at_once=card.available_at_once
    )
    books.update(charge)
    books.emit("charge.captured", charge, {"captured": False})
    follow(books, charge, card.aftermath)
    apply_notes(intent, params)
    intent.body["status"] = "succeeded"
    intent.body["amount_received"], intent.body["amount_capturable"] = amount, 0
    books.update(intent)
    books.emit("payment_intent.succeeded", intent)
    books.clear_timer(intent.id, EXPIRE_AUTHORIZATION)
    return intent


def _amount_to_capture(intent: Record, params: dict[str, Any]) -> int:
    body = intent.body
    if body["status"] == "succeeded":
        raise StripeError(
            "This PaymentIntent could not be captured because it has already been captured.",
            code=UNEXPECTED_STATE,
            payment_intent=quoted(intent),
        )
    if body["status"] != "requires_capture":
        raise unexpected_state(
            intent, "This PaymentIntent could not be captured", "captured", ("requires_capture",)
        )
    if params.get("final_capture") is False:
        raise StripeError(
            "This PaymentIntent cannot be captured more than once: multicapture is unavailable.",
            param="final_capture",
        )
    capturable: int = body["amount_capturable"]
    amount: int = params.get("amount_to_capture", capturable)
    if amount > capturable:
        raise StripeError(
            f"The amount to capture ({amount}) is greater than the amount capturable "
            f"({capturable}).",
            code="amount_too_large",
        )
    return amount


def cancel(books: Books, intent: Record, reason: str | None) -> Record:
    if intent.body["status"] not in CANCELABLE:
        raise unexpected_state(
            intent, "You cannot cancel this PaymentIntent", "canceled", CANCELABLE
        )
    if intent.body["status"] == "requires_capture":
        charge = _charge_of(books, intent)
        release(charge)
        books.update(charge)
        books.emit("charge.refunded", charge, {"amount_refunded": 0, "refunded": False})
        books.clear_timer(intent.id, EXPIRE_AUTHORIZATION)
    return _end(books, intent, reason)


def expire_authorization(books: Books, intent_id: str) -> None:
    """The timer of a hold that nobody captured."""
    intent = books.find("payment_intent", intent_id)
    assert intent is not None, "an intent is never deleted"
    assert intent.body["status"] == "requires_capture", "its timer is cleared with the hold"
    charge = _charge_of(books, intent)
    release(charge)
    books.update(charge)
    books.emit("charge.expired", charge, {"amount_refunded": 0, "refunded": False})
    _end(books, intent, "automatic")


def _end(books: Books, intent: Record, reason: str | None) -> Record:
    intent.body["status"] = "canceled"
    intent.body["canceled_at"] = books.now
    intent.body["cancellation_reason"] = reason
    intent.body["amount_capturable"] = 0
    drop_action(books, intent)
    books.update(intent)
    books.emit("payment_intent.canceled", intent)
    return intent


def _charge_of(books: Books, intent: Record) -> Record:
    charge = books.find("charge", intent.body["latest_charge"])
    assert charge is not None, "a hold has its charge"
    return charge
