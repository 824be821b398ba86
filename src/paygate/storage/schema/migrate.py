"""Forward-only migrations, applied in order by one process at a time, beside nodes that go on.

An applied file never changes: its checksum is kept, and a difference stops the start.

A lock that a migration waits for queues every commit behind it. So no migration waits longer than
`LOCK_WAIT`: it gives up what it holds, tells who is in the way, and tries again. What takes long,
an index, is built concurrently, in a file that begins with `-- outside a transaction`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

import asyncpg

from paygate.storage.connections.session import Connect, Connection, hang_up
from paygate.storage.connections.watch import watched
from paygate.storage.schema.months import make_months
from paygate.storage.schema.order import keep_order
from paygate.storage.schema.versions import (
    WRITER,
    Migration,
    MigrationError,
    lowest_writer,
    migrations,
    too_old,
    with_rights,
)

MIGRATION_LOCK: Final = 0x7067_6D69_6772
LOCK_WAIT: Final = timedelta(milliseconds=200)
"""For so long a commit may stand still behind a migration; a payer does not notice."""
TRY_AGAIN_SECONDS: Final = 1.0
"""Between two tries commits have the database five sixths of the time."""
ASK_AGAIN_SECONDS: Final = 0.05
"""For the migrations' lock: cheap, and most often it is soon free."""
PATIENCE: Final = timedelta(hours=1)
"""Longer than most reports and backups hold their locks. Beyond it a person decides."""
LOOK_SECONDS: Final = 5.0
"""How often the progress of an index is told."""

T = TypeVar("T")
Tell = Callable[[str], None]
"""Where progress is told, a line at a time."""
Waiting = Callable[[], AbstractContextManager[None]]
"""What is put around each wait for the server."""

_SESSION: Final = (
    # Whatever the role's or the database's defaults are.
    "SET statement_timeout = 0; SET lock_timeout = 0; SET client_min_messages = warning;"
    " SET default_transaction_isolation = 'read committed'; SET synchronous_commit = on;"
    " SET default_transaction_read_only = off"
)
_INDEX: Final = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(\w+)\s+ON\s+(\w+)\s", re.IGNORECASE
)
_PARTS: Final = (
    "SELECT inhrelid::regclass::text AS part FROM pg_inherits JOIN pg_class c ON c.oid = inhparent"
    " WHERE inhparent = to_regclass($1) AND c.relkind IN ('p', 'I') ORDER BY 1"
)
"""Of a table by month, or of an index of one."""
_DROP: Final = re.compile(r"DROP\s+INDEX\s+CONCURRENTLY\s+IF\s+EXISTS\s", re.IGNORECASE)
_AGAIN: Final = re.compile(
    r"CREATE\s+OR\s+REPLACE\s|DROP\s+(?:FUNCTION|PROCEDURE)\s+IF\s+EXISTS\s|DO\s|CALL\s",
    re.IGNORECASE,
)
"""What may be done again: a block and a procedure see to that themselves."""
_IN_THE_WAY: Final = (
    "SELECT format('backend %s (%s), whose transaction is open for %s s', pid,"
    " coalesce(nullif(application_name, ''), 'without a name'),"
    " extract(epoch FROM clock_timestamp() - xact_start)::int)"
    " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend' AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 1"
)
_LOCK_HOLDER: Final = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND (classid::bigint << 32 | objid::bigint) = $1 AND objsubid = 1"
)
_PROGRESS: Final = (
    "SELECT format('%s, %s of %s blocks%s', phase, blocks_done, blocks_total,"
    " CASE WHEN current_locker_pid > 0 THEN format('; backend %s must end', current_locker_pid)"
    " END) FROM pg_stat_progress_create_index WHERE pid = $1"
)


async def migrate(
    connect: Connect,
    *,
    tell: Tell = lambda _: None,
    patience: timedelta = PATIENCE,
    files: Sequence[Migration] | None = None,
) -> list[str]:
    """Bring the database up to this version; returns the names of what was applied.

    A database of a newer version is left as it is, when it takes this version's writes.

    Raises:
        MigrationError: an applied migration was changed, the database is beyond this version, its
            role lacks a right, or in all of `patience` there was no moment when a migration's locks
            were free.
    """
    connection = await connect()
    waiting = watched(connect, connection)
    try:
        with with_rights():
            with waiting():
                await connection.execute(_SESSION)
            await be_alone(connection, tell, waiting)
            ours = migrations() if files is None else files
            with waiting():
                await connection.execute(
                    "CREATE TABLE IF NOT EXISTS schema_migration (number integer PRIMARY KEY,"
                    " name text NOT NULL, checksum text NOT NULL,"
                    " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
                )
                missing = await _missing(connection, ours, tell)
            run = Run(connection, connect, waiting, tell, patience)
            for migration in missing or ():
                await run.apply(migration)
            if missing is not None:
                await run.patiently("the queue's tables", run.upgrade_queue)
                await make_months(run.ask, tell)
                if await keep_order(run.ask):
                    tell("the database is a dump of another server: the order of events is kept")
    finally:
        await hang_up(connection)
    return [migration.name for migration in missing or ()]


@asynccontextmanager
async def run_alone(connect: Connect, tell: Tell, patience: timedelta) -> AsyncIterator["Run"]:
    """A run that holds the migrations' lock."""
    connection = await connect()
    waiting = watched(connect, connection)
    try:
        with with_rights():
            with waiting():
                await connection.execute(_SESSION)
            await be_alone(connection, tell, waiting)
            yield Run(connection, connect, waiting, tell, patience)
    finally:
        await hang_up(connection)


async def be_alone(connection: Connection, tell: Tell, waiting: Waiting) -> None:
    """Hold the migrations' lock until the connection is closed.

    It is asked for again and again, never waited for in a statement: the snapshot of that would
    keep an index of the other's from being completed, and the other from ending.
    """
    announced = False
    while True:
        with waiting():
            if await connection.fetchval("SELECT pg_try_advisory_lock($1)", MIGRATION_LOCK):
                return
            holder = None if announced else await connection.fetchval(_LOCK_HOLDER, MIGRATION_LOCK)
        if not announced:
            tell(f"another process migrates this database (backend {holder}): waiting for its end")
            announced = True
        await asyncio.sleep(ASK_AGAIN_SECONDS)


async def _missing(
    connection: Connection, ours: Sequence[Migration], tell: Tell
) -> list[Migration] | None:
    """What is to be applied; None when the database is a newer version's, and not ours to touch."""
    rows = await connection.fetch("SELECT number, name, checksum FROM schema_migration")
    known = {row["number"]: row["checksum"] for row in rows}
    for migration in ours:
        if known.get(migration.number, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"migration {migration.name} was changed after it was applied:"
                " restore the file as it was released"
            )
    missing = [migration for migration in ours if migration.number not in known]
    newest = max(known, default=0)
    if newest <= ours[-1].number:
        return missing
    lowest = await lowest_writer(connection)
    if lowest > WRITER or missing:
        raise MigrationError(
            f"the database has migration {newest}, which this version does not know: "
            + (too_old(lowest) if lowest > WRITER else "run the newer version of paygate")
        )
    tell(
        f"the database is of a newer version ({newest}) and takes this one's writes: left as it is"
    )
    return None


class Run:
    """One process's work on the database, while it holds the lock."""

    def __init__(
        self,
        connection: Connection,
        connect: Connect,
        waiting: Waiting,
        tell: Tell,
        patience: timedelta,
    ) -> None:
        self._connection = connection
        self._connect = connect
        self._waiting = waiting
        self._tell = tell
        self._patience = patience

    async def apply(self, migration: Migration) -> None:
        """Apply a file and write down that it is applied."""
        if migration.transactional:
            await self.patiently(migration.name, lambda: self._whole(migration))
            return
        for statement in migration.statements:
            resumable = any(kind.match(statement) for kind in (_INDEX, _DROP, _AGAIN))
            assert resumable, "outside a transaction stands only what can be resumed"
        for statement in migration.statements:
            if _AGAIN.match(statement):
                await self.patiently(migration.name, partial(self._briefly, statement))
            else:
                await self._alone(migration, statement)
        with self._waiting():
            await self._write_down(migration)

    async def ask(self, statement: str, *arguments: object) -> Any:
        """The first value of a statement of its own transaction, once its locks are free."""
        return await self.patiently("a table", partial(self._briefly, statement, *arguments))

    async def patiently(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """What becomes of work that needs locks which others may hold, done as often as it takes.

        Raises:
            MigrationError: for so long there was no moment for it.
        """
        end = asyncio.get_running_loop().time() + self._patience.total_seconds()
        while True:
            try:
                with self._waiting():
                    return await work()
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                with self._waiting():
                    blocker = await self._connection.fetchval(_IN_THE_WAY) or "a lock"
            if asyncio.get_running_loop().time() > end:
                raise MigrationError(
                    f"{what} waited in vain for {blocker}: end that, or wait for its end, and run"
                    " this again; all before it is applied, and nothing of it"
                )
            self._tell(f"{what}: waiting for {blocker}; commits go on meanwhile")
            await asyncio.sleep(TRY_AGAIN_SECONDS)

    async def upgrade_queue(self) -> None:
        """The queue's tables as its library wants them; each step of it may be repeated."""
        # A quarter of the imports of every process, and only those that migrate need the library.
        from paygate.jobs import queue  # noqa: PLC0415

        await self._connection.execute(_limit("SET", LOCK_WAIT))
        try:
            await queue.install(self._connection)
        finally:
            await self._connection.execute(_limit("SET", timedelta(0)))

    async def _briefly(self, statement: str, *arguments: object) -> Any:
        """The first value of a statement that waits for no lock longer than a commit may. It is
        its own transaction, or several.
        """
        await self._connection.execute(_limit("SET", LOCK_WAIT))
        try:
            return await self._connection.fetchval(statement, *arguments)
        finally:
            await self._connection.execute(_limit("SET", timedelta(0)))

    async def _whole(self, migration: Migration) -> None:
        async with self._connection.transaction():
            await self._connection.execute(_limit("SET LOCAL", LOCK_WAIT))
            try:
                await self._connection.execute(migration.sql)
            except asyncpg.LockNotAvailableError:
                raise  # to the driver it is one of those below
            except asyncpg.ObjectNotInPrerequisiteStateError as error:
                raise MigrationError(str(error)) from None  # a migration's own words
            await self._write_down(migration)

    async def _alone(self, migration: Migration, statement: str) -> None:
        """One statement outside a transaction, unless it was done before a crash."""
        made = _INDEX.match(statement)
        if made is None:
            await self._told(migration, statement)
            return
        name, table = made[1], made[2]
        with self._waiting():
            months = await self._connection.fetch(_PARTS, table)
        if months:
            await self._by_month(migration, statement, [place for (place,) in months])
        else:
            await self._index(migration, name, statement)

    async def _by_month(self, migration: Migration, statement: str, months: Sequence[str]) -> None:
        """An index of a table by month: such a table has none made beside commits. Each of its
        months has, and they together become the table's.
        """
        made = _INDEX.match(statement)
        assert made is not None, "an index"
        name, table = made[1], made[2]
        whole = re.sub(r"\sCONCURRENTLY\s", " IF NOT EXISTS ", statement, count=1)
        whole = re.sub(rf"\sON\s+{table}\s", f" ON ONLY {table} ", whole, count=1)
        await self.patiently(migration.name, partial(self._briefly, whole))
        with self._waiting():
            attached = {part for (part,) in await self._connection.fetch(_PARTS, name)}
        parts = {place + name.removeprefix(table): place for place in months}
        for part, place in parts.items():
            of_month = re.sub(rf"\s{name}\s+ON\s+{table}\s", f" {part} ON {place} ", statement)
            await self._index(migration, part, of_month)
        for part in parts.keys() - attached:
            attach = f"ALTER INDEX {name} ATTACH PARTITION {part}"
            await self.patiently(migration.name, partial(self._briefly, attach))

    async def _index(self, migration: Migration, name: str, statement: str) -> None:
        """An index beside commits. What is left of one that failed is not valid: dropped, and made
        again.
        """
        with self._waiting():
            valid = await self._connection.fetchval(
                "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", name
            )
        if valid:
            return
        if valid is False:
            self._tell(f"{migration.name}: {name} was left unfinished, and is made again")
            with self._waiting():
                await self._connection.execute(f"DROP INDEX CONCURRENTLY {name}")
        await self._told(migration, statement)

    async def _told(self, migration: Migration, statement: str) -> None:
        self._tell(f"{migration.name}: {statement.splitlines()[0]}")
        await self._watched(migration, statement)

    async def _watched(self, migration: Migration, statement: str) -> None:
        """Execute, and tell how far it has come. It takes no lock that a commit waits for."""
        pid = self._connection.get_server_pid()
        work = asyncio.create_task(self._patient(statement))
        watch = await self._connect()
        try:
            while not (await asyncio.wait([work], timeout=LOOK_SECONDS))[0]:
                with watched(self._connect, watch)():
                    progress = await watch.fetchval(_PROGRESS, pid)
                if progress is not None:
                    self._tell(f"{migration.name}: {progress}")
        finally:
            await hang_up(watch)
        await work

    async def _patient(self, statement: str) -> None:
        """However long the server is at work on it."""
        with self._waiting():
            await self._connection.execute(statement)

    async def _write_down(self, migration: Migration) -> None:
        await self._connection.execute(
            "INSERT INTO schema_migration (number, name, checksum) VALUES ($1, $2, $3)",
            migration.number,
            migration.name,
            migration.checksum,
        )


def _limit(how: str, wait: timedelta) -> str:
    return f"{how} lock_timeout = '{wait // timedelta(milliseconds=1)}ms'"
