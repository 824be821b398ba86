"""Every state of a refund with every answer of the provider, and the sums that must hold."""

from datetime import timedelta
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paygate.domain import ledger
from paygate.domain.ledger import Account, Transfer, check_intent
from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.refunds.conclusion import (
    CONFIGURATION,
    Posting,
    RefundMoved,
    RefundUnmoved,
    adopt,
    conclude_refund,
    reserve,
    start,
)
from paygate.domain.refunds.outcome import (
    RefundAnswer,
    Refunded,
    RefundFailed,
    RefundOutcome,
    RefundPending,
    RefundRejected,
)
from paygate.domain.refunds.refund import (
    IN_DOUBT,
    RESERVED,
    Approval,
    IllegalRefundMove,
    Refund,
    RefundState,
    move,
    resent,
)
from tests.domain.refunds.made import LATER, NOW, a_refund, paid
from tests.making import new_id

_S, _U = RefundState, RefundUnmoved
SAID: dict[str, RefundOutcome] = {
    "refunded": Refunded(),
    "pending": RefundPending("It waits."),
    "failed": RefundFailed("declined", "no"),
    "rejected": RefundRejected("charge_disputed", "no"),
    "our key": RefundRejected(CONFIGURATION, "no"),
    "not sent": NotSent("refused"),
    "unknown": Unknown("reset"),
}
PAY, RELEASE = Posting.PAY, Posting.RELEASE
BECOMES: dict[RefundState, tuple[Any, ...]] = {
    _S.AWAITING_APPROVAL: (
        *((_S.SUCCEEDED, PAY), (_S.PENDING, None), (_S.FAILED, RELEASE), (_S.FAILED, RELEASE)),
        *(_U.NOTHING_NEW, _U.NOTHING_NEW, _U.NOTHING_NEW),
    ),
    _S.STARTED: (
        *((_S.SUCCEEDED, PAY), (_S.PENDING, None), (_S.FAILED, RELEASE), (_S.FAILED, RELEASE)),
        *((_S.FAILED, RELEASE), (_S.NOT_SENT, None), (_S.UNKNOWN, None)),
    ),
    _S.UNKNOWN: (
        *((_S.SUCCEEDED, PAY), (_S.PENDING, None), (_S.FAILED, RELEASE), (_S.FAILED, RELEASE)),
        *(_U.NOTHING_NEW, _U.NOTHING_NEW, _U.NOTHING_NEW),
    ),
    _S.NOT_SENT: (
        *((_S.SUCCEEDED, PAY), (_S.PENDING, None), (_S.FAILED, RELEASE), (_S.FAILED, RELEASE)),
        *(_U.NOTHING_NEW, _U.NOTHING_NEW, _U.NOTHING_NEW),
    ),
    _S.PENDING: (
        *((_S.SUCCEEDED, PAY), (_S.PENDING, None), (_S.FAILED, RELEASE), (_S.FAILED, RELEASE)),
        *(_U.NOTHING_NEW, _U.NOTHING_NEW, _U.NOTHING_NEW),
    ),
    _S.SUCCEEDED: (
        *((_S.SUCCEEDED, None), _U.STALE, (_S.FAILED, Posting.RETURN)),
        *((_S.FAILED, Posting.RETURN), _U.NOTHING_NEW, _U.NOTHING_NEW, _U.NOTHING_NEW),
    ),
    _S.FAILED: (
        *((_S.SUCCEEDED, Posting.PAY_AT_ONCE), (_S.PENDING, Posting.RESERVE)),
        *(_U.STALE, _U.STALE, _U.NOTHING_NEW, _U.NOTHING_NEW, _U.NOTHING_NEW),
    ),
}
"""By the state, in the order of `SAID`: the next state with its posting, or why nothing moves."""


def standing(state: RefundState) -> tuple[PaymentIntent, Refund]:
    """A refund of 500 in a state, and its intent of 1999 as that leaves it."""
    intent = paid(
        amount_refund_pending=500 * (state in RESERVED),
        amount_refunded=500 * (state is _S.SUCCEEDED),
        amount_refunded_alone=500 * (state not in {_S.FAILED, _S.AWAITING_APPROVAL}),
        refunds=1,
        refunds_in_doubt=int(state in IN_DOUBT),
        pending_operation="refund" if state in IN_DOUBT else None,
        money_seq=2,
    )
    refund = a_refund(intent, state=state)
    if state is _S.AWAITING_APPROVAL:
        refund = msgspec.structs.replace(refund, approval=Approval("ana", LATER))
    return intent, refund


@pytest.mark.parametrize(("state", "said"), list(product(RefundState, SAID)))
def test_every_state_with_every_answer(state: RefundState, said: str) -> None:
    intent, refund = standing(state)
    answer = RefundAnswer(SAID[said], provider_reference="re_theirs", as_of=LATER)
    if isinstance(SAID[said], NotSent | Unknown | RefundRejected):
        answer = RefundAnswer(SAID[said])
    expected = BECOMES[state][list(SAID).index(said)]
    effect = conclude_refund(intent, refund, answer, LATER)
    if isinstance(expected, RefundUnmoved):
        assert effect is expected
        return
    assert isinstance(effect, RefundMoved)
    assert (effect.refund.state, effect.posting) == expected
    assert effect.refund.version == refund.version + 1
    after = effect.intent
    assert after.amount_refund_pending == 500 * (effect.refund.state in RESERVED)
    assert after.amount_refunded == 500 * (effect.refund.state is _S.SUCCEEDED)
    assert after.refunds_in_doubt == int(effect.refund.state in IN_DOUBT)
    assert after.pending_operation == ("refund" if after.refunds_in_doubt else None)
    assert after.money_seq == intent.money_seq + (effect.posting is not None)


@pytest.mark.parametrize(("before", "after"), list(product(RefundState, RefundState)))
def test_a_move_that_the_table_lacks_is_refused(before: RefundState, after: RefundState) -> None:
    refund = a_refund(paid(), state=before)
    moves = {state for effect in BECOMES[before] if isinstance(effect, tuple) for state in effect}
    if before is _S.AWAITING_APPROVAL:
        moves.add(_S.STARTED)
    if before is _S.NOT_SENT:
        moves.add(_S.STARTED)
    if before is _S.UNKNOWN:
        moves.add(_S.UNKNOWN)  # sent once more
    if after in moves:
        assert move(refund, after, LATER).version == 2
    else:
        with pytest.raises(IllegalRefundMove):
            move(refund, after, LATER)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"amount": 501}, _U.MISMATCH),
        ({"currency": "usd"}, _U.MISMATCH),
        ({"as_of": NOW - timedelta(seconds=1)}, _U.STALE),
        ({"as_of": NOW}, _U.TIE),
    ],
)
def test_what_is_not_believed_moves_nothing(changes: dict[str, Any], why: RefundUnmoved) -> None:
    intent, refund = standing(_S.PENDING)
    refund = msgspec.structs.replace(refund, provider_as_of=NOW)
    known: dict[str, Any] = {"as_of": LATER, "amount": 500, "currency": "eur"}
    answer = RefundAnswer(Refunded(), "re_theirs", **(known | changes))
    assert conclude_refund(intent, refund, answer, LATER) is why


@pytest.mark.parametrize(
    ("state", "said"),
    [
        *((_S.PENDING, "refunded"), (_S.PENDING, "failed")),
        *((_S.SUCCEEDED, "failed"), (_S.FAILED, "refunded")),
    ],
)
def test_what_bears_no_time_moves_nothing_that_the_provider_has_told(
    state: RefundState, said: str
) -> None:
    """What a key repeats is as it was when the key was new; what is not found may be there now."""
    intent, refund = standing(state)
    refund = msgspec.structs.replace(refund, provider_as_of=NOW)
    answer = RefundAnswer(SAID[said], "re_theirs")
    assert conclude_refund(intent, refund, answer, LATER) is _U.TIE
    assert isinstance(conclude_refund(intent, refund, answer, LATER, fetched=True), RefundMoved)


def test_a_tie_that_was_fetched_is_believed() -> None:
    intent, refund = standing(_S.PENDING)
    refund = msgspec.structs.replace(refund, provider_as_of=NOW)
    answer = RefundAnswer(Refunded(), "re_theirs", as_of=NOW)
    assert isinstance(conclude_refund(intent, refund, answer, LATER, fetched=True), RefundMoved)


def test_all_of_it_ends_the_payment_and_a_failure_leads_it_back() -> None:
    intent = paid()
    first = reserve(intent, a_refund(intent, 1999))
    answer = RefundAnswer(Refunded(), "re_1", as_of=NOW)
    done = conclude_refund(first.intent, first.refund, answer, LATER)
    assert isinstance(done, RefundMoved)
    assert (done.intent.status, done.intent.amount_refundable) == (Status.REFUNDED, 0)
    failed = RefundAnswer(RefundFailed("declined", "no"), "re_1", as_of=LATER)
    back = conclude_refund(done.intent, done.refund, failed, LATER)
    assert isinstance(back, RefundMoved)
    assert (back.corrects, back.posting) == (True, Posting.RETURN)
    assert (back.intent.status, back.intent.amount_refundable) == (Status.SUCCEEDED, 1999)


def test_the_dashboard_gives_all_back_while_ours_is_in_doubt() -> None:
    """Ours is found out to have failed, under an intent that has ended meanwhile."""
    intent = paid()
    ours = reserve(intent, a_refund(intent, 400))
    theirs = adopt(ours.intent, a_refund(intent, 1999, _S.SUCCEEDED, external=True))
    assert isinstance(theirs, RefundMoved)
    assert (theirs.intent.status, theirs.intent.amount_refundable) == (Status.REFUNDED, 0)
    assert not theirs.exceeds
    no = RefundAnswer(RefundRejected("charge_already_refunded", "no"))
    end = conclude_refund(theirs.intent, ours.refund, no, LATER)
    assert isinstance(end, RefundMoved)
    assert (end.intent.status, end.posting, end.corrects) == (Status.REFUNDED, RELEASE, False)
    assert (end.intent.amount_refund_pending, end.intent.pending_operation) == (0, None)


def test_more_than_was_taken_is_booked_and_noticed_until_the_failure_is_heard_of() -> None:
    intent = paid()
    first = adopt(intent, a_refund(intent, 1999, _S.SUCCEEDED, external=True))
    assert isinstance(first, RefundMoved)
    second = adopt(first.intent, a_refund(intent, 1999, _S.SUCCEEDED, external=True))
    assert isinstance(second, RefundMoved)
    assert (second.exceeds, second.intent.amount_refundable) == (True, 0)
    failed = RefundAnswer(RefundFailed("declined", "no"), "re_1", as_of=LATER)
    back = conclude_refund(second.intent, first.refund, failed, LATER)
    assert isinstance(back, RefundMoved)
    assert (back.intent.status, back.intent.amount_refunded) == (Status.REFUNDED, 1999)
    assert (back.corrects, back.exceeds) == (False, False)


def test_one_greater_than_the_payment_is_nobodys() -> None:
    intent = paid()
    found = a_refund(intent, 2000, _S.SUCCEEDED, external=True)
    assert adopt(intent, found) is _U.MISMATCH


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.SUCCEEDED, Status.REFUNDED}))
def test_a_payment_that_knows_of_no_money_is_looked_up_first(status: Status) -> None:
    intent = paid(status=status, amount_received=0)
    found = a_refund(intent, 5, _S.SUCCEEDED, external=True)
    assert adopt(intent, found) is _U.PAYMENT_FIRST
    refund = a_refund(intent)
    assert conclude_refund(intent, refund, RefundAnswer(Refunded()), LATER) is _U.PAYMENT_FIRST


def test_limits_count_what_one_person_asked_for_and_what_has_not_failed() -> None:
    intent = paid()
    alone = reserve(intent, a_refund(intent, 500))
    assert alone.intent.amount_refunded_alone == 500
    waits = reserve(alone.intent, a_refund(intent, 700, _S.AWAITING_APPROVAL))
    assert waits.intent.amount_refunded_alone == 500
    theirs = adopt(waits.intent, a_refund(intent, 100, _S.SUCCEEDED, external=True))
    assert isinstance(theirs, RefundMoved)
    assert theirs.intent.amount_refunded_alone == 500
    no = RefundAnswer(RefundRejected("declined", "no"))
    failed = conclude_refund(theirs.intent, alone.refund, no, LATER)
    assert isinstance(failed, RefundMoved)
    assert failed.intent.amount_refunded_alone == 0


def transfer(moved: RefundMoved) -> Transfer | None:
    if moved.posting is None:
        return None
    return ledger.refund(moved, transfer_id=new_id("ledger_transfer"))


STEPS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from([*SAID.values(), "resend", "approve", "reject", "adopt"]),
        st.integers(1, 700),
    ),
    max_size=40,
)


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_ledger_and_intent_agree_after_every_step(steps: list[tuple[int, Any, int]]) -> None:
    """Whatever comes, in whatever order: the sums of intent, refunds and ledger are one."""
    intent = paid()
    taken = ledger.capture(
        msgspec.structs.replace(intent, money_seq=0, amount_received=0),
        intent,
        transfer_id=new_id("ledger_transfer"),
        attempt=None,
    )
    transfers, refunds = [taken], list[Refund]()
    for number, (which, what, amount) in enumerate(steps):
        at = NOW + timedelta(seconds=number)
        moved = one_step(intent, refunds, which, what, amount, at)
        if moved is None:
            continue
        refunds = [r for r in refunds if r.id != moved.refund.id] + [moved.refund]
        assert moved.intent.version in (intent.version, intent.version + 1)
        intent = moved.intent
        if (posted := transfer(moved)) is not None:
            transfers.append(posted)
        assert check_intent(intent, transfers) == []
        assert intent.amount_refunded == total(refunds, {_S.SUCCEEDED})
        assert intent.amount_refund_pending == total(refunds, set(RESERVED))
        assert intent.refunds_in_doubt == sum(r.state in IN_DOUBT for r in refunds)
        left = sum(t.moved(Account.PROVIDER) for t in transfers)
        assert left == intent.amount_received - intent.amount_refunded
        ended = intent.amount_refunded >= intent.amount_received
        assert intent.status is (Status.REFUNDED if ended else Status.SUCCEEDED)


def one_step(
    intent: PaymentIntent, refunds: list[Refund], which: int, what: Any, amount: int, at: Any
) -> RefundMoved | None:
    if what == "adopt":
        adopted = adopt(intent, a_refund(intent, amount, _S.SUCCEEDED, external=True))
        return adopted if isinstance(adopted, RefundMoved) else None
    if which >= len(refunds):
        if amount > intent.amount_refundable or intent.status is not Status.SUCCEEDED:
            return None
        begins = _S.AWAITING_APPROVAL if what in {"approve", "reject"} else _S.STARTED
        return reserve(intent, a_refund(intent, amount, begins))
    refund = refunds[which]
    if what == "resend":
        again = resent(refund, at, None) if refund.state in IN_DOUBT else None
        return None if again is None else start(intent, refund, again)
    if what in {"approve", "reject"}:
        if refund.state is not _S.AWAITING_APPROVAL:
            return None
        after = move(refund, _S.STARTED if what == "approve" else _S.FAILED, at)
        return start(intent, refund, after)
    effect = conclude_refund(intent, refund, RefundAnswer(what, as_of=at), at)
    return effect if isinstance(effect, RefundMoved) else None


def total(refunds: list[Refund], states: set[RefundState]) -> int:
    return sum(refund.amount for refund in refunds if refund.state in states)
