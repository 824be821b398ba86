"""The chain of the audit log, as it is written: which entries are to be sealed, and their seals.

It does not go through the commit door. A seal says nothing new of a payment; it is worth what its
hash and its signature are, and the entry that it seals was committed before. One sealer at a time
has the turn, leased on the head's row by the database's clock; what it writes holds only where the
head is still the one that it read. Whoever changes that row shows that he has the audit key
(migration 0036).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import asyncpg

from paygate.crypto.proofs import AUDIT_HEAD, Proofs
from paygate.domain.access.roles import Action
from paygate.domain.audit import AuditEntry
from paygate.domain.audit_chain import Entry, Head, Seal
from paygate.storage.blocks import QUERIES
from paygate.storage.change import Unavailable
from paygate.storage.connections.database import reading
from paygate.storage.connections.pool import Pool
from paygate.storage.connections.session import Connection
from paygate.storage.records import Records
from paygate.storage.unreadable import SealBroken

LEASE: Final = timedelta(seconds=10)
"""Many times what a batch takes; for so long nobody seals when a sealer dies."""

_HOLD: Final = "SET LOCAL idle_in_transaction_session_timeout = '5s'"
"""How long the head's row may be held by who does nothing with it."""
PAGE: Final = 100
"""Of declarations: there is one, but for what somebody wrote who has no key."""
_BEHIND_ALL: Final = "~"
"""Behind every id."""


class Turn(NamedTuple):
    """How often the head's row was changed, and the hash of the proof that the next change shows;
    None: none is asked for.
    """

    number: int
    asked: bytes | None


class State(NamedTuple):
    """The head, and what stands beside it. `is_of_another_server`: entries are counted from another
    beginning since a dump was restored here.
    """

    head: Head
    turn: Turn
    checkpoint: str | None
    verified: str | None
    created_at: datetime
    is_of_another_server: bool


class Cursor(NamedTuple):
    """Up to which entry all were looked at, in the order of commits."""

    written_in: int
    entry: str


class Month(NamedTuple):
    """A partition of the log by its name, and when it ends."""

    name: str
    ends: datetime


class ToSeal(NamedTuple):
    """The next entries, behind which head, and up to where; `broken` do not open."""

    head: Head
    turn: Turn
    entries: Sequence[Entry]
    until: Cursor | None
    broken: Sequence[SealBroken]


class SealedBefore(Exception):
    """Entries behind the cursor have a seal: one run seals in order, another what is astray."""


class AuditSeals:
    """Raises `Unavailable` when the database does not answer."""

    def __init__(self, pool: Pool, searches: Pool, records: Records, proofs: Proofs) -> None:
        self._pool = pool
        self._searches = searches
        self._records = records
        self._proofs = proofs

    def may_move(self, turn: Turn) -> bool:
        """Whether our keys make the proof that the head's row asks for."""
        return turn.asked is None or self._shown(turn) is not None

    def turn_after(self, turn: Turn) -> Turn:
        """The next one, which asks for a proof of ours."""
        return Turn(turn.number + 1, self._proofs.asked(AUDIT_HEAD, str(turn.number + 1)))

    async def state(self) -> State:
        """How far the log is sealed."""
        (row,) = await self._fetch("audit_head")
        return State(
            Head(row["number"], row["hash"]),
            Turn(row["turn"], row["proof_hash"]),
            row["checkpoint"],
            row["verified"],
            row["created_at"],
            row["is_of_another_server"],
        )

    async def last(self) -> Seal | None:
        """The seal of the highest number."""
        rows = await self._fetch("audit_seal_last")
        return Seal(*rows[0]) if rows else None

    async def at(self, number: int) -> Seal | None:
        """The seal of a number, or the first one behind it."""
        rows = await self._fetch("audit_seals_from", number, 1)
        return Seal(*rows[0]) if rows else None

    async def signed(self, first: int, last: int, limit: int) -> list[Seal]:
        """Seals between two numbers that bear a signature, whosever it is, the newest first."""
        rows = await self._fetch("audit_seals_signed", first, last, limit)
        return [Seal(*row) for row in rows]

    async def next(self, run: str, limit: int, *, sealed: bool = False) -> ToSeal | None:
        """The next entries to be sealed, and none that one could still come before. None when
        there are none, or when another run has the turn. With `sealed` it is looked which of them
        have a seal, and these are left out.
        """
        rows = await self._fetch("audit_entries_to_seal", limit, run)
        if not rows:
            return None
        head = Head(rows[0]["head_number"], rows[0]["head_hash"])
        turn = Turn(rows[0]["turn"], rows[0]["proof_hash"])
        until = Cursor(rows[-1]["written_in"], rows[-1]["id"])
        stored = [tuple(row)[5:] for row in rows]
        known = await self._sealed(stored) if sealed else ()
        return self._opened(head, turn, [row for row in stored if row[1] not in known], until)

    async def astray(self, state: State, limit: int, passed_by: int) -> ToSeal | None:
        """Entries that no seal is of, wherever they are in the order: what did not open before, and
        what was written under another server, without the first so many. It looks through the
        whole log.
        """
        with reading():
            rows = await self._searches.fetch(QUERIES["audit_entries_astray"], limit, passed_by)
        if not rows:
            return None
        return self._opened(state.head, state.turn, [tuple(row)[1:] for row in rows], None)

    async def restores(self, merchant: str) -> list[AuditEntry]:
        """The declarations of restores that are not sealed yet, the newest first, however many
        there are that do not open.
        """
        found: list[AuditEntry] = []
        before = _BEHIND_ALL
        while True:
            rows = await self._fetch(
                "audit_restores_to_seal", merchant, Action.RESTORE_DECLARE, before, PAGE
            )
            opened, _ = self._records.open_each(AuditEntry, map(tuple, rows))
            found += opened
            if len(rows) < PAGE:
                return found
            before = rows[-1]["id"]

    async def stored(self, merchant: str, entry_id: str, at: datetime) -> Entry | None:
        """An entry as it is stored. Raises SealBroken."""
        rows = await self._fetch("audit_entry_stored", merchant, entry_id, at)
        return entry_in(self._records, tuple(rows[0])) if rows else None

    async def seal(self, run: str, behind: ToSeal, seals: Sequence[Seal]) -> bool:
        """Write seals of what was found behind a head, all or none; False when it is the head no
        more. They are of one key and format, with numbers in a row, and the last one is signed.

        Raises:
            SealedBefore: one of the entries has a seal; nothing is written.
        """
        before, until = behind.head, behind.until
        head = Head(seals[-1].number, seals[-1].hash) if seals else before
        made = (seals[-1].key, seals[-1].format, seals[-1].signature) if seals else (0, 0, None)
        columns = [
            [each.merchant for each in seals],
            [each.entry for each in seals],
            [each.at for each in seals],
            [each.leaf for each in seals],
            [each.hash for each in seals],
        ]
        cursor = (None, None) if until is None else until
        changed = self._change(behind.turn)
        try:
            rows = await self._fetch(
                "seal_audit_entries",
                *(*before, *head, *cursor, run, LEASE, *made, *columns, *changed),
            )
        except Unavailable as error:
            if isinstance(error.__cause__, asyncpg.UniqueViolationError):
                raise SealedBefore from error
            raise
        return bool(rows[0]["moved"])

    async def begin_order_anew(self) -> None:
        """Count from here on, where the order is another server's."""
        turn = (await self.state()).turn
        await self._fetch("begin_audit_order_anew", *self._change(turn))

    async def keep_checkpoint(self, line: str) -> None:
        """Remember what was told outside last."""
        await self._keep(QUERIES["keep_audit_checkpoint"], line)

    async def keep_verified(self, text: str) -> None:
        """Remember what was verified last."""
        await self._keep(QUERIES["keep_audit_verified"], text)

    async def lag_seconds(self) -> float | None:
        """How long the oldest entry waits to be sealed, by the database's clock; None: none."""
        (row,) = await self._fetch("audit_lag")
        seconds: float | None = row["seconds"]
        return seconds

    async def months(self) -> list[Month]:
        """The months of the log that are there, the oldest first, by the server's catalog."""
        return [Month(*row) for row in await self._fetch("audit_months")]

    async def sealed_before(self, moment: datetime) -> int:
        """The highest number of an entry of before a moment; zero when there is none."""
        with reading():
            (row,) = await self._searches.fetch(QUERIES["audit_sealed_before"], moment)
        return row["last"] or 0

    async def unsealed_before(self, moment: datetime) -> int:
        """How many entries of before a moment have no seal."""
        with reading():
            (row,) = await self._searches.fetch(QUERIES["audit_unsealed_before"], moment)
        return int(row["unsealed"])

    async def role_is_bound(self) -> bool:
        """Whether the role that we have could not undo what the schema holds."""
        (row,) = await self._fetch("role_is_bound")
        return bool(row["bound"])

    async def _sealed(self, rows: Sequence[tuple[Any, ...]]) -> set[str]:
        """The ids of those that are sealed already: never twice, whoever moved the cursor."""
        found = await self._fetch(
            "audit_entries_sealed", [row[0] for row in rows], [row[1] for row in rows]
        )
        return {row["entry"] for row in found}

    async def _keep(self, query: str, text: str) -> None:
        """Write beside the head, whoever moves it on meanwhile: they wait, and not for
        long when we stand still.
        """

        async def write(connection: Connection) -> None:
            async with connection.transaction():
                await connection.execute(_HOLD)
                (row,) = await connection.fetch(QUERIES["take_audit_turn"])
                await connection.execute(query, *self._change(Turn(*row)), text)

        with reading():
            await self._pool.run(write)

    def _change(self, turn: Turn) -> tuple[int, bytes | None, bytes | None]:
        """What a change of the head's row shows, and asks of the next one."""
        return turn.number, self._shown(turn), self.turn_after(turn).asked

    def _shown(self, turn: Turn) -> bytes | None:
        return self._proofs.shown(turn.asked, AUDIT_HEAD, str(turn.number))

    def _opened(
        self, head: Head, turn: Turn, rows: Sequence[tuple[Any, ...]], until: Cursor | None
    ) -> ToSeal:
        entries: list[Entry] = []
        broken: list[SealBroken] = []
        for row in rows:
            try:
                entries.append(entry_in(self._records, row))
            except SealBroken as fault:
                broken.append(fault)
        return ToSeal(head, turn, entries, until, broken)

    async def _fetch(self, query: str, *arguments: object) -> list[Any]:
        with reading():
            return await self._pool.fetch(QUERIES[query], *arguments)


def entry_in(records: Records, row: tuple[Any, ...]) -> Entry:
    """An entry as it is stored, opened and not read. Raises SealBroken."""
    return Entry._make((*row[:-1], records.content(AuditEntry, row)))
