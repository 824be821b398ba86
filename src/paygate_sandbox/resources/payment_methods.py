"""PaymentMethods: from a test token, from a description, or from the hosted card fields.

Each use of a token makes one, as at Stripe. What is kept of a card typed into the hosted fields
is what its customer may see again: brand, last four digits, expiry, and a fingerprint. It must
never keep or tell a whole number.
"""

import hashlib
import time
from typing import Any

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import (
    CARD_ERROR,
    StripeError,
    missing_object,
    missing_reference,
)
from paygate_sandbox.protocol.parameters import (
    Hash,
    Integer,
    Metadata,
    OneOf,
    Parameters,
    Text,
    Unsupported,
    merge_metadata,
)
from paygate_sandbox.resources.bank_accounts import IBANS, UNUSABLE_IBAN, US_ACCOUNTS
from paygate_sandbox.resources.card_numbers import CARD_NUMBERS
from paygate_sandbox.resources.cards import CARDS, Card
from paygate_sandbox.resources.endpoint import Call, Endpoint
from paygate_sandbox.resources.method_data import METHOD_FIELDS, BillingDetails, check_method
from paygate_sandbox.store.objects import JsonObject, Record

EXPIRY_MONTH, EXPIRY_YEAR = 12, 2034
EMPTY_BILLING_DETAILS: JsonObject = BillingDetails().read("billing_details", {})
CHECKS: JsonObject = {
    "address_line1_check": None,
    "address_postal_code_check": None,
    "cvc_check": "pass",
}
# Stripe's test bank.
_ROUTING_NUMBER = "110000000"
# Further ahead no card is issued; Stripe draws the line at half a century.
_MAX_YEARS_AHEAD = 50


def card_of(record: Record) -> Card:
    return CARDS[record.private["token"]]


def fingerprint(token: str) -> str:
    """The same card has the same fingerprint; a token names a card."""
    return (token.removeprefix("pm_card_") + "0" * 16)[:16]


def from_reference(books: Books, reference: str, param: str, customer: str | None) -> Record:
    """The PaymentMethod that a parameter names: one that exists, or a new one from a token. What a
    customer keeps pays for that `customer` alone.
    """
    method = from_token(books, reference)
    if method is not None:
        return method
    record = books.find("payment_method", reference)
    if record is None:
        raise missing_reference("payment_method", reference, param)
    keeper = record.body["customer"]
    if keeper is None:
        check_unused(record, param)
    elif customer is None:
        raise StripeError(
            f"The PaymentMethod you provided ({reference}) is attached to a customer so for "
            "security purposes you must provide the customer in the request.",
            param=param,
        )
    elif keeper != customer:
        raise StripeError(
            f"The customer does not have a payment method with the ID {reference}. The payment "
            "method must be attached to the customer.",
            param=param,
        )
    return record


def check_unused(method: Record, param: str) -> None:
    """Refuse one that nobody keeps, and that has paid or was kept before."""
    if "charged_by" in method.private or "detached" in method.private:
        raise StripeError(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
            "attachment, shared with a connected account without Customer attachment, or was "
            "detached from a Customer. It may not be used again. To use a PaymentMethod multiple "
            "times, you must attach it to a Customer first.",
            param=param,
        )


def from_token(books: Books, token: str) -> Record | None:
    if token in CARDS:
        card = CARDS[token]
        details = _card(card, card.last4, fingerprint(token), EXPIRY_MONTH, EXPIRY_YEAR)
        return _insert(books, {"type": "card"}, details, {"token": token})
    if token in US_ACCOUNTS:
        account = US_ACCOUNTS[token]
        details = _us_account(account.last4, token)
        return _insert(books, {"type": "us_bank_account"}, details, {"debit": account.debit()})
    return None


def from_data(books: Books, given: dict[str, Any]) -> Record:
    """From a description that `method_data` has read and checked."""
    if given["type"] == "customer_balance":
        return _insert(books, given, {}, {})
    iban = given["sepa_debit"]["iban"]
    if iban == UNUSABLE_IBAN:
        raise StripeError(
            "The bank account provided can not be used to charge. Please use a different bank "
            "account or another payment method.",
            code="bank_account_unusable",
            param="sepa_debit[iban]",
        )
    return _insert(books, given, _sepa_account(iban), {"debit": IBANS[iban].debit()})


def _insert(
    books: Books, given: dict[str, Any], details: JsonObject, private: JsonObject
) -> Record:
    kind = given["type"]
    body: JsonObject = {
        "id": books.new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": given.get("allow_redisplay", "unspecified"),
        "billing_details": given.get("billing_details", EMPTY_BILLING_DETAILS),
        kind: details,
        "created": books.now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": merge_metadata({}, given.get("metadata", {})),
        "type": kind,
    }
    record = Record(body, private)
    books.insert(record)
    return record


def _card(card: Card, last4: str, print_: str, month: int, year: int) -> JsonObject:
    return {
        "brand": card.brand,
        "checks": {**CHECKS, "cvc_check": "unchecked"},
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": month,
        "exp_year": year,
        "fingerprint": print_,
        "funding": card.funding,
        "generated_from": None,
        "last4": last4,
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _us_account(last4: str, token: str) -> JsonObject:
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "fingerprint": _print(token),
        "last4": last4,
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": _ROUTING_NUMBER,
        "status_details": {},
    }


def _sepa_account(iban: str) -> JsonObject:
    return {
        "bank_code": iban[4:9],
        "branch_code": "",
        "country": iban[:2],
        "fingerprint": _print(iban),
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": iban[-4:],
    }


def _print(account: str) -> str:
    return hashlib.sha256(account.encode()).hexdigest()[:16]


def retrieve(call: Call) -> Record:
    record = from_token(call.books, call.target) or call.books.find("payment_method", call.target)
    if record is None:
        raise missing_object("payment_method", call.target)
    return record


def create(call: Call) -> Record:
    return from_data(call.books, call.params)


def create_from_fields(call: Call) -> Record:
    """What the customer typed into the hosted fields; only they may send it."""
    books, given = call.books, call.params["card"]
    number = given["number"].replace(" ", "")
    token = CARD_NUMBERS.get(number)
    if token is None:
        raise _mistyped("incorrect_number", "Your card number is incorrect.", "number")
    card, last4 = CARDS[token], number[-4:]
    month, year = _expiry(given["exp_month"], given["exp_year"], time.gmtime(books.now))
    cvc = given["cvc"]
    if not cvc.isdecimal() or len(cvc) != (4 if card.brand == "amex" else 3):
        raise _mistyped("invalid_cvc", "Your card's security code is invalid.", "cvc")
    # Two numbers may behave as one token's card; they are two cards all the same.
    print_ = fingerprint(token if last4 == card.last4 else f"{last4}{token}")
    details = _card(card, last4, print_, month, year)
    return _insert(books, call.params, details, {"token": token})


def _expiry(month: int, year: int, today: time.struct_time) -> tuple[int, int]:
    if 0 <= year < 100:  # noqa: PLR2004 - a year of two digits
        year += 2000
    if not today.tm_year <= year <= today.tm_year + _MAX_YEARS_AHEAD:
        raise _mistyped(
            "invalid_expiry_year", "Your card's expiration year is invalid.", "exp_year"
        )
    if not 1 <= month <= 12 or (year, month) < today[:2]:  # noqa: PLR2004 - months
        raise _mistyped(
            "invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month"
        )
    return month, year


def _mistyped(code: str, message: str, param: str) -> StripeError:
    return StripeError(message, status=402, kind=CARD_ERROR, code=code, param=param)


_FROM_FIELDS = Endpoint(
    "POST",
    "payment_methods",
    "payment_method",
    "payment_methods",
    Parameters(
        {
            "billing_details": BillingDetails(),
            "card": Hash(
                {
                    "cvc": Text(4),
                    "exp_month": Integer(),
                    "exp_year": Integer(),
                    "number": Text(30),
                },
                required=("number", "exp_month", "exp_year", "cvc"),
            ),
            "metadata": Metadata(),
            "type": OneOf(("card",)),
        },
        required=("type", "card"),
    ),
    create_from_fields,
)

ENDPOINTS = (
    Endpoint("GET", "payment_methods/{}", "payment_method", "retrieve", Parameters(), retrieve),
    Endpoint(
        "POST",
        "payment_methods",
        "payment_method",
        "payment_methods",
        Parameters(
            {**METHOD_FIELDS, "customer": Unsupported(), "payment_method": Unsupported()},
            required=("type",),
        ),
        create,
        check=check_method,
        in_browser=_FROM_FIELDS,
    ),
)
