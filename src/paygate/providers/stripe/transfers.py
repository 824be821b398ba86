"""Where a payer must send money, read from a PaymentIntent's next action; pure.

No function here raises; what a payer could not act on is no instruction.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

from paygate.domain.payments.outcome import BankAccount, TransferInstructions
from paygate.providers.stripe.fields import link, mapping, text, whole, words
from paygate.providers.stripe.methods import country
from paygate.providers.stripe.money import NotRepresentable, from_provider

INSTRUCTIONS: Final = "display_bank_transfer_instructions"

_MAX_UNITS: Final = 10**15
"""As of any amount of Stripe's."""
_MAX_ACCOUNTS: Final = 10
"""Stripe shows one or two: of aba and swift, say."""

Scheme = Literal["iban", "sort_code", "aba", "spei", "zengin"]


class _Fields(msgspec.Struct, frozen=True):
    """What an account of a scheme is named by: nobody can pay without the first."""

    needed: tuple[str, ...]
    known: tuple[str, ...] = ()


_SCHEMES: Final[Mapping[Scheme, _Fields]] = MappingProxyType(
    {
        "iban": _Fields(("iban",), ("bic",)),
        "sort_code": _Fields(("sort_code", "account_number")),
        "aba": _Fields(("routing_number", "account_number"), ("account_type", "bank_name")),
        "spei": _Fields(("clabe",), ("bank_code", "bank_name")),
        "zengin": _Fields(
            ("bank_code", "branch_code", "account_number"),
            ("account_type", "bank_name", "branch_name"),
        ),
    }
)


def instructions(
    body: Mapping[str, Any], amount: int, currency: str
) -> TransferInstructions | None:
    """The instructions of a payment of `amount` smallest units; None when they make no sense.

    What came already counts against the amount: `amount_remaining` is what is still to come.
    """
    shown = mapping(mapping(body, "next_action"), INSTRUCTIONS)
    units = whole(shown.get("amount_remaining"), 0, _MAX_UNITS)
    if units is None or shown.get("currency") != currency:
        return None
    try:
        remaining = from_provider(units, currency)
    except NotRepresentable:
        return None
    accounts, hosted_url = _accounts(shown), link(shown, "hosted_instructions_url")
    if not 0 < remaining <= amount or not (accounts or hosted_url):
        return None
    return TransferInstructions(
        amount_remaining=remaining,
        amount_received=amount - remaining,
        currency=currency,
        reference=words(shown, "reference"),
        hosted_url=hosted_url,
        accounts=accounts,
    )


def _accounts(shown: Mapping[str, Any]) -> tuple[BankAccount, ...]:
    given = shown.get("financial_addresses")
    listed = given[:_MAX_ACCOUNTS] if isinstance(given, list) else []
    read = [
        _account(scheme, mapping(address, scheme))
        for address in listed
        for scheme in _SCHEMES
        if isinstance(address, Mapping) and address.get("type") == scheme
    ]
    return tuple(account for account in read if account is not None)


def _account(scheme: Scheme, record: Mapping[str, Any]) -> BankAccount | None:
    names = _SCHEMES[scheme]
    values = {name: text(record, name) for name in (*names.needed, *names.known)}
    if not all(values[name] for name in names.needed):
        return None
    return BankAccount(
        scheme=scheme,
        holder=words(record, "account_holder_name"),
        country=country(record.get("country"))
        or country(mapping(record, "bank_address").get("country")),
        numbers={name: value for name, value in values.items() if value},
    )
