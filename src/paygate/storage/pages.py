"""A page of a list, or of what a sweep goes through: which part is wanted, and what was found.

Lists are newest first, and an id sorts as its record was made. So a page is a range of the
primary key beside one id, and its cost does not grow with the list. The query always has that
bound: an optional one would cost a generic plan its index.
"""

from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from paygate.domain.ids import BODY_LENGTH, PREFIXES, RANDOM_BYTES, make_id
from paygate.storage.unreadable import Unread

R = TypeVar("R", bound=msgspec.Struct)

_BEYOND_ALL: Final = "z" * BODY_LENGTH
"""Later than every id, in every collation; 48 bits of milliseconds begin with 7 at most."""


class Cut(msgspec.Struct, frozen=True):
    """So many records, those next to `bound`: the older ones, or the newer ones."""

    limit: int
    bound: str
    newer: bool = False


class Page(msgspec.Struct, Generic[R], frozen=True):
    """Newest first. `has_more` tells of those further on in the direction of the cut, and `unread`
    of rows that the page would show if they could be read.
    """

    items: tuple[R, ...]
    has_more: bool
    unread: tuple[Unread, ...] = ()


Place = tuple[Any, ...]
"""Where a row stands in the order of a sweep, by its columns in clear: a row that cannot be read
has one too, so it neither hides those behind it nor is met twice."""


class Stretch(msgspec.Struct, Generic[R], frozen=True):
    """What a sweep reads at once: the records, why other rows were not read, and the place of the
    last row; None when nothing comes after it.
    """

    records: tuple[R, ...]
    unread: tuple[Unread, ...]
    last: Place | None


def newest(kind: str, limit: int) -> Cut:
    """The first page of a list of this kind of object."""
    return Cut(limit, beyond_all(kind))


def beyond_all(kind: str) -> str:
    """A bound above every id of this kind."""
    return PREFIXES[kind] + _BEYOND_ALL


def first_id(kind: str, at: datetime, *, later: int = 0) -> str:
    """Not above any id of this kind made at `at`, or so many milliseconds later."""
    return make_id(PREFIXES[kind], int(at.timestamp() * 1000) + later, bytes(RANDOM_BYTES))
