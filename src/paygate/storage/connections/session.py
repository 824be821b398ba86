"""How a connection to the database is made, and how the end of one is noticed.

A role's or a database's own defaults must not change what an acknowledgement means, and a host
that vanished without a word must not keep anybody waiting. So every connection of this house is
made by `dial`, and whoever waits for a reply on one waits under a `watch`.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connect = Callable[[], Awaitable[Connection]]

DRIVER_FAULTS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises when the server, the connection or the driver itself is at fault."""

CONNECT_WITHIN_SECONDS: Final = 2.5
"""A lost first packet is sent again after one second; a server that takes longer is dialled anew,
so that one which comes back is written to within five.
"""
CLOSE_WITHIN_SECONDS: Final = 1.0
"""A dead server does not say good-bye."""

KEEPALIVE: Final = {"IDLE": 10, "INTVL": 5, "CNT": 3}
"""A silent peer is found gone after 25 seconds, on both sides."""
UNACKNOWLEDGED_MILLISECONDS: Final = 10_000
"""What was sent and is not acknowledged within this time, retries included, never will be."""

PINNED: Final[Mapping[str, str]] = {
    "synchronous_commit": "on",
    # At `error` the warning of a cancelled wait for the standby would never come.
    "client_min_messages": "warning",
    # Limits are ours to set, per connection: a foreign one would end commits in the middle.
    "lock_timeout": "0",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    # Every guard was reasoned about and tested at this level.
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # So that the server, too, lets go of a client that is gone, and of the locks it held.
    "tcp_keepalives_idle": str(KEEPALIVE["IDLE"]),
    "tcp_keepalives_interval": str(KEEPALIVE["INTVL"]),
    "tcp_keepalives_count": str(KEEPALIVE["CNT"]),
    "tcp_user_timeout": str(UNACKNOWLEDGED_MILLISECONDS),
}
"""What every session is told in its first packet, before any default of a role or a database.

Two are left to the operator on purpose. `default_transaction_read_only` is how a host or a
switch-over stops writes: it is answered `Unavailable`, and to overrule it would write to a server
that is being left. `lc_messages` only a superuser may set: no message is known by its words.
"""
PINNED_WHERE_KNOWN: Final[Mapping[str, str]] = {
    "transaction_timeout": "0",  # since PostgreSQL 17
    "client_connection_check_interval": str(UNACKNOWLEDGED_MILLISECONDS),  # not on every system
}


async def dial(dsn: str, *, name: str, **settings: str) -> Connection:
    """A connection that the server's own views show as `name`, pinned; `settings` are added."""
    pinned = {**PINNED, "application_name": name, **settings}
    known = dict(PINNED_WHERE_KNOWN)
    while True:
        try:
            connection = await _dial(dsn, {**pinned, **known})
        except (asyncpg.UndefinedObjectError, asyncpg.InvalidParameterValueError):
            if not known:
                raise
            del known[next(iter(known))]  # the newest first
            continue
        _keep_alive(connection)
        return connection


def verified_tls(connection: Connection) -> bool:
    """Whether a connection is over TLS in which the server had to prove its name."""
    transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001 -- no other way
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    return tls is not None and tls.context.check_hostname


async def hang_up(connection: Connection) -> None:
    """Say good-bye, and leave without an answer if none comes."""
    try:
        await connection.close(timeout=CLOSE_WITHIN_SECONDS)
    except (OSError, *DRIVER_FAULTS):
        connection.terminate()


def tells_unreplicated(message: Any) -> bool:
    """Whether this is the server's warning that a commit was acknowledged before the standby had
    it. It is known by the place in the server that says so, whatever language that speaks.
    """
    return message.severity_en == "WARNING" and (
        message.server_source_function == "SyncRepWaitForLSN"
        or "synchronous replication" in message.message
    )


async def _dial(dsn: str, settings: Mapping[str, str]) -> Connection:
    return await asyncpg.connect(
        dsn, timeout=CONNECT_WITHIN_SECONDS, server_settings=dict(settings)
    )


def _keep_alive(connection: Connection) -> None:
    """The client's half of what `PINNED` asks of the server; asyncpg has no option for it."""
    transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001 -- no other way
    wire = transport.get_extra_info("socket")
    if wire is None or wire.family not in (socket.AF_INET, socket.AF_INET6):
        return
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {f"TCP_KEEP{name}": seconds for name, seconds in KEEPALIVE.items()}
    options["TCP_USER_TIMEOUT"] = UNACKNOWLEDGED_MILLISECONDS
    for name, value in options.items():
        if hasattr(socket, name):  # not every system has all of them
            wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
