"""A page of a list: which part of it is wanted, and what was found.

Lists are newest first, and an id sorts as its record was made. So a page is a range of the
primary key beside one id, and its cost does not grow with the list. The query always has that
bound: an optional one would cost a generic plan its index.
"""

from typing import Final, Generic, TypeVar

import msgspec

from paygate.domain.ids import BODY_LENGTH, PREFIXES

R = TypeVar("R", bound=msgspec.Struct)

_BEYOND_ALL: Final = "z" * BODY_LENGTH
"""Later than every id, in every collation; 48 bits of milliseconds begin with 7 at most."""


class Cut(msgspec.Struct, frozen=True):
    """So many records, those next to `bound`: the older ones, or the newer ones."""

    limit: int
    bound: str
    newer: bool = False


class Page(msgspec.Struct, Generic[R], frozen=True):
    """Newest first. `has_more` tells of those further on in the direction of the cut."""

    items: tuple[R, ...]
    has_more: bool


def newest(kind: str, limit: int) -> Cut:
    """The first page of a list of this kind of object."""
    return Cut(limit, beyond_all(kind))


def beyond_all(kind: str) -> str:
    """A bound above every id of this kind."""
    return PREFIXES[kind] + _BEYOND_ALL
