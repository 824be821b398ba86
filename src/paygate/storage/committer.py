"""The one door to the disk: changes that arrive together are written together.

Each lane is a connection with a task of its own. It takes a share of what is queued, writes
it in one statement (`statement.build`), and tells each change its verdict after the commit.
A change is never answered before it is durable, and never answered wrongly:

- a lane holds a session advisory lock, and when its connection is lost it takes that lock
  again before it looks: the old backend is then gone, so what is absent was not written;
- what is absent is sent again with the same ids, what is present was committed, and nobody
  hears anything before that is known;
- an unexpected error (a trigger, bad data) sends the batch again one change at a time, so
  that a poison change harms only itself.

A batch is never wrapped in a timeout that cancels: a cancelled COMMIT may have happened.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import asyncpg

from paygate.storage.change import (
    Committed,
    Impossible,
    OutcomeUnknown,
    Outdated,
    Overloaded,
    Reason,
    Refused,
    StorageError,
    Unavailable,
    Verdict,
)
from paygate.storage.statement import VERDICTS_PER_SECTION, Section, build
from paygate.telemetry import log

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connect = Callable[[], Awaitable[Connection]]

BATCH_CAP: Final = 256
"""Beyond it a batch only adds latency: throughput is flat from 128 on."""
QUEUE_LIMIT: Final = 4096
"""About a quarter of a second of work; more waiting would be longer than callers wait."""
LANES: Final = 2
"""One writes while the other gathers; more of them split the batches and gain nothing."""
SESSION: Final = (
    # A role's or a database's defaults must not weaken what an acknowledgement means.
    "SET synchronous_commit = on;"
    # Every access is by a key, and a plan outlives the time when its tables were empty.
    " SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off"
)
"""What a lane's connection is told first."""
LANE_LOCK_CLASS: Final = 0x70677900
"""First half of the two-part advisory lock; a lane's number is the second."""
RETRY_FIRST_SECONDS: Final = 0.05
RETRY_MOST_SECONDS: Final = 1.0
SQLSTATE_RETRY: Final = ("40001", "40P01")
SQLSTATE_UNAVAILABLE: Final = ("25006", "53", "54")
"""Read-only transaction, insufficient resources, limits exceeded."""
SQLSTATE_OUTDATED: Final = "PGW01"
"""What the schema raises against a writer that is too old (migration 0009)."""
SQLSTATE_RAISED: Final = "23000"
"""What our own triggers raise; their messages hold table names and states alone."""
SQLSTATE_LOST: Final = ("08", "57P")
"""The connection, or the server behind it, is going away."""
DRIVER_FAULTS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises when the server, the connection or the driver itself is at fault."""


@dataclass(slots=True, eq=False)
class Pending:
    """A change on its way: rows in table order, and the future its caller awaits."""

    id: str
    merchant: str
    rows: Sequence[tuple[Section, tuple[Any, ...]]]
    verdict: asyncio.Future[Verdict] = field(repr=False)

    def answer(self, verdict: Verdict) -> None:
        """Tell the caller, if it still listens."""
        if not self.verdict.done():
            self.verdict.set_result(verdict)

    def fail(self, error: StorageError) -> None:
        """Tell the caller that nothing was written, and why."""
        if not self.verdict.done():
            self.verdict.set_exception(error)


class _Lost(Exception):
    """The acknowledgement was lost: what became of the batch is not known."""


class Committer:
    """Gathers changes and writes them through its lanes."""

    def __init__(
        self,
        connect: Connect,
        *,
        lanes: int = LANES,
        batch_cap: int = BATCH_CAP,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self._lanes = [Lane(connect) for _ in range(lanes)]
        self._batch_cap = batch_cap
        self._queue_limit = queue_limit
        self._queue: deque[Pending] = deque()
        self._some = asyncio.Event()
        self._free = lanes
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def open(self) -> None:
        """Connect every lane."""
        for lane in self._lanes:
            await lane.open()
        self._tasks = [asyncio.create_task(self._serve(lane)) for lane in self._lanes]

    async def close(self) -> None:
        """Write what is queued, then stop. New changes are refused."""
        self._closing = True
        self._some.set()
        await asyncio.gather(*self._tasks)
        for lane in self._lanes:
            await lane.close()

    @property
    def waiting(self) -> int:
        """How many changes are queued."""
        return len(self._queue)

    def submit(
        self, change_id: str, merchant: str, rows: Sequence[tuple[Section, tuple[Any, ...]]]
    ) -> asyncio.Future[Verdict]:
        """Queue a change. The future is the committer's: to stop waiting is not to cancel.

        Raises:
            Overloaded: the queue is full, or the committer is closing.
        """
        if self._closing or len(self._queue) >= self._queue_limit:
            raise Overloaded("too many changes are waiting for the database")
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        verdict.add_done_callback(_retrieve)
        self._queue.append(Pending(change_id, merchant, rows, verdict))
        self._some.set()
        return verdict

    async def _serve(self, lane: "Lane") -> None:
        while self._queue or not self._closing:
            await self._some.wait()
            # Whoever is ready in this turn of the loop joins the batch.
            await asyncio.sleep(0)
            batch = self._take()
            if batch:
                self._free -= 1
                try:
                    await lane.write(batch)
                except Exception as error:  # noqa: BLE001 -- a bug: still nobody waits for ever
                    log.logger().error("lane_failed", error=error)
                    lane.hang_up()
                    for pending in batch:
                        pending.fail(OutcomeUnknown("the write went wrong in an unforeseen way"))
                finally:
                    self._free += 1

    def _take(self) -> list[Pending]:
        """This lane's share: what is queued, split among the lanes that are free."""
        share = -(-len(self._queue) // max(self._free, 1))
        batch = [self._queue.popleft() for _ in range(min(share, self._batch_cap))]
        if not self._queue and not self._closing:
            self._some.clear()
        return batch


class Lane:
    """One connection that writes batches, and what it does when that connection dies."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._number = 0
        self._statements: dict[tuple[Section, ...], Any] = {}
        self._unreplicated = False

    async def open(self) -> None:
        """Connect, under a lane number that no other process has."""
        connection = await self._dial()
        while True:
            self._number = secrets.randbits(31)
            if await connection.fetchval(
                "SELECT pg_try_advisory_lock($1, $2)", LANE_LOCK_CLASS, self._number
            ):
                break
        self._connection = connection

    async def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def write(self, batch: list[Pending]) -> None:
        """Write the batch and answer every change in it, however long that takes."""
        while batch:
            try:
                await self._write_together(batch)
            except _Lost:
                batch = await self._recover(batch)
            else:
                return

    async def _write_together(self, batch: list[Pending]) -> None:
        try:
            refused = await self._execute(batch)
        except (asyncpg.PostgresError, ValueError) as error:
            await self._settle_error(batch, error)
            return
        for ord_, pending in enumerate(batch):
            pending.answer(refused.get(ord_, _COMMITTED))

    async def _settle_error(self, batch: list[Pending], error: Exception) -> None:
        """The batch was rolled back for certain: answer it, or find the one to blame."""
        state = error.sqlstate or "" if isinstance(error, asyncpg.PostgresError) else ""
        if state == SQLSTATE_OUTDATED:
            for pending in batch:
                pending.fail(Outdated(_without_values(error)))
        elif state.startswith(SQLSTATE_UNAVAILABLE):
            for pending in batch:
                pending.fail(Unavailable(f"the database refuses writes ({state})"))
        elif len(batch) == 1 and state in SQLSTATE_RETRY:
            await asyncio.sleep(RETRY_FIRST_SECONDS)
            await self._write_together(batch)
        elif len(batch) == 1:
            batch[0].fail(Impossible(_without_values(error)))
        else:
            for place, pending in enumerate(batch):
                try:
                    await self._write_together([pending])
                except _Lost:
                    # Those before this one were answered; the rest were never sent again.
                    del batch[:place]
                    raise

    async def _execute(self, batch: list[Pending]) -> dict[int, Refused]:
        """One statement, one commit. Returns the refused, by their place in the batch."""
        connection = self._connection
        if connection is None or connection.is_closed():
            raise _Lost
        sections, arguments = _arrays(batch)
        try:
            statement = self._statements.get(sections)
            if statement is None:
                statement = await connection.prepare(build(sections))
                self._statements[sections] = statement
            rows = await statement.fetch(*arguments)
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "").startswith(SQLSTATE_LOST):
                raise _Lost from error
            raise
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            if isinstance(error, ValueError):  # an argument that asyncpg cannot encode
                raise
            raise _Lost from error
        if self._unreplicated:
            raise _Lost
        return {row["ord"]: _refusal(sections, row["why"]) for row in rows}

    async def _recover(self, batch: list[Pending]) -> list[Pending]:
        """Find out what became of a batch; returns the changes that were not written."""
        delay = RETRY_FIRST_SECONDS
        while True:
            try:
                self.hang_up()
                self._connection = connection = await self._dial()
                # Waits until the old backend is gone: absence is proof from here on.
                await connection.fetchval(
                    "SELECT pg_advisory_lock($1, $2)", LANE_LOCK_CLASS, self._number
                )
                present = await _present(connection, batch)
            except (OSError, *DRIVER_FAULTS):
                present = None
            if present is None or self._unreplicated:
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY_MOST_SECONDS)
                continue
            for pending in batch:
                if pending.id in present:
                    pending.answer(_COMMITTED)
            return [pending for pending in batch if pending.id not in present]

    async def _dial(self) -> Connection:
        connection = await self._connect()
        self._unreplicated = False
        connection.add_log_listener(self._hear)
        await connection.execute(SESSION)
        return connection

    def hang_up(self) -> None:
        """Leave the connection; the next batch finds it lost, and looks before it writes."""
        self._statements.clear()
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()

    def _hear(self, _: object, message: Any) -> None:
        """A wait for the standby that was cancelled is a commit that a failover may undo."""
        if message.severity_en == "WARNING" and "synchronous replication" in message.message:
            self._unreplicated = True


_COMMITTED: Final = Committed()


def _arrays(batch: Sequence[Pending]) -> tuple[tuple[Section, ...], list[Any]]:
    """The batch turned on its side: its sections, and an array for every parameter."""
    by_section: dict[Section, list[tuple[Any, ...]]] = {}
    for ord_, pending in enumerate(batch):
        for section, row in pending.rows:
            by_section.setdefault(section, []).append((ord_, *row))
    # A fixed order, so that one set of sections is one statement.
    sections = tuple(sorted(by_section, key=lambda s: (s.table.name, s.mode.value)))
    needs = [0] * len(batch)
    for place, section in enumerate(sections):
        if section.guards:
            for row in by_section[section]:
                needs[row[0]] |= 1 << place
    arguments: list[Any] = [list(range(len(batch))), needs]
    for section in sections:
        arguments.extend(map(list, zip(*by_section[section], strict=True)))
    return sections, arguments


def _refusal(sections: Sequence[Section], why: int) -> Refused:
    place, kind = divmod(why, VERDICTS_PER_SECTION)
    reason = (Reason.STALE, Reason.CLAIMED, Reason.BUSY)[kind]
    return Refused(reason, sections[place].table.name)


async def _present(connection: Connection, batch: Sequence[Pending]) -> frozenset[str]:
    """Which changes were written. The emitted message makes this read wait for the standby
    as a commit does: what it finds is then replicated too.
    """
    async with connection.transaction():
        rows = await connection.fetch(
            "SELECT a.id FROM unnest($1::text[], $2::text[]) AS c(merchant, id)"
            " JOIN audit_entry a USING (merchant, id)",
            [pending.merchant for pending in batch],
            [pending.id for pending in batch],
        )
        await connection.execute("SELECT pg_logical_emit_message(true, 'paygate', '')")
    return frozenset(row["id"] for row in rows)


def _without_values(error: Exception) -> str:
    """What may be said of a refusal: the constraint's or the error's name, never a value."""
    if isinstance(error, asyncpg.PostgresError):
        constraint = getattr(error, "constraint_name", None)
        raised = error.args[0] if error.sqlstate == SQLSTATE_RAISED and error.args else None
        return f"{error.sqlstate}: {constraint or raised or type(error).__name__}"
    return f"an argument that cannot be encoded: {type(error).__name__}"


def _retrieve(verdict: asyncio.Future[Verdict]) -> None:
    """A caller who stopped waiting leaves an error that nobody else will look at."""
    if not verdict.cancelled():
        verdict.exception()
