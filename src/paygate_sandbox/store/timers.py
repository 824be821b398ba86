"""What the simulator must do by itself at some time of its own clock.

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

    def set(self, timer: Timer) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO timers (object, kind, due) VALUES (?, ?, ?)",
            (timer.object, timer.kind, timer.due),
        )

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

    def next_due(self) -> int | None:
        (due,) = self._connection.execute("SELECT min(due) FROM timers").fetchone()
        return int(due) if due is not None else None
