"""Which migrations there are, and which versions of paygate a database takes.

A version is known to the database by the newest migration that it carries: its *writer* number.
Every connection of ours announces the number, and the schema refuses the writes of connections
below `lowest_writer()` (migration 0009; docs/upgrades.md).
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

WRITER_SETTING: Final = "paygate.writer"
"""The session setting that announces a writer."""

_NAME: Final = re.compile(r"(\d{4})_[a-z_]+\.sql")
_OUTSIDE: Final = "-- outside a transaction\n"
_STATEMENT: Final = re.compile(r"(?:\$\$.*?\$\$|[^;$])+;", re.DOTALL)
_COMMENT: Final = re.compile(r"^\s*--.*\n?", re.MULTILINE)


class MigrationError(Exception):
    """The database is not one that this version can work on; the message says what to do."""


@contextmanager
def with_rights() -> Iterator[None]:
    """Around work on the database. Raises MigrationError when its role may not do it."""
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        # The server's first line names the object, and no value.
        said = str(error).partition("\n")[0]
        raise MigrationError(f"the database's role lacks a right: {said}") from None


class Migration(NamedTuple):
    """One file of `migrations/`."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """What identifies the file's content."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def transactional(self) -> bool:
        """Whether the file is applied whole or not at all; else statement by statement, resumed
        where a crash left it.
        """
        return not self.sql.startswith(_OUTSIDE)

    @property
    def statements(self) -> list[str]:
        """The statements of a file that is not transactional."""
        return [part.strip() for part in _STATEMENT.findall(_COMMENT.sub("", self.sql))]


def migrations() -> list[Migration]:
    """Every migration there is, in order."""
    folder = files("paygate.storage.schema") / "migrations"
    found = [
        Migration(int(match[1]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if (match := _NAME.fullmatch(entry.name))
    ]
    return sorted(found)


WRITER: Final = migrations()[-1].number
"""This version, as a writer."""
ANNOUNCED: Final[Mapping[str, str]] = MappingProxyType({WRITER_SETTING: str(WRITER)})
"""The server settings with which every connection of ours begins."""


async def lowest_writer(connection: Connection) -> int:
    """The oldest version whose writes the schema takes; 0 when it takes any."""
    if await connection.fetchval("SELECT to_regproc('lowest_writer') IS NULL"):
        return 0
    lowest: int = await connection.fetchval("SELECT lowest_writer()")
    return lowest


def too_old(lowest: int) -> str:
    """What to say when the schema takes no writes of this version."""
    return (
        f"this is version {WRITER} to the database, which takes writes of version {lowest} and"
        " later: run the newer version of paygate"
    )


async def check_version(connection: Connection) -> None:
    """See that this version can work on the database. A newer schema is none of its business, as
    long as the schema takes its writes: the two may run side by side.

    Raises:
        MigrationError: the database was not migrated for this version, or is beyond it.
    """
    if await connection.fetchval("SELECT to_regclass('installation') IS NULL"):
        raise MigrationError("the database has no tables yet: run `paygate migrate`")
    rows = await connection.fetch("SELECT number FROM schema_migration")
    missing = {migration.number for migration in migrations()} - {row["number"] for row in rows}
    if missing:
        raise MigrationError(
            f"the database lacks migration {min(missing)}: run `paygate migrate` of this version"
            " before its processes start"
        )
    if (lowest := await lowest_writer(connection)) > WRITER:
        raise MigrationError(too_old(lowest))
