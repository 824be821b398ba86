"""How a connection is made, and how a read is timed."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from paygate.storage.change import Unavailable
from paygate.storage.connections.session import DRIVER_FAULTS, Connect, dial
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
