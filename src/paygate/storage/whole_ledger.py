"""All that money is recorded in, read from end to end, in memory that does not grow with it.

Intents, transfers and attempts are read range by range of intents, each range in one snapshot: the
three always stand as one commit left them, and no snapshot is held for longer than a range takes,
for one that is held keeps the server from vacuuming. What must be remembered of the whole (which
provider payments are recorded, which of them the provider listed) lies in temporary tables of the
same connection, as keyed hashes, for a provider's id is never in clear.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

import asyncpg
import msgspec

from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.storage.blocks import QUERIES
from paygate.storage.commit.committer import Connect, Connection
from paygate.storage.connections.database import own_connection, reading
from paygate.storage.records import Records
from paygate.storage.unreadable import Unreadable

RANGE: Final = 500
"""Intents of one snapshot: some fifty milliseconds, in which the event loop serves nobody else."""
_SESSION: Final = "SET plan_cache_mode = force_custom_plan; SET enable_seqscan = off; SET jit = off"
"""Read by keys alone, as lanes do: tables may have grown since their statistics were made. The
bounds must be known to the planner, because the last range has none above."""

R = TypeVar("R", bound=msgspec.Struct)
Key = tuple[str, str]
"""A merchant, and the id of one of their intents."""


class IntentBooks(NamedTuple):
    """All about one intent, of one moment. The intent is None when there is none of that id, or
    when it does not open; `unreadable` names each record that does not.
    """

    merchant: str
    id: str
    intent: PaymentIntent | None
    transfers: Sequence[Transfer]
    attempts: Sequence[Attempt]
    unreadable: Sequence[str]


class Recorded(NamedTuple):
    """A provider's payment that an intent records. `agrees_as` is the keyed hash of what the
    provider must say of it; `paid_by` tells whether the intent says that this one pays for it, and
    `expected` whether the provider must have it at all.
    """

    reference_index: bytes
    merchant: str
    intent: str
    agrees_as: bytes
    paid_by: bool
    expected: bool
    created_at: datetime
    updated_at: datetime


class LedgerSession:
    """One reading of the whole, on a connection of its own.

    Raises `Unavailable` when the database does not answer.
    """

    def __init__(
        self,
        connection: Connection,
        records: Records,
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`waiting` is put around each wait for the server."""
        self._connection = connection
        self._records = records
        self._waiting = waiting
        self._turn = asyncio.Lock()
        """A connection answers one question at a time, and suspects are looked at side by side."""

    async def installed_at(self) -> datetime | None:
        """When the installation was made; no payment of ours is older."""
        async with self._asking():
            at: datetime | None = await self._connection.fetchval(QUERIES["installed_at"])
        return at

    async def ranges(self) -> AsyncIterator[list[IntentBooks]]:
        """Everything of all merchants, a range of intents at a time, in the order of their keys.

        Transfers and attempts whose intent is not there are in the range where it would be.
        """
        last: Key = ("", "")
        whole = False
        while not whole:
            async with self._snapshot():
                rows = await self._connection.fetch(QUERIES["payment_intents_after"], *last, RANGE)
                whole = len(rows) < RANGE
                until = (None, None) if whole else (rows[-1]["merchant"], rows[-1]["id"])
                transfers = await self._rows("ledger_transfers_between", *last, *until)
                attempts = await self._rows("ledger_attempts_between", *last, *until)
            yield self._books(rows, transfers, attempts)
            if rows:
                last = (rows[-1]["merchant"], rows[-1]["id"])

    async def of(self, merchant: str, intent_id: str) -> IntentBooks:
        """All about one intent, as it stands now."""
        key = (merchant, intent_id)
        async with self._snapshot():
            rows = await self._connection.fetch(QUERIES["payment_intent"], *key)
            transfers = await self._rows("ledger_transfers_of", *key)
            attempts = await self._rows("ledger_attempts_of", *key)
        found = self._books(rows, transfers, attempts)
        return found[0] if found else IntentBooks(*key, None, (), (), ())

    async def of_attempt(self, merchant: str, attempt_id: str) -> IntentBooks | None:
        """All about the intent that an attempt is of; None when there is no such attempt."""
        async with self._asking():
            row = await self._connection.fetchrow(QUERIES["attempt"], merchant, attempt_id)
        return None if row is None else await self.of(merchant, row["intent"])

    async def note_recorded(self, recorded: Iterable[Recorded]) -> None:
        """Remember which provider payments are recorded."""
        async with self._asking():
            await self._connection.copy_records_to_table(
                "recorded", schema_name="pg_temp", records=recorded
            )

    async def recorded_under(self, indexes: Sequence[bytes]) -> list[Recorded]:
        """What is remembered of payments of the provider's."""
        async with self._asking():
            rows = await self._connection.fetch(QUERIES["recorded_under"], indexes)
        return [Recorded(*row) for row in rows]

    async def note_listed(self, indexes: Sequence[bytes]) -> None:
        """Remember that the provider has listed these payments."""
        async with self._asking():
            await self._connection.execute(QUERIES["note_listed"], indexes)

    async def not_listed(self) -> AsyncIterator[Recorded]:
        """The payments that the provider must have and did not list."""
        last: tuple[bytes, str, str] = (b"", "", "")
        while True:
            async with self._asking():
                rows = await self._connection.fetch(QUERIES["recorded_not_listed"], *last, RANGE)
            for row in rows:
                yield Recorded(*row)
            if len(rows) < RANGE:
                return
            last = (rows[-1]["reference_index"], rows[-1]["merchant"], rows[-1]["intent"])

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        async with self._turn:
            with reading(), self._waiting():
                try:
                    yield
                except BaseException:
                    # What was cut off may never be answered, so nothing more is asked over this.
                    self._connection.terminate()
                    raise

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[None]:
        """What is read inside is of one moment."""
        async with self._asking():
            snapshot = self._connection.transaction(isolation="repeatable_read", readonly=True)
            await snapshot.start()
            yield  # a fault in here ends the connection, and the snapshot with it
            await snapshot.rollback()

    async def _rows(self, query: str, *bounds: str | None) -> list[asyncpg.Record]:
        return await self._connection.fetch(QUERIES[query], *bounds)

    def _books(
        self,
        intents: Sequence[asyncpg.Record],
        transfers: Sequence[asyncpg.Record],
        attempts: Sequence[asyncpg.Record],
    ) -> list[IntentBooks]:
        """The rows of a range, put together by intent."""
        # By equality and never by order: the server sorts as its collation says.
        unreadable: dict[Key, list[str]] = defaultdict(list)
        moved, tried = (
            self._by_intent(kind, rows, unreadable)
            for kind, rows in ((Transfer, transfers), (Attempt, attempts))
        )
        keys: dict[Key, PaymentIntent | None] = {}
        for row in intents:
            key = (row["merchant"], row["id"])
            keys[key] = self._open(PaymentIntent, row, unreadable[key])
        for key in (*moved, *tried, *unreadable):
            keys.setdefault(key, None)
        return [
            IntentBooks(*key, intent, moved.get(key, ()), tried.get(key, ()), unreadable[key])
            for key, intent in keys.items()
        ]

    def _by_intent(
        self, kind: type[Any], rows: Sequence[asyncpg.Record], unreadable: dict[Key, list[str]]
    ) -> dict[Key, list[Any]]:
        found: dict[Key, list[Any]] = {}
        for row in rows:
            key = (row["merchant"], row["intent"])
            record = self._open(kind, row, unreadable[key])
            if record is not None:
                found.setdefault(key, []).append(record)
        return found

    def _open(self, kind: type[R], row: asyncpg.Record, unreadable: list[str]) -> R | None:
        """The record; None, and a note of it, when it was altered: the others are read on."""
        try:
            return self._records.open(kind, tuple(row))
        except Unreadable:
            unreadable.append(row["id"])
            return None


class WholeLedger:
    """Where readings of the whole begin."""

    def __init__(self, connect: Connect, records: Records) -> None:
        self._connect = connect
        self._records = records

    @asynccontextmanager
    async def session(self) -> AsyncIterator[LedgerSession]:
        """A reading, whose connection and temporary tables end with it."""
        async with own_connection(self._connect) as (connection, waiting):
            with reading(), waiting():
                await connection.execute(_SESSION)
                await connection.execute(QUERIES["make_recorded"])
                await connection.execute(QUERIES["make_listed"])
            yield LedgerSession(connection, self._records, waiting)
