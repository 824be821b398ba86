"""An attempt's own moves: what is to be closed, what is put off, what an outcome means of it."""

from datetime import datetime, timedelta
from typing import get_args

import msgspec
import pytest

from paygate.domain.payments.attempt import (
    OPEN,
    AttemptState,
    move,
    put_off,
    state_of,
    to_be_closed,
)
from paygate.domain.payments.outcome import Outcome
from tests.domain.payments.test_confirmation import ENDS
from tests.making import START, make_attempt, make_intent

LATER = START + timedelta(hours=1)
EARLIER = START - timedelta(hours=1)


@pytest.mark.parametrize(("outcome", "state"), [(end[0], end[2]) for end in ENDS])
def test_each_outcome_is_a_state(outcome: Outcome, state: AttemptState) -> None:
    assert state_of(outcome) is state


def test_the_table_of_ends_has_every_outcome_and_every_state_but_the_first() -> None:
    assert {type(end[0]) for end in ENDS} == set(get_args(Outcome))
    assert {end[2] for end in ENDS} == set(AttemptState) - {AttemptState.STARTED}


@pytest.mark.parametrize("given_up", [True, False])
@pytest.mark.parametrize("claim", [None, "req_1"])
@pytest.mark.parametrize("state", sorted(OPEN))
def test_a_wish_to_close_leaves_the_state_to_the_provider(
    state: AttemptState, claim: str | None, given_up: bool
) -> None:
    attempt = msgspec.structs.replace(make_attempt(make_intent()), state=state, claim="mine")
    wished = to_be_closed(attempt, LATER, reason="why", claim=claim, given_up=given_up)
    assert wished == msgspec.structs.replace(
        attempt,
        cancelling=True,
        close_at=LATER,
        given_up=given_up,
        cancel_claim=claim,
        reason="why",
        version=2,
        updated_at=LATER,
    )


@pytest.mark.parametrize("state", sorted(set(AttemptState) - OPEN))
def test_what_is_closed_has_nothing_to_close(state: AttemptState) -> None:
    attempt = msgspec.structs.replace(make_attempt(make_intent()), state=state)
    with pytest.raises(AssertionError):
        to_be_closed(attempt, LATER, reason=None)


def test_what_is_put_off_keeps_all_but_its_time() -> None:
    wished = to_be_closed(make_attempt(make_intent()), START, reason="why", given_up=True)
    later = put_off(wished, LATER, LATER + timedelta(minutes=15))
    assert later == msgspec.structs.replace(
        wished, close_at=LATER + timedelta(minutes=15), version=3, updated_at=LATER
    )


@pytest.mark.parametrize(("at", "updated_at"), [(EARLIER, START), (LATER, LATER)])
def test_time_never_goes_back(at: datetime, updated_at: datetime) -> None:
    """Another node's clock may be behind."""
    attempt = make_attempt(make_intent())
    assert to_be_closed(attempt, at, reason=None).updated_at == updated_at
    assert put_off(attempt, at, LATER).updated_at == updated_at


@pytest.mark.parametrize("state", sorted(OPEN - {AttemptState.STARTED}))
def test_a_wish_outlives_what_the_provider_says_meanwhile(state: AttemptState) -> None:
    attempt = to_be_closed(make_attempt(make_intent()), START, reason="why", claim="req_1")
    moved = move(attempt, state, LATER, provider_reference="pi_theirs")
    assert (moved.cancelling, moved.cancel_claim, moved.reason) == (True, "req_1", "why")
    assert moved.close_at == START
