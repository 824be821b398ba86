"""What a payer may pay with at Stripe, and how a call says so; pure.

A push transfer's rail and a debit's kind follow from the currency alone
(https://docs.stripe.com/payments/customer-balance, https://docs.stripe.com/payments/sepa-debit,
https://docs.stripe.com/payments/ach-direct-debit). Whether they can be is answered here before
anything is sent.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, assert_never

import msgspec

from paygate.domain.money import Currency
from paygate.domain.payments.payment_method import (
    CardToken,
    DirectDebit,
    Instrument,
    Mandate,
    PushTransfer,
    Tokened,
)

PUSH: Final = "customer_balance"
EURO_COUNTRIES: Final = ("BE", "DE", "ES", "FR", "IE", "NL")
"""Where Stripe opens virtual accounts in euro."""


class Rail(msgspec.Struct, frozen=True):
    """A kind of transfer, and where its accounts are."""

    kind: str
    countries: tuple[str, ...]


RAILS: Final[Mapping[str, Rail]] = MappingProxyType(
    {
        "eur": Rail("eu_bank_transfer", EURO_COUNTRIES),
        "gbp": Rail("gb_bank_transfer", ("GB",)),
        "jpy": Rail("jp_bank_transfer", ("JP",)),
        "mxn": Rail("mx_bank_transfer", ("MX",)),
        "usd": Rail("us_bank_transfer", ("US",)),
    }
)
DEBITS: Final[Mapping[str, str]] = MappingProxyType({"eur": "sepa_debit", "usd": "us_bank_account"})
"""By currency."""


def transfer_problem(currency: Currency, country: str | None) -> str | None:
    """Why a transfer cannot be asked for; None when it can."""
    rail = RAILS.get(currency)
    if rail is None:
        return f"the provider takes transfers in {_list(RAILS)}, not in {currency}"
    if country in rail.countries or (country is None and len(rail.countries) == 1):
        return None
    said = f"a transfer in {currency} goes to an account in {_list(rail.countries)}"
    return f"{said}: say which country" if country is None else f"{said}, not in {country}"


def debit_problem(currency: Currency) -> str | None:
    """Why a bank account cannot be debited; None when it can."""
    if currency in DEBITS:
        return None
    return f"the provider debits bank accounts in {_list(DEBITS)}, not in {currency}"


def kind_of(instrument: Tokened, currency: Currency) -> str:
    """Stripe's type of the payment method that an instrument's token must stand for."""
    return "card" if isinstance(instrument, CardToken) else DEBITS[currency]


def parameters(instrument: Instrument, currency: Currency) -> dict[str, Any]:
    """The part of a confirm that says what it is paid with."""
    match instrument:
        case CardToken(token):
            return {"payment_method_types": ["card"], "payment_method": token}
        case PushTransfer(country):
            assert transfer_problem(currency, country) is None, "the flow asks before it sends"
            return {
                "payment_method_types": [PUSH],
                "payment_method_data": {"type": PUSH},
                "payment_method_options": {PUSH: _transfer(RAILS[currency], country)},
            }
        case DirectDebit(token, mandate):
            assert debit_problem(currency) is None, "the flow asks before it sends"
            return {
                "payment_method_types": [DEBITS[currency]],
                "payment_method": token,
                "mandate_data": {"customer_acceptance": _acceptance(mandate)},
            }
        case _:
            assert_never(instrument)


def _transfer(rail: Rail, country: str | None) -> dict[str, Any]:
    transfer: dict[str, Any] = {"type": rail.kind}
    if len(rail.countries) > 1:
        transfer[rail.kind] = {"country": country}
    return {"funding_type": "bank_transfer", "bank_transfer": transfer}


def _acceptance(mandate: Mandate) -> dict[str, Any]:
    return {
        "type": "online",
        "accepted_at": mandate.accepted_at,
        "online": {"ip_address": mandate.ip_address, "user_agent": mandate.user_agent},
    }


def _list(names: Mapping[str, Any] | tuple[str, ...]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
