"""What the sandbox must do by itself at some time of its own clock.

It must never know what a timer does, only when it is due.
"""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timer:
    object: str
    kind: str
    due: int


class Timers:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._next_due: int | None = None
        self.look_ahead()

    def set(self, timer: Timer) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO timers (object, kind, due) VALUES (?, ?, ?)",
            (timer.object, timer.kind, timer.due),
        )
        if self._next_due is None or timer.due < self._next_due:
            self._next_due = timer.due

    def clear(self, object_id: str, kind: str) -> None:
        self._connection.execute(
            "DELETE FROM timers WHERE object = ? AND kind = ?", (object_id, kind)
        )

    def due(self, now: int, limit: int) -> list[Timer]:
        rows = self._connection.execute(
            "SELECT object, kind, due FROM timers WHERE due <= ? ORDER BY due, object LIMIT ?",
            (now, limit),
        )
        return [Timer(*row) for row in rows]

    def any_due(self, now: int) -> bool:
        """Whether there may be a timer that is due, without a look at the store."""
        return self._next_due is not None and self._next_due <= now

    def look_ahead(self) -> None:
        """Find the next time that is due; `set` only brings it nearer."""
        (self._next_due,) = self._connection.execute("SELECT min(due) FROM timers").fetchone()
