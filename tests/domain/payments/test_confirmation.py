"""What an answer makes of an intent: every outcome, in every open state, late, early and twice."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from paygate.domain.payments.attempt import MOVES, OPEN, Attempt, AttemptState, move, state_of
from paygate.domain.payments.conclusion import conclude
from paygate.domain.payments.confirmation import Moved, Unmoved
from paygate.domain.payments.outcome import (
    ActionRequired,
    Advice,
    Answer,
    Approved,
    Cancelled,
    Card,
    Declined,
    NotSent,
    Outcome,
    PaymentError,
    Pending,
    RedirectToUrl,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Status, Trigger, advance
from tests.making import START, make_attempt, make_intent

CARD = Card("visa", "4242", 4, 2030)
REDIRECT = RedirectToUrl("https://provider.example/3ds", "https://gateway.example/back")
ERROR = PaymentError("card_declined", "no", "insufficient_funds", Advice.TRY_AGAIN_LATER)
SECOND = timedelta(seconds=1)

HOLD = Approved(captured=False, amount_received=0, amount_capturable=1999)

ENDS: list[tuple[Outcome, Status, AttemptState]] = [
    (
        Approved(captured=True, amount_received=1999, amount_capturable=0, payment_method=CARD),
        Status.SUCCEEDED,
        AttemptState.APPROVED,
    ),
    (HOLD, Status.REQUIRES_CAPTURE, AttemptState.APPROVED),
    (ActionRequired(REDIRECT), Status.REQUIRES_ACTION, AttemptState.ACTION_REQUIRED),
    (ActionRequired(None), Status.REQUIRES_ACTION, AttemptState.ACTION_REQUIRED),
    (Pending(), Status.PROCESSING, AttemptState.PENDING),
    (Declined(ERROR), Status.FAILED, AttemptState.DECLINED),
    (Rejected("payment_method_rejected", "no such"), Status.FAILED, AttemptState.REJECTED),
    (Cancelled("automatic"), Status.CANCELLED, AttemptState.CANCELLED),
    (NotSent("refused"), Status.PROCESSING, AttemptState.NOT_SENT),
    (Unknown("timeout"), Status.PROCESSING, AttemptState.UNKNOWN),
]


def confirming() -> tuple[PaymentIntent, Attempt]:
    intent = make_intent()
    attempt = make_attempt(intent)
    return advance(intent, Trigger.CONFIRM, START, attempt=attempt.id, attempts=1), attempt


def holding() -> tuple[PaymentIntent, Attempt]:
    """An intent that waits for its capture, and the confirm that made the hold."""
    intent, attempt = confirming()
    held = conclude(intent, attempt, answer(HOLD, as_of=START), START)
    assert isinstance(held, Moved)
    assert held.attempt is not None
    return held.intent, held.attempt


def answer(outcome: Outcome, **more: Any) -> Answer:
    return Answer(outcome, provider_reference="pi_theirs", amount=1999, currency="eur", **more)


@pytest.mark.parametrize(("outcome", "status", "state"), ENDS)
def test_each_outcome_has_its_end(outcome: Outcome, status: Status, state: AttemptState) -> None:
    intent, attempt = confirming()
    moved = conclude(intent, attempt, answer(outcome, as_of=START), START)
    assert isinstance(moved, Moved)
    assert moved.attempt is not None
    assert (moved.intent.status, moved.attempt.state) == (status, state)
    assert (moved.intent.version, moved.attempt.version) == (intent.version + 1, 2)
    assert moved.intent.provider_reference == "pi_theirs"
    assert moved.intent.provider_as_of == START
    working = status is Status.PROCESSING
    assert moved.intent.pending_operation == ("confirm" if working else None)
    assert moved.intent.next_action == getattr(outcome, "next_action", None)


@pytest.mark.parametrize("state", sorted(set(AttemptState) - OPEN))
@pytest.mark.parametrize("outcome", [end[0] for end in ENDS])
def test_a_closed_attempt_stays(state: AttemptState, outcome: Outcome) -> None:
    intent, attempt = confirming()
    closed = msgspec.structs.replace(attempt, state=state)
    found = conclude(intent, closed, answer(outcome), START)
    if state is not AttemptState.NOT_SENT:
        assert found is Unmoved.CONCLUDED
    elif isinstance(outcome, Unknown | NotSent):
        assert found is Unmoved.NOTHING_NEW
    else:
        assert isinstance(found, Moved), "the payment is there, whatever we thought"
        assert found.attempt is not None
        assert found.attempt.state is state_of(outcome)


@pytest.mark.parametrize("state", sorted(OPEN - {AttemptState.STARTED}))
def test_what_speaks_of_its_call_alone_never_replaces_knowing(state: AttemptState) -> None:
    intent, attempt = confirming()
    known = msgspec.structs.replace(attempt, state=state)
    for outcome in (Unknown("reset"), NotSent("429"), Rejected("provider_configuration", "401")):
        assert conclude(intent, known, Answer(outcome), START) is Unmoved.NOTHING_NEW


def test_an_event_does_not_forget_the_card() -> None:
    intent, attempt = confirming()
    known = msgspec.structs.replace(intent, payment_method=CARD)
    approved = Approved(captured=True, amount_received=1999, amount_capturable=0)
    moved = conclude(known, attempt, answer(approved), START)
    assert isinstance(moved, Moved)
    assert moved.intent.payment_method == CARD


@pytest.mark.parametrize("outcome", [end[0] for end in ENDS])
def test_the_same_answer_twice_changes_nothing(outcome: Outcome) -> None:
    intent, attempt = confirming()
    said = answer(outcome, as_of=START)
    moved = conclude(intent, attempt, said, START)
    assert isinstance(moved, Moved)
    assert moved.attempt is not None
    again = conclude(moved.intent, moved.attempt, said, START)
    assert again in {Unmoved.CONCLUDED, Unmoved.NOTHING_NEW}


def test_an_older_fact_moves_nothing() -> None:
    intent, attempt = confirming()
    moved = conclude(intent, attempt, answer(ActionRequired(REDIRECT), as_of=START), START)
    assert isinstance(moved, Moved)
    assert moved.attempt is not None
    late = answer(Pending(), as_of=START - SECOND)
    assert conclude(moved.intent, moved.attempt, late, START) is Unmoved.STALE


def test_a_tie_of_seconds_is_fetched() -> None:
    intent, attempt = confirming()
    moved = conclude(intent, attempt, answer(ActionRequired(REDIRECT), as_of=START), START)
    assert isinstance(moved, Moved)
    assert moved.attempt is not None
    tie = answer(ENDS[0][0], as_of=START)
    assert conclude(moved.intent, moved.attempt, tie, START) is Unmoved.TIE
    decided = conclude(moved.intent, moved.attempt, tie, START, fetched=True)
    assert isinstance(decided, Moved)
    assert decided.intent.status is Status.SUCCEEDED


@pytest.mark.parametrize(
    "said",
    [
        Answer(Pending(), amount=1998, currency="eur"),
        Answer(Pending(), amount=1999, currency="usd"),
        Answer(Approved(captured=True, amount_received=2000, amount_capturable=0)),
    ],
)
def test_another_amount_is_never_applied(said: Answer) -> None:
    intent, attempt = confirming()
    assert conclude(intent, attempt, said, START) is Unmoved.MISMATCH


@pytest.mark.parametrize("reference", ["pi_another", None])
@pytest.mark.parametrize("outcome", [end[0] for end in ENDS])
def test_a_hold_is_moved_by_its_own_payment_alone(outcome: Outcome, reference: str | None) -> None:
    """What ends another payment, or one that nobody names, does not end the one that counts."""
    said = answer(outcome, as_of=START + SECOND)
    other = msgspec.structs.replace(said, provider_reference=reference)
    elsewhere = isinstance(outcome, Approved) and reference is not None
    expected = Unmoved.MONEY_ELSEWHERE if elsewhere else Unmoved.CONCLUDED
    assert conclude(*holding(), other, START) is expected


@pytest.mark.parametrize(
    ("outcome", "status"),
    [end[:2] for end in ENDS if end[2] in {AttemptState.DECLINED, AttemptState.CANCELLED}]
    + [ENDS[0][:2]],
)
def test_a_hold_ends_as_its_own_payment_does(outcome: Outcome, status: Status) -> None:
    held = holding()
    ended = conclude(*held, answer(outcome, as_of=START + SECOND), START)
    assert isinstance(ended, Moved)
    assert (ended.intent.status, ended.attempt) == (status, None)


def test_a_decline_says_why() -> None:
    intent, attempt = confirming()
    moved = conclude(intent, attempt, answer(Declined(ERROR)), START)
    assert isinstance(moved, Moved)
    assert moved.intent.last_payment_error == ERROR
    assert moved.intent.amount_received == 0


def test_a_closed_attempt_has_no_moves() -> None:
    """But for what was not sent: its retry goes on with the same one."""
    assert set(MOVES) - OPEN == {AttemptState.NOT_SENT}
    for state in set(AttemptState) - OPEN:
        closed = msgspec.structs.replace(make_attempt(make_intent()), state=state)
        for target in set(AttemptState) - MOVES.get(state, frozenset()):
            with pytest.raises(Exception, match="cannot become"):
                move(closed, target, START)
