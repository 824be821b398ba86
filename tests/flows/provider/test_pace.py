"""How fast the provider is asked when nobody waits: a quarter of the rate, of all nodes together,
and less while the provider says that it is too much.
"""

import asyncio
from typing import Any

import pytest

from paygate.flows.provider.pace import PART, CountedPace, Pace, shared
from paygate.storage.limits_store import Limit, Room
from tests.flows.virtual_time import in_virtual_time

RATE = 80


class Counts:
    """The store of all nodes, as exact as it can be: what is counted is forgotten at its time."""

    def __init__(self) -> None:
        self.hits: dict[str, list[float]] = {}
        self.away = False

    async def hit(self, limit: Limit, subject: str, *, count: int = 1) -> bool | None:
        if self.away:
            return None
        room = self._left(limit)
        if count > room:
            return False
        self.hits[limit.name] += [asyncio.get_running_loop().time()] * count
        return True

    async def room(self, limit: Limit, subject: str) -> Room | None:
        return None if self.away else Room(self._left(limit), 0.0)

    def _left(self, limit: Limit) -> int:
        since = asyncio.get_running_loop().time() - limit.seconds
        known = [at for at in self.hits.get(limit.name, []) if at > since]
        self.hits[limit.name] = known
        return limit.quota - len(known)


def turns_in(seconds: float, *paces: Pace, beside: Any = None) -> int:
    """How many turns several workers take together in that time."""

    async def take() -> int:
        taken = 0

        async def work(pace: Pace) -> None:
            nonlocal taken
            while True:
                await pace.turn()
                taken += 1
                await asyncio.sleep(0.001)

        tasks = [asyncio.create_task(work(pace)) for pace in paces]
        if beside is not None:
            tasks.append(asyncio.create_task(beside()))
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *(pace.close() for pace in paces), return_exceptions=True)
        return taken

    taken, _ = in_virtual_time(take())
    return int(taken)


def test_background_calls_have_a_quarter_of_the_rate() -> None:
    assert turns_in(10, Pace(RATE / PART)) == pytest.approx(10 * RATE / PART, abs=2)


@pytest.mark.parametrize("nodes", [1, 2, 5])
def test_nodes_that_count_together_have_it_together(nodes: int) -> None:
    counts = Counts()
    paces = [Pace(RATE / PART, shared(counts, RATE, 1)) for _ in range(nodes)]
    assert turns_in(40, *paces) <= 40 * RATE / PART + RATE
    alone = [Pace(RATE / PART) for _ in range(nodes)]
    assert turns_in(40, *alone) > nodes * 39 * RATE / PART, "without a store each has its own"


def test_background_calls_wait_while_payers_use_the_whole_rate() -> None:
    counts = Counts()
    pace, payers = (Pace(RATE / PART, shared(counts, RATE, 1)) for _ in range(2))

    async def pay() -> None:
        while True:
            for _ in range(2 * RATE // 5):
                payers.called()
            await asyncio.sleep(0.2)

    assert turns_in(20, pace, beside=pay) <= 2 * RATE, "of four hundred"
    assert turns_in(20, Pace(RATE / PART, shared(Counts(), RATE, 1))) > 300


def test_a_payers_call_is_counted_and_waits_for_nothing() -> None:
    async def call() -> float:
        counts = Counts()
        pace = Pace(RATE / PART, shared(counts, RATE, 1))
        began = asyncio.get_running_loop().time()
        for _ in range(3 * RATE):
            pace.called()
        took = asyncio.get_running_loop().time() - began
        await asyncio.sleep(0.3)
        assert len(counts.hits["provider"]) == RATE, "all that there is room for"
        return took

    assert in_virtual_time(call())[0] == 0.0


def test_a_store_that_is_away_leaves_each_its_own_pace() -> None:
    counts = Counts()
    counts.away = True
    pace = Pace(RATE / PART, shared(counts, RATE, 1))
    assert turns_in(10, pace) == pytest.approx(10 * RATE / PART, abs=2)


def test_a_refusal_for_the_rate_halves_the_pace_and_peace_brings_it_back() -> None:
    def turns(*limited_at: float, until: float) -> int:
        pace = Pace(RATE / PART)

        async def refuse() -> None:
            began = asyncio.get_running_loop().time()
            for at in limited_at:
                await asyncio.sleep(began + at - asyncio.get_running_loop().time())
                pace.limited()

        return turns_in(until, pace, beside=refuse)

    assert turns(0.0, until=4) < 0.7 * turns(until=4)
    assert turns(0.0, 0.1, 0.2, 0.3, until=4) > 0.4 * turns(until=4), "one moment counts once"
    assert turns(0, 1, 2, 3, 4, 5, until=6) < 0.35 * turns(until=6)
    assert turns(0.0, until=60) > 0.9 * turns(until=60)


def test_a_rate_of_less_than_four_a_second_is_kept_too() -> None:
    counts = Counts()
    assert turns_in(240, Pace(10 / 60 / PART, shared(counts, 10, 60))) <= 240 * 10 / 60 / PART + 1


def test_the_turns_of_one_piece_of_work_are_counted() -> None:
    pace = CountedPace(Pace(RATE))
    turns = turns_in(1, pace)
    assert turns <= pace.turns <= turns + 1
