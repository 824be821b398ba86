"""What the sweeps have in common: they read page by page, and one payment that trips a run up holds
up no other.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from paygate.domain.ledger import Transfer
from paygate.domain.payment_intent import PaymentIntent
from paygate.storage.change import Outdated
from paygate.telemetry import log

R = TypeVar("R", PaymentIntent, Transfer)


class Faults:
    """The faults of a run, set aside until it has come to its end.

    As a context it keeps an exception for later, and lets its run go on behind the block.
    """

    def __init__(self) -> None:
        self._found: list[Exception] = []

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, fault: BaseException | None, __: object) -> bool:
        if not isinstance(fault, Exception):
            return False  # none, or the run is to end at once
        if isinstance(fault, Outdated):
            log.logger().warning("left_to_newer_version", error=fault)
            return True  # no fault: a node of that version has a sweep too
        self._found.append(fault)
        return True

    def tell(self) -> None:
        """Raise the first: the run is reported as failed, and comes again by the clock."""
        if self._found:
            raise self._found[0]


async def every(read: Callable[[str, str, int], Awaitable[list[R]]], page: int) -> AsyncIterator[R]:
    """The records of all merchants, read so many at a time: those after a merchant and an id."""
    merchant = after = ""
    while records := await read(merchant, after, page):
        for record in records:
            yield record
        merchant, after = records[-1].merchant, records[-1].id
