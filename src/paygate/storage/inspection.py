"""What the database's server says of itself, read over one connection and judged elsewhere."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from paygate.storage.blocks import QUERIES
from paygate.storage.connections.session import Connect, Connection, hang_up, verified_tls
from paygate.storage.connections.watch import watched
from paygate.storage.schema.months import BY_MONTH
from paygate.storage.schema.versions import MigrationError, check_version, with_rights

SETTINGS: Final = (
    *("fsync", "full_page_writes", "synchronous_commit", "data_checksums", "data_directory"),
    *("log_statement", "log_min_duration_statement", "log_min_duration_sample"),
    *("log_transaction_sample_rate", "log_parameter_max_length"),
    *("log_parameter_max_length_on_error", "auto_explain.log_min_duration"),
    *("auto_explain.log_parameter_max_length", "archive_mode", "archive_command"),
    "archive_library",
)
"""Those that are looked at. A server that does not know one, or does not show it to our role,
leaves it out."""


class RoleFacts(msgspec.Struct, frozen=True):
    """What the role that we connect as may do beyond reading and writing rows."""

    name: str
    superuser: bool = False
    bypasses_row_security: bool = False
    makes_roles: bool = False
    replicates: bool = False
    owns_tables: bool = False
    """Or is a member of the role that does."""


class Slot(msgspec.Struct, frozen=True):
    """A replication slot: the server keeps what its reader has not taken."""

    name: str
    active: bool
    wal_status: str


class Session(msgspec.Struct, frozen=True):
    """A connection of ours, by the name that it goes under, and the machine that it comes from."""

    name: str
    address: str


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All that is looked at."""

    version: int
    """The major one."""
    settings: Mapping[str, str]
    role: RoleFacts
    tls: bool
    """Whether this connection is over TLS that proves who answers."""
    ahead: timedelta
    """The server's clock less ours, give or take `within`."""
    within: timedelta
    archived_at: datetime | None = None
    archiving_failed_at: datetime | None = None
    slots: Sequence[Slot] = ()
    standbys: int = 0
    sessions: Sequence[Session] = ()
    schema_fault: str | None = None
    """Why this version cannot work on the database, or None."""
    months_lacking: Sequence[str] = ()
    """Tables that have no partition for the month that was asked for."""


async def inspect(connect: Connect, *, month_of: datetime) -> ServerFacts:
    """The server as it is now. `month_of` is a time that a month must be there for.

    Raises:
        OSError, asyncpg's faults: there is no way in, or the server ended the connection.
    """
    connection = await connect()
    try:
        with watched(connect, connection)():
            return await _inspect(connection, month_of)
    finally:
        await hang_up(connection)


async def _inspect(connection: Connection, month_of: datetime) -> ServerFacts:
    settings = await connection.fetch(QUERIES["server_settings"], list(SETTINGS))
    role = await connection.fetchrow(QUERIES["own_role"])
    began = datetime.now(UTC)
    shown: datetime = await connection.fetchval(QUERIES["server_time"])
    ended = datetime.now(UTC)
    archiver: Any = await connection.fetchrow(QUERIES["archiver"])
    fault = await _schema_fault(connection)
    lacking = (
        []
        if fault
        else await connection.fetch(QUERIES["months_not_made"], list(BY_MONTH), month_of)
    )
    assert role is not None, "the server knows who is connected"
    return ServerFacts(
        version=connection.get_server_version().major,
        settings={row["name"]: row["setting"] for row in settings},
        role=RoleFacts(**role),
        tls=verified_tls(connection),
        ahead=shown - (began + (ended - began) / 2),
        within=(ended - began) / 2,
        archived_at=archiver["last_archived_time"],
        archiving_failed_at=archiver["last_failed_time"],
        slots=[Slot(**row) for row in await connection.fetch(QUERIES["replication_slots"])],
        standbys=await connection.fetchval(QUERIES["standbys"]),
        sessions=[Session(**row) for row in await connection.fetch(QUERIES["own_sessions"])],
        schema_fault=fault,
        months_lacking=[row["name"] for row in lacking],
    )


async def _schema_fault(connection: Connection) -> str | None:
    try:
        with with_rights():
            await check_version(connection)
    except MigrationError as error:
        return str(error)
    return None
