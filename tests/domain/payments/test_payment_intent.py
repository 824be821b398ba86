"""The state machine, walked cell by cell, and the documents that are drawn from it."""

import itertools
from pathlib import Path

import pytest

from paygate.domain.payments.payment_intent import (
    FINAL,
    TRANSITIONS,
    IllegalTransition,
    Status,
    Trigger,
    advance,
    mermaid,
    next_status,
)
from tests.making import START, make_intent

STATES = Path(__file__).parents[3] / "docs" / "states.md"

ORDER = [
    Status.CREATED,
    Status.PROCESSING,
    Status.REQUIRES_ACTION,
    Status.REQUIRES_CAPTURE,
    Status.SUCCEEDED,
    Status.REFUNDED,
]


@pytest.mark.parametrize(("status", "trigger"), list(itertools.product(Status, Trigger)))
def test_every_cell_moves_or_is_refused(status: Status, trigger: Trigger) -> None:
    if (status, trigger) in TRANSITIONS:
        assert next_status(status, trigger) is TRANSITIONS[status, trigger]
    else:
        with pytest.raises(IllegalTransition) as caught:
            next_status(status, trigger)
        assert (caught.value.status, caught.value.trigger) == (status, trigger)


def test_nothing_goes_backwards() -> None:
    for (before, _), after in TRANSITIONS.items():
        if before in ORDER and after in ORDER:
            assert ORDER.index(after) >= ORDER.index(before)


def test_failed_and_cancelled_are_ends_and_refunded_is_left_by_no_trigger() -> None:
    assert not [s for s, _ in TRANSITIONS if s in {Status.FAILED, Status.CANCELLED}]
    left = {after for (s, _), after in TRANSITIONS.items() if s is Status.REFUNDED}
    assert left == {Status.REFUNDED}
    assert {s for s, t in TRANSITIONS if s in FINAL} == {Status.SUCCEEDED, Status.REFUNDED}


def test_every_status_is_reached_and_created_is_the_start() -> None:
    assert set(TRANSITIONS.values()) == set(Status)
    assert {s for (s, _), after in TRANSITIONS.items() if after is Status.CREATED} == {
        Status.CREATED
    }


def test_advance_goes_one_version_on_and_time_never_back() -> None:
    intent = make_intent()
    later = advance(intent, Trigger.CONFIRM, START.replace(year=2020), pending_operation="confirm")
    assert (later.version, later.status, later.updated_at) == (2, Status.PROCESSING, START)
    assert intent.version == 1


def test_advance_refuses_more_money_than_was_asked_for() -> None:
    intent = advance(make_intent(amount=5), Trigger.CONFIRM, START)
    with pytest.raises(AssertionError):
        advance(intent, Trigger.CAPTURE, START, amount_received=6)


def test_the_diagram_in_the_docs_is_this_table() -> None:
    assert f"```mermaid\n{mermaid()}\n```" in STATES.read_text(encoding="utf-8")
