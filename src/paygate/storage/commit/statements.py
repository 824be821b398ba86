"""The prepared statements of a lane: a bounded number, whatever the batches are made of.

A batch is the union of what its changes write, so there are hundreds of kinds, and a prepared
statement is a megabyte of the server's memory for as long as the connection lives. A statement
also serves every batch that needs less than it writes: an empty array is no rows. So the kinds
that come most often have a statement of their own, and all others share a general one, which
costs the server up to a millisecond more (docs/decisions/0014).
"""

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from paygate.storage.commit.statement import Mode, Section, build
from paygate.storage.connections.session import Connection

OWN_STATEMENTS: Final = 12
"""Kinds with a statement of their own: what one request writes, and its commonest company."""
WORTH_PREPARING: Final = 8
"""The uses after which a kind's own statement has cost less than the general one."""
FORGET_EVERY_BATCHES: Final = 512
"""How often uses are halved, so that the common kinds of yesterday give way."""

Kind = frozenset[Section]


class Prepared(NamedTuple):
    """A statement, and the sections that it writes in the order of its parameters."""

    sections: tuple[Section, ...]
    statement: Any


class Statements:
    """The statements prepared on one connection."""

    def __init__(self) -> None:
        self._own: dict[Kind, Prepared] = {}
        self._general: dict[Kind, Prepared] = {}
        self._uses: dict[Kind, int] = {}
        self._batches = 0
        self._seen: Kind = frozenset()

    def forget(self) -> None:
        """Forget all statements: the connection is gone, and they with it."""
        self._own.clear()
        self._general.clear()

    async def for_batch(self, connection: Connection, sections: Collection[Section]) -> Prepared:
        """A statement that writes at least these sections."""
        kind = frozenset(sections)
        self._count(kind)
        prepared = self._own.get(kind)
        if prepared is None:
            if self._makes_room_for(kind):
                prepared = self._own[kind] = await _prepare(connection, kind)
            else:
                prepared = await self._prepare_general(connection, kind)
        return prepared

    def _count(self, kind: Kind) -> None:
        self._batches += 1
        if self._batches % FORGET_EVERY_BATCHES == 0:
            self._uses = {kind: uses // 2 for kind, uses in self._uses.items() if uses > 1}
        self._uses[kind] = self._uses.get(kind, 0) + 1

    def _makes_room_for(self, kind: Kind) -> bool:
        """Whether this kind is to have a statement of its own. The kind that is used least gives
        way to one that is used twice as often; the driver closes the statement that nobody refers
        to.
        """
        if len(self._own) < OWN_STATEMENTS:
            return True
        least = min(self._own, key=lambda own: self._uses.get(own, 0))
        if self._uses[kind] < max(WORTH_PREPARING, 2 * self._uses.get(least, 0)):
            return False
        del self._own[least]
        return True

    async def _prepare_general(self, connection: Connection, kind: Kind) -> Prepared:
        """The statement for all that was ever seen here. There are two, with jobs and without:
        the queue's trigger would tell the workers of jobs that are none.
        """
        self._seen |= kind
        jobs = frozenset(section for section in kind if section.mode is Mode.ENQUEUE)
        if jobs not in self._general or not kind.issubset(self._general[jobs].sections):
            self._general.pop(jobs, None)
            plain = frozenset(section for section in self._seen if section.mode is not Mode.ENQUEUE)
            self._general[jobs] = await _prepare(connection, plain | jobs)
        return self._general[jobs]


async def _prepare(connection: Connection, kind: Kind) -> Prepared:
    # A fixed order, so that one kind is one text; guards first, for their places are bits.
    sections = tuple(sorted(kind, key=lambda s: (not s.guards, s.table.name, s.mode.value)))
    return Prepared(sections, await connection.prepare(build(sections)))
