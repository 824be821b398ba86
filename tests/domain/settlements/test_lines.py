"""One line or a few: what they are for, and what is wrong with them."""

from datetime import date, timedelta

import pytest
from msgspec.structs import replace

from paygate.domain.settlements.discrepancy import Amount, DiscrepancyKind, Found
from paygate.domain.settlements.fact import Fact
from paygate.domain.settlements.judge import Terms
from paygate.domain.settlements.line import (
    Candidate,
    LineMatch,
    MatchedBy,
    MatchState,
    SettlementLine,
)
from paygate.domain.settlements.match import decided, match_page
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.principal import at_its_rate
from tests.domain.settlements.books import (
    AT,
    INSTALLATION,
    TERMS,
    World,
    dispute,
    id_of,
    judged,
    line,
    line_like,
    payment,
    read,
    refund,
    row,
)

K, C, S = DiscrepancyKind, LineCategory, MatchState
ONE = payment("1", 6000)
CHARGE = line("txn_1", C.CHARGE, 6000, fee=115, payment_reference="pi_1")


def found(facts: list[Fact], *lines: Line, terms: Terms = TERMS) -> list[Found]:
    """What is wrong with lines that are one page."""
    world = World(facts, list(lines), set())
    return judged(world, read(world, [lines], terms), terms)


def kinds(facts: list[Fact], *lines: Line, terms: Terms = TERMS) -> list[DiscrepancyKind]:
    return [each.kind for each in found(facts, *lines, terms=terms)]


def one(facts: list[Fact], said: Line, *, exclusive: bool = False) -> SettlementLine:
    """A line as it is matched alone."""
    known = replace(World(facts, [], set()).known(), exclusive=exclusive)
    marked = {f"at_{fact.id}": fact for fact in facts}
    (matched,) = match_page([said], replace(known, marked=marked), TERMS, id_of)
    return matched


def test_a_charge_is_matched_by_the_providers_id_of_its_payment() -> None:
    matched = one([ONE], CHARGE)
    assert (matched.state, matched.by, matched.fact) == (
        S.MATCHED,
        MatchedBy.PROVIDER_REFERENCE,
        ONE.id,
    )
    assert (matched.merchant, matched.suspect) == ("shop", False)


def test_a_charge_whose_source_is_the_payment_is_matched_by_it() -> None:
    said = line_like(CHARGE, payment_reference=None, source_reference="pi_1")
    assert one([ONE], said).fact == ONE.id


def test_our_mark_matches_what_no_id_does() -> None:
    marks = {"attempt": f"at_{ONE.id}", "installation": INSTALLATION, "merchant": "shop"}
    said = line_like(CHARGE, payment_reference="pi_unknown", **marks)
    matched = one([replace(ONE, provider_reference="pi_x", settles=False, amount=0)], said)
    assert (matched.state, matched.by) == (S.MATCHED, MatchedBy.ATTEMPT)
    assert matched.suspect


@pytest.mark.parametrize(
    "marks",
    [
        {"installation": "another", "merchant": "shop"},
        {"installation": INSTALLATION, "merchant": "another"},
        {"installation": None, "merchant": "shop"},
    ],
)
def test_a_mark_counts_only_with_its_installation_and_merchant(marks: dict[str, str]) -> None:
    said = line_like(CHARGE, payment_reference="pi_unknown", attempt=f"at_{ONE.id}", **marks)
    assert one([ONE], said).state is not S.MATCHED


def test_a_line_without_our_mark_is_foreign_unless_nobody_else_uses_the_account() -> None:
    said = line_like(CHARGE, payment_reference="pi_other")
    assert one([ONE], said).state is S.FOREIGN
    assert one([ONE], said, exclusive=True).state is S.UNMATCHED


def test_a_connected_accounts_line_is_foreign_whatever_it_names() -> None:
    assert one([ONE], line_like(CHARGE, connected_account="acct_x")).state is S.FOREIGN


def test_a_line_that_bears_our_mark_and_is_unknown_is_missing_here() -> None:
    said = line_like(CHARGE, payment_reference="pi_ghost", installation=INSTALLATION)
    assert one([ONE], said).fact is None
    assert kinds([ONE], said) == [K.MISSING_INTERNALLY]


def test_the_providers_own_lines_are_no_discrepancy_and_an_unknown_word_is() -> None:
    own = [line(f"txn_{c}", c, -50) for c in (C.FEE, C.TAX, C.RESERVE, C.TOPUP, C.TRANSFER)]
    assert kinds([ONE], *own) == []
    odd = line("txn_odd", C.UNKNOWN, -85, provider_category="lunar_fee")
    assert [(f.kind, f.about) for f in found([ONE], *own, odd, CHARGE)] == [
        (K.UNEXPECTED_ADJUSTMENT, "txn_odd")
    ]


def test_a_partial_capture_is_right_in_one_row_and_in_two() -> None:
    whole = line_like(CHARGE, gross=10_000)
    back = line("txn_2", C.PARTIAL_CAPTURE_REVERSAL, -4000, payment_reference="pi_1")
    assert kinds([ONE], CHARGE) == []
    assert kinds([ONE], whole, back) == []
    assert kinds([ONE], whole) == [K.AMOUNT_MISMATCH]
    assert kinds([ONE], whole, line_like(back, gross=-3999)) == [K.AMOUNT_MISMATCH]


def test_rows_of_one_category_that_make_the_amount_together_are_no_duplicates() -> None:
    parts = [
        replace(line_like(CHARGE, gross=gross), provider_reference=f"txn_{gross}")
        for gross in (4000, 2000)
    ]
    assert kinds([ONE], *parts) == []
    bounced = line("txn_3", C.CHARGE_FAILURE, -6000, payment_reference="pi_1")
    again = replace(CHARGE, provider_reference="txn_4")
    assert kinds([ONE], CHARGE, bounced, again) == [], "taken, bounced, and taken again"


def test_a_wrong_amount_says_what_was_expected_and_found() -> None:
    (wrong,) = found([ONE], line_like(CHARGE, gross=5994))
    assert (wrong.expected, wrong.found, wrong.difference) == (
        Amount(6000, "eur"),
        Amount(5994, "eur"),
        -6,
    )
    assert (wrong.about, wrong.merchant, wrong.payment_intent) == ("txn_1", "shop", ONE.id)


def test_of_two_charges_the_one_that_fits_is_kept() -> None:
    odd = line_like(CHARGE, gross=5994)
    other = replace(CHARGE, provider_reference="txn_2", created_at=AT + timedelta(days=1))
    assert [(f.kind, f.about) for f in found([ONE], odd, other)] == [
        (K.DUPLICATE_AT_PROVIDER, "txn_1")
    ]
    twin = replace(CHARGE, provider_reference="txn_2", created_at=AT + timedelta(days=1))
    assert [f.about for f in found([ONE], twin, CHARGE)] == ["txn_2"]


def test_a_second_payment_for_one_intent_is_a_duplicate_though_it_comes_alone() -> None:
    marks = {"attempt": f"at_{ONE.id}", "installation": INSTALLATION, "merchant": "shop"}
    said = line_like(CHARGE, payment_reference="pi_second", **marks)
    matched = one([ONE], said)
    assert matched.suspect
    assert [f.kind for f in judged(World([ONE], [], set()), [matched])] == [K.DUPLICATE_AT_PROVIDER]


@pytest.mark.parametrize(
    "named",
    [
        {"source_reference": "pi_1"},
        {"attempt": f"at_{ONE.id}", "installation": INSTALLATION, "merchant": "shop"},
    ],
)
def test_the_shops_own_number_in_the_payments_column_is_no_second_payment(
    named: dict[str, str],
) -> None:
    ours = replace(ONE, reference="order 1001")
    said = line_like(CHARGE, **({"source_reference": None} | named), payment_reference="order 1001")
    world = World([ours], [], set())
    assert judged(world, [one([ours], said)]) == []
    (wrong,) = judged(world, [one([ours], line_like(said, gross=5994))])
    assert wrong.kind is K.AMOUNT_MISMATCH


def test_a_page_later_the_other_line_of_a_payment_makes_both_judged() -> None:
    world = World([ONE], [], set())
    first = read(world, [[CHARGE]])
    assert not first[0].suspect
    twin = replace(CHARGE, provider_reference="txn_2")
    both = read(world, [[CHARGE], [twin]])
    assert [each.suspect for each in both] == [False, True]
    assert [f.about for f in judged(world, both)] == ["txn_2"]


def test_a_line_that_is_stored_already_is_no_second_one() -> None:
    known = World([ONE], [], set()).known({ONE.id: {id_of("txn_1")}})
    (again,) = match_page([CHARGE], known, TERMS, id_of)
    assert not again.suspect


def test_money_for_what_did_not_succeed_is_a_status_mismatch() -> None:
    failed = replace(ONE, amount=0, settles=False)
    assert kinds([failed], CHARGE) == [K.STATUS_MISMATCH]
    bounced = line("txn_2", C.CHARGE_FAILURE, -6000, payment_reference="pi_1")
    assert kinds([failed], CHARGE, bounced) == []
    assert kinds([ONE], CHARGE, bounced) == [K.STATUS_MISMATCH]


@pytest.mark.parametrize(
    "told",
    [
        {"currency": "usd"},
        {"customer_currency": "usd", "customer_amount": 6000},
        {"currency": "usd", "customer_currency": "gbp", "customer_amount": 6000},
    ],
)
def test_another_currency_is_found_before_any_amount(told: dict[str, object]) -> None:
    assert kinds([ONE], line_like(CHARGE, **told)) == [K.CURRENCY_MISMATCH]


def test_a_converted_line_is_held_against_its_own_rate() -> None:
    told = {"customer_currency": "usd", "customer_amount": 10_000, "exchange_rate": "0.912345"}
    dollars = payment("1", 10_000, currency="usd")
    assert kinds([dollars], line_like(CHARGE, gross=9123, **told)) == []
    assert kinds([dollars], line_like(CHARGE, gross=9124, **told)) == []
    (wrong,) = found([dollars], line_like(CHARGE, gross=9118, **told))
    assert (wrong.kind, wrong.expected) == (K.AMOUNT_MISMATCH, Amount(9123, "eur"))
    assert kinds([dollars], line_like(CHARGE, gross=9118, **told | {"exchange_rate": "?"})) == []
    yen = told | {"customer_currency": "jpy", "exchange_rate": "0.006123"}
    assert kinds([payment("1", 10_000, currency="jpy")], line_like(CHARGE, gross=6123, **yen)) == []


def test_what_a_rate_of_no_currencies_makes_is_told_as_far_as_records_keep() -> None:
    told = {"customer_currency": "usd", "customer_amount": -(10**15), "exchange_rate": "999999999"}
    assert at_its_rate(line_like(CHARGE, **told)) == Amount(-(10**18), "eur")


def test_a_refunds_fee_is_whatever_its_row_says() -> None:
    back = refund("1", ONE, 3000)
    said = line("txn_2", C.REFUND, -3000, fee=-29, source_reference="re_1")
    assert one([ONE, back], said).refund == back.id
    assert kinds([ONE, back], said) == []


def test_a_refund_is_wrong_by_more_by_less_and_by_nobody() -> None:
    back = refund("1", ONE, 3000)
    said = line("txn_2", C.REFUND, -3001, source_reference="re_1", payment_reference="pi_1")
    assert kinds([ONE, back], said) == [K.REFUND_MISMATCH]
    assert kinds([ONE, back], line_like(said, gross=-2999)) == [K.AMOUNT_MISMATCH]
    unlinked = line_like(said, source_reference="re_ghost")
    (wrong,) = found([ONE, back], unlinked)
    assert (wrong.kind, wrong.payment_intent) == (K.REFUND_MISMATCH, ONE.id)
    assert one([ONE, back], unlinked).fact is None
    waits = replace(back, settles=False)
    assert kinds([ONE, waits], line_like(said, gross=-3000)) == [K.STATUS_MISMATCH]


def test_a_refund_that_failed_may_take_its_time_to_come_back() -> None:
    back = refund("1", ONE, 3000, settles=False, returned=True)
    out = line("txn_2", C.REFUND, -3000, source_reference="re_1")
    home = line("txn_3", C.REFUND_FAILURE, 3000, source_reference="re_1")
    monday = Terms(AT.date(), 3)
    assert kinds([ONE, back], out, terms=monday) == []
    assert one([ONE, back], out).suspect
    assert kinds([ONE, back], out, terms=Terms(date(2026, 3, 6), 3)) == [K.STATUS_MISMATCH]
    assert kinds([ONE, back], out, home, terms=Terms(date(2026, 3, 6), 3)) == []


def test_a_disputes_lines_are_its_rows_with_a_second_fee_and_a_conversion() -> None:
    """EUR 100.00 on a USD account: -108.00, -0.37, a fee of 15.00, and 15.00 more to counter."""
    rows = [
        row("txn_a", -10_800, 1500, "usd"),
        row("txn_b", -37, 0, "usd"),
        row("txn_c", 0, 1500, "usd"),
    ]
    of = dispute("1", payment("1", 10_000), *rows)
    ids = {"source_reference": "du_1", "currency": "usd"}
    lines = [
        line("txn_a", C.DISPUTE, -10_800, fee=1500, **ids),
        line("txn_b", C.DISPUTE, -37, **ids),
        line("txn_c", C.FEE, -1500, **ids),
    ]
    facts = [payment("1", 10_000), of]
    assert kinds(facts, *lines) == []
    assert [one(facts, each).dispute for each in lines] == [of.id] * 3
    assert sum(each.net for each in lines) == -12_337 - 1500
    assert kinds(facts, line_like(lines[0], fee=1400)) == [K.AMOUNT_MISMATCH]
    assert kinds(facts, line_like(lines[0], currency="eur")) == [K.CURRENCY_MISMATCH]


def test_a_report_with_ids_of_its_own_finds_a_disputes_rows_by_what_they_move() -> None:
    of = dispute("1", ONE, row("txn_a", -6000, 1500))
    said = line("bank-7", C.DISPUTE, -6000, fee=1500, source_reference="du_1")
    assert kinds([ONE, of], said) == []
    twin = replace(said, provider_reference="bank-8")
    assert kinds([ONE, of], said, twin) == [K.DUPLICATE_AT_PROVIDER]


def test_a_chargeback_that_no_dispute_of_ours_has_is_unexpected() -> None:
    said = line("txn_9", C.DISPUTE, -6000, fee=1500, source_reference="du_1")
    ghost = line_like(said, payment_reference="pi_1")
    assert kinds([ONE], ghost) == [K.UNEXPECTED_CHARGEBACK]
    empty = dispute("1", ONE)
    assert kinds([ONE, empty], said) == [K.UNEXPECTED_CHARGEBACK]
    back = line("txn_8", C.DISPUTE_REVERSAL, 6000, source_reference="du_1")
    assert kinds([ONE, empty], back) == [K.STATUS_MISMATCH]


def test_what_a_person_decides_stands_and_what_was_matched_stays() -> None:
    lost = line("bank-1", C.CHARGE, 6000)
    known = World([ONE], [], set()).known()
    (open_,) = match_page([lost], known, TERMS, id_of)
    assert open_.state is S.UNMATCHED
    taken = Candidate("shop", ONE.id)
    match = LineMatch(
        id=open_.id, merchant="default", settlement="st_1", taken=taken, actor="ana", created_at=AT
    )
    after = decided(open_, match)
    assert (after.state, after.by, after.fact, after.merchant) == (
        S.MATCHED,
        MatchedBy.PERSON,
        ONE.id,
        "shop",
    )
    assert decided(open_, replace(match, taken=None)).fact is None
    assert decided(open_, None) is open_
    matched = one([ONE], CHARGE)
    assert decided(matched, replace(match, taken=None)) is matched
