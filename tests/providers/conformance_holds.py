"""What the port promises of holds: how they are captured, and how what is open is closed.

Every answer but `NotSent` is one about the payment; the books say what was really taken.
"""

import asyncio
from typing import Any

import msgspec
import pytest

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import (
    Answer,
    Approved,
    Cancelled,
    NotSent,
    Outcome,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_intent import CaptureMethod
from paygate.domain.payments.payment_method import CardToken
from paygate.providers.contract import CancelOrder, CaptureOrder, ConfirmOrder
from tests.making import new_id
from tests.providers.conformance import PATIENCE, Call, Subject, confirm, make_order, retrieve

HELD = 1999


async def hold(subject: Subject, **changes: Any) -> tuple[ConfirmOrder, str]:
    """A held payment: its order, and its reference."""
    order = make_order(subject, capture_method=CaptureMethod.MANUAL, **changes)
    answer = await confirm(subject, order)
    assert isinstance(answer.outcome, Approved)
    assert answer.provider_reference is not None
    return order, answer.provider_reference


def to_capture(reference: str, amount: int = HELD, currency: str = "eur") -> CaptureOrder:
    return CaptureOrder(
        attempt=new_id("attempt"),
        provider_reference=reference,
        amount=amount,
        currency=Currency(currency),
    )


def to_cancel(reference: str) -> CancelOrder:
    return CancelOrder(key=new_id("attempt"), provider_reference=reference)


async def capture(subject: Subject, order: CaptureOrder) -> Answer:
    return await subject.provider.capture(order, timeout_seconds=PATIENCE)


async def cancel(subject: Subject, order: CancelOrder) -> Answer:
    return await subject.provider.cancel(order, timeout_seconds=PATIENCE)


async def act(subject: Subject, call: Call, order: CaptureOrder | CancelOrder) -> Answer:
    assert call in {"capture", "cancel"}
    if isinstance(order, CaptureOrder):
        return await capture(subject, order)
    return await cancel(subject, order)


def an_order(call: Call, reference: str) -> CaptureOrder | CancelOrder:
    return to_capture(reference) if call == "capture" else to_cancel(reference)


def done(call: Call) -> type[Outcome]:
    return Approved if call == "capture" else Cancelled


BOTH = pytest.mark.parametrize("call", ["capture", "cancel"])


class HoldConformance:
    async def test_a_capture_takes_all(self, subject: Subject) -> None:
        order, reference = await hold(subject)
        answer = await capture(subject, to_capture(reference))
        assert isinstance(answer.outcome, Approved)
        assert answer.outcome.payment_method is not None
        assert answer.outcome == Approved(True, HELD, 0, answer.outcome.payment_method)
        assert answer.provider_reference == reference
        assert answer.attempt == order.attempt, "the payment bears its confirm's attempt"
        assert answer.as_of is not None
        assert (await retrieve(subject, reference)).outcome == answer.outcome
        assert await subject.taken(order.attempt) == HELD

    @pytest.mark.parametrize(
        ("held", "amount", "currency", "units"),
        [(1999, 500, "eur", 500), (5120, 1280, "kwd", 1280), (50, 20, "isk", 2000)],
    )
    async def test_a_capture_takes_a_part_and_releases_the_rest(
        self, subject: Subject, held: int, amount: int, currency: str, units: int
    ) -> None:
        order, reference = await hold(subject, amount=held, currency=Currency(currency))
        answer = await capture(subject, to_capture(reference, amount, currency))
        assert isinstance(answer.outcome, Approved)
        assert answer.outcome.captured
        assert (answer.outcome.amount_received, answer.outcome.amount_capturable) == (amount, 0)
        assert answer.amount == held
        assert (await retrieve(subject, reference)).outcome == answer.outcome
        assert await subject.taken(order.attempt) == units

    async def test_a_capture_sent_again_takes_once(self, subject: Subject) -> None:
        order, reference = await hold(subject)
        again = to_capture(reference, 700)
        first, second = await capture(subject, again), await capture(subject, again)
        assert first.outcome == second.outcome
        assert await subject.taken(order.attempt) == 700

    async def test_captures_at_once_take_once(self, subject: Subject) -> None:
        order, reference = await hold(subject)
        orders = [to_capture(reference, 700) for _ in range(4)]
        answers = await asyncio.gather(*(capture(subject, each) for each in orders))
        assert {type(answer.outcome) for answer in answers} == {Approved}
        assert await subject.taken(order.attempt) == 700

    async def test_a_second_capture_learns_of_the_first(self, subject: Subject) -> None:
        order, reference = await hold(subject)
        await capture(subject, to_capture(reference, 700))
        answer = await capture(subject, to_capture(reference))
        assert isinstance(answer.outcome, Approved)
        assert answer.outcome.amount_received == 700
        assert await subject.taken(order.attempt) == 700

    async def test_more_taken_than_asked_is_doubted_and_found_out(self, subject: Subject) -> None:
        _, reference = await hold(subject)
        await capture(subject, to_capture(reference))
        answer = await capture(subject, to_capture(reference, 700))
        assert isinstance(answer.outcome, Unknown)
        found = (await retrieve(subject, reference)).outcome
        assert isinstance(found, Approved)
        assert found.amount_received == HELD

    async def test_a_capture_of_more_than_is_held_is_refused(self, subject: Subject) -> None:
        order, reference = await hold(subject)
        answer = await capture(subject, to_capture(reference, HELD + 1))
        assert isinstance(answer.outcome, Rejected)
        assert answer.outcome.reason == "order_refused"
        assert await subject.taken(order.attempt) == 0
        assert isinstance((await capture(subject, to_capture(reference))).outcome, Approved)

    async def test_a_capture_after_a_cancel_learns_of_it(self, subject: Subject) -> None:
        order, reference = await hold(subject)
        await cancel(subject, to_cancel(reference))
        answer = await capture(subject, to_capture(reference))
        assert isinstance(answer.outcome, Cancelled)
        assert answer.provider_reference == reference
        assert await subject.taken(order.attempt) == 0

    async def test_a_capture_of_what_is_not_held_is_refused(self, subject: Subject) -> None:
        order = make_order(subject, instrument=CardToken(subject.token_challenged))
        reference = (await confirm(subject, order)).provider_reference
        assert reference is not None
        answer = await capture(subject, to_capture(reference))
        assert isinstance(answer.outcome, Rejected)
        assert answer.outcome.reason == "order_refused"
        # What another account asks for is not there either: that ends nothing.
        answer = await capture(subject, to_capture(subject.absent_reference))
        assert isinstance(answer.outcome, Unknown)
        assert await subject.taken(order.attempt) == 0

    async def test_a_cancel_releases_a_hold(self, subject: Subject) -> None:
        order, reference = await hold(subject)
        answer = await cancel(subject, to_cancel(reference))
        assert isinstance(answer.outcome, Cancelled)
        assert answer.provider_reference == reference
        assert answer.as_of is not None
        assert (await retrieve(subject, reference)).outcome == answer.outcome
        assert await subject.taken(order.attempt) == 0

    @pytest.mark.parametrize("kind", ["token_challenged", "token_declined"])
    async def test_a_cancel_closes_what_took_nothing(self, subject: Subject, kind: str) -> None:
        order = make_order(subject, instrument=CardToken(getattr(subject, kind)))
        reference = (await confirm(subject, order)).provider_reference
        assert reference is not None
        answer = await cancel(subject, to_cancel(reference))
        assert isinstance(answer.outcome, Cancelled)
        assert isinstance((await retrieve(subject, reference)).outcome, Cancelled)

    async def test_a_cancel_sent_again_is_the_same(self, subject: Subject) -> None:
        _, reference = await hold(subject)
        again = to_cancel(reference)
        for each in (again, again, to_cancel(reference)):
            assert isinstance((await cancel(subject, each)).outcome, Cancelled)

    async def test_a_cancel_after_a_capture_learns_what_was_taken(self, subject: Subject) -> None:
        order, reference = await hold(subject)
        await capture(subject, to_capture(reference, 700))
        again = to_cancel(reference)
        for each in (again, again):
            answer = await cancel(subject, each)
            assert isinstance(answer.outcome, Approved)
            assert answer.outcome.captured
            assert answer.outcome.amount_received == 700
            assert answer.provider_reference == reference
        assert await subject.taken(order.attempt) == 700

    async def test_a_capture_and_a_cancel_at_once_agree(self, subject: Subject) -> None:
        order, reference = await hold(subject)
        answers = await asyncio.gather(
            capture(subject, to_capture(reference)), cancel(subject, to_cancel(reference))
        )
        taken = await subject.taken(order.attempt)
        assert {type(each.outcome) for each in answers} == ({Approved} if taken else {Cancelled})

    async def test_a_cancel_of_what_the_provider_never_had_is_unknown(
        self, subject: Subject
    ) -> None:
        answer = await cancel(subject, to_cancel(subject.absent_reference))
        assert isinstance(answer.outcome, Unknown)

    @BOTH
    async def test_a_lost_reply_is_unknown_and_a_second_send_learns_it(
        self, subject: Subject, call: Call
    ) -> None:
        _, reference = await hold(subject)
        order = an_order(call, reference)
        await subject.fault(call, "reply_lost", 1)
        assert isinstance((await act(subject, call, order)).outcome, Unknown)
        found = await retrieve(subject, reference)
        again = await act(subject, call, order)
        assert isinstance(again.outcome, done(call))
        assert isinstance(found.outcome, done(call))

    @BOTH
    async def test_an_error_after_the_effect_stays_unknown_until_it_is_looked_up(
        self, subject: Subject, call: Call
    ) -> None:
        _, reference = await hold(subject)
        order = an_order(call, reference)
        await subject.fault(call, "error_after", 1)
        for _ in range(2):  # the second is the first answer again
            assert isinstance((await act(subject, call, order)).outcome, Unknown)
        assert isinstance((await retrieve(subject, reference)).outcome, done(call))
        other = an_order(call, reference)
        assert isinstance((await act(subject, call, other)).outcome, done(call))

    @BOTH
    async def test_an_error_before_the_effect_is_unknown_too(
        self, subject: Subject, call: Call
    ) -> None:
        _, reference = await hold(subject)
        order = an_order(call, reference)
        await subject.fault(call, "error_before", 1)
        assert isinstance((await act(subject, call, order)).outcome, Unknown)
        assert (await retrieve(subject, reference)).outcome.__class__ is Approved
        assert isinstance((await act(subject, call, order)).outcome, done(call))

    @BOTH
    async def test_a_rate_limit_is_certain(self, subject: Subject, call: Call) -> None:
        order, reference = await hold(subject)
        await subject.fault(call, "rate_limited", 100)
        answer = await act(subject, call, an_order(call, reference))
        assert isinstance(answer.outcome, NotSent)
        found = (await retrieve(subject, reference)).outcome
        assert isinstance(found, Approved)
        assert not found.captured
        assert await subject.taken(order.attempt) == 0

    @BOTH
    async def test_a_hang_ends_at_the_deadline(self, subject: Subject, call: Call) -> None:
        _, reference = await hold(subject)
        await subject.fault(call, "hang", 1)
        loop = asyncio.get_running_loop()
        started, order = loop.time(), an_order(call, reference)
        if isinstance(order, CaptureOrder):
            answer = await subject.provider.capture(order, timeout_seconds=0.5)
        else:
            answer = await subject.provider.cancel(order, timeout_seconds=0.5)
        assert isinstance(answer.outcome, Unknown)
        assert loop.time() - started < PATIENCE

    @BOTH
    async def test_a_key_that_is_refused_is_our_configuration(
        self, subject: Subject, call: Call
    ) -> None:
        order, reference = await hold(subject)
        other = msgspec.structs.replace(subject, provider=subject.unauthorised)
        answer = await act(other, call, an_order(call, reference))
        assert isinstance(answer.outcome, Rejected)
        assert answer.outcome.reason == "provider_configuration"
        assert await subject.charged(order.attempt) == 1
