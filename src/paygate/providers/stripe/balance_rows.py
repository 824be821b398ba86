"""Balance transactions that a dispute brought, read into rows of money; pure.

What a row does is told by Stripe's type and reporting category, never by its description
(https://docs.stripe.com/reports/reporting-categories). Amounts are in the currency that the
balance is kept in, which need not be the dispute's.
"""

from collections.abc import Mapping
from typing import Any, Final

from paygate.domain.disputes.outcome import MoneyRow, RowKind
from paygate.providers.stripe.fields import identifier, moment, text, whole
from paygate.providers.stripe.money import NotRepresentable, from_provider

_MAX_UNITS: Final = 10**15
"""Beyond any amount that Stripe has; keeps a hostile number out of our arithmetic."""
_MAX_ROWS: Final = 100
"""Stripe shows two or three of a dispute; a list of thousands is none of Stripe's."""
_FEES: Final = frozenset({"stripe_fee", "stripe_fx_fee", "tax_fee", "application_fee"})
"""Types of rows whose amount is a fee, with its tax."""
_FEE_CATEGORIES: Final = frozenset({"fee", "tax", "network_cost"})
_DISPUTE, _REVERSAL = "dispute", "dispute_reversal"


def money_rows(value: object) -> tuple[MoneyRow, ...] | None:
    """Every row; None if one of them makes no sense, because a part of the money is no sum."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _MAX_ROWS:
        return None
    rows = [_row(each) for each in value]
    return None if None in rows else tuple(row for row in rows if row is not None)


def _row(body: object) -> MoneyRow | None:
    if not isinstance(body, Mapping):
        return None
    reference, currency = identifier(body.get("id")), text(body, "currency")
    amount, fee = (whole(body.get(key), -_MAX_UNITS, _MAX_UNITS) for key in ("amount", "fee"))
    if reference is None or currency is None or amount is None or fee is None:
        return None
    if _is_fee(body):
        amount, fee = 0, fee - amount
    try:
        amount, fee = from_provider(amount, currency), from_provider(fee, currency)
    except NotRepresentable:
        return None
    return MoneyRow(
        provider_reference=reference,
        kind=_kind(body.get("reporting_category"), amount),
        amount=amount,
        fee=fee,
        currency=currency,
        created_at=moment(body.get("created")),
    )


def _is_fee(body: Mapping[str, Any]) -> bool:
    return body.get("type") in _FEES or body.get("reporting_category") in _FEE_CATEGORIES


def _kind(category: object, amount: int) -> RowKind:
    """By the category, if the sign agrees with it."""
    if category == _DISPUTE and amount < 0:
        return RowKind.WITHDRAWN
    if category == _REVERSAL and amount > 0:
        return RowKind.REINSTATED
    return RowKind.OTHER
