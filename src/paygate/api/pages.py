"""What all lists share: `limit`, `starting_after`, `ending_before`, and the list object."""

from datetime import UTC, datetime
from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.ids import PREFIXES, is_id
from paygate.storage.pages import Cut, newest

T = TypeVar("T")

LIMIT: Final = 100
"""Of a page. It bounds the answer, and its audit entry, which names every id."""
DEFAULT_LIMIT: Final = 10

Moment = Annotated[datetime, Meta(tz=True)]
"""A bound of a list: ISO 8601 with an offset, and exclusive."""
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a list; one with filters adds them."""

    limit: Annotated[int, Meta(ge=1, le=LIMIT, description="How many objects, newest first.")] = (
        DEFAULT_LIMIT
    )
    starting_after: Annotated[
        str | None, Meta(description="An object's id: the page after it, of older ones.")
    ] = None
    ending_before: Annotated[
        str | None, Meta(description="An object's id: the page just before it, of newer ones.")
    ] = None


class ListObject(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A page of a list, newest first. `has_more`: there are others on, in the same direction."""

    object: Literal["list"] = "list"
    data: tuple[T, ...]
    has_more: bool
    url: str


def cut_of(query: PageQuery, kind: str) -> Cut:
    """The part of a list of `kind` (as ids name it) that a query asks for.

    Raises:
        Refusal: both directions at once, or a cursor that is no id of this kind.
    """
    after, before = query.starting_after, query.ending_before
    if after is not None and before is not None:
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            "starting_after and ending_before exclude each other",
            param="ending_before",
        )
    for name, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor is not None and not is_id(PREFIXES[kind], cursor):
            raise Refusal(
                ErrorCode.PARAMETER_INVALID, f"{name} must be the id of a {kind}", param=name
            )
    if before is not None:
        return Cut(query.limit, before, newer=True)
    return newest(kind, query.limit) if after is None else Cut(query.limit, after)


def in_reach(at: datetime | None) -> datetime | None:
    """The time, or the nearest that an id and the database can name: nothing was made beyond."""
    return None if at is None else min(max(at, _EARLIEST), _LATEST)
