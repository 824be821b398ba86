"""Payments in bulk, put into a store by the sandbox's own rules, without its HTTP.

A running sandbox sees them at once. Its events and saved answers are left out: nobody is told of
these payments, and no key finds them. It must never be used for anything but filling a store.
"""

import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from paygate_sandbox.books import Books, Origin
from paygate_sandbox.ids import Ids
from paygate_sandbox.parts import assemble
from paygate_sandbox.resources.endpoint import Call
from paygate_sandbox.resources.payment_intents.endpoints import create
from paygate_sandbox.store.balance_rows import BalanceRows
from paygate_sandbox.store.database import Database
from paygate_sandbox.store.objects import JsonObject, Objects, Record

_FIRST_BOOT = 0xF00
"""Ids of a bulk are those of a start that no sandbox comes to, so that no two share one."""
_BATCH = 500
_WAIT_SECONDS = 60
"""For others who write to the same store."""


class _Unannounced(Books):
    """A change that nobody is told of."""

    def emit(self, kind: str, record: Record, previous: JsonObject | None = None) -> None:
        """Leave the event out."""


class Bulk:
    """Payments for the store in `directory`, written so many at a time and when it is left.

    `part` sets those apart who fill one store side by side.
    """

    def __init__(self, directory: Path, part: int = 0) -> None:
        if not (directory / "sandbox.sqlite3").exists():
            Database(directory).close()  # nobody has started a sandbox here yet
        self._scratch = tempfile.TemporaryDirectory(prefix="paygate-bulk-")
        # The rules want all parts of a sandbox; what those keep for themselves goes nowhere.
        self._database = Database(Path(self._scratch.name))
        self._parts = assemble(self._database, seed=None)
        self._parts.ids = Ids(boot=_FIRST_BOOT + part)
        self._store = sqlite3.connect(
            directory / "sandbox.sqlite3", isolation_level=None, timeout=_WAIT_SECONDS
        )
        self._store.execute("PRAGMA synchronous = NORMAL")
        self._waiting: list[Books] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.flush()
        self._store.close()
        self._database.close()
        self._scratch.cleanup()

    def pay(self, params: Mapping[str, Any], *, key: str, at: int) -> JsonObject:
        """The payment intent that a create with these parameters makes at a time."""
        books = _Unannounced(self._parts, at, Origin(None, key))
        intent = create(Call(dict(params), "", books))
        assert isinstance(intent, Record), "a bulk is of payments that succeed"
        self._waiting.append(books)
        if len(self._waiting) == _BATCH:
            self.flush()
        return intent.body

    def flush(self) -> None:
        """Write what waits, in one transaction."""
        waiting, self._waiting = self._waiting, []
        _write(self._store, waiting)


def _write(store: sqlite3.Connection, several: Sequence[Books]) -> None:
    objects, rows = Objects(store), BalanceRows(store)
    store.execute("BEGIN IMMEDIATE")
    for books in several:
        for record, filing in books.inserted():
            objects.insert(record, filing)
        for transaction_id, row in books.money():
            rows.insert(transaction_id, row)
    store.execute("COMMIT")
