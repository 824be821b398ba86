"""The ways to pay that the sandbox has, and what each can be paid in.

Pure data and one check. It must never know one customer's bank from another's.
"""

from collections.abc import Iterable

from paygate_sandbox.protocol.errors import StripeError

METHOD_TYPES = ("card", "customer_balance", "sepa_debit", "us_bank_account")
DEBITS = ("sepa_debit", "us_bank_account")

# A push transfer arrives at an account of its own country, in that country's currency.
TRANSFER_CURRENCIES = {
    "eu_bank_transfer": "eur",
    "gb_bank_transfer": "gbp",
    "jp_bank_transfer": "jpy",
    "mx_bank_transfer": "mxn",
    "us_bank_transfer": "usd",
}
TRANSFER_TYPES = {currency: kind for kind, currency in TRANSFER_CURRENCIES.items()}

# Cards take every currency.
_CURRENCIES: dict[str, tuple[str, ...]] = {
    "customer_balance": tuple(TRANSFER_TYPES),
    "sepa_debit": ("eur",),
    "us_bank_account": ("usd",),
    **{kind: (currency,) for kind, currency in TRANSFER_CURRENCIES.items()},
}


def check_currency(kinds: Iterable[str], currency: str) -> None:
    """Method types, and types of transfer, each say what they can be paid in."""
    for kind in kinds:
        supported = _CURRENCIES.get(kind)
        if supported is not None and currency not in supported:
            raise StripeError(
                f"The currency provided ({currency}) is invalid. Payments with {kind} support the "
                f"following currencies: {', '.join(supported)}.",
                param="currency",
            )
