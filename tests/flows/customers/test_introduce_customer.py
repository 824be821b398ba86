"""A payer is made known to the provider once, and before anything is paid to their account."""

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from paygate.domain.access.roles import Action
from paygate.domain.alert import AlertType
from paygate.domain.customer import Customer, Payer
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import AttemptState
from paygate.domain.payments.outcome import Answer, NotSent, Rejected, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.customers.introduce import KEYS
from paygate.flows.payments.sweeps.resolve import resolve_attempts
from paygate.providers.contract import ConfirmOrder, CustomerMade, CustomerOrder, KeySpent
from tests.flows.payments.transfers import (
    BY_PUSH,
    DEBIT,
    PUSH,
    alerts,
    at,
    confirm_by,
    funded,
    paying,
    to_transfer,
)
from tests.flows.world import Introduced, World, answer

ADA = Payer(email="ada@shop.example", name="Ada")
SPENT = KeySpent("500")
LOST = Answer(Unknown("reset"))
SILENT = [Unknown("timeout"), NotSent("refused", retry_after_seconds=7)]
REJECTIONS = [Rejected("customer_refused", "no"), Rejected("provider_configuration", "401")]


async def customer_of(world: World, intent: PaymentIntent) -> Customer:
    (found,) = [c for c in await world.all(Customer) if c.id == intent.customer]
    assert isinstance(found, Customer)
    return found


def payers(world: World) -> list[str | None]:
    """Whom the provider was told to let pay, in order."""
    return [order.customer for order in world.provider.orders]


async def test_a_customer_is_introduced_once_and_kept_before_anything_is_paid(
    world: World,
) -> None:
    seen: list[str | None] = []

    async def look(_: ConfirmOrder) -> None:
        seen.append((await world.all(Customer))[0].provider_reference)

    world.provider.during = look
    first, _ = await paying(world, funded(), customer=ADA)
    theirs = f"cus {first.customer}"
    (order,) = world.provider.introduced
    assert order == CustomerOrder(
        key=f"{first.customer}-1",
        customer=str(first.customer),
        merchant="default",
        email="ada@shop.example",
        name="Ada",
    )
    second, _ = await paying(world, funded(), customer=Payer(id=first.customer))
    assert second.customer == first.customer
    assert len(world.provider.introduced) == 1
    assert payers(world) == seen == [theirs, theirs]
    entries = [e for e in await world.audited() if e.action is Action.CUSTOMER_INTRODUCE]
    assert [(e.subject.object, e.subject.id) for e in entries if e.subject] == [
        ("customer", first.customer)
    ]
    assert entries[0].actor == world.caller.actor


async def test_only_a_push_transfer_needs_its_payer_known(world: World) -> None:
    intent, _ = await paying(world, funded(), DEBIT, customer=ADA)
    assert (world.provider.introduced, payers(world)) == ([], [None])
    assert (await customer_of(world, intent)).provider_reference is None


async def test_an_intent_without_a_customer_is_its_own_payer(world: World) -> None:
    intent, _ = await paying(world, funded())
    assert world.provider.introduced == [
        CustomerOrder(key=intent.id, customer=intent.id, merchant="default")
    ]
    assert payers(world) == [f"cus {intent.id}"]
    assert await world.all(Customer) == []


async def test_a_crash_before_it_is_kept_finds_the_same_customer(world: World) -> None:
    """Their id died with the process: under the same key the provider gives it again."""

    async def die() -> None:
        world.provider.introducing = None
        raise ConnectionAbortedError

    intent = await to_transfer(world, customer=ADA)
    world.provider.introducing = die
    with pytest.raises(ConnectionAbortedError):
        await world.confirm_once(intent, "k", request=PUSH)
    assert (await customer_of(world, intent)).provider_reference is None
    world.provider.answers.append(answer(funded()))
    answered = await world.confirm_once(intent, "k", request=PUSH)
    assert b'"requires_action"' in answered.body
    first, second = world.provider.introduced
    assert first == second
    assert len((await world.now(intent))[1]) == 1


async def test_details_that_change_in_between_do_not_get_stuck(world: World) -> None:
    """The provider would refuse the old key with other details for as long as it knows it."""

    async def die() -> None:
        world.provider.introducing = None
        raise ConnectionAbortedError

    intent = await to_transfer(world, customer=ADA)
    world.provider.introducing = die
    with pytest.raises(ConnectionAbortedError):
        await world.confirm_once(intent, "k", request=PUSH)
    await world.create(customer=Payer(id=intent.customer, email="new@shop.example"))
    world.provider.answers.append(answer(funded()))
    await world.confirm_once(intent, "k", request=PUSH)
    first, second = world.provider.introduced
    assert first.email != second.email == "new@shop.example"
    assert first.key != second.key


async def test_details_that_change_while_it_is_made_are_not_lost(world: World) -> None:
    intent = await to_transfer(world, customer=ADA)

    async def change() -> None:
        world.provider.introducing = None
        await world.create(customer=Payer(id=intent.customer, name="Ada L."))

    world.provider.introducing = change
    world.provider.answers.append(answer(funded()))
    await confirm_by(world, intent)
    kept = await customer_of(world, intent)
    assert (kept.name, kept.email) == ("Ada L.", "ada@shop.example")
    assert [kept.provider_reference] == payers(world)
    assert [o.name for o in world.provider.introduced] == ["Ada", "Ada L."]


async def test_of_two_confirms_at_once_the_stored_customer_is_everyones(world: World) -> None:
    """Also should the provider have made two: what was written first stands."""
    first = await to_transfer(world, customer=ADA)
    second = await to_transfer(world, customer=Payer(id=first.customer))
    both = asyncio.Event()

    async def until_both() -> None:
        if len(world.provider.introduced) == 2:
            both.set()
        async with asyncio.timeout(60):
            await both.wait()

    world.provider.introducing = until_both
    world.provider.customers = [CustomerMade("cus_1"), CustomerMade("cus_2")]
    world.provider.answers += [answer(funded()), answer(funded(), provider_reference="ref_2")]
    await asyncio.gather(confirm_by(world, first), confirm_by(world, second))
    kept = await customer_of(world, first)
    assert kept.provider_reference in {"cus_1", "cus_2"}
    assert payers(world) == [kept.provider_reference] * 2
    assert len({o.key for o in world.provider.introduced}) == 1


@pytest.mark.parametrize("customer", [ADA, None])
@pytest.mark.parametrize("silence", SILENT)
async def test_a_silent_provider_means_that_nothing_was_sent(
    world: World, silence: Introduced, customer: Payer | None
) -> None:
    intent = await to_transfer(world, customer=customer)
    world.provider.customers.append(silence)
    with pytest.raises(Refusal) as refused:
        await world.confirm_once(intent, "k", request=PUSH)
    assert refused.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    wait = silence.retry_after_seconds if isinstance(silence, NotSent) else 1
    assert refused.value.retry_after_seconds == wait
    assert world.provider.orders == []
    waiting, (attempt,) = await world.now(intent)
    assert (waiting.status, attempt.state) == (Status.PROCESSING, AttemptState.NOT_SENT)
    with pytest.raises(Refusal) as refused:
        await world.confirm_once(intent, "another", request=PUSH)
    assert refused.value.code is ErrorCode.INTENT_ALREADY_CONFIRMED
    # The same key goes on with it: the same payer, the same attempt, one payment.
    world.provider.answers.append(answer(funded()))
    answered = await world.confirm_once(intent, "k", request=PUSH)
    assert (answered.replayed, b'"requires_action"' in answered.body) == (False, True)
    after, (attempt,) = await world.now(intent)
    assert (after.status, after.payment_method) == (Status.REQUIRES_ACTION, BY_PUSH)
    assert attempt.state is AttemptState.ACTION_REQUIRED
    assert [o.attempt for o in world.provider.orders] == [attempt.id]
    assert len({(o.key, o.customer) for o in world.provider.introduced}) == 1


@pytest.mark.parametrize("refusal", REJECTIONS)
async def test_a_refusing_provider_fails_the_payment_plainly(
    world: World, refusal: Rejected
) -> None:
    intent = await to_transfer(world, customer=ADA)
    world.provider.customers.append(refusal)
    answered = await world.confirm_once(intent, "k", request=PUSH)
    after, (attempt,) = await world.now(intent)
    assert (after.status, attempt.state) == (Status.FAILED, AttemptState.REJECTED)
    assert after.last_payment_error is not None
    assert after.last_payment_error.code == refusal.reason
    assert world.provider.orders == []
    assert await world.event_types(intent) == [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.failed",
    ]
    raised = await alerts(world, AlertType.PROVIDER_MISCONFIGURED)
    assert len(raised) == (refusal.reason == "provider_configuration")
    again = await world.confirm_once(intent, "k", request=PUSH)
    assert again == answered._replace(replayed=True)
    assert len(world.provider.introduced) == 1


async def test_a_key_of_ours_that_is_refused_is_alerted_once(world: World) -> None:
    for count in (1, 2):
        world.provider.customers.append(REJECTIONS[1])
        await confirm_by(world, await to_transfer(world, customer=ADA))
        (alert,) = await alerts(world, AlertType.PROVIDER_MISCONFIGURED)
        assert (alert.count, alert.problem.severity) == (count, "critical")
        assert alert.problem.subject.id == "scripted"


@pytest.mark.parametrize("customer", [ADA, None])
async def test_a_re_send_names_the_same_customer(world: World, customer: Payer | None) -> None:
    world.provider.answers.append(LOST)
    intent = await confirm_by(world, await to_transfer(world, customer=customer))
    world.clock.forward(60)
    world.provider.answers.append(at(60, funded()))
    assert await resolve_attempts(world.ctx, "run_1") == (1, 0)
    first, second = world.provider.orders
    assert first == second
    assert first.customer is not None
    assert len({(o.key, o.customer) for o in world.provider.introduced}) == 1
    assert (await world.now(intent))[0].status is Status.REQUIRES_ACTION


@pytest.mark.parametrize("refusal", [*SILENT, *REJECTIONS])
@pytest.mark.parametrize("by", ["sweep", "retry"])
async def test_no_refusal_of_a_payer_fails_what_may_have_been_sent(
    world: World, refusal: Introduced, by: str
) -> None:
    """Its first sending may have begun, and the payer may be sending money."""

    async def die(_: ConfirmOrder) -> None:
        world.provider.during = None
        raise ConnectionAbortedError

    world.provider.during = die
    intent = await to_transfer(world)
    with pytest.raises(ConnectionAbortedError):
        await world.confirm_once(intent, "k", request=PUSH)
    world.provider.customers.append(refusal)
    if by == "sweep":
        world.clock.forward(60)
        assert await resolve_attempts(world.ctx, "run_1") == (0, 1)
    else:
        await _try_again(world, intent)
    waiting, (attempt,) = await world.now(intent)
    assert (waiting.status, attempt.state) == (Status.PROCESSING, AttemptState.UNKNOWN)
    assert waiting.pending_operation == "confirm"
    assert len(world.provider.orders) == 1
    world.clock.forward(60 if by == "retry" else 40)
    world.provider.answers.append(at(90, funded()))
    assert await resolve_attempts(world.ctx, "run_2") == (1, 0)
    assert (await world.now(intent))[0].status is Status.REQUIRES_ACTION
    assert world.provider.orders[0] == world.provider.orders[1]


async def _try_again(world: World, intent: PaymentIntent) -> None:
    """The request's own retry: processing, or told to come again; never failed."""
    body: dict[str, Any] = {"status": "processing"}
    with suppress(Refusal):
        answered = await world.confirm_once(intent, "k", request=PUSH)
        body = msgspec.json.decode(answered.body)
    assert body["status"] == "processing"


async def test_another_merchants_customer_is_another(world: World) -> None:
    await world.connection.execute("INSERT INTO merchant (id) VALUES ('other')")
    mine, _ = await paying(world, funded(), customer=ADA)
    world.caller = msgspec.structs.replace(world.caller, merchant="other")
    theirs, _ = await paying(world, funded(), customer=ADA)
    assert [(o.merchant, o.customer) for o in world.provider.introduced] == [
        ("default", mine.customer),
        ("other", theirs.customer),
    ]
    assert len(set(payers(world))) == 2


@pytest.mark.parametrize("customer", [ADA, None])
async def test_a_key_that_is_spent_is_got_round_the_same_way_each_time(
    world: World, customer: Payer | None
) -> None:
    """The provider gives its own 500 again under a key, for a day; a re-send finds the payer of
    the first sending behind the same key.
    """
    world.provider.customers = [SPENT, SPENT, CustomerMade("cus_3")] * 2
    world.provider.answers.append(LOST)
    await confirm_by(world, await to_transfer(world, customer=customer))
    first, second, third = (order.key for order in world.provider.introduced)
    assert (second, third) == (f"{first}-2", f"{first}-3")
    world.clock.forward(60)
    world.provider.answers.append(at(60, funded()))
    assert await resolve_attempts(world.ctx, "run_1") == (1, 0)
    assert payers(world) == ["cus_3", "cus_3"]


async def test_no_more_than_a_few_keys_are_tried(world: World) -> None:
    intent = await to_transfer(world, customer=ADA)
    world.provider.customers = [SPENT] * 10
    with pytest.raises(Refusal) as refused:
        await world.confirm_once(intent, "pay", request=PUSH)
    assert refused.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert len(world.provider.introduced) == KEYS
