"""The event log and the deliveries it owes, written in the transaction of the change itself.

It must never send anything, nor know which endpoint wants which event.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any

from paygate_sandbox.store.objects import (
    NEWEST_FIRST,
    OLDEST_FIRST,
    Cursor,
    Window,
    window_clauses,
)


@dataclass(frozen=True, slots=True)
class EventRow:
    id: str
    type: str
    created: int
    data: bytes
    request: bytes
    pending_webhooks: int


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    seq: int
    event: str
    attempts: int
    due: float


_SHOWN = "SELECT id, type, created, data, request, pending_webhooks FROM events WHERE hidden = 0"


class EventLog:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def append(self, event: EventRow, endpoints: list[str], *, hidden: bool, due: float) -> None:
        self._connection.execute(
            "INSERT INTO events (id, type, created, data, request, pending_webhooks, hidden) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                event.id,
                event.type,
                event.created,
                event.data,
                event.request,
                event.pending_webhooks,
                hidden,
            ),
        )
        for endpoint in endpoints:
            self._connection.execute(
                "INSERT INTO deliveries (event, endpoint, attempts, due, state) "
                "VALUES (?, ?, 0, ?, 'pending')",
                (event.id, endpoint, due),
            )

    def find(self, event_id: str, *, since: int) -> EventRow | None:
        """An event that the API still shows: not hidden, not older than the retention."""
        row = self._connection.execute(
            "SELECT id, type, created, data, request, pending_webhooks FROM events "
            "WHERE id = ? AND hidden = 0 AND created >= ?",
            (event_id, since),
        ).fetchone()
        return EventRow(*row) if row else None

    def to_deliver(self, event_id: str) -> EventRow:
        row = self._connection.execute(
            "SELECT id, type, created, data, request, pending_webhooks FROM events WHERE id = ?",
            (event_id,),
        ).fetchone()
        return EventRow(*row)

    def cursor(self, event_id: str) -> Cursor | None:
        row = self._connection.execute(
            "SELECT created, seq FROM events WHERE id = ? AND hidden = 0", (event_id,)
        ).fetchone()
        return Cursor(*row) if row else None

    def page(self, window: Window, *, types: list[str], delivered: bool | None) -> list[EventRow]:
        where, values = window_clauses(window)
        if types:
            # Names may be families, `charge.*`. The number of marks is ours, names stay bound.
            where.append("AND (" + " OR ".join(["type GLOB ?"] * len(types)) + ")")
            values += types
        if delivered is not None:
            where.append("AND pending_webhooks = 0" if delivered else "AND pending_webhooks > 0")
        parts = [
            _SHOWN,
            *where,
            OLDEST_FIRST if window.before is not None else NEWEST_FIRST,
        ]
        rows = self._connection.execute(" ".join(parts), (*values, window.limit + 1))
        return [EventRow(*row) for row in rows]

    def pending_endpoints(self) -> list[str]:
        rows = self._connection.execute(
            "SELECT DISTINCT endpoint FROM deliveries WHERE state = 'pending'"
        )
        return [row[0] for row in rows]

    def pending(self, endpoint: str, after: int, limit: int) -> list[DeliveryRow]:
        rows = self._connection.execute(
            "SELECT seq, event, attempts, due FROM deliveries "
            "WHERE endpoint = ? AND seq > ? AND state = 'pending' ORDER BY seq LIMIT ?",
            (endpoint, after, limit),
        )
        return [DeliveryRow(*row) for row in rows]

    def write_outcomes(self, outcomes: list[tuple[int, str, int, float, str]]) -> None:
        """Write what became of attempts: (delivery, event, attempts, due, state)."""
        run = self._connection.execute
        for seq, event, attempts, due, state in outcomes:
            run(
                "UPDATE deliveries SET attempts = ?, due = ?, state = ? WHERE seq = ?",
                (attempts, due, state, seq),
            )
            if state == "delivered":
                run(
                    "UPDATE events SET pending_webhooks = pending_webhooks - 1 WHERE id = ?",
                    (event,),
                )

    def drop_pending(self, endpoint: str) -> None:
        self._connection.execute(
            "UPDATE deliveries SET state = 'abandoned' WHERE endpoint = ? AND state = 'pending'",
            (endpoint,),
        )

    def count(self) -> dict[str, Any]:
        rows = self._connection.execute("SELECT state, count(*) FROM deliveries GROUP BY state")
        return dict(rows.fetchall())
