"""An entry of a payment's timeline, and the order in which entries are read."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

Detail = str | int | bool | None
NO_DETAILS: Final[Mapping[str, Detail]] = MappingProxyType({})


class Kind(StrEnum):
    """What an entry tells of."""

    API_CALL = "api_call"
    PROVIDER_CALL = "provider_call"
    PROVIDER_EVENT = "provider_event"
    SWEEP = "sweep"
    TRANSITION = "transition"
    CORRECTION = "correction"
    REFUND = "refund"
    DISPUTE = "dispute"
    TRANSFER = "transfer"
    SETTLEMENT = "settlement"
    WEBHOOK = "webhook"
    ALERT = "alert"


class Cause(IntEnum):
    """Which of two entries of the same moment comes first: what causes, then what is caused."""

    ASKED = 0
    """Somebody, or the clock, wanted something."""
    ANSWERED = 1
    """The provider said something."""
    BECAME = 2
    """The payment, or a refund of it, became something."""
    MONEY = 3
    """The ledger wrote down what that was in money."""
    SENT = 4
    """The provider was asked."""
    TOLD = 5
    """Somebody was told."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """`summary` is a sentence for a person, `amount` in the smallest unit of `currency`; `before`
    and `after` are what something was and became.
    """

    at: datetime
    kind: Kind
    cause: Cause
    summary: str
    actor: str | None = None
    request_id: str | None = None
    before: str | None = None
    after: str | None = None
    provider_reference: str | None = None
    outcome: str | None = None
    amount: int | None = None
    currency: str | None = None
    details: Mapping[str, Detail] = NO_DETAILS


UNREADABLE: Final = "unreadable"
"""The outcome of an entry that stands for a record which cannot be read."""
CUT: Final = "cut"
"""The outcome of an entry that stands for older ones which are not shown."""


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """By time, and what causes before what is caused; what came of a request is its actor's.

    A request is written down a moment after what came of it in the same commit, so whoever asked is
    put at the first trace of their request.
    """
    found = list(entries)
    first: dict[str, datetime] = {}
    actors: dict[str, str | None] = {}
    for each in found:
        if each.request_id is not None:
            first[each.request_id] = min(first.get(each.request_id, each.at), each.at)
            if each.cause is Cause.ASKED:
                actors[each.request_id] = each.actor
    placed = [_placed(each, first, actors) for each in found]
    return sorted(placed, key=lambda each: (each.at, each.cause))


def _placed(entry: Entry, first: Mapping[str, datetime], actors: Mapping[str, str | None]) -> Entry:
    if entry.request_id is None:
        return entry
    if entry.cause is Cause.ASKED:
        return msgspec.structs.replace(entry, at=first[entry.request_id])
    return msgspec.structs.replace(entry, actor=entry.actor or actors.get(entry.request_id))
