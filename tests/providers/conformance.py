"""What the port promises, asked of a real provider: one suite, whatever the provider.

A provider joins by classes of its own that inherit `ProviderConformance` and its neighbours
(`conformance_*`) and answer the fixture `subject`. Nothing here may name a provider, its ids or its
protocol. The judge of what was charged is the provider's own books, never an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import pytest

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    Card,
    Declined,
    NotSent,
    RedirectToUrl,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_intent import CaptureMethod
from paygate.domain.payments.payment_method import CardToken
from paygate.providers.absence import Absent, ProviderSilent
from paygate.providers.contract import ConfirmOrder, Notice, Provider, SignatureError
from tests.making import new_id

Fault = Literal["reply_lost", "error_after", "error_before", "rate_limited", "hang"]
Call = Literal[
    "confirm", "capture", "cancel", "refund", "dispute", "file", "customer", "look_up", "list"
]
Payout = Literal["told", "untold", "in_vain", "by_hand"]
"""A payout whose lines are told at once, or later; one that comes back; one made by hand."""
Account = Literal["good", "failing", "unusable"]
Delivery = tuple[bytes, Mapping[str, str]]

PATIENCE = 20.0
"""Seconds that a call may take in a suite on a busy machine."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A provider, and what one must know of it to try it."""

    provider: Provider
    unauthorised: Provider
    """The same, with a key that the provider does not know."""
    token_approved: str
    token_declined: str
    token_lost_card: str
    token_challenged: str
    token_unusable: str
    token_refund_pending: str
    """Refunds of it are done when the banks have answered."""
    token_refund_failing: str
    """Refunds of it come back when the banks have answered."""
    token_disputed: str
    """What it pays is charged back at once, as fraudulent."""
    token_inquired: str
    token_compliance: str
    """What it pays is charged back as a compliance case of Visa's."""
    token_warned: str
    """What it pays is warned of, and not disputed."""
    token_available: str
    """What it pays may be paid out at once."""
    winning_texts: dict[str, str]
    """Evidence that wins when the banks have answered."""
    installation: str
    card: tuple[str, str]
    """Brand and last four digits of the token to be approved."""
    absent_reference: str
    fault: Callable[[Call, Fault, int], Awaitable[None]]
    """Order a fault for the next calls of a kind, so many times."""
    charged: Callable[[str], Awaitable[int]]
    """How many charges that took or hold money the provider's books have for an attempt."""
    taken: Callable[[str], Awaitable[int]]
    """How much money they took, in the provider's units."""
    refunded: Callable[[str], Awaitable[list[int]]]
    """What the provider's books have given back of a payment, each refund in its units."""
    submissions: Callable[[str], Awaitable[int]]
    """How often evidence was submitted in a dispute, in the provider's books."""
    uploaded: Callable[[str], Awaitable[str]]
    """The SHA-256 of a file that the provider has, by its id there."""
    calm: Callable[[], Awaitable[None]]
    """End every fault that was ordered."""
    customers: Callable[[str], Awaitable[int]]
    """How many customers the provider has for one of ours."""
    details: Callable[[str], Awaitable[tuple[str | None, str | None]]]
    """Email and name of a customer, by the provider's id, in the provider's books."""
    delete_customer: Callable[[str], Awaitable[None]]
    """Somebody deletes a customer at the provider, by its id."""
    account: Callable[[Account, Currency], Awaitable[str]]
    """A token for a bank account that can be debited in a currency, or cannot."""
    banks_answer: Callable[[], Awaitable[None]]
    """Let the time pass that a bank takes to answer a debit."""
    transfer: Callable[[str, int, Currency], Awaitable[None]]
    """Send money to the account of a customer, by the provider's id, in the provider's units."""
    delivered: Callable[[str], Awaitable[list[Delivery]]]
    """The provider's deliveries about a payment so far, by its reference."""
    pays_out: Callable[[Currency, Payout], Awaitable[str]]
    """Have the provider pay out all that is available in a currency; the payout's id."""
    days_pass: Callable[[], Awaitable[None]]
    """Let the time pass that a payout takes, or takes to come back."""
    moves: Callable[[int, Currency, str], Awaitable[None]]
    """Move money on the balance, in the provider's units, under a word of the provider's."""
    converts: Callable[[Currency, Currency, str], Awaitable[None]]
    """From now on what is paid in a currency is kept in another one, at a rate."""
    books_in_two: Callable[[], Awaitable[None]]
    """From now on a part of a hold is booked as the whole, and a line that takes the rest back."""
    books_as_ever: Callable[[], Awaitable[None]]
    """End that, and the conversion."""
    payout_delivery: Callable[[str], Awaitable[Delivery]]
    """Its last delivery about a payout, by its id, that says that the lines are told."""
    money_left_delivery: Callable[[str], Awaitable[Delivery]]
    """Its delivery about a customer, by the provider's id, whose money pays for nothing."""


def make_order(subject: Subject, **changes: Any) -> ConfirmOrder:
    given: dict[str, Any] = {
        "attempt": new_id("attempt"),
        "intent": new_id("payment_intent"),
        "merchant": "default",
        "amount": 1999,
        "currency": Currency("eur"),
        "capture_method": CaptureMethod.AUTOMATIC,
        "instrument": CardToken(subject.token_approved),
        "return_url": "https://gateway.example/3ds",
    }
    return ConfirmOrder(**given | changes)


async def confirm(subject: Subject, order: ConfirmOrder) -> Answer:
    return await subject.provider.confirm(order, timeout_seconds=PATIENCE)


async def look_up(
    subject: Subject, order: ConfirmOrder, window: timedelta = timedelta(minutes=10)
) -> Answer | None:
    """What the sweep does for an attempt whose reference is not known."""
    now = datetime.now(UTC)
    found = subject.provider.list_created(now - window, now + window, timeout_seconds=PATIENCE)
    return next((a for a in [a async for a in found] if a.attempt == order.attempt), None)


async def retrieve(subject: Subject, reference: str | None) -> Answer:
    assert reference is not None
    found = await subject.provider.retrieve(reference, timeout_seconds=PATIENCE)
    assert isinstance(found, Answer)
    return found


class ProviderConformance:
    @pytest.mark.parametrize(
        ("amount", "currency"),
        [(1999, "eur"), (500, "jpy"), (500, "isk"), (5120, "kwd"), (50000, "mga")],
    )
    async def test_an_approval(self, subject: Subject, amount: int, currency: str) -> None:
        order = make_order(subject, amount=amount, currency=Currency(currency))
        assert subject.provider.representable(amount, Currency(currency))
        answer = await confirm(subject, order)
        assert isinstance(answer.outcome, Approved)
        card = answer.outcome.payment_method
        assert answer.outcome == Approved(True, amount, 0, card)
        assert isinstance(card, Card)
        assert (card.brand, card.last4) == subject.card
        assert card.exp_month
        assert card.exp_year
        assert answer.provider_reference
        assert answer.as_of is not None
        assert abs(datetime.now(UTC) - answer.as_of) < timedelta(minutes=1)
        assert (answer.amount, answer.currency) == (amount, currency)
        assert (answer.attempt, answer.merchant) == (order.attempt, "default")
        assert answer.installation
        assert await subject.charged(order.attempt) == 1

    async def test_a_hold(self, subject: Subject) -> None:
        order = make_order(subject, capture_method=CaptureMethod.MANUAL)
        answer = await confirm(subject, order)
        assert isinstance(answer.outcome, Approved)
        assert not answer.outcome.captured
        assert (answer.outcome.amount_received, answer.outcome.amount_capturable) == (0, 1999)
        assert answer.outcome.authorization_expires_at is not None
        assert answer.outcome.authorization_expires_at > datetime.now(UTC)

    async def test_a_decline(self, subject: Subject) -> None:
        order = make_order(subject, instrument=CardToken(subject.token_declined))
        answer = await confirm(subject, order)
        assert isinstance(answer.outcome, Declined)
        assert answer.outcome.error.code == "card_declined"
        assert answer.provider_reference
        assert answer.attempt == order.attempt
        assert await subject.charged(order.attempt) == 0

    async def test_a_lost_card_is_told_in_the_decline_code_alone(self, subject: Subject) -> None:
        answer = await confirm(
            subject, make_order(subject, instrument=CardToken(subject.token_lost_card))
        )
        assert isinstance(answer.outcome, Declined)
        assert answer.outcome.error.decline_code == "lost_card"
        assert "lost" not in answer.outcome.error.message

    async def test_a_challenge(self, subject: Subject) -> None:
        order = make_order(subject, instrument=CardToken(subject.token_challenged))
        answer = await confirm(subject, order)
        assert isinstance(answer.outcome, ActionRequired)
        assert isinstance(answer.outcome.next_action, RedirectToUrl)
        assert answer.outcome.next_action.return_url == order.return_url
        assert await subject.charged(order.attempt) == 0

    async def test_a_token_that_is_not_usable(self, subject: Subject) -> None:
        order = make_order(subject, instrument=CardToken(subject.token_unusable))
        answer = await confirm(subject, order)
        assert isinstance(answer.outcome, Rejected)
        assert answer.outcome.reason == "payment_method_rejected"
        assert subject.token_unusable not in repr(answer)

    async def test_an_order_sent_again_is_one_payment(self, subject: Subject) -> None:
        order = make_order(subject)
        first, second = await confirm(subject, order), await confirm(subject, order)
        assert first.outcome == second.outcome
        assert first.provider_reference == second.provider_reference
        assert await subject.charged(order.attempt) == 1

    async def test_an_order_sent_at_once_is_one_payment(self, subject: Subject) -> None:
        order = make_order(subject)
        answers = await asyncio.gather(*(confirm(subject, order) for _ in range(8)))
        assert {type(answer.outcome) for answer in answers} <= {Approved, Unknown}
        references = {a.provider_reference for a in answers if isinstance(a.outcome, Approved)}
        assert len(references) == 1
        assert await subject.charged(order.attempt) == 1

    async def test_an_attempt_with_another_order_is_not_believed(self, subject: Subject) -> None:
        order = make_order(subject)
        await confirm(subject, order)
        other = msgspec.structs.replace(order, amount=order.amount + 1)
        assert isinstance((await confirm(subject, other)).outcome, Unknown)
        assert await subject.charged(order.attempt) == 1

    async def test_a_lost_reply_is_unknown_and_a_second_send_learns_it(
        self, subject: Subject
    ) -> None:
        order = make_order(subject)
        await subject.fault("confirm", "reply_lost", 1)
        assert isinstance((await confirm(subject, order)).outcome, Unknown)
        found = await look_up(subject, order)
        again = await confirm(subject, order)
        assert isinstance(again.outcome, Approved)
        assert found is not None
        assert found.outcome == again.outcome
        assert await subject.charged(order.attempt) == 1

    async def test_an_error_after_the_charge_stays_unknown_until_it_is_looked_up(
        self, subject: Subject
    ) -> None:
        order = make_order(subject)
        await subject.fault("confirm", "error_after", 1)
        for _ in range(2):  # the second is the first answer again
            assert isinstance((await confirm(subject, order)).outcome, Unknown)
        found = await look_up(subject, order)
        assert found is not None
        assert isinstance(found.outcome, Approved)
        assert found.provider_reference is not None
        same = await subject.provider.retrieve(found.provider_reference, timeout_seconds=PATIENCE)
        assert isinstance(same, Answer)
        assert same.outcome == found.outcome
        assert await subject.charged(order.attempt) == 1

    async def test_an_error_before_the_charge_is_unknown_too(self, subject: Subject) -> None:
        order = make_order(subject)
        await subject.fault("confirm", "error_before", 1)
        assert isinstance((await confirm(subject, order)).outcome, Unknown)
        assert await subject.charged(order.attempt) == 0
        assert isinstance((await confirm(subject, order)).outcome, Approved)

    async def test_a_rate_limit_is_waited_out_and_then_certain(self, subject: Subject) -> None:
        order = make_order(subject)
        await subject.fault("confirm", "rate_limited", 1)
        assert isinstance((await confirm(subject, order)).outcome, Approved)
        refused = make_order(subject)
        await subject.fault("confirm", "rate_limited", 100)
        answer = await confirm(subject, refused)
        assert isinstance(answer.outcome, NotSent)
        assert answer.outcome.retry_after_seconds >= 1
        assert await subject.charged(refused.attempt) == 0

    async def test_a_hang_ends_at_the_deadline(self, subject: Subject) -> None:
        await subject.fault("confirm", "hang", 1)
        loop = asyncio.get_running_loop()
        started = loop.time()
        answer = await subject.provider.confirm(make_order(subject), timeout_seconds=0.5)
        assert isinstance(answer.outcome, Unknown)
        assert loop.time() - started < PATIENCE

    async def test_a_look_up_tells_what_the_confirm_told(self, subject: Subject) -> None:
        for token in (subject.token_approved, subject.token_declined, subject.token_challenged):
            answer = await confirm(subject, make_order(subject, instrument=CardToken(token)))
            assert answer.provider_reference is not None
            found = await subject.provider.retrieve(
                answer.provider_reference, timeout_seconds=PATIENCE
            )
            assert isinstance(found, Answer)
            assert msgspec.structs.replace(found, as_of=None) == msgspec.structs.replace(
                answer, as_of=None
            )

    async def test_the_account_is_named_and_stays_the_same(self, subject: Subject) -> None:
        first = await subject.provider.account(timeout_seconds=PATIENCE)
        assert isinstance(first, str)
        assert first
        assert await subject.provider.account(timeout_seconds=PATIENCE) == first

    async def test_every_answer_tells_of_the_providers_clock(self, subject: Subject) -> None:
        await subject.provider.account(timeout_seconds=PATIENCE)
        skew = subject.provider.skew
        assert skew is not None
        assert abs(skew.ahead) - skew.within < timedelta(seconds=5)

    async def test_what_the_provider_never_had_is_absent(self, subject: Subject) -> None:
        found = await subject.provider.retrieve(subject.absent_reference, timeout_seconds=PATIENCE)
        assert found == Absent()

    async def test_the_list_is_whole_and_newest_first(self, subject: Subject) -> None:
        since = datetime.now(UTC) - timedelta(seconds=1)
        orders = [make_order(subject) for _ in range(3)]
        for order in orders:
            await confirm(subject, order)
        listed = [
            answer.attempt
            async for answer in subject.provider.list_created(
                since, datetime.now(UTC) + timedelta(seconds=5), timeout_seconds=PATIENCE
            )
        ]
        ours = {order.attempt for order in orders}
        assert [a for a in listed if a in ours] == [order.attempt for order in reversed(orders)]

    async def test_the_list_keeps_to_its_window(self, subject: Subject) -> None:
        order = make_order(subject)
        await confirm(subject, order)
        before = datetime.now(UTC) - timedelta(days=1)
        listed = subject.provider.list_created(
            before - timedelta(days=1), before, timeout_seconds=PATIENCE
        )
        assert order.attempt not in [answer.attempt async for answer in listed]

    async def test_a_delivery_tells_what_the_confirm_told(self, subject: Subject) -> None:
        order = make_order(subject)
        answer = await confirm(subject, order)
        assert answer.provider_reference is not None
        notices = await self._notices(subject, answer.provider_reference)
        answers = [n.answer for n in notices if n.answer and isinstance(n.answer.outcome, Approved)]
        assert answers
        for said in answers:
            assert said.attempt == order.attempt
            assert said.provider_reference == answer.provider_reference
            assert isinstance(said.outcome, Approved)
            assert said.outcome.amount_received == order.amount
        assert all(notice.exact and not notice.livemode for notice in notices if notice.answer)

    async def test_a_delivery_that_was_touched_is_refused(self, subject: Subject) -> None:
        answer = await confirm(subject, make_order(subject))
        assert answer.provider_reference is not None
        now = datetime.now(UTC)
        for body, headers in await subject.delivered(answer.provider_reference):
            subject.provider.verify_event(body, headers, now)
            for touched, sent, at in (
                (body + b" ", headers, now),
                (body.replace(b"1999", b"1998"), headers, now),
                (body, {}, now),
                (body, headers, now + timedelta(minutes=6)),
                (body, headers, now - timedelta(minutes=6)),
            ):
                if touched == body and sent == headers and at == now:
                    continue
                with pytest.raises(SignatureError):
                    subject.provider.verify_event(touched, sent, at)

    async def _notices(self, subject: Subject, reference: str) -> list[Notice]:
        now = datetime.now(UTC)
        deliveries = await subject.delivered(reference)
        for body, headers in deliveries:
            subject.provider.verify_event(body, headers, now)
            assert subject.provider.masked_event(body) == (body, 0), "it has no card number"
        return [subject.provider.read_event(body) for body, _ in deliveries]

    async def test_a_key_that_is_refused_rejects_orders_and_proves_nothing_else(
        self, subject: Subject
    ) -> None:
        provider = subject.unauthorised
        answer = await provider.confirm(make_order(subject), timeout_seconds=PATIENCE)
        assert isinstance(answer.outcome, Rejected)
        assert answer.outcome.reason == "provider_configuration"
        found = await provider.retrieve(subject.absent_reference, timeout_seconds=PATIENCE)
        assert isinstance(found, Answer)
        assert isinstance(found.outcome, Unknown)
        assert isinstance(await provider.account(timeout_seconds=PATIENCE), Rejected)
        now = datetime.now(UTC)
        with pytest.raises(ProviderSilent):
            [a async for a in provider.list_created(now, now, timeout_seconds=PATIENCE)]
