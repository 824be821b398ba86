"""A report of any provider or bank, read by a mapping of its columns."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from typing import Final, TypeVar

from paygate.domain.money import EXPONENTS
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.reports.layout import BadLine, Column, Layout
from paygate.domain.settlements.reports.mapping import FIELDS, ColumnMapping
from paygate.domain.settlements.reports.numbers import NotANumber, reader, scaled
from paygate.domain.settlements.reports.texts import reference, required
from paygate.domain.settlements.reports.times import (
    NotATime,
    date_reader,
    time_reader,
    zone_named,
)

T = TypeVar("T")

_RATE_DIGITS: Final = 12
_AT: Final = {name: place for place, name in enumerate(FIELDS)}


def generic_layout(mapping: ColumnMapping) -> Layout:
    """The format that a mapping describes."""
    columns = tuple(
        Column((header,), required=True) if (header := mapping.headers.get(name)) else Column(())
        for name in FIELDS
    )
    reading = _Reading(mapping)
    return Layout(columns, reading.line, reading.payout, mapping.separator)


class _Reading:
    """Reads lines by a mapping."""

    def __init__(self, mapping: ColumnMapping) -> None:
        self._mapping = mapping
        self._number = reader(mapping.numbers)
        self._date = date_reader(mapping.dates)
        self._time = time_reader(mapping.dates)
        self._zone = lru_cache(maxsize=64)(zone_named)

    def line(self, cells: Sequence[str]) -> Line:
        """The line. Raises `BadLine`."""
        currency = self._currency(cells, "currency")
        if currency is None:
            raise BadLine("currency is empty")
        gross, fee, net = self._amounts(cells, EXPONENTS[currency])
        word = required(self._cell(cells, "category"), "category")
        available_on = self._day(cells)
        customer_currency = self._currency(cells, "customer_currency")
        return Line(
            provider_reference=required(self._cell(cells, "reference"), "reference"),
            payout_reference=required(self._cell(cells, "payout"), "payout"),
            category=self._category(word),
            provider_category=word,
            gross=gross,
            fee=fee,
            net=net,
            currency=currency,
            available_on=available_on,
            created_at=self._created(cells, available_on),
            customer_amount=self._customer_amount(cells, customer_currency, gross),
            customer_currency=customer_currency,
            exchange_rate=self._rate(cells),
            payment_reference=self._reference(cells, "payment"),
            source_reference=self._reference(cells, "source"),
            attempt=self._reference(cells, "attempt"),
            installation=self._reference(cells, "installation"),
        )

    def payout(self, cells: Sequence[str]) -> str:
        """The payout that a line names."""
        return self._cell(cells, "payout")

    def _cell(self, cells: Sequence[str], name: str) -> str:
        return self._mapping.constants.get(name) or cells[_AT[name]]

    def _reference(self, cells: Sequence[str], name: str) -> str | None:
        return reference(self._cell(cells, name), name)

    def _amounts(self, cells: Sequence[str], exponent: int) -> tuple[int, int, int]:
        gross = self._amount(cells, "gross", exponent)
        if gross is None:
            raise BadLine("gross is empty")
        fee = self._amount(cells, "fee", exponent) or 0
        if self._mapping.fee_sign == "cost_negative":
            fee = -fee
        net = self._amount(cells, "net", exponent)
        if net is not None and net != gross - fee:
            raise BadLine("net is not gross less fee")
        return gross, fee, gross - fee

    def _amount(self, cells: Sequence[str], name: str, exponent: int) -> int | None:
        cell = self._cell(cells, name)
        if not cell:
            if name in self._mapping.headers and name != "customer_amount":
                raise BadLine(f"{name} is empty")
            return None
        try:
            parsed = self._number(cell)
            if self._mapping.units == "minor":
                return scaled(parsed, 0)
            return scaled(parsed, exponent)
        except NotANumber:
            raise BadLine(
                f"{name} is no amount of its currency written as {self._mapping.numbers}"
            ) from None

    def _currency(self, cells: Sequence[str], name: str) -> str | None:
        code = self._cell(cells, name).lower()
        if code and code not in EXPONENTS:
            raise BadLine(f"{name} is no ISO 4217 code")
        return code or None

    def _customer_amount(
        self, cells: Sequence[str], currency: str | None, gross: int
    ) -> int | None:
        if currency is None:
            return None
        amount = self._amount(cells, "customer_amount", EXPONENTS[currency])
        return None if amount is None else signed_as(gross, amount)

    def _category(self, word: str) -> LineCategory:
        known = self._mapping.categories.get(word)
        if known is not None:
            return known
        return LineCategory(word) if word in set(LineCategory) else LineCategory.UNKNOWN

    def _day(self, cells: Sequence[str]) -> date:
        return self._read(self._date, cells, "available_on")

    def _created(self, cells: Sequence[str], available_on: date) -> datetime:
        if not self._cell(cells, "created_at"):
            return datetime(available_on.year, available_on.month, available_on.day, tzinfo=UTC)
        zone = self._zone_of(cells)
        return self._read(lambda text: self._time(text, zone), cells, "created_at")

    def _zone_of(self, cells: Sequence[str]) -> tzinfo:
        name = self._cell(cells, "zone")
        if not name:
            return self._mapping.zone
        zone = self._zone(name)
        if zone is None:
            raise BadLine("zone is no time zone that is known here")
        return zone

    def _read(self, read: Callable[[str], T], cells: Sequence[str], name: str) -> T:
        try:
            return read(self._cell(cells, name))
        except NotATime:
            raise BadLine(
                f"{name} is not written as {self._mapping.dates}, or is no time of its zone's clock"
            ) from None

    def _rate(self, cells: Sequence[str]) -> str | None:
        cell = self._cell(cells, "exchange_rate")
        if not cell:
            return None
        try:
            value, digits = self._number(cell)
        except NotANumber:
            raise BadLine("exchange_rate is no number") from None
        if value <= 0 or digits > _RATE_DIGITS:
            raise BadLine("exchange_rate is no number")
        return decimal_text(value, digits)


def signed_as(gross: int, amount: int) -> int:
    """A payer's amount, signed as the movement on the balance: not all reports sign it."""
    return -abs(amount) if gross < 0 else abs(amount)


def decimal_text(value: int, digits: int) -> str:
    """A decimal in its plain notation."""
    text = str(value).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}" if digits else text
