"""The connection: schema, transactions, and the promise about crashes.

WAL with synchronous=NORMAL: a committed transaction survives a SIGKILL of this process, because
its pages are in the operating system's hands before COMMIT returns. Only a power failure could
take the last ones, and no test of the gateway pulls the plug of its provider.

Requests that arrive together are committed together, and each is answered only after that: a
commit costs as much as all the statements of a request.

It must never know what the rows mean.
"""

import asyncio
import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SCHEMA_VERSION = 2

SCHEMA = """
CREATE TABLE state (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every object that the API shows. `body` is exactly what a GET answers; `private` is what
-- Stripe knows and never shows; `related` is the one object that lists filter by, and `payout` the
-- one that they tell a balance transaction to be a line of.
CREATE TABLE objects (
    seq      INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    object   TEXT NOT NULL,
    created  INTEGER NOT NULL,
    related  TEXT,
    type     TEXT,
    currency TEXT,
    body     BLOB NOT NULL,
    private  BLOB NOT NULL,
    payout   TEXT
) STRICT;
CREATE INDEX objects_by_time ON objects (object, created, seq);
CREATE INDEX objects_by_related ON objects (related) WHERE related IS NOT NULL;

CREATE TABLE events (
    seq              INTEGER PRIMARY KEY,
    id               TEXT NOT NULL UNIQUE,
    type             TEXT NOT NULL,
    created          INTEGER NOT NULL,
    data             BLOB NOT NULL,
    request          BLOB NOT NULL,
    pending_webhooks INTEGER NOT NULL,
    hidden           INTEGER NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (created, seq);

-- due is real time; state is pending, delivered, abandoned (retries exhausted) or lost (a fault).
CREATE TABLE deliveries (
    seq      INTEGER PRIMARY KEY,
    event    TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due      REAL NOT NULL,
    state    TEXT NOT NULL
) STRICT;
CREATE INDEX deliveries_pending ON deliveries (endpoint, seq) WHERE state = 'pending';

-- In order of time, so that pruning starts at the first row and stops at the first young one.
CREATE TABLE idempotency_keys (
    seq         INTEGER PRIMARY KEY,
    key         TEXT NOT NULL UNIQUE,
    path        TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    request_id  TEXT NOT NULL,
    status      INTEGER NOT NULL,
    body        BLOB NOT NULL,
    created     INTEGER NOT NULL
) STRICT;

CREATE TABLE timers (
    object TEXT NOT NULL,
    kind   TEXT NOT NULL,
    due    INTEGER NOT NULL,
    PRIMARY KEY (object, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX timers_by_due ON timers (due);
"""

_BALANCE_ROWS = """
CREATE INDEX objects_by_payout ON objects (payout, created, seq) WHERE payout IS NOT NULL;

-- What sums and payouts need of each balance transaction. `payout` is whose line it is, also before
-- a list tells; '' is a row that no payout takes.
CREATE TABLE balance_rows (
    id           TEXT PRIMARY KEY,
    currency     TEXT NOT NULL,
    net          INTEGER NOT NULL,
    available_on INTEGER NOT NULL,
    payout       TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX balance_rows_unpaid ON balance_rows (currency, available_on) WHERE payout IS NULL;
CREATE INDEX balance_rows_paid ON balance_rows (payout, id) WHERE payout IS NOT NULL;
"""

# A store of the release before has balance transactions, and no payouts.
_FROM_1_TO_2 = f"""
ALTER TABLE objects ADD COLUMN payout TEXT;
{_BALANCE_ROWS}
INSERT INTO balance_rows (id, currency, net, available_on)
SELECT id, currency, json_extract(CAST(body AS TEXT), '$.net'),
    json_extract(CAST(body AS TEXT), '$.available_on')
FROM objects WHERE object = 'balance_transaction';
"""  # noqa: S608 -- made of constants

# 32 MiB of log between checkpoints: each one syncs the disk and holds up the event loop.
_CHECKPOINT_PAGES = 4096


class StoreError(RuntimeError):
    """This data directory cannot be taken: another sandbox has it, or another release made it."""


class Database:
    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._lock = _own(directory / "sandbox.lock")
        self.connection = sqlite3.connect(
            directory / "sandbox.sqlite3", isolation_level=None, cached_statements=256
        )
        self.connection.executescript(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES};"
        )
        self._round: asyncio.Future[None] | None = None
        self._migrate()

    def _migrate(self) -> None:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        statements = {0: SCHEMA + _BALANCE_ROWS, 1: _FROM_1_TO_2}.get(version)
        if statements is not None:
            self.connection.executescript(
                f"BEGIN; {statements} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        elif version != SCHEMA_VERSION:
            raise StoreError(
                f"the sandbox's store has schema {version}, this release wants {SCHEMA_VERSION}; "
                "start it with a fresh data directory"
            )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction of its own, committed on leaving."""
        self.commit()
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    @contextmanager
    def shared(self) -> Iterator[sqlite3.Connection]:
        """The transaction of all changes of this round of the event loop.

        Inside stand only statements that are meant to stay: what may still be refused is decided
        before. An error here is the disk's; it takes the whole round with it.
        """
        if self._round is None:
            self.connection.execute("BEGIN IMMEDIATE")
            loop = asyncio.get_running_loop()
            self._round = loop.create_future()
            loop.call_soon(self.commit)
        try:
            yield self.connection
        except BaseException as error:
            self._abandon(error)
            raise

    async def committed(self) -> None:
        """Returns when everything that the caller wrote, or could have read, is on disk."""
        if self._round is not None:
            await asyncio.shield(self._round)

    def commit(self) -> None:
        if self._round is None:
            return
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._abandon(error)
            return
        self._round.set_result(None)
        self._round = None

    def _abandon(self, error: BaseException) -> None:
        self.connection.execute("ROLLBACK")
        assert self._round is not None, "only an open round can be abandoned"
        self._round.set_exception(error)
        self._round.exception()  # waiters raise it; without any it need not be reported
        self._round = None

    def state(self, name: str) -> str | None:
        row = self.connection.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_state(self, name: str, value: str) -> None:
        self.connection.execute(
            "INSERT INTO state (name, value) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def close(self) -> None:
        self.commit()
        self.connection.close()
        self._lock.close()


def _own(path: Path) -> IO[str]:
    """Two sandboxes on one store would each miss the other's requests in flight."""
    handle = path.open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise StoreError(f"another sandbox is running on {path.parent}") from None
    return handle
