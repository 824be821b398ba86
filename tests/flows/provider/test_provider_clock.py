"""Clocks that are wrong: what was charged is found in the provider's time, and nothing is taken for
lost on a node whose own time may be wrong (F25).
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import msgspec
import pytest

from paygate.domain.alert import Alert
from paygate.domain.payments.attempt import Attempt, AttemptState, resent
from paygate.domain.payments.outcome import Answer, Unknown
from paygate.domain.payments.payment_intent import Status
from paygate.flows.payments.sweeps.look_up import (
    AROUND,
    CLOCK_UNKNOWN,
    ON_ITS_WAY,
    PIECE,
    Window,
    pieces,
    sought,
)
from paygate.providers.absence import ProviderSilent
from paygate.providers.contract import ClockSkew
from tests.flows.payments.sweeps.test_resolve_attempts import (
    HOUR,
    LOST,
    MINUTE,
    lost,
    run,
    sent_twice,
    status,
    theirs,
)
from tests.flows.payments.test_holds import HELD, capture, held, ledger
from tests.flows.world import APPROVED, IN_STEP, ScriptedProvider, World, answer
from tests.making import START, make_attempt, make_intent

SECOND = timedelta(seconds=1)
WINDOW = timedelta(minutes=2)
OFF = [timedelta(minutes=10), timedelta(minutes=-10), timedelta(hours=1), timedelta(hours=-1)]
"""How far the provider's clock is ahead of ours: F25, and one that missed the change of season."""


class DatedProvider(ScriptedProvider):
    """Its list is by the time at which each payment was made, on its own clock."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[datetime, Answer]] = []
        self.reads: list[Window] = []
        self.tells: ClockSkew | None = None
        """What is known of its clock once it has answered."""

    async def list_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Answer]:
        self.reads.append(Window(since, until))
        self.skew = self.tells or self.skew
        for at, said in self.made:
            if isinstance(said.outcome, Unknown):
                raise ProviderSilent
            if since <= at <= until:
                yield said


@pytest.fixture
def dated(world: World) -> DatedProvider:
    provider = DatedProvider()
    world.provider = provider
    world.use(provider=provider)
    return provider


def off(ahead: timedelta) -> ClockSkew:
    return ClockSkew(ahead, SECOND)


async def many_runs(world: World, minutes: int) -> None:
    for _ in range(minutes):
        world.clock.forward(MINUTE)
        world.provider.answers = [LOST]
        await run(world)


@pytest.mark.parametrize("ahead", OFF)
@pytest.mark.parametrize("which", ["sender", "sweeper", "both"])
async def test_a_node_whose_clock_is_off_fails_nothing_that_was_charged(
    world: World, dated: DatedProvider, ahead: timedelta, which: str
) -> None:
    """The one that sends, the one that looks, or the same one."""
    dated.skew = off(ahead if which != "sweeper" else timedelta(0))
    intent, attempt = await lost(world)
    made = world.clock() + dated.skew.ahead
    dated.made = [(made, msgspec.structs.replace(theirs(attempt), as_of=made))]
    # The other node's clock: the world's is the one that the test runs by.
    if which == "sweeper":
        world.clock.time -= ahead
        dated.skew = off(ahead)
    elif which == "sender":
        world.clock.time += ahead
        dated.skew = IN_STEP
    await many_runs(world, 12)
    assert await status(world, intent) is Status.SUCCEEDED
    assert await ledger(world) == [(1, 1999)]


async def test_what_was_sent_again_by_a_wrong_clock_is_found(
    world: World, dated: DatedProvider
) -> None:
    dated.skew = off(timedelta(minutes=10))
    intent = await sent_twice(world, HOUR)
    _, (attempt,) = await world.now(intent)
    dated.made = [(world.clock() + dated.skew.ahead, theirs(attempt))]
    await many_runs(world, 3)
    assert await status(world, intent) is Status.SUCCEEDED


async def test_what_a_fast_node_sent_again_is_sent_while_the_payer_is_there(
    world: World, dated: DatedProvider
) -> None:
    """By the others' own clocks, its sending would be under way for an hour."""
    dated.skew = off(timedelta(hours=-1))
    intent = await sent_twice(world, MINUTE)
    world.clock.time -= timedelta(hours=1)
    dated.skew = IN_STEP
    world.clock.forward(40)
    world.provider.answers = [answer(APPROVED, as_of=world.clock())]
    assert await run(world) == (1, 0)
    assert len(world.provider.orders) == 3
    assert await status(world, intent) is Status.SUCCEEDED


@pytest.mark.parametrize("ahead", OFF)
async def test_a_node_whose_clock_is_off_fails_nothing_at_all(
    world: World, dated: DatedProvider, ahead: timedelta
) -> None:
    """What it does not find may be there: a node that is in step ends it."""
    intent, _ = await lost(world)
    dated.skew = off(ahead)
    world.clock.time -= ahead
    await many_runs(world, 75)
    assert await status(world, intent) is Status.PROCESSING
    (alert,) = await world.all(Alert)
    assert "clock" in alert.problem.message
    dated.skew = IN_STEP
    world.clock.time += ahead
    assert await run(world) == (0, 1)
    world.clock.forward(10 * MINUTE)
    assert await run(world) == (1, 0)
    assert await status(world, intent) is Status.FAILED


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(minutes=-10)])
async def test_a_clock_that_leaps_between_two_misses_ends_nothing(
    world: World, dated: DatedProvider, ahead: timedelta
) -> None:
    intent, attempt = await lost(world)
    await many_runs(world, 3)
    world.clock.time += ahead
    dated.skew = off(-ahead)
    await many_runs(world, 3)
    assert await status(world, intent) is Status.PROCESSING
    dated.made = [(attempt.first_sent_at, theirs(attempt))]
    world.clock.time -= ahead
    dated.skew = IN_STEP
    await many_runs(world, 11)
    assert await status(world, intent) is Status.SUCCEEDED


async def test_a_slow_node_sends_nothing_when_the_payer_has_left(
    world: World, dated: DatedProvider
) -> None:
    """Its own clock says that the confirm is a minute old, and it is eleven."""
    await lost(world)
    world.clock.forward(MINUTE)
    dated.skew = off(timedelta(minutes=10))
    await run(world)
    assert len(dated.orders) == 1


async def test_what_a_fast_node_sees_in_flight_is_left_alone(
    world: World, dated: DatedProvider
) -> None:
    """Its own clock says that the sender has long had its answer."""
    await lost(world)
    world.clock.forward(10 * MINUTE + 5)
    dated.skew = off(-timedelta(minutes=10))
    assert await run(world) == (0, 0)
    assert (len(dated.orders), dated.reads) == (1, [])


@pytest.mark.parametrize(("ahead", "sent"), [(timedelta(0), 2), (timedelta(minutes=10), 1)])
async def test_a_clock_that_is_not_known_is_asked_for_first(
    world: World, dated: DatedProvider, ahead: timedelta, sent: int
) -> None:
    """A process that has just started: an answer tells the time, and which those are that may be
    sent again.
    """
    await lost(world)
    world.clock.forward(MINUTE)
    dated.skew, dated.tells = None, off(ahead)
    dated.answers = [LOST]
    await run(world)
    assert len(dated.orders) == sent


async def test_nothing_is_sent_and_nothing_ends_by_a_clock_that_nobody_knows(
    world: World, dated: DatedProvider
) -> None:
    intent, _ = await lost(world)
    dated.skew = None
    await many_runs(world, 30)
    assert len(dated.orders) == 1
    assert await status(world, intent) is Status.PROCESSING
    dated.skew = IN_STEP
    await many_runs(world, 12)
    assert await status(world, intent) is Status.FAILED


@pytest.mark.parametrize("hours", [-14, -1, 1, 14])
async def test_a_sender_whose_clock_nobody_knew_is_looked_for_far_around(
    world: World, dated: DatedProvider, hours: int
) -> None:
    """It had heard of no time for an hour: it may be off by as much as a time zone can be."""
    dated.skew = None
    intent, attempt = await lost(world)
    assert attempt.first_sent_as_of is None
    made = world.clock() + timedelta(hours=hours)
    dated.made = [(made, theirs(attempt))]
    # Meanwhile the clock was set right: the looking node's is in step.
    world.clock.time = made
    dated.skew = IN_STEP
    await many_runs(world, 4)
    world.clock.forward(15 * 3600)
    await many_runs(world, 1)
    assert await status(world, intent) is Status.SUCCEEDED


@pytest.mark.parametrize("silent", [0, 1])
async def test_a_list_that_was_not_read_to_its_end_proves_nothing(
    world: World, dated: DatedProvider, silent: int
) -> None:
    """Two windows of one attempt: a miss takes both."""
    intent = await sent_twice(world, HOUR)

    class HalfSilent(DatedProvider):
        async def list_created(
            self, since: datetime, until: datetime, *, timeout_seconds: float
        ) -> AsyncIterator[Answer]:
            self.reads.append(Window(since, until))
            if (since > START + timedelta(minutes=30)) == bool(silent):
                raise ProviderSilent
            for _, said in self.made:
                yield said

    provider = HalfSilent()
    world.use(provider=provider)
    for _ in range(3):
        world.clock.forward(15 * MINUTE)
        assert await run(world) == (0, 1)
    _, (attempt,) = await world.now(intent)
    assert attempt.missed_at is None
    late = [each.since > START + timedelta(minutes=30) for each in provider.reads]
    assert min(late.count(True), late.count(False)) >= 3, "both, in each run"
    assert await status(world, intent) is Status.PROCESSING


async def test_a_capture_is_forgotten_by_the_providers_clock_alone(world: World) -> None:
    """A node two hours fast would give a hold back whose capture may still arrive."""
    intent = await held(world)
    world.provider.answers.append(LOST)
    await capture(world, intent)
    fast = off(timedelta(hours=-2))
    for skew, hours in ((fast, 25), (None, 25), (fast, 26)):
        world.provider.skew = skew
        world.clock.time = START + timedelta(hours=hours)
        world.provider.objects.append(answer(HELD, as_of=START + timedelta(hours=23)))
        await run(world)
        forgotten = hours == 26
        attempt = (await world.now(intent))[1][-1]
        assert (attempt.state is AttemptState.REJECTED) is forgotten


def sending(*at: timedelta, known: bool = True) -> Attempt:
    """An attempt that was sent at these times after the start, by a clock that is an hour late."""
    hour = timedelta(hours=1)
    attempt = make_attempt(make_intent())
    first, *others = at
    attempt = msgspec.structs.replace(
        attempt,
        first_sent_at=START + first,
        first_sent_as_of=START + first + hour if known else None,
    )
    for each in others:
        attempt = resent(attempt, START + each, START + each + hour if known else None)
    return attempt


def test_an_attempt_is_looked_for_around_its_first_and_its_last_sending() -> None:
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    first, last = START + hour, START + 5 * hour
    late = last + hour
    once = sought(sending(0 * hour), WINDOW, late)
    assert once.windows == (Window(first - AROUND, first + WINDOW + ON_ITS_WAY),)
    twice = sought(sending(0 * hour, 4 * hour), WINDOW, late)
    assert twice.windows == (*once.windows, Window(last - AROUND, last + ON_ITS_WAY))
    # It may be of any sending there was, and only these two are written down.
    thrice = sought(sending(0 * hour, 2 * hour, 4 * hour), WINDOW, late)
    assert thrice.windows == (Window(first - AROUND, last + ON_ITS_WAY),)
    # No payment is of a time that has not come.
    soon = sought(sending(0 * hour), WINDOW, first + minute)
    assert soon.windows == (Window(first - AROUND, first + minute + AROUND),)
    now = START + minute
    unknown = sought(sending(0 * hour, known=False), WINDOW, now)
    assert unknown.windows == (Window(START - CLOCK_UNKNOWN, now + AROUND),)


def test_windows_are_read_once_and_piece_by_piece() -> None:
    def window(since: float, until: float) -> Window:
        return Window(START + since * PIECE, START + until * PIECE)

    assert pieces([window(0, 0.5), window(0.25, 0.75), window(3, 3.5)]) == [
        window(0, 0.75),
        window(3, 3.5),
    ]
    assert pieces([window(0, 1), window(1, 2.5), window(0.5, 0.6)]) == [
        window(0, 1),
        window(1, 2),
        window(2, 2.5),
    ]
    assert pieces([]) == []
