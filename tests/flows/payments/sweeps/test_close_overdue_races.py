"""The sweep that closes what is overdue, with others at work: one effect, and none forgotten."""

import asyncio
import random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.outcome import Answer, Cancelled, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.payments.complete_authentication import complete_authentication
from paygate.flows.payments.sweeps.close_overdue import AT_ONCE, close_overdue_attempts
from tests.flows.payments.sweeps.test_close_overdue_attempts import (
    CHALLENGE,
    CLOSED,
    DAY,
    HOUR,
    LOST,
    PUBLIC,
    QUARTER,
    abandoned,
    overdue,
    run,
)
from tests.flows.payments.test_holds import ledger
from tests.flows.payments.transfers import at, cancel, funded, notice_at, paying
from tests.flows.world import APPROVED, World, answer


@pytest.mark.parametrize("known", ["nothing", "wish"])
async def test_two_runs_at_once_have_one_effect(world: World, known: str) -> None:
    intent, _ = await overdue(world)
    if known == "wish":  # both may ask: the second hears what the first has concluded
        world.provider.answers.append(LOST)
        await run(world)
        world.clock.forward(QUARTER)
    asked = len(world.provider.standing)
    world.provider.answers += [at(HOUR, CLOSED)] * 4
    await asyncio.gather(*(run(world, f"run_{n}") for n in range(4)))
    await abandoned(world, intent)
    keys = world.provider.cancel_keys()[asked:]
    assert len(set(keys)) == 1, "however many ask, the provider is asked for one thing"


async def test_many_runs_at_once_close_each_attempt_once(world: World) -> None:
    """More than one batch, from three runs."""
    count = 2 * AT_ONCE + 5
    for number in range(count):
        world.provider.answers.append(answer(CHALLENGE, provider_reference=f"ref_{number}"))
        await world.confirm(await world.create())
    world.clock.forward(HOUR)
    # Alike but for their reference, which the answer to a cancel may leave out.
    closed = answer(CLOSED, as_of=None, provider_reference=None)
    world.provider.answers = [closed] * count * 3
    done = await asyncio.gather(*(run(world, f"run_{n}") for n in range(3)))
    assert sum(done) >= count
    assert {i.status for i in await world.all(PaymentIntent)} == {Status.FAILED}
    assert len(set(world.provider.cancel_keys())) == count
    notice_at = await world.connection.fetchval("SELECT count(*) FROM event")
    assert notice_at == 4 * count


async def test_a_merchants_cancel_and_the_sweep_make_one_wish(world: World) -> None:
    """While the sweep asks, the merchant is told that a cancel is under way; and the other way."""
    intent, _ = await overdue(world)

    async def meanwhile() -> None:
        world.provider.amid = None
        with pytest.raises(Refusal) as refused:
            await cancel(world, intent)
        assert refused.value.code is ErrorCode.OPERATION_PENDING

    world.provider.amid = meanwhile
    world.provider.answers.append(at(HOUR, CLOSED))
    assert await run(world) == 1
    await abandoned(world, intent)
    assert len(world.provider.standing) == 1


@pytest.mark.parametrize("seed", range(5))
async def test_everybody_at_once_has_one_end(world: World, seed: int) -> None:
    """The sweep twice, the merchant, and the payer's last moment as an event."""
    intent, attempt = await overdue(world)
    world.provider.answers += [at(HOUR, CLOSED)] * 8
    work: list[Any] = [
        run(world, "run_1"),
        run(world, "run_2"),
        cancel(world, intent),
        world.applied(notice_at(attempt, APPROVED, HOUR + 1)),
    ]
    random.Random(seed).shuffle(work)
    results = await asyncio.gather(*work, return_exceptions=True)
    refused = [r for r in results if isinstance(r, BaseException)]
    assert all(isinstance(r, Refusal) for r in refused), refused
    after, (closed,) = await world.now(intent)
    # The event proves money: whatever came first, it is in the books once.
    assert (after.status, after.amount_received) == (Status.SUCCEEDED, 1999)
    assert await ledger(world) == [(1, 1999)]
    assert closed.state in {AttemptState.APPROVED, AttemptState.CANCELLED}
    news = await world.event_types(intent)
    assert news.count("payment_intent.succeeded") == 1
    assert len(news) == len(set(news))


async def test_a_confirm_whose_reply_is_under_way_is_not_given_up(world: World) -> None:
    """It is in doubt, which is the other sweep's to resolve."""
    world.provider.answers.append(Answer(Unknown("timeout")))
    intent = await world.confirm(await world.create())
    world.clock.forward(DAY)
    assert await run(world) == 0
    assert (await world.now(intent))[0] == intent
    assert world.provider.standing == []


async def test_every_merchants_attempts_are_closed(world: World) -> None:
    await world.connection.execute("INSERT INTO merchant (id) VALUES ('other')")
    mine, _ = await world.confirming(CHALLENGE)
    world.caller = msgspec.structs.replace(world.caller, merchant="other")
    theirs, _ = await world.confirming(CHALLENGE)
    world.clock.forward(HOUR)
    world.provider.answers += [at(HOUR, CLOSED)] * 2
    assert await run(world) == 2
    for intent in (mine, theirs):
        await abandoned(world, intent)
        assert {e.merchant for e in await world.events(intent)} == {intent.merchant}


async def test_one_that_cannot_be_closed_keeps_no_other_waiting(world: World) -> None:
    """The longest overdue come first, and are put off behind the others."""
    for number in range(AT_ONCE + 1):
        reference = f"ref_{number}"
        world.provider.answers.append(answer(CHALLENGE, provider_reference=reference))
        await world.confirm(await world.create())
        world.clock.forward(1)
    world.clock.forward(HOUR)
    world.provider.answers = [LOST] * AT_ONCE + [
        answer(CLOSED, provider_reference=None, as_of=None)
    ]
    assert await run(world) == 1
    attempts = await world.all(Attempt)
    assert sum(a.state is AttemptState.CANCELLED for a in attempts) == 1
    assert {a.cancelling for a in attempts} == {True}


@pytest.mark.parametrize(
    ("answered", "status"), [(CLOSED, Status.FAILED), (APPROVED, Status.SUCCEEDED)]
)
async def test_a_payer_who_comes_back_afterwards_is_sent_on(
    world: World, answered: Any, status: Status
) -> None:
    world.use(policy=msgspec.structs.replace(world.ctx.policy, public_url=PUBLIC))
    intent, _ = await overdue(world)
    world.provider.answers.append(at(HOUR, answered))
    await run(world)
    ended = await world.now(intent)
    state = parse_qs(urlsplit(str(world.provider.orders[0].return_url)).query)["state"][0]
    caller = Caller(Actor("client"), "default", "req_back")
    page = await complete_authentication(world.ctx, caller, intent.id, state)
    assert page == f"https://shop.example/done?payment_intent={intent.id}&status={status}"
    assert world.provider.retrieved == []
    assert await world.now(ended[0]) == ended


async def test_a_payer_who_comes_back_while_it_is_closed_counts(world: World) -> None:
    """The wish is written, the reply was lost, and then the bank's page sends them back."""
    world.use(policy=msgspec.structs.replace(world.ctx.policy, public_url=PUBLIC))
    intent, _ = await overdue(world)
    world.provider.answers.append(LOST)
    await run(world)
    state = parse_qs(urlsplit(str(world.provider.orders[0].return_url)).query)["state"][0]
    caller = Caller(Actor("client"), "default", "req_back")
    world.provider.objects.append(at(HOUR + 1, APPROVED))
    page = await complete_authentication(world.ctx, caller, intent.id, state)
    assert page.endswith("&status=succeeded")
    world.clock.forward(QUARTER)
    assert await run(world) == 0
    assert await ledger(world) == [(1, 1999)]


async def test_an_expired_transfer_and_its_money_cross(world: World) -> None:
    """It was closed, and the provider took the money first after all: that is true."""
    intent, attempt = await paying(world, funded())
    world.clock.forward(14 * DAY)
    world.provider.answers.append(at(14 * DAY, Cancelled(None)))
    assert await close_overdue_attempts(world.ctx, "run_1") == 1
    event = await world.applied(notice_at(attempt, APPROVED, 14 * DAY + 1))
    assert event.verdict == "corrected"
    after, _ = await world.now(intent)
    assert (after.status, await ledger(world)) == (Status.SUCCEEDED, [(1, 1999)])
