"""What a provider's fee should be, by rules that the merchant wrote down (`PAYGATE_FEE_RULES`).

Without a rule for a line its fee is recorded and not judged. Fees alone have a tolerance, and each
rule says its own.
"""

import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec

from paygate.domain.money import EXPONENTS
from paygate.domain.settlements.fact import Fact
from paygate.domain.settlements.outcome import Line, LineCategory

MOST_RULES: Final = 1000
_MOST: Final = 10**15
_HUNDRED: Final = Decimal(100)
JUDGED: Final = frozenset({LineCategory.CHARGE, LineCategory.REFUND})
"""Categories whose lines bear fees that a rule can tell. A dispute's fee is booked from its row."""
_NOT_THE_PROVIDERS: Final = frozenset({"tax", "application_fee"})
"""Parts of a fee that no rule is about."""
_METHODS: Final = frozenset({"card", "bank_transfer"})


class FeeRulesError(Exception):
    """The rules cannot be read; the message says which of them, and why."""


class FeeRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule: `percent` of the gross and `fixed`, at least `minimum` and at most `maximum`, in
    smallest units of `currency`, which the balance is kept in. What is None holds for all.
    """

    category: LineCategory = LineCategory.CHARGE
    currency: str
    percent: str = "0"
    fixed: int = 0
    tolerance: int
    """By how much a fee may differ."""
    minimum: int | None = None
    maximum: int | None = None
    method: str | None = None
    brand: str | None = None
    """Of a card, as the payment shows it."""
    converted: bool | None = None
    """Whether the payer paid in another currency than the balance's."""
    provider_category: str | None = None
    first_day: date | None = None
    last_day: date | None = None

    def is_for(self, fact: Fact, line: Line, *, converted: bool) -> bool:
        """Whether a line of a fact falls under it."""
        day = line.created_at.date()
        return (
            self.category is line.category
            and self.currency == line.currency
            and self.method in (None, fact.method)
            and self.brand in (None, fact.brand)
            and self.converted in (None, converted)
            and self.provider_category in (None, line.provider_category)
            and (self.first_day is None or self.first_day <= day)
            and (self.last_day is None or day <= self.last_day)
        )

    def fee(self, gross: int) -> int:
        """The fee on an amount: half a unit goes up."""
        share = (Decimal(abs(gross)) * Decimal(self.percent) / _HUNDRED).to_integral_value(
            ROUND_HALF_UP
        )
        fee = int(share) + self.fixed
        if self.minimum is not None:
            fee = max(fee, self.minimum)
        return fee if self.maximum is None else min(fee, self.maximum)


class FeeRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In the order of the file: the first that fits a line is its rule."""

    rule: tuple[FeeRule, ...]


class ExpectedFee(NamedTuple):
    """What a fee should be, and by how much it may differ."""

    amount: int
    tolerance: int


def fee_expected(
    rules: FeeRules, fact: Fact, line: Line, gross: int, *, converted: bool
) -> ExpectedFee | None:
    """What the fee on `gross` of a line should be; None when no rule is for it."""
    if line.category not in JUDGED:
        return None
    for rule in rules.rule:
        if rule.is_for(fact, line, converted=converted):
            return ExpectedFee(rule.fee(gross), rule.tolerance)
    return None


def provider_fee(line: Line) -> int:
    """What of a line's fee is the provider's own: without taxes and what a platform takes."""
    others = sum(
        part.amount
        for part in line.fees
        if part.kind in _NOT_THE_PROVIDERS and part.currency == line.currency
    )
    return line.fee - others


def parse_fee_rules(text: str) -> FeeRules:
    """The rules of a file: TOML, each rule a `[[rule]]` table.

    Raises:
        FeeRulesError: it is no TOML, or a rule makes no sense.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FeeRulesError(f"not TOML: {error}") from None
    tables = content.get("rule")
    if set(content) != {"rule"} or not isinstance(tables, list) or not tables:
        raise FeeRulesError("it must have one or more [[rule]] tables, and nothing else")
    if len(tables) > MOST_RULES:
        raise FeeRulesError(f"it must have at most {MOST_RULES} rules")
    return FeeRules(tuple(_rule(number, table) for number, table in enumerate(tables, start=1)))


def _rule(number: int, table: Any) -> FeeRule:
    try:
        rule = msgspec.convert(table, FeeRule)
    except msgspec.ValidationError as error:
        raise FeeRulesError(f"rule {number}: {error}") from None
    faults = _faults(rule)
    if faults:
        raise FeeRulesError(f"rule {number}: {faults[0]}")
    return rule


def _faults(rule: FeeRule) -> Sequence[str]:
    amounts: Mapping[str, int | None] = {
        "fixed": rule.fixed,
        "tolerance": rule.tolerance,
        "minimum": rule.minimum,
        "maximum": rule.maximum,
    }
    names = ", ".join(sorted(JUDGED))
    checks = (
        (rule.category in JUDGED, f"category must be one of {names}"),
        (rule.currency in EXPONENTS, "currency must be a lower-case ISO 4217 code, such as eur"),
        (_is_percent(rule.percent), 'percent must be a decimal from -100 to 100, such as "1.5"'),
        (rule.method is None or rule.method in _METHODS, "method must be card or bank_transfer"),
        (rule.tolerance >= 0, "tolerance must not be negative"),
        (
            rule.minimum is None or rule.maximum is None or rule.minimum <= rule.maximum,
            "minimum must not exceed maximum",
        ),
        (
            rule.first_day is None or rule.last_day is None or rule.first_day <= rule.last_day,
            "first_day must not be after last_day",
        ),
    )
    faults = [said for holds, said in checks if not holds]
    too_big = [name for name, amount in amounts.items() if abs(amount or 0) > _MOST]
    return [*faults, *(f"{name} is out of bounds" for name in too_big)]


def _is_percent(text: str) -> bool:
    try:
        percent = Decimal(text)
    except InvalidOperation:
        return False
    return percent.is_finite() and abs(percent) <= _HUNDRED
