"""Whose money each balance transaction still is: on the balance, or in a payout.

Beside each balance transaction stands what sums and payouts need of it. It must never know why
money moved, nor when a payout is due.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from paygate_sandbox.store.objects import Record

_decode = msgspec.json.Decoder().decode
_BATCH: Final = 500
WITHHELD: Final = ""
"""Instead of a payout's id: no payout ever takes it."""


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """What a balance transaction brings, in minor units, and when. `payout`: whose line it is."""

    currency: str
    net: int
    available_on: int
    payout: str | None = None


@dataclass(frozen=True, slots=True)
class Unpaid:
    """What a payout of a currency would take: so many rows, and their sum in minor units."""

    count: int
    net: int


class BalanceRows:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def insert(self, transaction_id: str, row: BalanceRow) -> None:
        self._connection.execute(
            "INSERT INTO balance_rows (id, currency, net, available_on, payout) "
            "VALUES (?, ?, ?, ?, ?)",
            (transaction_id, row.currency, row.net, row.available_on, row.payout),
        )

    def change(self, transaction_id: str, net: int) -> None:
        """Another sum for a row that no payout has yet."""
        self._connection.execute(
            "UPDATE balance_rows SET net = ? WHERE id = ?", (net, transaction_id)
        )

    def sums(self, now: int) -> list[tuple[str, bool, int]]:
        """All that is on the balance: (currency, available, sum)."""
        return self._connection.execute(
            "SELECT currency, available_on <= ?, sum(net) FROM balance_rows "
            "GROUP BY 1, 2 ORDER BY 1, 2",
            (now,),
        ).fetchall()

    def available(self, currency: str, now: int) -> int:
        """What of a currency could be paid out."""
        (found,) = self._connection.execute(
            "SELECT sum(net) FROM balance_rows WHERE currency = ? AND available_on <= ?",
            (currency, now),
        ).fetchone()
        return found or 0

    def currencies(self, now: int) -> list[str]:
        """Those of which a payout would take something."""
        rows = self._connection.execute(
            "SELECT DISTINCT currency FROM balance_rows "
            "WHERE payout IS NULL AND available_on <= ? ORDER BY 1",
            (now,),
        )
        return [row[0] for row in rows]

    def unpaid(self, currency: str, now: int) -> Unpaid:
        count, net = self._connection.execute(
            "SELECT count(*), sum(net) FROM balance_rows "
            "WHERE payout IS NULL AND currency = ? AND available_on <= ?",
            (currency, now),
        ).fetchone()
        return Unpaid(count, net or 0)

    def oldest_charge(self, currency: str, now: int, charge: str | None) -> Record | None:
        """The first balance transaction of any charge, or of this one, that a payout would take."""
        row = self._connection.execute(
            "SELECT o.body, o.private FROM balance_rows b JOIN objects o ON o.id = b.id "
            "WHERE b.payout IS NULL AND b.currency = ? AND b.available_on <= ? "
            "AND o.type IN ('charge', 'payment') AND (? IS NULL OR o.related = ?) "
            "ORDER BY o.seq LIMIT 1",
            (currency, now, charge, charge),
        ).fetchone()
        return Record(_decode(row[0]), _decode(row[1]), row[0]) if row else None

    def take(self, payout: str, currency: str, now: int, but: str | None = None) -> None:
        """All that `unpaid` counts becomes the payout's, but for one row."""
        self._connection.execute(
            "UPDATE balance_rows SET payout = ? "
            "WHERE payout IS NULL AND currency = ? AND available_on <= ? AND id IS NOT ?",
            (payout, currency, now, but),
        )

    def withhold(self, transaction_id: str) -> None:
        """No payout takes this row."""
        self._connection.execute(
            "UPDATE balance_rows SET payout = ? WHERE id = ?", (WITHHELD, transaction_id)
        )

    def remove(self, transaction_id: str) -> None:
        """The balance never had this row."""
        self._connection.execute("DELETE FROM balance_rows WHERE id = ?", (transaction_id,))

    def show(self, payout: str, part: tuple[int, int] = (1, 1)) -> None:
        """Let lists tell the payout of its rows, or of the oldest part of them."""
        numerator, denominator = part
        self._connection.execute(
            "UPDATE objects SET payout = ?1 WHERE payout IS NULL AND id IN ("
            "SELECT id FROM balance_rows WHERE payout = ?1 ORDER BY id LIMIT ("
            "SELECT count(*) * ?2 / ?3 FROM balance_rows WHERE payout = ?1))",
            (payout, numerator, denominator),
        )

    def lines(self, payout: str, *, shown: bool = False) -> Iterator[list[dict[str, Any]]]:
        """Every row of a payout as it is shown, in batches, oldest first: also those that no list
        tells yet, unless only the `shown` are wanted.
        """
        last = ""
        while rows := self._connection.execute(
            "SELECT o.body FROM balance_rows b JOIN objects o ON o.id = b.id "
            "WHERE b.payout = ? AND b.id > ? AND (NOT ? OR o.payout = b.payout) "
            "ORDER BY b.id LIMIT ?",
            (payout, last, shown, _BATCH),
        ).fetchall():
            bodies = [_decode(row[0]) for row in rows]
            last = bodies[-1]["id"]
            yield bodies
