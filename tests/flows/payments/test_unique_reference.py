"""One order, one payment: while an intent of a reference is paid or can be, a create that wants to
be the only one is refused with that intent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertType
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.event import Event
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.payments.outcome import (
    ActionRequired,
    Approved,
    Declined,
    NotSent,
    Outcome,
    PaymentError,
    Pending,
    RedirectToUrl,
    Unknown,
)
from paygate.domain.payments.payment_intent import (
    CORRECTIONS,
    ENDED_WITHOUT_MONEY,
    PaymentIntent,
    Status,
)
from paygate.domain.payments.payment_method import CardToken
from paygate.domain.payments.reference_claim import ReferenceClaim
from paygate.flows.context import CommitDoor
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.run_once import StoredResponse, idempotently
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.create import Created, NewPaymentIntent, create_payment_intent
from paygate.flows.payments.sweeps.expire import expire_payment_intents
from paygate.storage.change import Change, Conflict, Overloaded, Reason, Verdict
from paygate.storage.reader import Reader
from paygate.storage.unreadable import Unreadable
from tests.flows.spoilt import spoil
from tests.flows.world import APPROVED, CARD, World, answer, encode, notice

ORDER = "order-1042"
HELD = Approved(captured=False, amount_received=0, amount_capturable=1999, payment_method=CARD)
DECLINED = Declined(PaymentError("card_declined", "no"))
ASKED = ActionRequired(RedirectToUrl("https://bank.example/3ds"))
LIVE: dict[str, Outcome] = {
    "succeeded": APPROVED,
    "requires_capture": HELD,
    "requires_action": ASKED,
    "processing": Pending(),
    "in doubt": Unknown("timeout"),
}


async def order(world: World, reference: str = ORDER, **more: Any) -> PaymentIntent:
    return await world.create(reference=reference, unique_reference=True, **more)


async def refused(work: Awaitable[Any]) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        await work
    return refusal.value


async def in_use(world: World, by: PaymentIntent, reference: str = ORDER) -> None:
    """Whoever orders is told of that intent, and nothing is left of the try."""
    before = await world.counts()
    refusal = await refused(order(world, reference))
    assert (refusal.code, refusal.param) == (ErrorCode.REFERENCE_IN_USE, "reference")
    assert refusal.subject == (await world.now(by))[0]
    assert await world.counts() == before


async def declined(world: World) -> PaymentIntent:
    world.provider.answers.append(answer(DECLINED))
    failed = await world.confirm(await order(world))
    assert failed.status is Status.FAILED
    return failed


async def keyed(world: World, key: str, **more: Any) -> StoredResponse:
    """A create under an idempotency key, as the edge does it."""
    world.requests += 1
    caller = msgspec.structs.replace(world.caller, request_id=f"req {world.requests}")
    wanted: dict[str, Any] = {"reference": ORDER, "unique_reference": True} | more
    new = NewPaymentIntent(amount=1999, currency="eur", **wanted)

    def render(created: Created) -> bytes:
        return encode(created.intent)

    request = KeyedRequest(caller, Action.INTENT_CREATE, "sk POST", key, encode(new))
    return await idempotently(
        world.ctx, request, lambda ctx: create_payment_intent(ctx, caller, new), render
    )


async def test_a_second_order_is_refused_with_the_first(world: World) -> None:
    first = await order(world)
    await in_use(world, first)
    assert (await order(world, "order-1043")).reference == "order-1043"
    entries = [e for e in await world.audited() if e.action == "payment_intent.create"]
    assert [dict(e.details) for e in entries] == [{"unique_reference": "true"}] * 2


async def test_without_a_reference_nothing_can_be_unique(world: World) -> None:
    refusal = await refused(world.create(unique_reference=True))
    assert (refusal.code, refusal.param) == (ErrorCode.PARAMETER_MISSING, "reference")


async def test_one_spelling_of_unicode_is_the_other(world: World) -> None:
    first = await order(world, "cafe\u0301")
    await in_use(world, first, "caf\u00e9")


async def test_merchants_have_references_of_their_own(world: World) -> None:
    await world.connection.execute("INSERT INTO merchant (id) VALUES ('other')")
    await order(world)
    world.caller = msgspec.structs.replace(world.caller, merchant="other")
    theirs = await order(world)
    await in_use(world, theirs)


@pytest.mark.parametrize("name", LIVE)
async def test_what_is_paid_or_can_be_keeps_its_reference(world: World, name: str) -> None:
    world.provider.answers.append(answer(LIVE[name]))
    await in_use(world, await world.confirm(await order(world)))


async def test_what_was_not_sent_can_still_be_paid(world: World) -> None:
    first = await order(world)
    world.provider.answers.append(answer(NotSent("refused", 1)))
    await refused(world.confirm(first))
    await in_use(world, first)


async def test_a_failed_payment_frees_the_order(world: World) -> None:
    await declined(world)
    await in_use(world, await order(world))


async def test_a_cancelled_payment_frees_the_order(world: World) -> None:
    first = await order(world)
    await cancel_payment_intent(world.ctx, world.caller, first.id)
    await in_use(world, await order(world))


async def test_an_expired_payment_frees_the_order(world: World) -> None:
    first = await order(world)
    world.clock.forward(25 * 3600)
    await in_use(world, first)  # overdue, and not cancelled yet
    assert await expire_payment_intents(world.ctx, "run_1") == 1
    await in_use(world, await order(world))


def test_what_frees_is_what_only_a_correction_leads_out_of() -> None:
    assert {*CORRECTIONS} == ENDED_WITHOUT_MONEY
    assert {Status.FAILED, Status.CANCELLED, Status.REFUNDED} == ENDED_WITHOUT_MONEY


async def test_a_refunded_payment_frees_the_order(world: World) -> None:
    """By its status alone, and there are no refunds yet: it is looked for as the schema has it."""
    world.provider.answers.append(answer(APPROVED))
    paid = await world.confirm(await order(world))
    assert await world.ctx.read.payment_intent_by_reference("default", ORDER, besides="") == paid
    await world.connection.execute(
        "UPDATE payment_intent SET status = 'refunded', version = version + 1"
    )
    assert await world.ctx.read.payment_intent_by_reference("default", ORDER, besides="") is None
    assert (await order(world)).status is Status.CREATED


async def test_an_intent_that_did_not_ask_is_seen_too(world: World) -> None:
    first = await world.create(reference=ORDER)
    await in_use(world, first)
    await cancel_payment_intent(world.ctx, world.caller, first.id)
    await order(world)


async def test_who_does_not_ask_is_not_refused(world: World) -> None:
    """And of several the paid one is told of, or else the newest: that one is shown to a payer."""
    await order(world)
    world.provider.answers.append(answer(APPROVED))
    paid = await world.confirm(await world.create(reference=ORDER))
    await world.create(reference=ORDER)
    await in_use(world, paid)


async def test_the_newest_is_told_of_when_none_is_paid(world: World) -> None:
    await world.create(reference=ORDER)
    await in_use(world, await world.create(reference=ORDER))


async def test_of_many_at_once_one_wins(world: World) -> None:
    tries = await asyncio.gather(
        *(keyed(world, f"k{number}") for number in range(40)),
        *(order(world) for _ in range(10)),
        return_exceptions=True,
    )
    (intent,) = await world.all(PaymentIntent)
    others = [each for each in tries if isinstance(each, BaseException)]
    assert len(others) == 49
    for other in others:
        assert isinstance(other, Refusal), other
        assert (other.code, other.subject) == (ErrorCode.REFERENCE_IN_USE, intent)
    assert len(await world.all(ReferenceClaim)) == len(await world.all(Event)) == 1
    assert len(await world.all(IdempotencyKey)) <= 1, "a refused request leaves its key free"


async def test_the_second_round_has_one_winner_too(world: World) -> None:
    """The claim is there by then, and is advanced."""
    await declined(world)
    tries = await asyncio.gather(*(order(world) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(each, PaymentIntent) for each in tries) == 1
    (claim,) = await world.all(ReferenceClaim)
    (winner,) = [each for each in tries if isinstance(each, PaymentIntent)]
    assert (claim.version, claim.intent, claim.reference) == (2, winner.id, ORDER)


async def test_a_retry_of_the_winner_hears_of_the_winner(world: World) -> None:
    first = await keyed(world, "k1")
    assert await keyed(world, "k1") == StoredResponse(first.body, replayed=True)
    refusal = await refused(keyed(world, "k2"))
    assert refusal.code is ErrorCode.REFERENCE_IN_USE
    twins = await asyncio.gather(*(keyed(world, "k3", reference="order-2") for _ in range(5)))
    assert len({twin.body for twin in twins}) == 1


async def test_a_refused_key_is_free_for_the_same_request_later(world: World) -> None:
    first = await order(world)
    await refused(keyed(world, "k1"))
    await cancel_payment_intent(world.ctx, world.caller, first.id)
    assert not (await keyed(world, "k1")).replayed


async def test_a_key_that_is_taken_takes_no_reference(world: World) -> None:
    """Of requests with one key and other orders at once one is answered; the others' references are
    as free as before.
    """
    tries = await asyncio.gather(
        *(keyed(world, "k1", reference=f"order-{number}") for number in range(8)),
        return_exceptions=True,
    )
    answered = [each for each in tries if isinstance(each, StoredResponse)]
    assert len(answered) == 1
    codes = {each.code for each in tries if isinstance(each, Refusal)}
    assert codes == {ErrorCode.IDEMPOTENCY_KEY_REUSED}
    assert len(await world.all(ReferenceClaim)) == len(await world.all(PaymentIntent)) == 1


class Interfering:
    """The door, with something that happens just before a commit goes through it."""

    def __init__(self, door: CommitDoor, before: Callable[[], Awaitable[Any]]) -> None:
        self.door = door
        self.before: Callable[[], Awaitable[Any]] | None = before

    async def commit(self, change: Change) -> Verdict:
        before, self.before = self.before, None
        if before is not None:
            await before()
        return await self.door.commit(change)


async def test_who_looked_before_another_claimed_is_refused(world: World) -> None:
    """Both have seen that the reference is free; the commit alone tells them apart."""
    plain = world.ctx
    other = replace(world)
    other.ctx = plain
    world.use(door=Interfering(plain.door, lambda: order(other)))
    refusal = await refused(order(world))
    (winner,) = await world.all(PaymentIntent)
    assert (refusal.code, refusal.subject) == (ErrorCode.REFERENCE_IN_USE, winner)


class Overtaken:
    """The reader, with something that happens just before one of its reads is made."""

    def __init__(self, read: Reader, name: str, before: Callable[[], Awaitable[Any]]) -> None:
        self.read = read
        self.name = name
        self.before: Callable[[], Awaitable[Any]] | None = before

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.read, name)
        if name != self.name:
            return found

        async def overtaken(*arguments: Any, **more: Any) -> Any:
            before, self.before = self.before, None
            if before is not None:
                await before()
            return await found(*arguments, **more)

        return overtaken


@pytest.mark.parametrize("read", ["reference_claim", "payment_intent_by_reference"])
async def test_who_is_overtaken_while_it_looks_is_refused(world: World, read: str) -> None:
    """By one that is through with everything: only the order of the two reads tells of it."""
    other = replace(world)
    world.use(read=Overtaken(world.ctx.read, read, lambda: order(other)))
    assert (await refused(order(world))).code is ErrorCode.REFERENCE_IN_USE
    assert len(await world.all(PaymentIntent)) == 1


async def test_a_claim_that_leads_to_nothing_is_waited_for_and_then_given_up(world: World) -> None:
    class Busy:
        async def commit(self, change: Change) -> Verdict:
            return Conflict(Reason.BUSY, "reference_claim")

    world.use(door=Busy())
    with pytest.raises(Overloaded):
        await order(world)
    assert await world.all(PaymentIntent) == []


async def test_the_provider_is_not_asked_about_a_method_of_what_is_refused(world: World) -> None:
    await order(world)
    refusal = await refused(order(world, instrument=CardToken("tok_a")))
    assert (refusal.code, world.provider.asked) == (ErrorCode.REFERENCE_IN_USE, [])


async def captured_after_all(world: World, failed: PaymentIntent) -> None:
    _, (attempt,) = await world.now(failed)
    assert (await world.applied(notice(attempt, APPROVED))).verdict == "corrected"


async def test_a_correction_takes_its_reference_back(world: World) -> None:
    failed = await declined(world)
    await captured_after_all(world, failed)
    corrected, _ = await world.now(failed)
    await in_use(world, corrected)
    (claim,) = await world.all(ReferenceClaim)
    assert (claim.version, claim.intent) == (2, failed.id)
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.STATE_CORRECTION
    assert alert.problem.message == "money was taken, though it had failed"


async def test_a_correction_commits_without_a_reference_that_another_has(world: World) -> None:
    failed = await declined(world)
    rival = await order(world)
    await captured_after_all(world, failed)
    assert (await world.now(failed))[0].status is Status.SUCCEEDED
    (claim,) = await world.all(ReferenceClaim)
    assert (claim.version, claim.intent) == (2, rival.id)
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.STATE_CORRECTION
    assert alert.problem.message == (
        f"money was taken, though it had failed; and {rival.id}, a payment intent of the same"
        " reference, is created"
    )
    assert "paid twice" in alert.problem.what_to_do


async def test_a_correction_of_one_that_never_asked_claims_as_well(world: World) -> None:
    world.provider.answers.append(answer(DECLINED))
    failed = await world.confirm(await world.create(reference=ORDER))
    await captured_after_all(world, failed)
    (claim,) = await world.all(ReferenceClaim)
    assert claim.intent == failed.id
    await in_use(world, failed)


async def test_a_correction_of_one_without_a_reference_claims_nothing(world: World) -> None:
    world.provider.answers.append(answer(DECLINED))
    failed = await world.confirm(await world.create())
    await captured_after_all(world, failed)
    assert await world.all(ReferenceClaim) == []


@pytest.mark.parametrize("claimed_before", [True, False])
async def test_an_order_that_comes_before_a_corrections_commit_is_told_of(
    world: World, *, claimed_before: bool
) -> None:
    """The correction had seen the reference free: it looks again, and says who has it."""
    world.provider.answers.append(answer(DECLINED))
    failed = await world.confirm(
        await world.create(reference=ORDER, unique_reference=claimed_before)
    )
    plain = world.ctx
    other = replace(world)
    other.ctx = plain
    _, (attempt,) = await world.now(failed)
    event = await world.stored_only(notice(attempt, APPROVED))
    world.use(door=Interfering(plain.door, lambda: order(other)))
    assert (await world.apply(event)).verdict == "corrected"
    assert (await world.now(failed))[0].status is Status.SUCCEEDED
    (rival,) = [i for i in await world.all(PaymentIntent) if i.id != failed.id]
    (alert,) = await world.all(Alert)
    assert rival.id in alert.problem.message


async def test_an_order_that_looked_before_a_correction_is_refused(world: World) -> None:
    failed = await declined(world)
    plain = world.ctx
    other = replace(world)
    other.ctx = plain
    world.use(door=Interfering(plain.door, lambda: captured_after_all(other, failed)))
    refusal = await refused(order(world))
    assert refusal.code is ErrorCode.REFERENCE_IN_USE
    assert isinstance(refusal.subject, PaymentIntent)
    assert (refusal.subject.id, refusal.subject.status) == (failed.id, Status.SUCCEEDED)


async def test_a_correction_commits_though_the_claim_cannot_be_read(world: World) -> None:
    failed = await declined(world)
    await spoil(world, "reference_claim")
    await captured_after_all(world, failed)
    assert (await world.now(failed))[0].status is Status.SUCCEEDED


async def test_an_order_is_not_guessed_at_when_the_claim_cannot_be_read(world: World) -> None:
    await declined(world)
    await spoil(world, "reference_claim")
    with pytest.raises(Unreadable):
        await order(world)
