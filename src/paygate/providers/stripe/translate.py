"""A PaymentIntent as Stripe renders it, read into an `Answer`; pure.

Stripe adds keys and enum values without a new version (https://docs.stripe.com/upgrades, "what
changes does Stripe consider backward-compatible"), so what is not needed is not looked at, and
what is not understood is `Unknown`. No function here raises, whatever it is given, and none
answers `Approved` unless every fact that this takes is there and makes sense.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    BankTransfer,
    Cancelled,
    Declined,
    Outcome,
    Pending,
    RedirectToUrl,
    Unknown,
)
from paygate.providers.stripe.declines import payment_error
from paygate.providers.stripe.fields import code, identifier, link, mapping, moment, text, whole
from paygate.providers.stripe.methods import charged_with, payment_method
from paygate.providers.stripe.money import NotRepresentable, from_provider
from paygate.providers.stripe.transfers import INSTRUCTIONS, instructions

API_VERSION: Final = "2026-08-26.dahlia"
"""The version that this file reads, asked for in every call and expected of every event."""

_MAX_UNITS: Final = 10**15
"""Beyond any amount that Stripe has; keeps a hostile number out of our arithmetic."""


class _Money(msgspec.Struct, frozen=True):
    """The payment's amounts, all in our smallest units."""

    amount: int
    received: int
    capturable: int
    currency: str


def payment(body: object, *, livemode: bool, as_of: datetime | None) -> Answer:
    """What a PaymentIntent says; `livemode` is the mode that it must be of."""
    if not isinstance(body, Mapping) or body.get("object") != "payment_intent":
        return Answer(Unknown("the answer is not a payment"), as_of=as_of)
    reference = identifier(body.get("id"))
    if reference is None:
        return Answer(Unknown("the payment has no usable id"), as_of=as_of)
    if body.get("livemode") is not livemode:
        return Answer(Unknown("the payment is of the other mode"), as_of=as_of)
    metadata = mapping(body, "metadata")
    money = _money(body)
    return Answer(
        Unknown("the payment's amounts make no sense") if money is None else _outcome(body, money),
        provider_reference=reference,
        as_of=as_of,
        amount=money.amount if money else None,
        currency=money.currency if money else None,
        attempt=text(metadata, "paygate_attempt"),
        installation=text(metadata, "paygate_installation"),
        merchant=text(metadata, "paygate_merchant"),
        intent=text(metadata, "paygate_intent"),
        refunded=_refunded(body, money.currency) if money else 0,
        disputed=mapping(body, "latest_charge").get("disputed") is True,
    )


def _outcome(body: Mapping[str, Any], money: _Money) -> Outcome:
    match body.get("status"):
        case "succeeded":
            return _captured(body, money)
        case "requires_capture":
            return _held(body, money)
        case "requires_action":
            return _action(body, money)
        case "processing":
            return Pending(payment_method(body))
        case "requires_payment_method" | "requires_confirmation" as status:
            return _waiting(body, status)
        case "canceled":
            return Cancelled(code(body.get("cancellation_reason")))
        case status:
            word = code(status)
            return Unknown(f"the payment's status is {word or 'missing'}", unfamiliar=bool(word))


def _waiting(body: Mapping[str, Any], status: str) -> Declined | Unknown:
    """A payment on which nothing goes on: it failed, or nobody has begun it."""
    error = body.get("last_payment_error")
    if isinstance(error, Mapping):
        return Declined(payment_error(error))
    idle = error is None and body.get("latest_charge") is None
    return Unknown(f"the payment's status is {status}, and it names no failure", idle=idle)


def _captured(body: Mapping[str, Any], money: _Money) -> Outcome:
    if not 0 < money.received <= money.amount:
        return Unknown("the payment succeeded with an amount that makes no sense")
    return Approved(
        captured=True,
        amount_received=money.received,
        amount_capturable=0,
        payment_method=payment_method(body),
    )


def _held(body: Mapping[str, Any], money: _Money) -> Outcome:
    if not 0 < money.capturable <= money.amount:
        return Unknown("the payment is held with an amount that makes no sense")
    return Approved(
        captured=False,
        amount_received=0,
        amount_capturable=money.capturable,
        payment_method=payment_method(body),
        authorization_expires_at=moment(mapping(charged_with(body), "card").get("capture_before")),
    )


def _money(body: Mapping[str, Any]) -> _Money | None:
    currency = body.get("currency")
    amounts = [body.get(key, 0) for key in ("amount", "amount_received", "amount_capturable")]
    units = [value for value in amounts if whole(value, 0, _MAX_UNITS) is not None]
    if not isinstance(currency, str) or len(units) < len(amounts):
        return None
    try:
        amount, received, capturable = (from_provider(value, currency) for value in units)
    except NotRepresentable:
        return None
    return _Money(amount, received, capturable, currency) if amount > 0 else None


def _refunded(body: Mapping[str, Any], currency: str) -> int:
    """What went back of a charge that was captured: of a hold that was released Stripe says it too.
    An event names the charge by its id alone.
    """
    charge = mapping(body, "latest_charge")
    units = whole(charge.get("amount_refunded"), 0, _MAX_UNITS)
    if charge.get("captured") is not True or not units:
        return 0
    try:
        return from_provider(units, currency)
    except NotRepresentable:
        return units


def _action(body: Mapping[str, Any], money: _Money) -> Outcome:
    """What the payer must do: visit a page, type in what small deposits came to, or send money.

    We always give a `return_url`, so that a card's challenge is a redirect and never the opaque
    `use_stripe_sdk` (https://docs.stripe.com/payments/3d-secure/authentication-flow). What else
    comes has nothing that we could show; nor has a link that is not a web page's.
    """
    action = mapping(body, "next_action")
    if action.get("type") == INSTRUCTIONS:
        transfer = instructions(body, money.amount, money.currency)
        if transfer is None:
            return Unknown("the instructions for the transfer make no sense")
        return ActionRequired(transfer, payment_method(body))
    deposits = mapping(action, "verify_with_microdeposits")
    verification = link(deposits, "hosted_verification_url")
    if action.get("type") == "verify_with_microdeposits" and verification is not None:
        # No charge and no account to show before the payer has proven that it is theirs.
        debited = payment_method(body) or BankTransfer("debit")
        return ActionRequired(RedirectToUrl(verification), debited)
    redirect = mapping(action, "redirect_to_url")
    url = link(redirect, "url")
    page = None if url is None else RedirectToUrl(url, text(redirect, "return_url"))
    return ActionRequired(page, payment_method(body))
