"""Many attempts in doubt at once: one reading of the list for all, so many calls in hand, nobody
held up by another, and the two minutes of the young are met whatever the old ones take.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.outcome import Answer, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.context import Context
from paygate.flows.payments.sweeps.look_up import PIECE, Sought, look_up, sought
from paygate.flows.payments.sweeps.resolve import SENT_AT_ONCE
from paygate.flows.provider.pace import Pace
from paygate.flows.sweep import Faults
from paygate.providers.absence import ProviderSilent
from paygate.providers.contract import ConfirmOrder
from paygate.storage.change import Change, Verdict
from paygate.worker.scheduled import AT_WORK_ALREADY, run_scheduled
from tests.flows.idempotency.test_idempotency import NOT_SENT, refused
from tests.flows.payments.sweeps.test_resolve_attempts import (
    HOUR,
    LOST,
    MINUTE,
    lost,
    run,
    status,
    theirs,
)
from tests.flows.virtual_time import in_virtual_time
from tests.flows.world import APPROVED, INSTALLATION, World, answer
from tests.making import START, make_attempt, make_intent

WINDOW = timedelta(minutes=2)
PAGE = 100
ROUND_SECONDS = 15 * 60


async def many_lost(world: World, count: int) -> list[tuple[PaymentIntent, Attempt]]:
    return [await lost(world) for _ in range(count)]


async def test_the_list_is_read_once_for_all_and_again_after_ten_minutes(world: World) -> None:
    """Twelve sweeps over twenty attempts: two readings, which are the two misses. The second one
    reaches to its own time, a piece further.
    """
    reads: list[tuple[datetime, datetime]] = []

    async def read(since: datetime, until: datetime) -> AsyncIterator[Answer]:
        reads.append((since, until))
        yield answer(APPROVED, attempt="at_other", installation=INSTALLATION)

    world.provider.listing = read
    await many_lost(world, 20)
    world.clock.forward(3 * MINUTE)
    done = [await run(world)]
    for _ in range(12):
        world.clock.forward(MINUTE)
        done.append(await run(world))
    assert done == [(0, 20)] * 10 + [(20, 0)] + [(0, 0)] * 2
    assert len(reads) == 3
    assert max(until for _, until in reads) >= world.clock() - 2 * timedelta(minutes=1)


async def test_all_that_is_found_in_one_reading_is_concluded(world: World) -> None:
    pairs = await many_lost(world, 30)

    async def read(since: datetime, until: datetime) -> AsyncIterator[Answer]:
        for number, (_, attempt) in enumerate(pairs):
            yield msgspec.structs.replace(theirs(attempt), provider_reference=f"ref_{number}")
        raise AssertionError("nothing is wanted of it any longer")

    world.provider.listing = read
    world.clock.forward(3 * MINUTE)
    assert await run(world) == (30, 0)
    assert {await status(world, intent) for intent, _ in pairs} == {Status.SUCCEEDED}


async def test_so_many_are_sent_again_at_once(world: World) -> None:
    """A provider that hangs: each waits for a hundred others, and none for the one before it."""
    await many_lost(world, SENT_AT_ONCE + 10)
    world.clock.forward(40)
    together = asyncio.Barrier(SENT_AT_ONCE)
    hanging = most = 0

    async def hang(_: ConfirmOrder) -> None:
        nonlocal hanging, most
        hanging += 1
        most = max(most, hanging)
        if len(world.provider.orders) <= 2 * SENT_AT_ONCE + 10:
            await together.wait()
        hanging -= 1

    world.provider.during = hang
    world.provider.answers = [LOST] * (SENT_AT_ONCE + 10)
    async with asyncio.timeout(60):
        assert await run(world) == (0, SENT_AT_ONCE + 10)
    assert most == SENT_AT_ONCE


async def test_one_that_hangs_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paygate.flows.payments.sweeps.resolve.SENT_AT_ONCE", 2)
    monkeypatch.setattr("paygate.flows.payments.sweeps.resolve.PAGE", 2)
    await many_lost(world, 7)
    world.clock.forward(40)
    others = asyncio.Event()

    async def hang(_: ConfirmOrder) -> None:
        if len(world.provider.orders) == 8:
            await others.wait()
        elif len(world.provider.orders) == 14:
            others.set()

    world.provider.during = hang
    world.provider.answers = [
        answer(APPROVED, provider_reference=f"ref_{number}") for number in range(7)
    ]
    async with asyncio.timeout(60):
        assert await run(world) == (7, 0)


async def test_what_the_young_and_the_older_meet_counts_once(world: World) -> None:
    """The older find it sent again a moment ago, by this same run."""
    world.provider.answers.append(NOT_SENT)
    await refused(world.confirm(await world.create()))
    world.clock.forward(3 * MINUTE)
    await lost(world)
    world.clock.forward(MINUTE)
    sent = asyncio.Event()

    class AfterTheSending:
        door = world.ctx.door

        async def commit(self, change: Change) -> Verdict:
            ends = [r for r in change.advances if isinstance(r, PaymentIntent)]
            if any(intent.status is Status.FAILED for intent in ends):
                await sent.wait()
            return await self.door.commit(change)

    async def send(_: ConfirmOrder) -> None:
        sent.set()

    world.use(door=AfterTheSending())
    world.provider.during = send
    world.provider.answers = [LOST]
    async with asyncio.timeout(60):
        assert await run(world) == (1, 1)


async def test_a_page_that_hangs_holds_up_no_other(world: World) -> None:
    """The older payment's part of the list is read while the younger's does not come."""
    old, attempt = await lost(world)
    world.clock.forward(HOUR)
    await lost(world)
    world.clock.forward(3 * MINUTE)

    async def until_found() -> None:
        while await status(world, old) is not Status.SUCCEEDED:
            await asyncio.sleep(0.01)

    async def read(since: datetime, until: datetime) -> AsyncIterator[Answer]:
        if until > START + timedelta(seconds=HOUR):
            await until_found()
            raise ProviderSilent
        yield theirs(attempt)

    world.provider.listing = read
    async with asyncio.timeout(60):
        assert await run(world) == (1, 1)


async def test_the_young_are_sent_again_while_the_old_are_looked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading of the list that takes longer than the two minutes of those that come meanwhile."""
    monkeypatch.setattr("paygate.flows.payments.sweeps.resolve.YOUNG_AGAIN_SECONDS", 0.01)
    await lost(world)
    world.clock.forward(HOUR)
    paid: list[PaymentIntent] = []
    lost_meanwhile: list[bool] = []

    async def read(since: datetime, until: datetime) -> AsyncIterator[Answer]:
        if lost_meanwhile:
            raise ProviderSilent  # another piece
        lost_meanwhile.append(True)
        intent, _ = await lost(world)
        world.clock.forward(MINUTE)
        world.provider.answers.append(answer(APPROVED, as_of=None))
        while await status(world, intent) is not Status.SUCCEEDED:
            await asyncio.sleep(0.01)
        paid.append(intent)
        yield answer(APPROVED, attempt="at_other", installation=INSTALLATION)
        raise ProviderSilent

    world.provider.listing = read
    async with asyncio.timeout(60):
        assert await run(world) == (1, 1)
    assert len(paid) == 1


async def test_a_run_begins_anywhere_and_leaves_nobody_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends early, for there are too many, begins with others than the one before."""
    monkeypatch.setattr("paygate.flows.payments.sweeps.resolve.ASKED_AT_ONCE", 1)
    monkeypatch.setattr("paygate.flows.payments.sweeps.resolve.PAGE", 2)
    names = [f"doubted_{number}" for number in range(5)]
    for name in names:
        await world.confirming(Unknown("500"), provider_reference=name)
        world.clock.forward(HOUR)
    firsts = set()
    for _ in range(8):
        world.provider.retrieved.clear()
        assert await run(world) == (0, 5)
        assert sorted(world.provider.retrieved) == names, "each once"
        firsts.add(world.provider.retrieved[0])
    assert len(firsts) > 2


async def test_what_is_sent_again_while_it_is_given_up_is_not(world: World) -> None:
    """The second miss meets its own caller, who comes back just then."""

    async def die(_: ConfirmOrder) -> None:
        raise ConnectionAbortedError

    world.provider.during = die
    intent = await world.create()
    with pytest.raises(ConnectionAbortedError):
        await world.confirm_once(intent, "key")
    world.provider.during = None

    class Meanwhile:
        door, met = world.ctx.door, False

        async def commit(self, change: Change) -> Verdict:
            ends = [a for a in change.advances if isinstance(a, Attempt)]
            if not self.met and any(a.state is AttemptState.REJECTED for a in ends):
                self.met = True
                world.provider.answers.append(LOST)
                await world.confirm_once(intent, "key")
            return await self.door.commit(change)

    door = Meanwhile()
    world.use(door=door)
    for seconds in (3 * MINUTE, 10 * MINUTE):
        world.clock.forward(seconds)
        assert await run(world) == (0, 1)
    assert door.met
    now, (attempt,) = await world.now(intent)
    assert (now.status, attempt.state) == (Status.PROCESSING, AttemptState.UNKNOWN)
    assert attempt.missed_at is None, "what was missed says nothing of this sending"


async def test_a_reading_of_before_a_sending_is_no_miss_of_it(world: World) -> None:
    """Its own caller comes back while the list is read."""

    async def die(_: ConfirmOrder) -> None:
        raise ConnectionAbortedError

    world.provider.during = die
    intent = await world.create()
    with pytest.raises(ConnectionAbortedError):
        await world.confirm_once(intent, "key")
    world.provider.during = None

    async def read(since: datetime, until: datetime) -> AsyncIterator[Answer]:
        world.provider.answers.append(LOST)
        await world.confirm_once(intent, "key")
        yield answer(APPROVED, attempt="at_other", installation=INSTALLATION)

    world.provider.listing = read
    world.clock.forward(3 * MINUTE)
    assert await run(world) == (0, 1)
    _, (attempt,) = await world.now(intent)
    assert len(world.provider.orders) == 2
    assert (attempt.sent_again_at, attempt.missed_at) == (world.clock(), None)


async def test_a_run_that_finds_another_at_work_asks_nobody(world: World) -> None:
    intent, _ = await lost(world)
    world.clock.forward(MINUTE)
    other: list[Any] = []

    async def meanwhile(_: ConfirmOrder) -> None:
        other.append(await run_scheduled(world.ctx, "resolve-attempts"))

    world.provider.during = meanwhile
    world.provider.answers.append(answer(APPROVED))
    done = await run_scheduled(world.ctx, "resolve-attempts")
    assert done == {"resolved": 1, "unresolved": 0}
    assert other == [{AT_WORK_ALREADY: 1}]
    assert len(world.provider.orders) == 2
    assert await status(world, intent) is Status.SUCCEEDED
    # The turn was given back.
    assert AT_WORK_ALREADY not in await run_scheduled(world.ctx, "resolve-attempts")


class Busy:
    """A provider whose account takes so many payments a second, and shows a page in 100 ms."""

    def __init__(self, ours: list[tuple[datetime, str]], others_every: timedelta) -> None:
        self.ours = sorted(ours, reverse=True)
        self.every = others_every
        self.pages = 0

    async def list_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Answer]:
        shown = [a for at, a in self.ours if since <= at <= until]
        others = ["at_other"] * int((until - since) / self.every)
        for number, attempt in enumerate([*others, *shown]):
            if number % PAGE == 0:
                self.pages += 1
                await asyncio.sleep(0.1)
            said = answer(APPROVED, attempt=attempt, installation=INSTALLATION)
            yield said


def beside(provider: Busy, per_second: int) -> Context:
    """All that a look-up needs, without a database."""
    parts = SimpleNamespace(
        provider=provider,
        installation=INSTALLATION,
        pace=Pace(per_second),
        policy=SimpleNamespace(provider_timeout_seconds=30.0),
    )
    return cast(Context, parts)


@pytest.mark.parametrize("per_second", [20, 80])
def test_ten_thousand_are_found_within_a_round(per_second: int) -> None:
    """After an outage of ten minutes, beside a busy account, at the pace of either mode."""
    count, outage = 10_000, timedelta(minutes=10)
    wanted: list[Sought] = []
    ours: list[tuple[datetime, str]] = []
    attempt = make_attempt(make_intent())
    for number in range(count):
        at = START + outage * number / count
        name = f"at_{number}"
        each = msgspec.structs.replace(attempt, id=name, first_sent_at=at, first_sent_as_of=at)
        wanted.append(sought(each, WINDOW, START + outage))
        ours.append((at, name))
    provider = Busy(ours[: count // 2], timedelta(seconds=1) / 20)
    found: set[str] = set()

    async def conclude(each: Sought, _: Answer) -> None:
        found.add(each.attempt)

    async def search() -> set[str]:
        faults = Faults()
        ctx = beside(provider, per_second)
        missed = await look_up(ctx, wanted, conclude, faults, ROUND_SECONDS)
        faults.tell()
        return missed

    missed, seconds = in_virtual_time(search())
    assert found == {name for _, name in ours[: count // 2]}
    assert missed == {name for _, name in ours[count // 2 :]}
    assert seconds < ROUND_SECONDS
    # The windows' 22 minutes, once: 26,400 payments of others, ours, and a page more a piece.
    pieces = 22 * timedelta(minutes=1) // PIECE + 1
    assert provider.pages <= (26_400 + count) // PAGE + 2 * pieces


def test_a_reading_that_takes_too_long_proves_nothing() -> None:
    """The rest of the list is the next run's to read."""
    attempt = make_attempt(make_intent())
    wanted = [
        sought(msgspec.structs.replace(attempt, first_sent_as_of=START), WINDOW, START),
    ]
    provider = Busy([], timedelta(milliseconds=10))

    async def search() -> set[str]:
        return await look_up(beside(provider, 80), wanted, nothing, Faults(), 5.0)

    async def nothing(_: Sought, __: Answer) -> None:
        raise AssertionError

    missed, seconds = in_virtual_time(search())
    assert (missed, seconds < 6) == (set(), True)


@pytest.mark.parametrize("per_second", [20, 80, 10_000])
def test_turns_come_at_an_even_rate(per_second: int) -> None:
    async def take() -> None:
        pace = Pace(per_second)
        await asyncio.gather(*(pace.turn() for _ in range(per_second)))

    _, seconds = in_virtual_time(take())
    assert 0.9 < seconds < 1.0
