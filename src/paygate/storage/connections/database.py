"""How a connection is made, and how a read is timed."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager

from paygate.storage.change import Unavailable
from paygate.storage.connections.session import DRIVER_FAULTS, Connect, Connection, dial
from paygate.storage.connections.watch import watched
from paygate.storage.schema.versions import ANNOUNCED
from paygate.telemetry import timing


def connector(dsn: str, *, name: str) -> Connect:
    """A function that connects; `name` is what the server's own views show."""
    return functools.partial(dial, dsn, name=name, **ANNOUNCED)


@contextmanager
def reading() -> Iterator[None]:
    """Around a read: it is timed, and a database that does not answer is `Unavailable`."""
    try:
        with timing.spent(timing.Part.DATABASE):
            yield
    except (OSError, *DRIVER_FAULTS) as error:
        raise Unavailable(f"the database does not answer: {type(error).__name__}") from error


@asynccontextmanager
async def own_connection(
    connect: Connect,
) -> AsyncIterator[tuple[Connection, Callable[[], AbstractContextManager[None]]]]:
    """A connection for one reading, and what each wait on it is put into; it ends with the reading.

    Raises:
        Unavailable: the database does not answer.
    """
    with reading():
        connection = await connect()
    try:
        yield connection, watched(connect, connection)
    finally:
        connection.terminate()
