"""A lane: one connection that writes batches, and what becomes of a batch when it dies.

A change is never answered before it is durable, and never answered wrongly:

- a lane holds a session advisory lock of its own; when its connection is lost, the backend that
  still holds that lock is ended, and the lane takes the lock again before it looks: the old backend
  is then gone, so a change that is absent was not written;
- absent changes are sent again with the same ids, present ones were committed, and no caller
  hears anything before that is known;
- before a lane that lost its connection writes again, it learns which keys were retired meanwhile:
  what was made with one is not written, and said to be so;
- an unexpected error (a trigger, bad data) sends the batch again one change at a time, so
  that a poison change harms only itself.

A batch is never wrapped in a timeout that cancels: a cancelled COMMIT may have happened. A
connection on which no reply can come any more is found by its watch, and then cut.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import asyncpg

from paygate.storage.change import (
    Committed,
    Conflict,
    Impossible,
    Outdated,
    Reason,
    StorageError,
    Unavailable,
    Verdict,
)
from paygate.storage.commit.statement import VERDICTS_PER_SECTION, Section
from paygate.storage.commit.statements import Statements
from paygate.storage.connections.session import (
    DRIVER_FAULTS,
    Connect,
    Connection,
    hang_up,
    tells_unreplicated,
)
from paygate.storage.connections.watch import Watch, ask_server
from paygate.telemetry import log

PLANS: Final = (
    # Every access is by a key, and a plan outlives the time when its tables were empty.
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off"
)
"""The settings of a lane's connection."""
LANE_LOCK_CLASS: Final = 0x70677900
"""First half of the two-part advisory lock; a lane's number is the second."""
RETRY_FIRST_SECONDS: Final = 0.05
RETRY_MOST_SECONDS: Final = 1.0
TAKE_OVER_SECONDS: Final = 4.0
"""Seconds to dial and to see the old backend end; then both are tried again."""
LOOK_AGAIN_SECONDS: Final = 0.02
SQLSTATE_RETRY: Final = ("40001", "40P01")
SQLSTATE_READ_ONLY: Final = "25006"
SQLSTATE_UNAVAILABLE: Final = (SQLSTATE_READ_ONLY, "53", "54", "55P03", "57014", "58")
"""States of a database that cannot write now: read-only, insufficient resources, limits exceeded, a
lock that was not waited for, a cancelled statement, a fault of the disk.
"""
SQLSTATE_OUTDATED: Final = "PGW01"
"""What the schema raises against a writer that is too old (migration 0009)."""
SQLSTATE_RAISED: Final = "23000"
"""What our own triggers raise; their messages hold table names and states alone."""
SQLSTATE_LOST: Final = ("08", "57P")
"""The connection, or the server behind it, is going away."""

# The holder of a lane's lock is that lane's own backend, whatever became of its connection: no
# process id need be remembered, which another backend may have by now.
_HOLDER: Final = (
    "FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.classid = $1 AND l.objid = $2 AND l.objsubid = 2"
    " AND l.database = a.datid AND a.datname = current_database() AND l.granted"
)
_IS_AT_WORK: Final = f"SELECT count(*) {_HOLDER} AND coalesce(a.state, '') NOT LIKE 'idle%'"
# A commit that waits for its standby is left in peace: ended, it would be seen here and lost there.
_END_HOLDER: Final = (
    f"SELECT pg_terminate_backend(a.pid) {_HOLDER} AND a.pid <> pg_backend_pid()"  # noqa: S608
    " AND a.usename = session_user AND a.wait_event IS DISTINCT FROM 'SyncRep'"
)
_TAKE: Final = "SELECT pg_try_advisory_lock($1, $2)"


@dataclass(slots=True, eq=False)
class Pending:
    """A change on its way: rows in table order, and the future its caller awaits."""

    id: str
    merchant: str
    rows: Sequence[tuple[Section, tuple[Any, ...]]]
    verdict: asyncio.Future[Verdict] = field(repr=False)

    def resolve(self, verdict: Verdict) -> None:
        """Give the caller its verdict, if it still waits."""
        if not self.verdict.done():
            self.verdict.set_result(verdict)

    def fail(self, error: StorageError) -> None:
        """Give the caller the error by which nothing was written."""
        if not self.verdict.done():
            self.verdict.set_exception(error)


class Fence(Protocol):
    """Keeps a process that was cut off from writing what nobody could read any more."""

    async def look(self, connection: Connection) -> None:
        """Learn what may not be written by now."""

    def forbids(self, rows: Sequence[tuple[Section, tuple[Any, ...]]]) -> bool:
        """Whether a change is such."""


Rows = dict[Section, list[tuple[Any, ...]]]
"""Rows by section, each after its change's place in the batch."""


class _Lost(Exception):
    """The connection is gone. `sent` changes may have been written, or not."""

    def __init__(self, *, sent: bool) -> None:
        self.sent = sent


class Lane:
    """One connection that writes batches, and what it does when that connection dies."""

    def __init__(self, connect: Connect, fence: Fence | None = None) -> None:
        self._connect = connect
        self._fence = fence
        self._connection: Connection | None = None
        self._number = secrets.randbits(31)
        self._statements = Statements()
        self._watch = Watch()
        self._unreplicated = False

    async def open(self) -> None:
        """Connect, under a lane number that no other process has."""
        connection = await self._dial()
        while not await connection.fetchval(_TAKE, *self._lock):
            self._number = secrets.randbits(31)
        self._connection = connection

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await hang_up(connection)

    async def write(self, batch: list[Pending]) -> None:
        """Write the batch and give every change in it a verdict, however long that takes."""
        while batch := self._let_through(batch):
            try:
                await self._write_together(batch)
            except _Lost as lost:
                batch = await self._recover(batch, sent=lost.sent)
            else:
                return

    def _let_through(self, batch: list[Pending]) -> list[Pending]:
        """The changes that the fence does not forbid; the others have failed."""
        if self._fence is None:
            return batch
        forbidden = [pending for pending in batch if self._fence.forbids(pending.rows)]
        for pending in forbidden:
            pending.fail(Unavailable("it was made with a key that was retired meanwhile"))
        return [p for p in batch if p not in forbidden] if forbidden else batch

    async def _write_together(self, batch: list[Pending]) -> None:
        try:
            conflicts = await self._execute(batch)
        except (asyncpg.PostgresError, ValueError) as error:
            await self._handle_rollback(batch, error)
            return
        for ord_, pending in enumerate(batch):
            pending.resolve(conflicts.get(ord_, _COMMITTED))

    async def _handle_rollback(self, batch: list[Pending], error: Exception) -> None:
        """Fail the changes of a batch that was certainly rolled back, or send them again one by one
        to find the change to blame.
        """
        state = error.sqlstate or "" if isinstance(error, asyncpg.PostgresError) else ""
        if state == SQLSTATE_OUTDATED:
            for pending in batch:
                pending.fail(Outdated(_without_values(error)))
        elif state.startswith(SQLSTATE_UNAVAILABLE):
            if state == SQLSTATE_READ_ONLY:
                self.hang_up()  # a session keeps that default, and another server may be there now
            for pending in batch:
                pending.fail(Unavailable(f"the database refuses writes ({state})"))
        elif len(batch) == 1 and state in SQLSTATE_RETRY:
            await asyncio.sleep(RETRY_FIRST_SECONDS)
            await self._write_together(batch)
        elif len(batch) == 1:
            constraint = getattr(error, "constraint_name", None)
            batch[0].fail(Impossible(_without_values(error), constraint))
        else:
            for place, pending in enumerate(batch):
                try:
                    await self._write_together([pending])
                except _Lost:
                    # The changes before this one have their verdicts; the rest were never sent
                    # again.
                    del batch[:place]
                    raise

    async def _execute(self, batch: list[Pending]) -> dict[int, Conflict]:
        """One statement, one commit. Returns the conflicts, by their place in the batch."""
        connection = self._connection
        if connection is None or connection.is_closed():
            raise _Lost(sent=False)
        by_section = _by_section(batch)
        try:
            with self._watch.over(connection, self._is_at_work):
                sections, statement = await self._statements.for_batch(connection, by_section)
                rows = await statement.fetch(*_arrays(len(batch), sections, by_section))
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "").startswith(SQLSTATE_LOST):
                raise _Lost(sent=True) from error
            raise
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            if isinstance(error, ValueError):  # an argument that asyncpg cannot encode
                raise
            raise _Lost(sent=True) from error
        if self._unreplicated:
            raise _Lost(sent=True)
        return {row["ord"]: _conflict_in(sections, row["why"]) for row in rows}

    async def _recover(self, batch: list[Pending], *, sent: bool) -> list[Pending]:
        """Find out what became of a batch; returns the changes that were not written."""
        delay = RETRY_FIRST_SECONDS
        while True:
            present: frozenset[str] | None = None
            try:
                self.hang_up()
                async with asyncio.timeout(TAKE_OVER_SECONDS):
                    self._connection = connection = await self._dial()
                    await self._take_over(connection)
                    if self._fence is not None:
                        # Behind the lock: who retires a key after this look waits for this lane.
                        await self._fence.look(connection)
                # Absence is proof from here on.
                with self._watch.over(connection, self._is_at_work):
                    present = await _present(connection, batch) if sent else frozenset()
            except (OSError, *DRIVER_FAULTS) as error:
                log.logger().warning("lane_lost", error=error)
            if present is None or self._unreplicated:
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY_MOST_SECONDS)
                continue
            for pending in batch:
                if pending.id in present:
                    pending.resolve(_COMMITTED)
            return [pending for pending in batch if pending.id not in present]

    async def _take_over(self, connection: Connection) -> None:
        """Take the lane's lock, once the old backend is gone."""
        while not await connection.fetchval(_TAKE, *self._lock):
            # As the role that logged in: a role taken by default may not end the sessions of that
            # role.
            await connection.execute("SET ROLE NONE")
            await connection.execute(_END_HOLDER, *self._lock)
            await connection.execute("RESET ROLE")
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    @property
    def _lock(self) -> tuple[int, int]:
        return LANE_LOCK_CLASS, self._number

    async def _is_at_work(self) -> bool:
        return await ask_server(self._connect, _IS_AT_WORK, *self._lock)

    async def _dial(self) -> Connection:
        connection = await self._connect()
        self._unreplicated = False
        connection.add_log_listener(self._hear)
        try:
            await connection.execute(PLANS)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def hang_up(self) -> None:
        """Cut the connection; the next batch finds it lost, and looks before it writes."""
        self._statements.forget()
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()

    def _hear(self, _: object, message: Any) -> None:
        """Note a cancelled wait for the standby: that commit may be undone by a failover."""
        if tells_unreplicated(message):
            self._unreplicated = True


_COMMITTED: Final = Committed()


def _by_section(batch: Sequence[Pending]) -> Rows:
    """The batch turned on its side: each section's rows, and whose they are."""
    by_section: Rows = {}
    for ord_, pending in enumerate(batch):
        for section, row in pending.rows:
            by_section.setdefault(section, []).append((ord_, *row))
    return by_section


def _arrays(changes: int, sections: Sequence[Section], by_section: Rows) -> list[Any]:
    """An array for every parameter of the statement, empty for what this batch does not write."""
    needs = [0] * changes
    arguments: list[Any] = [list(range(changes)), needs]
    for place, section in enumerate(sections):
        rows = by_section.get(section)
        if rows is None:
            arguments.extend([] for _ in range(1 + len(section.table.columns)))
            continue
        if section.guards:
            for row in rows:
                needs[row[0]] |= 1 << place
        arguments.extend(map(list, zip(*rows, strict=True)))
    return arguments


def _conflict_in(sections: Sequence[Section], why: int) -> Conflict:
    place, kind = divmod(why, VERDICTS_PER_SECTION)
    reason = (Reason.STALE, Reason.CLAIMED, Reason.BUSY)[kind]
    return Conflict(reason, sections[place].table.name)


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
    """What may be shown of an error: the constraint's or the error's name, never a value."""
    if isinstance(error, asyncpg.PostgresError):
        constraint = getattr(error, "constraint_name", None)
        raised = error.args[0] if error.sqlstate == SQLSTATE_RAISED and error.args else None
        return f"{error.sqlstate}: {constraint or raised or type(error).__name__}"
    return f"an argument that cannot be encoded: {type(error).__name__}"
