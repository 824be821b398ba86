"""The frame of every sweep: records are read stretch by stretch, and neither a payment that fails
nor a record that cannot be read holds up any other.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.ledger import Transfer
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.storage.pages import Place, Stretch
from paygate.storage.unreadable import UNREAD, Unread

R = TypeVar("R", bound=msgspec.Struct)
S = TypeVar("S", PaymentIntent, Transfer, AccountTransfer)


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

    def tell(self, *kinds: type[Exception]) -> None:
        """Raise the first, or the first of these kinds: the run is reported as failed, and comes
        again by the clock.
        """
        for fault in self._found:
            if isinstance(fault, kinds or Exception):
                raise fault


class Sweep(Faults):
    """One run of a sweep: its readings, and the faults on the way."""

    def __init__(self, ctx: Context, job: str, run_id: str) -> None:
        """`job` and `run_id` name the run in the audit log."""
        super().__init__()
        self._ctx = ctx
        self._actor = Actor("job", name=job)
        self._run_id = run_id
        self._reported: set[str] = set()

    def caller(self, merchant: str) -> Caller:
        """The run as a caller, at work for a merchant."""
        return Caller(self._actor, merchant, self._run_id)

    async def stretches(
        self,
        read: Callable[[Place | None, int], Awaitable[Stretch[R]]],
        size: int,
        start: Place | None = None,
    ) -> AsyncIterator[Sequence[R]]:
        """The readable records behind a place, so many rows at a time; the others get an alert."""
        last = start
        while True:
            stretch = await read(last, size)
            for fault in stretch.unread:
                await self._tell_of(fault)
            if stretch.records:
                yield stretch.records
            if stretch.last is None:
                return
            last = stretch.last

    async def every(
        self, read: Callable[[Place | None, int], Awaitable[Stretch[R]]], size: int
    ) -> AsyncIterator[R]:
        """The same records, one by one."""
        async for records in self.stretches(read, size):
            for record in records:
                yield record

    async def end(self) -> None:
        """Tell people of records that could not be read on the way, and raise the first of all
        other faults: the run is reported as failed, and comes again by the clock.
        """
        others = []
        for fault in self._found:
            if isinstance(fault, UNREAD):
                await self._tell_of(fault)
            else:
                others.append(fault)
        if others:
            raise others[0]

    async def _tell_of(self, fault: Unread) -> None:
        """Report an unreadable record, once a run."""
        if str(fault) not in self._reported:
            self._reported.add(str(fault))
            await report_unreadable(self._ctx, self.caller(""), fault)


class Crew:
    """Works on so many pieces at once; as a context it ends when all pieces are done.

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


async def every(read: Callable[[str, str, int], Awaitable[list[S]]], page: int) -> AsyncIterator[S]:
    """The records of all merchants, read so many at a time: those after a merchant and an id. For
    sums, which are wrong where one is left out: a record that cannot be read ends it.
    """
    merchant = after = ""
    while records := await read(merchant, after, page):
        for record in records:
            yield record
        merchant, after = records[-1].merchant, records[-1].id
