"""Over random books: what is wrong is found, nothing else is, in any order and any pages."""

from collections import Counter
from random import Random

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.ledger import Account, post
from paygate.domain.money import Currency
from paygate.domain.postings import postings
from paygate.domain.settlements.discrepancy import DiscrepancyKind
from paygate.domain.settlements.line import MatchState
from paygate.domain.settlements.outcome import LineCategory
from paygate.domain.settlements.settlement import Settlement, Source
from paygate.domain.settlements.totals import sum_up
from tests.domain.settlements.books import (
    ACCOUNT,
    AT,
    cut,
    judged,
    labels_of,
    line,
    make,
    read,
)

SEEDS = st.integers(0, 2**32)
FOUND_BY_LINES = frozenset(DiscrepancyKind) - {
    DiscrepancyKind.LATE,
    DiscrepancyKind.MISSING_AT_PROVIDER,
    DiscrepancyKind.FEE_MISMATCH,
    DiscrepancyKind.PAYOUT_FAILED,
    DiscrepancyKind.PAYOUT_TOTAL_MISMATCH,
}


@seed(1)
@settings(max_examples=60, deadline=None)
@given(SEEDS, SEEDS)
def test_all_that_is_wrong_is_found_and_nothing_else_in_any_order(books: int, order: int) -> None:
    world = make(books, 60, share_wrong=0.3)
    lines = read(world, list(cut(world.lines, Random(order))))
    assert labels_of(judged(world, lines)) == world.labels


def test_the_books_have_every_kind_that_lines_alone_show() -> None:
    kinds = {kind for kind, _ in make(1, 300, share_wrong=0.5).labels}
    assert kinds == FOUND_BY_LINES


@seed(2)
@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS)
def test_right_books_have_no_suspects_but_what_comes_in_several_rows(
    books: int, order: int
) -> None:
    world = make(books, 60, share_wrong=0)
    lines = read(world, list(cut(world.lines, Random(order))))
    several = Counter(each.fact for each in lines)
    assert all(several[each.fact] > 1 for each in lines if each.suspect)
    assert judged(world, lines) == []
    assert judged(world, lines) == []


@seed(3)
@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS)
def test_lines_that_are_read_again_are_matched_alike(books: int, order: int) -> None:
    world = make(books, 40, share_wrong=0.3)
    first = read(world, list(cut(world.lines, Random(order))))
    again = read(world, list(cut(world.lines, Random(order + 1))))
    as_they_are = {each.id: (each.said, each.state, each.fact, each.merchant) for each in first}
    assert as_they_are == {e.id: (e.said, e.state, e.fact, e.merchant) for e in again}


@seed(4)
@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS)
def test_sums_conserve_and_do_not_know_the_order(books: int, order: int) -> None:
    world = make(books, 40, share_wrong=0.3)
    stray = line("txn_stray", LineCategory.FEE, -7, currency="usd")
    world.lines.append(stray)
    sums = sum_up(read(world, list(cut(world.lines, Random(order)))))
    assert sums == sum_up(read(world, [world.lines]))
    assert sums.counts.lines == len(world.lines) == sum(t.count for t in sums.totals)
    states = (MatchState.MATCHED, MatchState.UNMATCHED, MatchState.FOREIGN)
    by_state = [getattr(sums.counts, state) for state in (*states, MatchState.PROVIDER_ONLY)]
    assert sum(by_state) + sums.counts.suggested == sums.counts.lines
    assert sums.other_currencies("eur") == ("usd",)
    assert sums.net("eur") == sum(e.net for e in world.lines if e is not stray)
    assert sums.net("usd") == -7


def _settlement(amount: int) -> Settlement:
    return Settlement(
        id="st_1",
        merchant=ACCOUNT,
        livemode=False,
        provider_reference="po_1",
        source=Source.PROVIDER,
        currency="eur",
        created_at=AT,
        updated_at=AT,
        amount=amount,
    )


@seed(5)
@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_a_closed_world_owes_nothing_in_any_currency_and_posts_once(books: int) -> None:
    world = make(books, 40, share_wrong=0)
    lines = read(world, [world.lines])
    sums = sum_up(lines)
    settlement = _settlement(sums.net("eur"))
    made = postings(settlement, sums, (), AT, lambda name: f"ax_{name}")
    assert len({each.id for each in made}) == len(made)
    assert postings(settlement, sums, made, AT, str) == []
    held: dict[tuple[str, Currency, Account], int] = {}
    for each in made:
        post(held, each)
    owed = Counter[str]()
    for (_, currency, account), amount in held.items():
        if account is Account.PROVIDER:
            owed[currency] += amount
    for fact in world.facts:  # what our own records post
        if fact.kind == "dispute":
            for row in fact.rows:
                owed[row.currency] += row.amount - row.fee
        elif fact.settles:
            owed[fact.currency] += fact.amount if fact.kind == "payment" else -fact.amount
    assert {currency: owes for currency, owes in owed.items() if owes} == {}
    bank = sum(amount for (*_, account), amount in held.items() if account is Account.BANK)
    topped_up = sum(e.gross for e in world.lines if e.category is LineCategory.TOPUP)
    assert bank == sums.net("eur") - topped_up


def test_what_is_known_later_posts_the_difference() -> None:
    world = make(7, 40, share_wrong=0)
    lines = read(world, [world.lines])
    part, whole = sum_up(lines[:30]), sum_up(lines)
    settlement = _settlement(whole.net("eur"))
    first = postings(settlement, part, (), AT, lambda name: f"ax_{name}")
    second = postings(settlement, whole, first, AT, lambda name: f"ax_{name}")
    assert {each.id for each in first}.isdisjoint(each.id for each in second)
    at_once = postings(settlement, whole, (), AT, lambda name: f"ax_{name}")
    assert _held([*first, *second]) == _held(at_once)


def _held(transfers: list[AccountTransfer]) -> dict[tuple[str, Currency, Account], int]:
    held: dict[tuple[str, Currency, Account], int] = {}
    for each in transfers:
        post(held, each)
    return {place: amount for place, amount in held.items() if amount}
