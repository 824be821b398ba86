"""What the provider's word makes of a dispute and its payment."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import msgspec
import pytest

from paygate.domain.disputes.conclusion import (
    DisputeMoved,
    DisputePosting,
    DisputeUnmoved,
    conclude_dispute,
    record,
    taken_from,
    unfamiliar,
)
from paygate.domain.disputes.dispute import IllegalDisputeMove, Sums, move
from paygate.domain.disputes.outcome import DisputeKind, DisputeStatus, MoneyRow
from paygate.domain.ledger import Account, Transfer, check_intent
from paygate.domain.ledger import capture as post_capture
from paygate.domain.ledger import dispute as post
from paygate.domain.money import Currency
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from tests.domain.disputes.made import (
    BACK,
    TAKEN,
    a_dispute,
    applied,
    recorded,
    row,
    said,
)
from tests.domain.refunds.made import LATER, NOW, paid

HOUR = timedelta(hours=1)
EUR, USD = Currency("eur"), Currency("usd")
OPEN = ("warning_needs_response", "warning_under_review", "needs_response", "under_review")
ENDS = ("warning_closed", "won", "lost", "prevented")


def walked(
    *steps: tuple[str, tuple[MoneyRow, ...]], of: PaymentIntent | None = None, **more: Any
) -> tuple[PaymentIntent, list[Transfer]]:
    """A payment's intent after a dispute went through statuses with rows, and the transfers of
    its disputes. At each step the books are held against the intent.
    """
    intent = of or paid()
    transfers: list[Transfer] = []
    first, *others = steps
    told = said(first[0], *first[1], **more)
    dispute = a_dispute(intent, told)
    moved: Any = record(intent, dispute, told.rows)
    number = 0
    while True:
        while isinstance(moved, DisputeMoved):
            intent, dispute = moved.intent, moved.dispute
            if moved.posting is not None:
                transfers.append(post(moved, transfer_id=f"lt_{len(transfers)}"))
            at = NOW + number * HOUR
            moved = conclude_dispute(intent, dispute, told, at, NOW, fetched=True)
        assert moved is DisputeUnmoved.NOTHING_NEW
        if not others:
            return intent, transfers
        number += 1
        (status, rows), *others = others
        told = said(status, *rows, **more)
        at = NOW + number * HOUR
        moved = conclude_dispute(intent, dispute, told, at, NOW, fetched=True)


def held(transfers: list[Transfer], account: Account, currency: Currency = EUR) -> int:
    return sum(transfer.moved(account, currency) for transfer in transfers)


def balanced(intent: PaymentIntent, transfers: list[Transfer]) -> bool:
    """Whether the books of a payment agree with its intent, its capture too."""
    before = msgspec.structs.replace(intent, amount_received=0, money_seq=0)
    after = msgspec.structs.replace(intent, money_seq=1)
    captured = post_capture(before, after, transfer_id="lt_c", attempt=None)
    return check_intent(intent, [captured, *transfers]) == []


def test_a_chargeback_takes_its_money_and_blocks_refunds() -> None:
    intent, transfers = walked(("needs_response", (TAKEN,)))
    assert (intent.amount_disputed, intent.amount_refundable) == (1999, 0)
    assert (intent.disputes, intent.disputes_blocking) == (1, 1)
    assert intent.withdrawn == {"eur": 1999}
    assert intent.dispute_fees == {"eur": 1500}
    assert held(transfers, Account.PROVIDER) == -3499
    assert held(transfers, Account.DISPUTES) == 1999
    assert held(transfers, Account.DISPUTE_FEES) == 1500
    assert balanced(intent, transfers)


def test_a_win_gives_back_what_its_row_gives_and_keeps_the_fee() -> None:
    intent, transfers = walked(
        ("needs_response", (TAKEN,)), ("under_review", (TAKEN,)), ("won", (TAKEN, BACK))
    )
    assert (intent.amount_refundable, intent.disputes_blocking) == (1999, 0)
    assert intent.withdrawn == {}
    assert intent.dispute_fees == {"eur": 1500}
    assert held(transfers, Account.PROVIDER) == -1500
    assert held(transfers, Account.DISPUTES) == 0
    assert balanced(intent, transfers)


def test_a_win_without_a_row_credits_nothing() -> None:
    intent, transfers = walked(("needs_response", (TAKEN,)), ("won", (TAKEN,)))
    assert (intent.amount_disputed, intent.amount_refundable) == (1999, 0)
    assert held(transfers, Account.PROVIDER) == -3499
    _, dispute = recorded(paid(), said("won", TAKEN))
    assert dispute.lacks_money
    assert dispute.is_watched
    assert not recorded(paid(), said("won", TAKEN, BACK))[1].is_watched


def test_a_second_fee_comes_back_with_a_win_alone() -> None:
    """-100.00 - 15.00; answered: -15.00; won: +100.00 + 15.00 = -15.00; lost: -130.00."""
    intent = paid(10_000)
    taken, answered = row("t1", -10_000, 1500), row("t2", 0, 1500)
    before = (("needs_response", (taken,)), ("under_review", (taken, answered)))
    won = ("won", (taken, answered, row("t3", 10_000, -1500)))
    _, transfers = walked(*before, won, of=intent, amount=10_000)
    assert held(transfers, Account.PROVIDER) == -1500
    _, transfers = walked(*before, ("lost", (taken, answered)), of=intent, amount=10_000)
    assert held(transfers, Account.PROVIDER) == -13_000
    assert held(transfers, Account.DISPUTE_LOSSES) == 10_000
    assert held(transfers, Account.DISPUTES) == 0
    _, transfers = walked(("needs_response", (taken,)), ("lost", (taken,)), of=intent)
    assert held(transfers, Account.DISPUTE_FEES) == 1500, "where there is no second fee"


def test_a_loss_can_be_won_after_all() -> None:
    intent, transfers = walked(
        ("needs_response", (TAKEN,)), ("lost", (TAKEN,)), ("won", (TAKEN, BACK))
    )
    kinds = [transfer.kind for transfer in transfers]
    assert kinds == ["dispute_withdraw", "dispute_lose", "dispute_reinstate"]
    assert held(transfers, Account.DISPUTE_LOSSES) == 0
    assert held(transfers, Account.DISPUTES) == 0
    assert balanced(intent, transfers)


def test_an_inquiry_writes_nothing() -> None:
    intent, transfers = walked(("warning_needs_response", ()), ("warning_closed", ()))
    assert transfers == []
    assert (intent.disputes, intent.disputes_blocking, intent.inquiries_open) == (1, 0, 0)
    assert intent.amount_refundable == 1999


def test_an_inquiry_escalates() -> None:
    open_, _ = walked(("warning_needs_response", ()))
    assert (open_.inquiries_open, open_.disputes_blocking) == (1, 0)
    intent, transfers = walked(("warning_needs_response", ()), ("needs_response", (TAKEN,)))
    assert (intent.inquiries_open, intent.disputes_blocking, intent.disputes) == (0, 1, 1)
    assert held(transfers, Account.DISPUTES) == 1999


def test_the_providers_word_on_refunds_wins() -> None:
    """Of an inquiry; of a chargeback too, as long as nothing was withdrawn."""
    intent, _ = recorded(paid(), said("warning_needs_response", refundable=False))
    assert intent.disputes_blocking == 1
    intent, _ = recorded(paid(), said("needs_response"))
    assert intent.disputes_blocking == 1, "the bank is about to take the money"
    intent, _ = recorded(paid(), said("needs_response", refundable=True))
    assert intent.disputes_blocking == 0
    intent, _ = recorded(paid(), said("needs_response", TAKEN, refundable=True))
    assert intent.disputes_blocking == 1


def test_all_disputes_of_a_payment_count() -> None:
    """One won, another needs a response: blocked; the other won too: free."""
    half, other = row("a", -1000, 1500), row("b", -999, 1500)
    intent, one = recorded(paid(), said("needs_response", half, amount=1000))
    intent, two = recorded(intent, said("needs_response", other, amount=999))
    assert (intent.disputes_blocking, intent.amount_refundable) == (2, 0)
    won = said("won", half, row("c", 1000), amount=1000, evidence_due_by=None)
    intent, one, _ = applied(intent, one, won)
    assert (intent.disputes_blocking, intent.amount_refundable) == (1, 1000)
    won = said("won", other, row("d", 999), amount=999, evidence_due_by=None)
    intent, two, _ = applied(intent, two, won)
    assert (intent.disputes_blocking, intent.amount_refundable) == (0, 1999)


def test_a_loss_after_a_partial_refund_loses_its_own_amount() -> None:
    """100.00, refunded 30.00, disputed 70.00 and lost: 100.00 is gone, and no more."""
    intent = paid(10_000, amount_refunded=3000)
    taken = row("t", -7000, 1500)
    intent, transfers = walked(
        ("needs_response", (taken,)), ("lost", (taken,)), of=intent, amount=7000
    )
    assert (intent.amount_refunded, intent.amount_disputed) == (3000, 7000)
    assert intent.amount_refundable == 0
    assert held(transfers, Account.PROVIDER) == -8500
    assert intent.status is Status.SUCCEEDED


def test_a_dispute_on_a_refunded_payment_leaves_it_refunded() -> None:
    intent, _ = walked(("lost", (TAKEN,)), of=paid(status=Status.REFUNDED, amount_refunded=1999))
    assert intent.status is Status.REFUNDED
    assert intent.amount_refundable == 0


def test_rows_of_another_currency_are_booked_in_it() -> None:
    """100.00 EUR on an account in dollars, with a row for the conversion: 123.37 USD are out."""
    rows = (row("t1", -10_800, 1500, "usd"), row("t2", -37, 0, "usd"))
    intent, transfers = walked(("needs_response", rows), of=paid(10_000), amount=10_000)
    assert held(transfers, Account.PROVIDER, USD) == -12_337
    assert held(transfers, Account.PROVIDER, EUR) == 0
    assert intent.withdrawn == {"usd": 10_837}
    assert (intent.amount_disputed, intent.amount_refundable) == (10_000, 0)
    back = (*rows, row("t3", 10_600, 0, "usd"))
    won, transfers = walked(("needs_response", rows), ("won", back), of=paid(10_000), amount=10_000)
    assert (won.amount_disputed, won.amount_refundable) == (0, 10_000)
    assert held(transfers, Account.PROVIDER, USD) == -1737
    assert won.withdrawn == {"usd": 237}, "what the rate and the conversion took"


def test_a_part_that_came_back_in_another_currency_is_that_part() -> None:
    rows = (row("t1", -10_000, 0, "usd"), row("t2", 3333, 0, "usd"))
    intent, _ = walked(("needs_response", rows), of=paid(900), amount=900)
    assert intent.amount_disputed == 601  # 66.67 % of it, rounded up


def test_a_dispute_in_another_currency_with_rows_in_the_charges() -> None:
    """Disputed are 108.00 USD of a charge in euros; the rows tell what that took of it."""
    intent, _ = walked(
        ("needs_response", (row("t", -9950, 1500),)), of=paid(10_000), amount=10_800, currency="usd"
    )
    assert (intent.amount_disputed, intent.amount_refundable) == (9950, 50)


def test_a_dispute_whose_money_tells_nothing_of_the_charges_takes_all_of_it() -> None:
    intent, _ = walked(
        ("needs_response", (row("t", -10_800, 0, "usd"),)), of=paid(), amount=9000, currency="gbp"
    )
    assert (intent.amount_disputed, intent.amount_refundable) == (1999, 0)


def test_a_fee_of_another_currency_than_the_row_of_the_money() -> None:
    rows = (row("t1", -1999), row("t2", 0, 1400, "usd"))
    intent, transfers = walked(("needs_response", rows))
    assert intent.dispute_fees == {"usd": 1400}
    assert held(transfers, Account.DISPUTE_FEES, USD) == 1400
    _, dispute = recorded(paid(), said("needs_response", *rows))
    assert dispute.sums == {EUR: Sums(1999, 0, 0), USD: Sums(0, 0, 1400)}


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_each_row_is_booked_once_in_whatever_order_answers_come(order: tuple[int, ...]) -> None:
    answers = (
        (said("needs_response", TAKEN), NOW + HOUR),
        (said("under_review", TAKEN, submission_count=1), NOW + 2 * HOUR),
        (said("won", TAKEN, BACK, submission_count=1), NOW + 3 * HOUR),
    )
    intent, dispute = recorded(paid(), said("needs_response"))
    for number in (*order, *order):
        told, as_of = answers[number]
        intent, dispute, _ = applied(intent, dispute, told, as_of)
    assert dispute.status is DisputeStatus.WON
    assert {each.provider_reference for each in dispute.rows} == {"txn_1", "txn_2"}
    assert len(dispute.rows) == 2
    assert (intent.amount_disputed, intent.withdrawn) == (0, {})


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("earlier", OPEN)
def test_an_older_answer_never_reopens_what_is_closed(earlier: str, end: str) -> None:
    intent, dispute = recorded(paid(), said(end))
    assert dispute.closed_at is None or not dispute.is_open
    older = NOW - HOUR
    _, after, why = applied(intent, dispute, said(earlier), older)
    assert (after, why) == (dispute, DisputeUnmoved.TIE)
    _, after, why = applied(intent, dispute, said(earlier), older, fetched=True)
    assert (after, why) == (dispute, DisputeUnmoved.STALE)


def test_a_newer_event_reopens_nothing_until_the_provider_was_asked() -> None:
    intent, dispute = recorded(paid(), said("lost", TAKEN))
    again = said("under_review", TAKEN)
    assert applied(intent, dispute, again)[2] is DisputeUnmoved.TIE
    intent, after, _ = applied(intent, dispute, again, fetched=True)
    assert (after.status, after.closed_at) == (DisputeStatus.UNDER_REVIEW, None)
    assert intent.disputes_blocking == 1


def test_the_same_second_is_fetched_and_then_applied() -> None:
    intent, dispute = recorded(paid(), said("needs_response"))
    later = said("under_review")
    assert applied(intent, dispute, later, NOW)[2] is DisputeUnmoved.TIE
    assert applied(intent, dispute, later, None)[2] is DisputeUnmoved.TIE
    for as_of in (NOW, None):
        after = applied(intent, dispute, later, as_of, fetched=True)[1]
        assert after.status is DisputeStatus.UNDER_REVIEW


def test_a_time_from_the_future_orders_nothing() -> None:
    intent, dispute = recorded(paid(), said("needs_response"))
    wrong = msgspec.structs.replace(dispute, provider_as_of=NOW + timedelta(days=9))
    assert applied(intent, wrong, said("lost"))[2] is DisputeUnmoved.TIE
    assert applied(intent, wrong, said("lost"), fetched=True)[1].status is DisputeStatus.LOST


def test_a_chargeback_is_never_called_an_inquiry_again() -> None:
    intent, dispute = recorded(paid(), said("needs_response", TAKEN))
    told = said("warning_needs_response", TAKEN)
    assert applied(intent, dispute, told)[1:] == (dispute, DisputeUnmoved.BACKWARDS)
    with pytest.raises(IllegalDisputeMove):
        move(dispute, LATER, status=DisputeStatus.WARNING_CLOSED)


def test_a_word_that_means_nothing_keeps_the_status() -> None:
    intent, dispute = recorded(paid(), said("needs_response"))
    moved = unfamiliar(intent, dispute, "arbitration", NOW + HOUR, NOW)
    assert isinstance(moved, DisputeMoved)
    assert moved.dispute.status is DisputeStatus.NEEDS_RESPONSE
    assert moved.dispute.unfamiliar_status == "arbitration"
    again = unfamiliar(moved.intent, moved.dispute, "arbitration", NOW + HOUR, NOW)
    assert again is DisputeUnmoved.NOTHING_NEW
    _, after, _ = applied(moved.intent, moved.dispute, said("under_review"))
    assert after.unfamiliar_status is None


def test_prevented_moves_no_money() -> None:
    intent, transfers = walked(("prevented", ()))
    assert transfers == []
    assert (intent.amount_refundable, intent.disputes_blocking) == (1999, 0)


def test_a_payment_that_is_not_concluded_comes_first() -> None:
    intent = paid(status=Status.PROCESSING, amount_received=0, money_seq=0)
    told = said("lost", TAKEN)
    assert record(intent, a_dispute(intent, told), told.rows) is DisputeUnmoved.PAYMENT_FIRST


def test_evidence_that_somebody_submitted_ends_the_waiting() -> None:
    intent, dispute = recorded(paid(), said("needs_response"))
    assert dispute.answer_due_at is not None
    _, after, _ = applied(intent, dispute, said("needs_response", submission_count=1))
    assert after.answer_due_at is None
    assert after.submitted_at is not None


@pytest.mark.parametrize("status", [*OPEN, *ENDS])
def test_nothing_is_waited_for_without_a_deadline(status: str) -> None:
    _, dispute = recorded(paid(), said(status, evidence_due_by=None))
    assert dispute.answer_due_at is None
    assert dispute.is_open is (status in OPEN)


def test_more_than_was_taken_is_never_disputed() -> None:
    intent, dispute = recorded(paid(), said("needs_response", row("t", -5000)))
    assert taken_from(intent, dispute) == 1999
    assert dispute.kind is DisputeKind.CHARGEBACK


def test_every_posting_has_a_place() -> None:
    kinds = {posting.value for posting in DisputePosting}
    _, transfers = walked(
        ("needs_response", (TAKEN, row("f", 0, 10))),
        ("lost", ()),
        ("under_review", ()),
        ("won", (BACK,)),
    )
    assert {transfer.kind.value for transfer in transfers} == kinds
