"""A payout as a whole: its residual, who may close it, and one that nobody itemises."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from paygate.domain.settlements.by_hand import oldest_that_fit
from paygate.domain.settlements.close import OwnRow, judge_payout, matching_of, may_close
from paygate.domain.settlements.discrepancy import Amount, DiscrepancyKind
from paygate.domain.settlements.outcome import Line, LineCategory, Payout, PayoutStatus
from paygate.domain.settlements.settlement import Counts, Matching, Settlement, Source
from paygate.domain.settlements.totals import Sums, sum_up
from tests.domain.settlements.books import ACCOUNT, AT, World, line, payment, read

K, C = DiscrepancyKind, LineCategory
PAYOUT = Payout(
    provider_reference="po_1",
    amount=98_213,
    currency="eur",
    status=PayoutStatus.PAID,
    automatic=True,
    itemised=True,
    lines_complete=True,
    arrival_date=AT.date(),
    created_at=AT,
)
OPEN = Settlement(
    id="st_1",
    merchant=ACCOUNT,
    livemode=False,
    provider_reference="po_1",
    source=Source.PROVIDER,
    currency="eur",
    created_at=AT,
    updated_at=AT,
    payout=PAYOUT,
    amount=98_213,
    counts=Counts(lines=2, matched=1, provider_only=1),
    residual=0,
    lines_listed=2,
    concluded_at=AT,
)


def sums(*lines: Line) -> Sums:
    return sum_up(read(World([payment("1", 100_000)], [], set()), [lines]))


RIGHT = (
    line("txn_1", C.CHARGE, 100_000, fee=1787, payment_reference="pi_1"),
    line("txn_2", C.PAYOUT, -98_213),
)


def test_lines_and_a_named_residual_make_the_amount() -> None:
    assert judge_payout(OPEN, sums(*RIGHT)) == []
    assert sums(*RIGHT).residual(98_213, "eur") == 0
    (wrong,) = judge_payout(OPEN, sums(RIGHT[0], line("f", C.FEE, -1)))
    assert (wrong.kind, wrong.expected, wrong.found) == (
        K.PAYOUT_TOTAL_MISMATCH,
        Amount(98_213, "eur"),
        Amount(98_212, "eur"),
    )


def test_sums_beyond_what_a_float_keeps_are_exact() -> None:
    big = 2**53 + 1
    lines = [line(f"txn_{n}", C.FEE, big, currency="idr") for n in range(3)]
    assert sums(*lines, line("txn_3", C.FEE, 500, currency="jpy")).net("idr") == 3 * big
    assert sums(line("txn_1", C.TOPUP, 3_500_000_000, currency="vnd")).net("vnd") == 3_500_000_000


def test_a_payout_may_debit_the_bank() -> None:
    debit = replace(OPEN, amount=-2000)
    lines = (line("txn_1", C.FEE, 10_000), line("txn_2", C.FEE, -12_000), line("p", C.PAYOUT, 2000))
    assert judge_payout(debit, sums(*lines)) == []


def test_the_payouts_own_row_the_bank_and_a_strange_currency_are_held_against_it() -> None:
    own = line("txn_2", C.PAYOUT, -98_212)
    assert [f.kind for f in judge_payout(OPEN, sums(RIGHT[0], own))] == [K.PAYOUT_TOTAL_MISMATCH]
    banked = replace(OPEN, bank_amount=98_200)
    (wrong,) = judge_payout(banked, sums(*RIGHT))
    assert (wrong.about, wrong.found) == ("bank:po_1", Amount(98_200, "eur"))
    assert judge_payout(replace(OPEN, bank_amount=98_213), sums(*RIGHT)) == []
    stray = line("txn_9", C.FEE, -7, currency="usd")
    (wrong,) = judge_payout(OPEN, sums(*RIGHT, stray))
    assert (wrong.kind, wrong.found) == (K.CURRENCY_MISMATCH, Amount(-7, "usd"))


def test_a_payout_that_failed_closes_when_somebody_has_seen_to_it() -> None:
    failed = replace(OPEN, payout=replace(PAYOUT, status=PayoutStatus.FAILED))
    assert [f.kind for f in judge_payout(failed, sums(*RIGHT))] == [K.PAYOUT_FAILED]
    assert not may_close(replace(failed, open_discrepancies=1))
    assert may_close(failed)


def test_a_rest_closes_when_a_person_has_resolved_it_and_is_never_balanced() -> None:
    rest = replace(OPEN, residual=7)
    assert not may_close(rest)
    assert may_close(rest, rest_is_resolved=True)
    assert matching_of(rest) is Matching.DISCREPANT
    suggested = Counts(lines=2, matched=1, suggested=1)
    for changes in (
        {"residual": None},
        {"refused_lines": 1},
        {"open_discrepancies": 1},
        {"counts": suggested},
        {"concluded_at": None},
    ):
        assert not may_close(replace(rest, **changes), rest_is_resolved=True)


@pytest.mark.parametrize(
    ("status", "lines", "elsewhere", "told", "closes"),
    [
        ("paid", 1, "nowhere", True, False),
        ("paid", 1, "told", True, False),
        ("paid", 0, "awaited", False, False),
        ("paid", 0, "nowhere", True, False),
        ("paid", 0, "told", False, True),
        ("in_transit", 0, "told", False, False),
        ("cancelled", 1, "awaited", False, True),
        ("failed", 0, "nowhere", False, True),
    ],
)
def test_a_rest_by_hand_needs_somebody_unless_it_is_told_elsewhere_or_came_back(
    status: str, lines: int, elsewhere: str, told: bool, closes: bool
) -> None:
    by_hand = replace(PAYOUT, automatic=False, itemised=False, status=PayoutStatus(status))
    counts = Counts(lines=lines, matched=lines)
    of = replace(OPEN, payout=by_hand, counts=counts, residual=98_213)
    found = judge_payout(of, sums(), OwnRow(elsewhere))
    assert (K.PAYOUT_TOTAL_MISMATCH in [each.kind for each in found]) is told
    assert may_close(of, OwnRow(elsewhere)) is closes


def test_what_is_paid_summed_and_decided_closes() -> None:
    assert matching_of(OPEN) is Matching.BALANCED
    assert may_close(OPEN)
    assert may_close(replace(OPEN, counts=Counts(lines=2, unmatched=1, foreign=1)))


@pytest.mark.parametrize(
    "changes",
    [
        {"residual": 1},
        {"residual": None},
        {"refused_lines": 1},
        {"counts": Counts()},
        {"counts": Counts(lines=2, matched=1, suggested=1)},
        {"open_discrepancies": 1},
        {"totals": sums(line("txn_9", C.FEE, -7, currency="usd")).totals},
        {"lines_listed": 1},
    ],
)
def test_nothing_closes_that_is_not_accounted_for(changes: dict[str, Any]) -> None:
    odd = replace(OPEN, **changes)
    assert matching_of(odd) is Matching.DISCREPANT
    assert not may_close(odd)


def test_nothing_closes_that_a_report_alone_has_told_unless_the_provider_never_will() -> None:
    assert not may_close(replace(OPEN, lines_listed=None))
    assert matching_of(replace(OPEN, lines_listed=None)) is Matching.BALANCED
    assert not may_close(replace(OPEN, payout=None))
    assert may_close(replace(OPEN, payout=None, lines_listed=None, ids_of_report=True))
    by_hand = replace(PAYOUT, itemised=False)
    assert may_close(replace(OPEN, payout=by_hand, lines_listed=None))


def test_nothing_closes_before_it_was_read_or_paid() -> None:
    assert matching_of(replace(OPEN, concluded_at=None)) is Matching.WAITING
    on_its_way = replace(OPEN, payout=replace(PAYOUT, status=PayoutStatus.IN_TRANSIT))
    assert matching_of(on_its_way) is Matching.BALANCED
    assert not may_close(on_its_way)


def _by_hand(amount: int, *lines: Line) -> list[str]:
    payout = replace(PAYOUT, amount=amount, automatic=False, itemised=False)
    return [each.provider_reference for each in oldest_that_fit(payout, lines)]


def test_a_payout_by_hand_takes_the_oldest_that_fit_and_leaves_the_rest() -> None:
    def dated(name: str, net: int, days: int, **changes: Any) -> Line:
        day = AT.date() + timedelta(days=days)
        return line(name, C.CHARGE, net, available_on=day, **changes)

    lines = [dated("c", 100, -1), dated("a", 100, -3), dated("b", 100, -2)]
    assert _by_hand(300, *lines) == ["a", "b", "c"]
    assert _by_hand(250, *lines) == ["a", "b"]
    assert _by_hand(50, *lines) == []
    refunded = [*lines, dated("d", -50, 0)]
    assert _by_hand(250, *refunded) == ["a", "b", "c", "d"]
    assert _by_hand(300, *lines, dated("later", 0, 1)) == ["a", "b", "c"]
    assert _by_hand(300, dated("usd", 5, -9, currency="usd"), *lines) == ["a", "b", "c"]
