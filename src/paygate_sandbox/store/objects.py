"""Objects as the API shows them, with what it does not show beside them.

It must never know one kind of object from another.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

JsonObject = dict[str, Any]

_LEDGER_BATCH = 500


@dataclass(slots=True)
class Record:
    """One object in memory. `encoded` is its body as last saved: what events and replies quote."""

    body: JsonObject
    private: JsonObject = field(default_factory=dict)
    encoded: bytes = b""

    @property
    def id(self) -> str:
        return str(self.body["id"])

    def encode(self) -> None:
        self.encoded = _encode(self.body)


@dataclass(frozen=True, slots=True)
class Cursor:
    created: int
    seq: int


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is wanted; the edges are exclusive, times inclusive."""

    limit: int
    after: Cursor | None = None
    before: Cursor | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Filing:
    """What lists may filter an object by, and sort it by where its body does not tell."""

    related: str | None = None
    type: str | None = None
    currency: str | None = None
    created: int | None = None


class Objects:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def insert(self, record: Record, filing: Filing) -> None:
        body = record.body
        self._connection.execute(
            "INSERT INTO objects (id, object, created, related, type, currency, body, private) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                body["id"],
                body["object"],
                body["created"] if filing.created is None else filing.created,
                filing.related,
                filing.type,
                filing.currency,
                record.encoded,
                _encode(record.private),
            ),
        )

    def update(self, record: Record) -> None:
        self._connection.execute(
            "UPDATE objects SET body = ?, private = ? WHERE id = ?",
            (record.encoded, _encode(record.private), record.id),
        )

    def delete(self, object_id: str) -> None:
        self._connection.execute("DELETE FROM objects WHERE id = ?", (object_id,))

    def find(self, kind: str, object_id: str) -> Record | None:
        row = self._connection.execute(
            "SELECT body, private FROM objects WHERE id = ? AND object = ?", (object_id, kind)
        ).fetchone()
        return Record(_decode(row[0]), _decode(row[1]), row[0]) if row else None

    def cursor(self, kind: str, object_id: str) -> Cursor | None:
        row = self._connection.execute(
            "SELECT created, seq FROM objects WHERE id = ? AND object = ?", (object_id, kind)
        ).fetchone()
        return Cursor(*row) if row else None

    def page(self, kind: str, window: Window, filters: dict[str, Any]) -> list[Record]:
        """One more than the limit when there is more, newest first."""
        where, values = window_clauses(window)
        for column, value in filters.items():
            where.append(_FILTERS[column])
            values.append(value)
        ascending = window.before is not None
        # What is in a payout may be a million rows: they are read in order, not sorted.
        index = "INDEXED BY objects_by_payout " if "payout" in filters else ""
        parts = [
            f"SELECT body, private FROM objects {index}WHERE object = ?",  # noqa: S608 -- ours
            *where,
            OLDEST_FIRST if ascending else NEWEST_FIRST,
        ]
        rows = self._connection.execute(
            " ".join(parts), (kind, *values, window.limit + 1)
        ).fetchall()
        return [Record(_decode(body), _decode(private), body) for body, private in rows]

    def all(self, kind: str) -> Iterator[list[Record]]:
        """Everything of one kind in the order it was made, in batches."""
        seq = 0
        while rows := self._connection.execute(
            "SELECT seq, body, private FROM objects WHERE object = ? AND seq > ? "
            "ORDER BY seq LIMIT ?",
            (kind, seq, _LEDGER_BATCH),
        ).fetchall():
            seq = rows[-1][0]
            yield [Record(_decode(body), _decode(private), body) for _, body, private in rows]


NEWEST_FIRST = "ORDER BY created DESC, seq DESC LIMIT ?"
OLDEST_FIRST = "ORDER BY created, seq LIMIT ?"

# Complete fragments, so that no caller's text ever becomes SQL.
_FILTERS = {
    "related": "AND related = ?",
    "type": "AND type = ?",
    "currency": "AND currency = ?",
    "payout": "AND payout = ?",
    # Rare enough to be read from the body.
    "customer": "AND json_extract(CAST(body AS TEXT), '$.customer') = ?",
    "deleted": "AND coalesce(json_extract(CAST(body AS TEXT), '$.deleted'), 0) = ?",
    "email": "AND json_extract(CAST(body AS TEXT), '$.email') = ?",
    "status": "AND json_extract(CAST(body AS TEXT), '$.status') = ?",
    "arrives_since": "AND json_extract(CAST(body AS TEXT), '$.arrival_date') >= ?",
    "arrives_until": "AND json_extract(CAST(body AS TEXT), '$.arrival_date') <= ?",
}


def window_clauses(window: Window) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    if window.after is not None:
        where.append("AND (created, seq) < (?, ?)")
        values += [window.after.created, window.after.seq]
    if window.before is not None:
        where.append("AND (created, seq) > (?, ?)")
        values += [window.before.created, window.before.seq]
    if window.since is not None:
        where.append("AND created >= ?")
        values.append(window.since)
    if window.until is not None:
        where.append("AND created <= ?")
        values.append(window.until)
    return where, values
