"""Stripe's itemised payout reconciliation as a CSV file (`payout_reconciliation.itemized.5`).

Amounts are decimals in major units, by Stripe's own exponents; times are `YYYY-MM-DD HH:MM:SS`,
and of a column's two the one whose name ends in `_utc` is read; the other is taken for UTC, too.
The file has the columns that were asked for, in any order: docs/settlement-reports.md says which
are needed, and what others tell.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Final

from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.reports.generic import signed_as
from paygate.domain.settlements.reports.layout import BadLine, Column, Layout
from paygate.domain.settlements.reports.numbers import PLAIN, NotANumber, reader, scaled
from paygate.domain.settlements.reports.texts import reference, required, word
from paygate.domain.settlements.reports.times import NotATime, date_reader
from paygate.providers.stripe.line_categories import of_report
from paygate.providers.stripe.money import SCALES, NotRepresentable, exponent_of, from_provider

_COLUMNS: Final = (
    Column(("balance_transaction_id",), required=True),
    Column(("automatic_payout_id",), required=True),
    Column(("reporting_category",), required=True),
    Column(("currency",), required=True),
    Column(("gross",), required=True),
    Column(("fee",), required=True),
    Column(("net",), required=True),
    Column(("created_utc", "created"), required=True),
    Column(("available_on_utc", "available_on"), required=True),
    Column(("source_id",)),
    Column(("payment_intent_id",)),
    Column(("customer_facing_amount",)),
    Column(("customer_facing_currency",)),
    Column(("connected_account_id",)),
    Column(("payment_metadata[paygate_installation]",)),
    Column(("payment_metadata[paygate_merchant]",)),
    Column(("payment_metadata[paygate_intent]",)),
    Column(("payment_metadata[paygate_attempt]",)),
    Column(("refund_metadata[paygate_installation]",)),
    Column(("refund_metadata[paygate_merchant]",)),
    Column(("refund_metadata[paygate_refund]",)),
)
_number: Final = reader(PLAIN)
_date: Final = date_reader("YYYY-MM-DD")
_CENTS: Final = frozenset(
    currency
    for currency, scale in SCALES.items()
    if scale.multiply == scale.divide and exponent_of(currency) == 2  # noqa: PLR2004 -- as `_TWO_DIGITS`
)
"""Currencies of which Stripe and we count the same hundredths."""
_TWO_DIGITS: Final = re.compile(r"(-?[0-9]{1,14})\.([0-9]{2})")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")


def _read(cells: Sequence[str]) -> Line:
    """The line. Raises `BadLine`."""
    row, payout, reporting, currency, gross, fee, net, created, available, *rest = cells
    source, payment, customer_amount, customer_currency, connected, *marks = rest
    installation, merchant, intent, attempt, *refund_marks = marks
    refund_installation, refund_merchant, refund = refund_marks
    reported = required(reporting, "reporting_category", word)
    currency = currency.lower()
    came, cost = _amount(gross, currency, "gross"), _amount(fee, currency, "fee")
    moved = _amount(net, currency, "net")
    if moved != came - cost:
        raise BadLine("net is not gross less fee")
    category = of_report(reported)
    payer = _payers(category, customer_amount, customer_currency.lower(), came)
    return Line(
        provider_reference=required(row, "balance_transaction_id"),
        category=category,
        provider_category=reported,
        gross=came,
        fee=cost,
        net=moved,
        currency=currency,
        available_on=_day(available),
        created_at=_moment(created),
        customer_amount=None if payer is None else payer[0],
        customer_currency=None if payer is None else payer[1],
        source_reference=reference(source, "source_id"),
        payment_reference=reference(payment, "payment_intent_id"),
        connected_account=word(connected, "connected_account_id"),
        attempt=reference(refund or attempt, "metadata"),
        installation=word(refund_installation or installation, "metadata"),
        merchant=word(refund_merchant or merchant, "metadata"),
        intent=reference(intent, "metadata"),
        payout_reference=required(payout, "automatic_payout_id", word),
    )


LAYOUT: Final = Layout(_COLUMNS, _read, itemgetter(1))


def _amount(cell: str, currency: str, column: str) -> int:
    if currency in _CENTS and (plain := _TWO_DIGITS.fullmatch(cell)):  # nearly all, and cheap so
        return int(plain[1] + plain[2])
    try:
        return from_provider(scaled(_number(cell), exponent_of(currency)), currency)
    except NotRepresentable:
        if currency not in SCALES:
            raise BadLine("currency is none that Stripe's amounts can be read in") from None
        raise BadLine(f"{column} is no whole amount of its currency") from None
    except NotANumber:
        raise BadLine(f"{column} is no decimal amount of its currency") from None


def _payers(
    category: LineCategory, amount: str, currency: str, gross: int
) -> tuple[int, str] | None:
    """What moved at the payer's side. The report says of each row of a charge what was captured:
    what is released beside it never moved there.
    """
    if not amount or not currency:
        return None
    if category is LineCategory.PARTIAL_CAPTURE_REVERSAL:
        return 0, currency
    return signed_as(gross, _amount(amount, currency, "customer_facing_amount")), currency


@lru_cache(maxsize=4096)
def _day(cell: str) -> date:
    """Funds of payments come at midnight UTC, what goes back is available as it is made."""
    try:
        return _date(cell)
    except NotATime:
        raise BadLine("available_on is no YYYY-MM-DD HH:MM:SS") from None


def _moment(cell: str) -> datetime:
    if _MOMENT.fullmatch(cell) is not None:
        with suppress(ValueError):
            return datetime.fromisoformat(f"{cell}+00:00")
    raise BadLine("created is no YYYY-MM-DD HH:MM:SS")
