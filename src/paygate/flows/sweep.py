"""What the sweeps have in common: they read page by page, and one payment that trips a run up holds
up no other.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from paygate.domain.ledger import Transfer
from paygate.domain.payment_intent import PaymentIntent

R = TypeVar("R", PaymentIntent, Transfer)


class Faults:
    """The faults of a run, set aside until it has come to its end.

    As a context it keeps an exception for later, and lets its run go on behind the block.
    """

    def __init__(self) -> None:
        self._found: list[Exception] = []

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, fault: BaseException | None, __: object) -> bool:
        if not isinstance(fault, Exception):
            return False  # none, or the run is to end at once
        self._found.append(fault)
        return True

    def tell(self) -> None:
        """Raise the first: the run is reported as failed, and comes again by the clock."""
        if self._found:
            raise self._found[0]


class Crew:
    """Does so many pieces of work at once; as a context it ends when all are done.

    A piece that hangs holds its own place and no other's. One that fails is set aside.
    """

    def __init__(self, at_once: int, faults: Faults) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._group = asyncio.TaskGroup()
        self._faults = faults

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        where: TracebackType | None,
    ) -> bool:
        # A fault of the block ends none of the work that it has begun.
        aside = self._faults.__exit__(kind, fault, where)
        await self._group.__aexit__(*((None,) * 3 if aside else (kind, fault, where)))
        return aside

    async def take(self, work: Coroutine[Any, Any, object]) -> None:
        """Begin a piece of work as soon as there is a place."""
        await self._free.acquire()
        self._group.create_task(self._do(work))

    async def _do(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            with self._faults:
                await work
        finally:
            self._free.release()


async def every(read: Callable[[str, str, int], Awaitable[list[R]]], page: int) -> AsyncIterator[R]:
    """The records of all merchants, read so many at a time: those after a merchant and an id."""
    merchant = after = ""
    while records := await read(merchant, after, page):
        for record in records:
            yield record
        merchant, after = records[-1].merchant, records[-1].id
