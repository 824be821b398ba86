"""What a call may say of a way to pay that has no token: a bank account, a transfer, a mandate.

They are parameters only: it must never make an object of them, nor take a card's number.
"""

import re
from typing import Any

from paygate_sandbox.protocol.errors import StripeError, missing_parameter
from paygate_sandbox.protocol.parameters import (
    CardData,
    Hash,
    Integer,
    ListOf,
    Metadata,
    OneOf,
    Parameter,
    Text,
    Unsupported,
    leaf,
)
from paygate_sandbox.resources.bank_accounts import IBANS, UNUSABLE_IBAN
from paygate_sandbox.resources.method_types import METHOD_TYPES, TRANSFER_CURRENCIES

_ADDRESS_LINES = ("city", "country", "line1", "line2", "postal_code", "state")

# Where Stripe opens virtual accounts for transfers in euro.
_EURO_COUNTRIES = ("BE", "DE", "ES", "FR", "IE", "NL")


class Address:
    """Told back whole: what was not given is null."""

    _given = Hash({name: Text(unsettable=True) for name in _ADDRESS_LINES})

    def read(self, name: str, raw: Any) -> dict[str, Any]:
        given = {} if raw == "" else self._given.read(name, raw)
        return {line: given.get(line) for line in _ADDRESS_LINES}


class BillingDetails:
    """Told back whole, like an address."""

    _given = Hash(
        {
            "address": Address(),
            "email": Text(512, unsettable=True),
            "name": Text(unsettable=True),
            "phone": Text(unsettable=True),
            "tax_id": Unsupported(),
        }
    )

    def read(self, name: str, raw: Any) -> dict[str, Any]:
        given = self._given.read(name, raw)
        empty = dict.fromkeys(("email", "name", "phone", "tax_id"))
        return {"address": Address().read(name, ""), **empty, **given}


class Iban:
    """One of the test accounts: no other may be debited here."""

    def read(self, name: str, raw: Any) -> str:
        iban = leaf(name, raw, "string").replace(" ", "").upper()
        if iban in IBANS or iban == UNUSABLE_IBAN:
            return iban
        if not _valid_iban(iban):
            raise StripeError(
                "The IBAN you provided is invalid.", code="invalid_bank_account_iban", param=name
            )
        raise StripeError(f"This sandbox debits test accounts only: {', '.join(IBANS)}", param=name)


def _valid_iban(iban: str) -> bool:
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", iban):
        return False
    digits = "".join(str(int(character, 36)) for character in iban[4:] + iban[:4])
    return int(digits) % 97 == 1


# What describes a payment method without a token, wherever it may be described.
METHOD_FIELDS: dict[str, Parameter] = {
    "allow_redisplay": OneOf(("always", "limited", "unspecified")),
    "billing_details": BillingDetails(),
    "card": CardData(),
    "customer_balance": Hash({}),
    "metadata": Metadata(),
    "sepa_debit": Hash({"iban": Iban()}, required=("iban",)),
    "type": OneOf(METHOD_TYPES),
    "us_bank_account": Unsupported(),
}


class MethodData:
    """`payment_method_data`: the payment's method, described in place."""

    _given = Hash(METHOD_FIELDS, required=("type",))

    def read(self, name: str, raw: Any) -> dict[str, Any]:
        if isinstance(raw, dict) and "card" in raw:  # said before anything else of it is looked at
            CardData().read(name, raw)
        given = self._given.read(name, raw)
        check_method(given, name)
        return given


def check_method(given: dict[str, Any], prefix: str = "") -> None:
    """What the parts of a description say together."""

    def missing(*keys: str) -> StripeError:
        first, *rest = [prefix, *keys] if prefix else keys
        return missing_parameter(first + "".join(f"[{key}]" for key in rest))

    kind = given["type"]
    if kind in {"card", "us_bank_account"}:
        raise missing(kind)
    if kind != "sepa_debit":
        return
    if "sepa_debit" not in given:
        raise missing("sepa_debit")
    billing = given.get("billing_details", {})
    for detail in ("name", "email"):
        if not billing.get(detail):
            raise missing("billing_details", detail)


class MandateData:
    """The customer's consent to a debit: when it was given, and from where."""

    _given = Hash(
        {
            "customer_acceptance": Hash(
                {
                    "accepted_at": Integer(minimum=0),
                    "offline": Hash({}),
                    "online": Hash(
                        {"ip_address": Text(), "user_agent": Text()},
                        required=("ip_address", "user_agent"),
                    ),
                    "type": OneOf(("offline", "online")),
                },
                required=("type",),
            )
        },
        required=("customer_acceptance",),
    )

    def read(self, name: str, raw: Any) -> dict[str, Any]:
        acceptance: dict[str, Any] = self._given.read(name, raw)["customer_acceptance"]
        if acceptance["type"] == "online" and "online" not in acceptance:
            raise missing_parameter(f"{name}[customer_acceptance][online]")
        return acceptance


class BankTransfer:
    """Which kind of account the customer is to push money to."""

    _given = Hash(
        {
            "eu_bank_transfer": Hash({"country": OneOf(_EURO_COUNTRIES)}, required=("country",)),
            "requested_address_types": ListOf(Unsupported()),
            "type": OneOf(tuple(TRANSFER_CURRENCIES)),
        },
        required=("type",),
    )

    def read(self, name: str, raw: Any) -> dict[str, Any]:
        given = self._given.read(name, raw)
        if given["type"] == "eu_bank_transfer" and "eu_bank_transfer" not in given:
            raise missing_parameter(f"{name}[eu_bank_transfer]")
        return given


# `payment_method_options` of everything but cards.
BANK_OPTIONS: dict[str, Parameter] = {
    "customer_balance": Hash(
        {
            "bank_transfer": BankTransfer(),
            "funding_type": OneOf(("bank_transfer",)),
            "setup_future_usage": OneOf(("none",)),
        }
    ),
    "sepa_debit": Hash(
        dict.fromkeys(("mandate_options", "setup_future_usage", "target_date"), Unsupported())
    ),
    "us_bank_account": Hash(
        {
            # Test tokens are verified accounts.
            "verification_method": OneOf(("automatic", "instant")),
            **dict.fromkeys(
                (
                    "financial_connections",
                    "mandate_options",
                    "networks",
                    "setup_future_usage",
                    "target_date",
                    "transaction_purpose",
                ),
                Unsupported(),
            ),
        }
    ),
}
