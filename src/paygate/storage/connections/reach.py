"""The first connection of a process: what is wrong with it is one line that a person can act on.

Later ones are waited for and dialled again by whoever needs them (`lane.py`, `watch.py`).
"""

import os
import socket
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from paygate.storage.connections.session import CONNECT_WITHIN_SECONDS, Connect, Connection

DEFAULT_PORT: Final = "5432"


class UnreachableError(ConnectionError):
    """There is no way into the database; the message says which one, and never the password."""


def reaching(connect: Connect, dsn: str) -> Connect:
    """`connect`, whose faults are `UnreachableError`."""

    async def reach() -> Connection:
        try:
            return await connect()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise UnreachableError(f"cannot use {place(dsn)}: {_why(error)}") from None

    return reach


def place(dsn: str, environ: Mapping[str, str] = os.environ) -> str:
    """The database of an address, its host and its port, for a person; libpq's variables stand in
    for what the address leaves out.
    """
    parts = urlsplit(dsn)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    found = unquote(parts.netloc.rpartition("@")[2])
    host = found or query.get("host") or environ.get("PGHOST") or "the local socket"
    name = unquote(parts.path.removeprefix("/"))
    database = name or query.get("database") or query.get("dbname") or environ.get("PGDATABASE")
    named = f"database {database}" if database else "the user's own database"
    if ":" in host.rpartition("]")[2]:
        return f"{named} at {host}"
    return f"{named} at {host}:{query.get('port') or environ.get('PGPORT') or DEFAULT_PORT}"


def _why(error: Exception) -> str:
    match error:
        case asyncpg.PostgresError():
            # The server's first line: `role "x" does not exist`. It never has the password.
            return str(error).partition("\n")[0]
        case TimeoutError():
            return f"no answer within {CONNECT_WITHIN_SECONDS} seconds"
        case socket.gaierror():
            return "there is no host of this name"
        case ConnectionRefusedError():
            return "nothing listens there: is PostgreSQL running?"
        case FileNotFoundError():
            return "there is no such socket: is PostgreSQL running?"
        case OSError():
            return error.strerror or "no connection came about"
        case _:  # the driver's words about an address quote it
            return "PAYGATE_DATABASE_URL is no address that the driver takes"
