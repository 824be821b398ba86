"""Flows that take turns: which of them goes on next is drawn from a seed.

A racer stops at every gate: before each commit, and before and after each call of the provider. It
is only when all of them stand at one that the next is drawn, so a seed is one interleaving.
"""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Any

from paygate.domain.payments.outcome import Answer
from paygate.flows.context import CommitDoor
from paygate.providers.absence import Absent
from paygate.providers.contract import CancelOrder, ConfirmOrder
from paygate.storage.change import Change, Verdict
from tests.flows.payments.stand_in_provider import StandInProvider
from tests.flows.world import Clock


class Turns:
    """A race; whoever does not take part in it walks through its gates."""

    def __init__(self, chance: random.Random, clock: Clock) -> None:
        self._chance = chance
        self._clock = clock
        self._racing: list[asyncio.Task[Any]] = []
        self._waiting: dict[asyncio.Task[Any], asyncio.Future[None]] = {}
        self._news = asyncio.Event()

    async def gate(self) -> None:
        """Wait for the turn."""
        task = asyncio.current_task()
        assert task is not None
        if task in self._racing:
            self._waiting[task] = asyncio.get_running_loop().create_future()
            self._news.set()
            await self._waiting[task]

    async def race(self, racers: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        """Run them to their ends; their results or exceptions, in order."""
        tasks = [asyncio.create_task(self._run(racer)) for racer in racers]
        self._racing = list(tasks)
        while self._racing:
            while len(self._waiting) < len(self._racing):
                self._news.clear()
                await self._news.wait()
            if self._racing:
                task = self._chance.choice(self._racing)
                # Often in the same second: then time does not tell what came first.
                self._clock.forward(self._chance.choice([0, 0, 1]))
                self._waiting.pop(task).set_result(None)
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, racer: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.current_task()
        assert task is not None
        try:
            await self.gate()
            return await racer
        finally:
            self._racing.remove(task)
            self._news.set()


class GatedDoor:
    """The real door, behind a gate."""

    def __init__(self, door: CommitDoor, turns: Turns) -> None:
        self._door = door
        self._turns = turns

    async def commit(self, change: Change) -> Verdict:
        await self._turns.gate()
        return await self._door.commit(change)


class GatedProvider(StandInProvider):
    """A provider whose requests and replies are under way for as long as it takes."""

    def __init__(self, clock: Clock, turns: Turns) -> None:
        super().__init__(clock)
        self._turns = turns

    async def confirm(self, order: ConfirmOrder, *, timeout_seconds: float) -> Answer:
        await self._turns.gate()
        answer = await super().confirm(order, timeout_seconds=timeout_seconds)
        await self._turns.gate()
        return answer

    async def cancel(self, order: CancelOrder, *, timeout_seconds: float) -> Answer:
        await self._turns.gate()
        answer = await super().cancel(order, timeout_seconds=timeout_seconds)
        await self._turns.gate()
        return answer

    async def retrieve(self, provider_reference: str, *, timeout_seconds: float) -> Answer | Absent:
        await self._turns.gate()
        answer = await super().retrieve(provider_reference, timeout_seconds=timeout_seconds)
        await self._turns.gate()
        return answer
