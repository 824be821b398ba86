"""What the port promises of refunds: how money goes back, once, and what is said of it later."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Approved, NotSent, Unknown
from paygate.domain.payments.payment_method import CardToken
from paygate.domain.refunds.conclusion import CONFIGURATION
from paygate.domain.refunds.outcome import (
    RefundAnswer,
    Refunded,
    RefundFailed,
    RefundPending,
    RefundRejected,
)
from paygate.domain.refunds.refund import RefundReason
from paygate.providers.absence import Absent
from paygate.providers.contract import RefundOrder
from tests.making import new_id
from tests.providers.conformance import PATIENCE, Subject, confirm, make_order

TAKEN = 1999


async def pay(subject: Subject, **changes: Any) -> str:
    """The reference of a payment whose money was taken."""
    order = make_order(subject, **changes)
    answer = await confirm(subject, order)
    assert isinstance(answer.outcome, Approved)
    assert answer.provider_reference is not None
    return answer.provider_reference


def to_refund(
    reference: str, amount: int = TAKEN, currency: str = "eur", **more: Any
) -> RefundOrder:
    return RefundOrder(
        refund=new_id("refund"),
        merchant="default",
        payment_reference=reference,
        amount=amount,
        currency=Currency(currency),
        **more,
    )


async def refund(subject: Subject, order: RefundOrder) -> RefundAnswer:
    return await subject.provider.refund(order, timeout_seconds=PATIENCE)


async def retrieve(subject: Subject, reference: str | None) -> RefundAnswer:
    assert reference is not None
    found = await subject.provider.retrieve_refund(reference, timeout_seconds=PATIENCE)
    assert isinstance(found, RefundAnswer)
    return found


async def listed(subject: Subject, payment_reference: str) -> list[RefundAnswer]:
    found = subject.provider.list_refunds(payment_reference, timeout_seconds=PATIENCE)
    return [each async for each in found]


class RefundConformance:
    @pytest.mark.parametrize(
        ("amount", "currency", "units"),
        [(1999, "eur", 1999), (500, "jpy", 500), (50, "isk", 5000), (5120, "kwd", 5120)],
    )
    async def test_all_of_a_payment_goes_back(
        self, subject: Subject, amount: int, currency: str, units: int
    ) -> None:
        reference = await pay(subject, amount=amount, currency=Currency(currency))
        order = to_refund(reference, amount, currency, reason=RefundReason.REQUESTED_BY_CUSTOMER)
        answer = await refund(subject, order)
        assert answer.outcome == Refunded()
        assert (answer.amount, answer.currency) == (amount, currency)
        assert (answer.refund, answer.payment_reference) == (order.refund, reference)
        assert answer.as_of is not None
        assert await subject.refunded(reference) == [units]
        assert (await retrieve(subject, answer.provider_reference)).outcome == Refunded()

    async def test_parts_go_back_each_once(self, subject: Subject) -> None:
        reference = await pay(subject)
        orders = [to_refund(reference, 500) for _ in range(2)]
        answers = [await refund(subject, order) for order in (*orders, *orders)]
        assert {answer.outcome for answer in answers} == {Refunded()}
        assert len({answer.provider_reference for answer in answers}) == 2
        assert await subject.refunded(reference) == [500, 500]

    async def test_sent_many_times_at_once_it_goes_back_once(self, subject: Subject) -> None:
        reference = await pay(subject)
        order = to_refund(reference, 700)
        await asyncio.gather(*(refund(subject, order) for _ in range(5)))
        assert await subject.refunded(reference) == [700]
        assert (await refund(subject, order)).outcome == Refunded()

    async def test_more_than_was_taken_is_refused_and_nothing_goes_back(
        self, subject: Subject
    ) -> None:
        reference = await pay(subject)
        answer = await refund(subject, to_refund(reference, TAKEN + 1))
        assert isinstance(answer.outcome, RefundRejected)
        await refund(subject, to_refund(reference))
        answer = await refund(subject, to_refund(reference, 1))
        assert isinstance(answer.outcome, RefundRejected)
        assert await subject.refunded(reference) == [TAKEN]

    async def test_a_payment_that_is_not_there_says_nothing(self, subject: Subject) -> None:
        answer = await refund(subject, to_refund(subject.absent_reference))
        assert isinstance(answer.outcome, Unknown)

    async def test_one_that_takes_its_time_is_pending_and_then_done(self, subject: Subject) -> None:
        reference = await pay(subject, instrument=CardToken(subject.token_refund_pending))
        answer = await refund(subject, to_refund(reference, 300))
        assert isinstance(answer.outcome, RefundPending)
        await subject.banks_answer()
        assert (await retrieve(subject, answer.provider_reference)).outcome == Refunded()

    async def test_one_that_comes_back_has_failed(self, subject: Subject) -> None:
        reference = await pay(subject, instrument=CardToken(subject.token_refund_failing))
        answer = await refund(subject, to_refund(reference, 300))
        assert answer.outcome == Refunded()
        await subject.banks_answer()
        after = await retrieve(subject, answer.provider_reference)
        assert isinstance(after.outcome, RefundFailed)
        assert after.outcome.code

    async def test_a_lost_reply_is_unknown_and_a_second_send_learns_it(
        self, subject: Subject
    ) -> None:
        reference = await pay(subject)
        order = to_refund(reference, 300)
        await subject.fault("refund", "reply_lost", 1)
        assert isinstance((await refund(subject, order)).outcome, Unknown)
        assert (await refund(subject, order)).outcome == Refunded()
        assert await subject.refunded(reference) == [300]

    async def test_an_error_after_the_effect_stays_unknown_until_it_is_looked_up(
        self, subject: Subject
    ) -> None:
        reference = await pay(subject)
        order = to_refund(reference, 300)
        await subject.fault("refund", "error_after", 1)
        for _ in range(2):  # the second is the first answer again
            assert isinstance((await refund(subject, order)).outcome, Unknown)
        (found,) = await listed(subject, reference)
        assert (found.refund, found.outcome) == (order.refund, Refunded())
        assert await subject.refunded(reference) == [300]

    async def test_a_rate_limit_is_certain(self, subject: Subject) -> None:
        reference = await pay(subject)
        await subject.fault("refund", "rate_limited", 100)
        answer = await refund(subject, to_refund(reference, 300))
        assert isinstance(answer.outcome, NotSent)
        assert await subject.refunded(reference) == []

    async def test_a_key_that_is_refused_says_so(self, subject: Subject) -> None:
        order = to_refund(subject.absent_reference)
        answer = await subject.unauthorised.refund(order, timeout_seconds=PATIENCE)
        assert isinstance(answer.outcome, RefundRejected)
        assert answer.outcome.code == CONFIGURATION

    async def test_all_of_a_payments_are_listed_past_any_page(self, subject: Subject) -> None:
        reference = await pay(subject)
        orders = [to_refund(reference, 10) for _ in range(12)]
        for order in orders:
            await refund(subject, order)
        found = await listed(subject, reference)
        assert [each.refund for each in found] == [order.refund for order in reversed(orders)]

    async def test_those_of_a_window_are_listed(self, subject: Subject) -> None:
        order = to_refund(await pay(subject), 10)
        await refund(subject, order)
        now, window = datetime.now(UTC), timedelta(minutes=30)
        found = subject.provider.list_refunds_created(
            now - window, now + window, timeout_seconds=PATIENCE
        )
        assert order.refund in [each.refund async for each in found]

    async def test_one_that_is_not_there_is_absent(self, subject: Subject) -> None:
        found = await subject.provider.retrieve_refund("re_absent", timeout_seconds=PATIENCE)
        assert found == Absent()
