"""Forward-only migrations, applied in order under one lock; and the first installation.

An applied file never changes: its checksum is kept, and a difference stops the start.
"""

import hashlib
import re
from importlib.resources import files
from typing import Final, NamedTuple

import asyncpg

from paygate.jobs import queue
from paygate.storage.session import Connect, Connection

MIGRATION_LOCK: Final = 0x7067_6D69_6772
_NAME: Final = re.compile(r"(\d{4})_[a-z_]+\.sql")


class MigrationError(Exception):
    """The database is not one that this version can work on; the message says what to do."""


class Migration(NamedTuple):
    """One file of `migrations/`."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """What identifies the file's content."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Every migration there is, in order."""
    folder = files("paygate.storage") / "migrations"
    found = [
        Migration(int(match[1]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if (match := _NAME.fullmatch(entry.name))
    ]
    return sorted(found)


async def migrate(connect: Connect) -> list[str]:
    """Bring the database up to this version; returns the names of what was applied.

    Raises:
        MigrationError: an applied migration was changed, or the database is newer.
    """
    connection = await connect()
    try:
        # Other nodes that start at the same time wait here.
        await connection.fetchval("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (number integer PRIMARY KEY,"
            " name text NOT NULL, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        applied = await _apply_missing(connection)
        await queue.install(connection)
    finally:
        await connection.close()
    return applied


async def _apply_missing(connection: Connection) -> list[str]:
    rows = await connection.fetch("SELECT number, name, checksum FROM schema_migration")
    known = {row["number"]: row for row in rows}
    ours = migrations()
    if newer := sorted(set(known) - {migration.number for migration in ours}):
        raise MigrationError(
            f"the database has migration {newer[-1]}, which this version does not know:"
            " run the newer version of paygate"
        )
    applied = []
    for migration in ours:
        if (row := known.get(migration.number)) is None:
            await _apply(connection, migration)
            applied.append(migration.name)
        elif row["checksum"] != migration.checksum:
            raise MigrationError(
                f"migration {migration.name} was changed after it was applied:"
                " restore the file as it was released"
            )
    return applied


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        try:
            await connection.execute(migration.sql)
        except asyncpg.ObjectNotInPrerequisiteStateError as error:
            raise MigrationError(str(error)) from None  # a migration's own words
        await connection.execute(
            "INSERT INTO schema_migration (number, name, checksum) VALUES ($1, $2, $3)",
            migration.number,
            migration.name,
            migration.checksum,
        )
