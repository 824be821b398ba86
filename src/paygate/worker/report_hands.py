"""The processes that read a large report side by side: each with the house's parts of its own, and
a share of the lines.

They take orders over a pipe and end with it, so that none outlives whoever started them. What one
has written when it ends is there, and what it has not the next one reads again.
"""

import asyncio
import gc
import multiprocessing
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

from paygate.domain.access.roles import Caller
from paygate.domain.settlements.report_import import SettlementImport
from paygate.domain.settlements.reports.rows import ALL, ReportUnreadable, Share
from paygate.flows.context import Context
from paygate.flows.settlements.import_report import Hands, OwnHands
from paygate.flows.settlements.report_share import Heard, ShareRead, TooManyPayouts
from paygate.flows.settlements.upload_report import HandsFor
from paygate.providers.absence import ProviderSilent
from paygate.settings import load
from paygate.storage.change import StorageError
from paygate.telemetry import log
from paygate.wiring.service import open_context

MOST_HANDS: Final = 8
"""The database has the same cores, and more readers than that wait for it."""
SMALL_BYTES: Final = 4 * 1024 * 1024
"""Of a file that is read before another process has started."""
NICE: Final = 5
"""Payments go first."""
END_SECONDS: Final = 5.0
AN_ORDER: Final = 16
"""Settlements that a process is told to conclude: some at once, and the last ones by all."""
COLLECT_AFTER: Final = 50_000
"""A page's lines are tens of thousands of objects, without a circle among them."""


class Read(msgspec.Struct, frozen=True):
    """An order: read a share of an import."""

    done: SettlementImport
    file: Path | None
    share: Share


class Conclude(msgspec.Struct, frozen=True):
    """An order: conclude settlements."""

    settlements: list[str]


class Failed(msgspec.Struct, frozen=True):
    """An order was not carried out."""

    unreadable: str | None
    too_many_payouts: bool
    provider_silent: bool
    message: str


class ReaderFailed(StorageError):
    """A process that read a report failed, or ended."""


def unheard(_: int) -> None:
    """For a reading that nobody watches."""


@asynccontextmanager
async def own_hands(ctx: Context, caller: Caller, _: int) -> AsyncIterator[Hands]:
    """This process alone, however large the file is."""
    yield OwnHands(ctx, caller, ALL, unheard)


def hands_at(data: Path) -> HandsFor:
    """The hands of a process whose settings are those of a data directory."""
    return lambda ctx, caller, size_bytes: hands_for(ctx, caller, data, size_bytes)


@asynccontextmanager
async def hands_for(
    ctx: Context, caller: Caller, data: Path, size_bytes: int, heard: Heard = unheard
) -> AsyncIterator[Hands]:
    """Those who read a file of so many bytes: this process, or one for each core."""
    count = min(os.cpu_count() or 1, MOST_HANDS)
    if size_bytes <= SMALL_BYTES or count == 1:
        yield OwnHands(ctx, caller, ALL, heard)
        return
    hands = SeveralHands(caller, data, count, heard)
    try:
        yield hands
    finally:
        await asyncio.to_thread(hands.end)


class SeveralHands:
    """So many processes."""

    def __init__(self, caller: Caller, data: Path, count: int, heard: Heard) -> None:
        self._heard = heard
        spawn = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self.processes: list[Any] = []
        for _ in range(count):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(theirs, caller, data), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self.processes.append(process)

    async def read(self, done: SettlementImport, file: Path | None) -> Sequence[ShareRead]:
        """As `Hands` says."""
        of = len(self._pipes)
        orders = [
            asyncio.to_thread(_ordered, pipe, Read(done, file, Share(place, of)), self._heard)
            for place, pipe in enumerate(self._pipes)
        ]
        results = await asyncio.gather(*orders, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if isinstance(result, ShareRead)]

    async def conclude(self, settlement_ids: Sequence[str]) -> None:
        """As `Hands` says."""
        left = list(settlement_ids)
        faults: list[Exception] = []

        async def work(pipe: Connection) -> None:
            while left:
                some = [left.pop() for _ in left[-AN_ORDER:]]
                try:
                    await asyncio.to_thread(_ordered, pipe, Conclude(some), self._heard)
                except ReaderFailed as fault:
                    faults.append(fault)

        await asyncio.gather(*map(work, self._pipes))
        if faults:
            raise faults[0]

    def end(self) -> None:
        """End the processes; what they have written is there."""
        for pipe in self._pipes:
            pipe.close()
        for process in self.processes:
            process.join(END_SECONDS)
            process.kill()


def _ordered(pipe: Connection, order: Read | Conclude, heard: Heard) -> ShareRead | None:
    """What a process answers. Raises what it was not carried out for."""
    try:
        pipe.send(order)
        while isinstance(answer := pipe.recv(), int):
            heard(answer)
    except (EOFError, OSError):
        raise ReaderFailed("a process that read the report ended") from None
    if not isinstance(answer, Failed):
        done: ShareRead | None = answer
        return done
    if answer.unreadable is not None:
        raise ReportUnreadable(answer.unreadable)
    if answer.too_many_payouts:
        raise TooManyPayouts
    if answer.provider_silent:
        raise ProviderSilent
    raise ReaderFailed(answer.message)


def _serve(pipe: Connection, caller: Caller, data: Path) -> None:
    """The process: carry out orders until the pipe is closed."""
    with suppress(OSError):
        os.nice(NICE)
    log.configure()
    uvloop.run(_take_orders(pipe, caller, data))


async def _take_orders(pipe: Connection, caller: Caller, data: Path) -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.Queue[Read | Conclude]()
    listening = threading.Thread(
        target=_listen,
        args=(pipe, lambda order: loop.call_soon_threadsafe(orders.put_nowait, order)),
    )
    listening.daemon = True
    async with open_context(load(os.environ, data=data), name="report") as ctx:
        gc.freeze()  # what was loaded stays, and what a page is made of is freed by itself
        gc.set_threshold(COLLECT_AFTER)
        listening.start()
        while True:
            order = await orders.get()
            try:
                answer: object = await _carried_out(ctx, caller, order, pipe.send)
            except Exception as fault:  # noqa: BLE001 -- whatever it was, who waits must know
                answer = _failed(fault)
            pipe.send(answer)


async def _carried_out(
    ctx: Context, caller: Caller, order: Read | Conclude, heard: Heard
) -> ShareRead | None:
    if isinstance(order, Conclude):
        await OwnHands(ctx, caller, ALL, heard).conclude(order.settlements)
        return None
    (read,) = await OwnHands(ctx, caller, order.share, heard).read(order.done, order.file)
    return read


def _failed(fault: Exception) -> Failed:
    unreadable = str(fault) if isinstance(fault, ReportUnreadable) else None
    silent = isinstance(fault, ProviderSilent)
    if not isinstance(fault, (ReportUnreadable, TooManyPayouts, ProviderSilent)):
        log.logger().error("job_failed", job="read-report", error=fault)
    return Failed(
        unreadable, isinstance(fault, TooManyPayouts), silent, f"a reader: {type(fault).__name__}"
    )


def _listen(pipe: Connection, take: Callable[[Read | Conclude], object]) -> None:
    """Take orders off the pipe; its end is the end of this process, whatever is in hand."""
    while True:
        try:
            order = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)
        take(order)
