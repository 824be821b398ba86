"""The attempt to pay: confirm, by card or by bank; a card's challenge, and what its issuer says.

It must never write an answer's status or headers, only what became of the payment.
"""

from typing import Any

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import (
    CARD_ERROR,
    StripeError,
    error_object,
    unsupported_parameter,
)
from paygate_sandbox.resources.cards import DECLINES, Card, Decline
from paygate_sandbox.resources.charges import AUTHORIZATION_SECONDS, card_charge
from paygate_sandbox.resources.endpoint import PaymentFailure
from paygate_sandbox.resources.method_types import DEBITS, check_currency
from paygate_sandbox.resources.payment_intents import debit, transfer
from paygate_sandbox.resources.payment_intents.intent import (
    OPEN,
    UNEXPECTED_STATE,
    apply_description,
    choose_method,
    missing_method,
    quoted,
    set_method,
    unexpected_state,
)
from paygate_sandbox.resources.payment_intents.outcome import fail, take
from paygate_sandbox.resources.payment_methods import card_of, from_reference
from paygate_sandbox.store.objects import Filing, JsonObject, Record

# The timer of a hold; `hold` handles it.
EXPIRE_AUTHORIZATION = "expire_authorization"

_NONCE_LENGTH = 24


def confirm(books: Books, intent: Record, params: dict[str, Any]) -> Record | PaymentFailure:
    _must_be_confirmable(intent)
    apply_description(intent, params)
    method = _method(books, intent, params)
    _check_return_url(intent, params)
    intent.body["last_payment_error"] = None
    intent.private["confirm_key"] = books.origin.idempotency_key
    kind = method.body["type"]
    if "mandate_data" in params and kind not in DEBITS:
        raise unsupported_parameter("mandate_data")
    if kind == "card":
        return _confirm_card(books, intent, method, params)
    check_currency([kind], intent.body["currency"])
    if intent.body["capture_method"] == "manual":
        raise StripeError(
            f"The payment method type {kind} does not support manual capture.",
            param="capture_method",
        )
    if kind in DEBITS:
        return debit.confirm(books, intent, method, params)
    return transfer.confirm(books, intent, params)


def _confirm_card(
    books: Books, intent: Record, method: Record, params: dict[str, Any]
) -> Record | PaymentFailure:
    if intent.body["statement_descriptor"] is not None:
        raise StripeError(
            "The `statement_descriptor` parameter isn't supported for the `card` payment method "
            "type. To set a custom description on the customer's statement, provide "
            "`statement_descriptor_suffix` instead.",
            param="statement_descriptor",
        )
    card = card_of(method)
    if not _wants_challenge(card, intent):
        decline = DECLINES[card.decline] if card.decline else None
    elif params.get("off_session", "false") != "false":
        decline = DECLINES["authentication_required"]
    elif params.get("error_on_requires_action"):
        decline = DECLINES["authentication_not_handled"]
    else:
        return _ask_customer(books, intent, params)
    return _charge(books, intent, method, decline, challenged=False)


def _must_be_confirmable(intent: Record) -> None:
    status = intent.body["status"]
    if status == "succeeded":
        raise StripeError(
            "You cannot confirm this PaymentIntent because it has already succeeded after being "
            "previously confirmed.",
            code=UNEXPECTED_STATE,
            payment_intent=quoted(intent),
        )
    if status not in OPEN:
        raise unexpected_state(intent, "You cannot confirm this PaymentIntent", "confirmed", OPEN)


def _method(books: Books, intent: Record, params: dict[str, Any]) -> Record:
    chosen = choose_method(books, intent, params)
    if chosen is not None:
        return chosen
    if intent.body["payment_method"] is None:
        raise missing_method(intent)
    named, customer = intent.body["payment_method"], intent.body["customer"]
    return set_method(books, intent, from_reference(books, named, "payment_method", customer))


def _check_return_url(intent: Record, params: dict[str, Any]) -> None:
    automatic = intent.body["automatic_payment_methods"]
    if automatic and automatic["allow_redirects"] == "always" and "return_url" not in params:
        raise StripeError(
            "A `return_url` must be specified because this Payment Intent is configured to "
            "automatically accept the payment methods enabled in the Dashboard, some of which may "
            "require a full page redirect to succeed. If you do not want to accept redirect-based "
            "payment methods, set `automatic_payment_methods[enabled]` to `true` and "
            "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents "
            "and Payment Intents."
        )


def _wants_challenge(card: Card, intent: Record) -> bool:
    asked = intent.body["payment_method_options"]["card"]["request_three_d_secure"]
    return card.authentication == "required" or (
        card.authentication == "when_asked" and asked != "automatic"
    )


def _ask_customer(books: Books, intent: Record, params: dict[str, Any]) -> Record:
    nonce, return_url = books.token(_NONCE_LENGTH), params.get("return_url")
    url = f"{books.parts.base_url}/3ds/{intent.id}/{nonce}"
    if return_url is not None and not params.get("use_stripe_sdk"):
        action: JsonObject = {
            "redirect_to_url": {"return_url": return_url, "url": url},
            "type": "redirect_to_url",
        }
    else:
        action = {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"stripe_js": url, "type": "three_d_secure_redirect"},
        }
    intent.private["challenge"] = {"nonce": nonce, "return_url": return_url}
    intent.body["status"], intent.body["next_action"] = "requires_action", action
    books.update(intent)
    books.emit("payment_intent.requires_action", intent)
    return intent


def finish_challenge(books: Books, intent: Record, *, passed: bool) -> Record | PaymentFailure:
    """The customer has answered: the charge is made, or the attempt has failed without one."""
    assert intent.body["status"] == "requires_action", "only a pending challenge can end"
    method = books.find("payment_method", intent.body["payment_method"])
    assert method is not None, "a challenge is about a payment method"
    intent.body["next_action"] = None
    del intent.private["challenge"]
    if passed:
        card = card_of(method)
        decline = DECLINES[card.decline] if card.decline else None
        return _charge(books, intent, method, decline, challenged=True)
    error = error_object(
        "The provided PaymentMethod has failed authentication. You can provide "
        "payment_method_data or a new PaymentMethod to attempt to fulfill this PaymentIntent "
        "again.",
        code="payment_intent_authentication_failure",
        payment_method=method.body,
    )
    return fail(books, intent, error)


def _charge(
    books: Books, intent: Record, method: Record, decline: Decline | None, *, challenged: bool
) -> Record | PaymentFailure:
    charge = card_charge(books, intent, method, decline=decline, challenged=challenged)
    books.insert(charge, Filing(related=intent.id))
    intent.body["latest_charge"] = charge.id
    intent.body["next_action"] = None
    if decline is not None:
        books.emit("charge.failed", charge)
        return fail(books, intent, _card_error(decline, charge, method))
    method.private["charged_by"] = intent.id
    books.update(method)
    if intent.body["capture_method"] == "manual":
        return _hold(books, intent, charge)
    card = card_of(method)
    return take(
        books,
        intent,
        charge,
        available_at_once=card.available_at_once,
        aftermath=card.aftermath,
    )


def _hold(books: Books, intent: Record, charge: Record) -> Record:
    books.emit("charge.succeeded", charge)
    intent.body["status"] = "requires_capture"
    intent.body["amount_capturable"] = intent.body["amount"]
    books.update(intent)
    books.emit("payment_intent.amount_capturable_updated", intent)
    books.set_timer(intent.id, EXPIRE_AUTHORIZATION, books.now + AUTHORIZATION_SECONDS)
    return intent


def _card_error(decline: Decline, charge: Record, method: Record) -> JsonObject:
    return error_object(
        decline.message,
        kind=CARD_ERROR,
        code=decline.code,
        param=decline.param,
        advice_code=decline.advice_code,
        charge=charge.id,
        decline_code=decline.decline_code,
        network_decline_code=decline.network_decline_code,
        payment_method=method.body,
    )
