"""Saved answers of idempotent requests.

It must never decide whether an answer deserves saving.
"""

import sqlite3
from dataclasses import dataclass

# Stripe may prune a key once it is 24 hours old; the sandbox does so at once, which is the
# harshest reading a client has to survive.
RETENTION_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class SavedResponse:
    path: str
    fingerprint: bytes
    request_id: str
    status: int
    body: bytes


class IdempotencyKeys:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find(self, key: str, now: int) -> SavedResponse | None:
        row = self._connection.execute(
            "SELECT path, fingerprint, request_id, status, body FROM idempotency_keys "
            "WHERE key = ? AND created > ?",
            (key, now - RETENTION_SECONDS),
        ).fetchone()
        return SavedResponse(*row) if row else None

    def save(self, key: str, response: SavedResponse, now: int) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO idempotency_keys "
            "(key, path, fingerprint, request_id, status, body, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                response.path,
                response.fingerprint,
                response.request_id,
                response.status,
                response.body,
                now,
            ),
        )

    def prune(self, now: int) -> None:
        self._connection.execute(
            "DELETE FROM idempotency_keys WHERE seq < coalesce("
            "(SELECT seq FROM idempotency_keys WHERE created > ? ORDER BY seq LIMIT 1), "
            "(SELECT max(seq) + 1 FROM idempotency_keys))",
            (now - RETENTION_SECONDS,),
        )
