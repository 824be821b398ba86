"""Connections: how one is made, and the pool that reads use."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import asyncpg

from paygate.storage.change import Unavailable
from paygate.storage.committer import DRIVER_FAULTS, Connect, Connection
from paygate.storage.schema import ANNOUNCED
from paygate.telemetry import timing

READ_CONNECTIONS: Final = 4
"""A read holds one for less than a millisecond; more of them only crowd the server."""
CONNECT_TIMEOUT_SECONDS: Final = 5.0

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


def connector(dsn: str, *, name: str) -> Connect:
    """A function that connects; `name` is what the server's own views show."""
    return functools.partial(_connect, dsn, name)


async def open_pool(dsn: str, *, name: str, plan_each: bool = False) -> Pool:
    """A pool for reads. It connects when it is first used, so an outage does not stop a start.

    `plan_each` is for searches, whose best plan depends on which filters are given.
    """
    plans = {"plan_cache_mode": "force_custom_plan"} if plan_each else {"enable_seqscan": "off"}
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=READ_CONNECTIONS,
        timeout=CONNECT_TIMEOUT_SECONDS,
        # Reads leave no state behind: the default reset would be a round trip for each of them.
        reset=_leave_as_it_is,
        server_settings={"application_name": name, "jit": "off", **plans, **ANNOUNCED},
    )


@contextmanager
def answering() -> Iterator[None]:
    """Around a read: it is timed, and a database that does not answer is `Unavailable`."""
    try:
        with timing.spent(timing.Part.DATABASE):
            yield
    except (OSError, *DRIVER_FAULTS) as error:
        raise Unavailable(f"the database does not answer: {type(error).__name__}") from error


async def _connect(dsn: str, name: str) -> Connection:
    return await asyncpg.connect(
        dsn,
        timeout=CONNECT_TIMEOUT_SECONDS,
        server_settings={"application_name": name, **ANNOUNCED},
    )


async def _leave_as_it_is(_: Connection) -> None:
    return None
