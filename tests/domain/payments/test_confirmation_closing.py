"""What an answer makes of an intent whose confirm is to be closed: each outcome and each wish."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from paygate.domain.payments.attempt import Attempt, AttemptState, to_be_closed
from paygate.domain.payments.conclusion import conclude
from paygate.domain.payments.confirmation import Moved, Unmoved
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    BankTransfer,
    Cancelled,
    Declined,
    NotSent,
    Outcome,
    PaymentMethod,
    Pending,
    RedirectToUrl,
    Rejected,
    TransferInstructions,
    Unknown,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Status, Trigger, advance
from paygate.domain.payments.payment_method import (
    CardToken,
    DirectDebit,
    Instrument,
    Mandate,
    PushTransfer,
)
from tests.domain.payments.test_confirmation import CARD, ENDS, ERROR, REDIRECT, answer, confirming
from tests.making import START

ENDS_AT = START + timedelta(days=14)
SHOWN = TransferInstructions(1999, 0, "eur", "REF1", None, ())
HIDDEN = ActionRequired(None)
DEBIT = DirectDebit("pm_1", Mandate(START, "203.0.113.9", "Mozilla"))


def acting(
    instrument: Instrument, *, wish: str | None = None, **more: Any
) -> tuple[PaymentIntent, Attempt]:
    """A payer who has something to do; `wish` says whose it is to close the payment."""
    intent, attempt = confirming()
    action = SHOWN if isinstance(instrument, PushTransfer) else REDIRECT
    intent = advance(intent, Trigger.REQUIRE_ACTION, START, next_action=action)
    attempt = msgspec.structs.replace(
        attempt,
        state=AttemptState.ACTION_REQUIRED,
        instrument=instrument,
        close_at=ENDS_AT,
        **more,
    )
    if wish is not None:
        intent = advance(intent, Trigger.PROCEED, START, pending_operation="cancel")
        attempt = to_be_closed(attempt, START, reason="ours", given_up=wish == "sweep")
    return intent, attempt


def moved(intent: PaymentIntent, attempt: Attempt, outcome: Outcome) -> PaymentIntent:
    found = conclude(intent, attempt, answer(outcome), START)
    assert isinstance(found, Moved), found
    return found.intent


@pytest.mark.parametrize(
    ("instrument", "wish", "status", "reason"),
    [
        (CardToken("t"), None, Status.CANCELLED, "theirs"),
        (CardToken("t"), "merchant", Status.CANCELLED, "ours"),
        (CardToken("t"), "sweep", Status.FAILED, None),
        (PushTransfer("DE"), None, Status.CANCELLED, "theirs"),
        (PushTransfer("DE"), "merchant", Status.CANCELLED, "ours"),
        (PushTransfer("DE"), "sweep", Status.CANCELLED, "ours"),
        (DEBIT, None, Status.CANCELLED, "theirs"),
        (DEBIT, "merchant", Status.CANCELLED, "ours"),
        (DEBIT, "sweep", Status.FAILED, None),
    ],
)
def test_how_it_ends_says_whose_wish_it_was(
    instrument: Instrument, wish: str | None, status: Status, reason: str | None
) -> None:
    after = moved(*acting(instrument, wish=wish), Cancelled("theirs"))
    assert (after.status, after.cancellation_reason) == (status, reason)
    assert (after.next_action, after.pending_operation) == (None, None)
    code = after.last_payment_error.code if after.last_payment_error else None
    assert code == ("authentication_abandoned" if status is Status.FAILED else None)


@pytest.mark.parametrize("wish", [None, "merchant", "sweep"])
@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        end[:2]
        for end in ENDS
        if end[1] is not Status.PROCESSING and not isinstance(end[0], Cancelled | ActionRequired)
    ],
)
def test_every_other_end_is_the_providers(
    outcome: Outcome, status: Status, wish: str | None
) -> None:
    after = moved(*acting(CardToken("t"), wish=wish), outcome)
    assert (after.status, after.pending_operation) == (status, None)
    if isinstance(outcome, Declined):
        assert after.last_payment_error == ERROR


@pytest.mark.parametrize("state", [AttemptState.STARTED, AttemptState.UNKNOWN])
@pytest.mark.parametrize("instrument", [CardToken("t"), PushTransfer()])
def test_what_was_given_up_before_it_had_begun_was_never_taken_up(
    state: AttemptState, instrument: Instrument
) -> None:
    intent, attempt = confirming()
    attempt = msgspec.structs.replace(
        attempt, instrument=instrument, state=state, cancelling=True, given_up=True
    )
    after = moved(intent, attempt, Cancelled("void"))
    assert after.last_payment_error is not None
    assert (after.status, after.last_payment_error.code) == (Status.FAILED, "provider_unavailable")


@pytest.mark.parametrize("wish", ["merchant", "sweep"])
@pytest.mark.parametrize(
    "outcome", [Pending(), HIDDEN, ActionRequired(RedirectToUrl("https://b.example"))]
)
def test_a_wish_is_pending_until_the_end(outcome: Outcome, wish: str) -> None:
    after = moved(*acting(CardToken("t"), wish=wish), outcome)
    assert (after.status, after.pending_operation) == (Status.REQUIRES_ACTION, "cancel")


@pytest.mark.parametrize(
    "outcome",
    [
        Unknown("reset"),
        NotSent("429"),
        Rejected("provider_configuration", "401"),
        Rejected("customer_refused", "no"),
    ],
)
@pytest.mark.parametrize("wish", [None, "merchant", "sweep"])
def test_what_speaks_of_its_call_alone_ends_nothing(outcome: Outcome, wish: str | None) -> None:
    assert (
        conclude(*acting(PushTransfer(), wish=wish), Answer(outcome), START) is Unmoved.NOTHING_NEW
    )


@pytest.mark.parametrize(("outcome", "operation"), [(Pending(), "confirm"), (HIDDEN, None)])
def test_what_the_provider_works_on_is_a_confirm_under_way(
    outcome: Outcome, operation: str | None
) -> None:
    """An action that we cannot show is the payer's all the same."""
    after = moved(*acting(CardToken("t")), outcome)
    assert (after.pending_operation, after.next_action) == (operation, None)


@pytest.mark.parametrize("build", [Pending, lambda method: ActionRequired(REDIRECT, method)])
@pytest.mark.parametrize(
    ("known", "shown", "kept"),
    [
        (None, CARD, CARD),
        (CARD, None, CARD),
        (BankTransfer("push"), BankTransfer("push", "DE"), BankTransfer("push", "DE")),
        (None, None, None),
    ],
)
def test_what_it_is_paid_with_is_kept(
    build: Any, known: PaymentMethod | None, shown: PaymentMethod | None, kept: PaymentMethod | None
) -> None:
    intent, attempt = confirming()
    intent = msgspec.structs.replace(intent, payment_method=known)
    assert moved(intent, attempt, build(shown)).payment_method == kept


def test_instructions_end_when_we_stop_waiting() -> None:
    intent, attempt = confirming()
    attempt = msgspec.structs.replace(attempt, instrument=PushTransfer(), close_at=ENDS_AT)
    theirs = msgspec.structs.replace(SHOWN, expires_at=START)
    for instructions in (SHOWN, theirs):
        shown = moved(intent, attempt, ActionRequired(instructions)).next_action
        assert shown == msgspec.structs.replace(SHOWN, expires_at=ENDS_AT)


@pytest.mark.parametrize(
    ("ours", "theirs", "shown"),
    [
        ("https://gw.example/back", "https://gw.example/back", "https://shop.example/"),
        (None, "https://shop.example/", "https://shop.example/"),
    ],
)
def test_a_redirect_shows_the_merchants_own_page(ours: str | None, theirs: str, shown: str) -> None:
    intent, attempt = confirming()
    attempt = msgspec.structs.replace(
        attempt, callback_url=ours, return_url="https://shop.example/", close_at=ENDS_AT
    )
    after = moved(intent, attempt, ActionRequired(RedirectToUrl("https://b.example", theirs)))
    assert after.next_action == RedirectToUrl("https://b.example", shown)
