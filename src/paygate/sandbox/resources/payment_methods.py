"""PaymentMethods: each use of a `pm_card_*` token makes one, as at Stripe.

They are cards only. It must never see a card number.
"""

from paygate.sandbox.books import Books
from paygate.sandbox.protocol.errors import StripeError, missing_object, missing_reference
from paygate.sandbox.protocol.parameters import (
    CardData,
    Metadata,
    NoSuch,
    OneOf,
    Parameters,
    Text,
    Unsupported,
)
from paygate.sandbox.resources.cards import CARDS, Card
from paygate.sandbox.resources.endpoint import Call, Endpoint
from paygate.sandbox.store.objects import JsonObject, Record

EXPIRY_MONTH, EXPIRY_YEAR = 12, 2034
EMPTY_BILLING_DETAILS: JsonObject = {
    "address": {
        "city": None,
        "country": None,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    },
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}
CHECKS: JsonObject = {
    "address_line1_check": None,
    "address_postal_code_check": None,
    "cvc_check": "pass",
}


def card_of(record: Record) -> Card:
    return CARDS[record.private["token"]]


def fingerprint(token: str) -> str:
    """The same card has the same fingerprint; a token names a card."""
    return (token.removeprefix("pm_card_") + "0" * 16)[:16]


def from_reference(books: Books, reference: str, param: str) -> Record:
    """The PaymentMethod that a parameter names: one that exists, or a new one from a token."""
    if reference in CARDS:
        return _from_token(books, reference)
    record = books.find("payment_method", reference)
    if record is None:
        raise missing_reference("payment_method", reference, param)
    if "charged_by" in record.private:
        raise StripeError(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
            "attachment, shared with a connected account without Customer attachment, or was "
            "detached from a Customer. It may not be used again. To use a PaymentMethod multiple "
            "times, you must attach it to a Customer first.",
            param=param,
        )
    return record


def _from_token(books: Books, token: str) -> Record:
    card = CARDS[token]
    body: JsonObject = {
        "id": books.new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": EMPTY_BILLING_DETAILS,
        "card": {
            "brand": card.brand,
            "checks": {**CHECKS, "cvc_check": "unchecked"},
            "country": card.country,
            "display_brand": card.brand,
            "exp_month": EXPIRY_MONTH,
            "exp_year": EXPIRY_YEAR,
            "fingerprint": fingerprint(token),
            "funding": card.funding,
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": books.now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }
    record = Record(body, {"token": token})
    books.insert(record)
    return record


def retrieve(call: Call) -> Record:
    if call.target in CARDS:
        return _from_token(call.books, call.target)
    record = call.books.find("payment_method", call.target)
    if record is None:
        raise missing_object("payment_method", call.target)
    return record


def refuse_creation(call: Call) -> Record:
    """No form of creation passes its parameters: cards come as tokens."""
    del call
    raise StripeError("This simulator makes PaymentMethods from its test tokens only.")


ENDPOINTS = (
    Endpoint("GET", "payment_methods/{}", "payment_method", "retrieve", Parameters(), retrieve),
    Endpoint(
        "POST",
        "payment_methods",
        "payment_method",
        "create",
        Parameters(
            {
                "type": OneOf(("card",)),
                "card": CardData(),
                "billing_details": Unsupported(),
                "allow_redisplay": Unsupported(),
                "customer": NoSuch("customer"),
                "metadata": Metadata(),
                "payment_method": Text(),
            },
            required=("type", "card"),
        ),
        refuse_creation,
    ),
)
