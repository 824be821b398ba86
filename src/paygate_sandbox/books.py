"""The sandbox's books, open for one change.

What a change writes is gathered here and reaches the store only when the change stands: a refusal
halfway leaves no trace. It must never know HTTP, nor what a payment is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from paygate_sandbox.clock import real_time
from paygate_sandbox.parts import Parts
from paygate_sandbox.store.balance_rows import BalanceRow, BalanceRows
from paygate_sandbox.store.events import EventRow
from paygate_sandbox.store.keys import SavedResponse
from paygate_sandbox.store.objects import Filing, JsonObject, Objects, Record
from paygate_sandbox.store.timers import Timer

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Origin:
    """The request that causes a change; both None when the sandbox acts by itself."""

    request_id: str | None = None
    idempotency_key: str | None = None


@dataclass(slots=True)
class Books:
    parts: Parts
    now: int
    origin: Origin
    endpoints_changed: bool = False
    _saved: dict[str, Record] = field(default_factory=dict)
    _new: dict[str, Filing] = field(default_factory=dict)
    _deleted: list[str] = field(default_factory=list)
    _money: dict[str, BalanceRow] = field(default_factory=dict)
    _payments: list[Callable[[BalanceRows], None]] = field(default_factory=list)
    _events: list[tuple[EventRow, list[str]]] = field(default_factory=list)
    _timers: list[tuple[Timer, bool]] = field(default_factory=list)
    _response: tuple[str, SavedResponse] | None = None

    @property
    def objects(self) -> Objects:
        """For lists: as of before this change."""
        return self.parts.objects

    @property
    def balance_rows(self) -> BalanceRows:
        """For sums: as of before this change."""
        return self.parts.balance_rows

    def new_id(self, prefix: str) -> str:
        return self.parts.ids.new(prefix)

    def token(self, length: int) -> str:
        return self.parts.ids.token(length)

    def find(self, kind: str, object_id: str) -> Record | None:
        return self._saved.get(object_id) or self.parts.objects.find(kind, object_id)

    def insert(self, record: Record, filing: Filing | None = None) -> None:
        self._new[record.id] = filing or Filing()
        self.update(record)

    def update(self, record: Record) -> None:
        record.encode()
        self._saved[record.id] = record

    def bring(self, transaction_id: str, row: BalanceRow) -> None:
        """What a balance transaction of this change brings to the balance."""
        self._money[transaction_id] = row

    def pay_out(self, write: Callable[[BalanceRows], None]) -> None:
        """Rows change hands once all that this change makes is written."""
        self._payments.append(write)

    def delete(self, object_id: str) -> None:
        self._deleted.append(object_id)

    def set_timer(self, object_id: str, kind: str, due: int) -> None:
        self._timers.append((Timer(object_id, kind, due), True))

    def clear_timer(self, object_id: str, kind: str) -> None:
        self._timers.append((Timer(object_id, kind, 0), False))

    def save_response(self, key: str, response: SavedResponse) -> None:
        self._response = (key, response)

    def emit(self, kind: str, record: Record, previous: JsonObject | None = None) -> None:
        """Record the event with the object as it was last saved, and what deliveries it owes."""
        assert record.encoded, "an event quotes a saved object"
        members: JsonObject = {"object": msgspec.Raw(record.encoded)}
        if previous is not None:
            members["previous_attributes"] = previous
        endpoints = self.parts.subscriptions.wanting(kind)
        row = EventRow(
            id=self.new_id("evt"),
            type=kind,
            created=self.now,
            data=_encode(members),
            request=_encode(
                {"id": self.origin.request_id, "idempotency_key": self.origin.idempotency_key}
            ),
            pending_webhooks=len(endpoints),
        )
        self._events.append((row, endpoints))

    def emitted(self) -> list[str]:
        """The ids of the events of this change."""
        return [row.id for row, _ in self._events]

    def inserted(self) -> Iterator[tuple[Record, Filing]]:
        """The objects that this change makes, for who writes them elsewhere."""
        for object_id, filing in self._new.items():
            yield self._saved[object_id], filing

    def money(self) -> Iterator[tuple[str, BalanceRow]]:
        """What this change brings to the balance, for who writes it elsewhere."""
        yield from self._money.items()

    def write(self) -> set[str]:
        """Put everything into the open transaction; answers the endpoints that are owed events."""
        parts = self.parts
        for object_id, record in self._saved.items():
            filing = self._new.get(object_id)
            if filing is not None:
                parts.objects.insert(record, filing)
            else:
                parts.objects.update(record)
        for transaction_id, brought in self._money.items():
            parts.balance_rows.insert(transaction_id, brought)
        for payment in self._payments:
            payment(parts.balance_rows)
        for object_id in self._deleted:
            parts.objects.delete(object_id)
            parts.events.drop_pending(object_id)
        woken: set[str] = set()
        for row, endpoints in self._events:
            hidden = parts.faults.draw("events", "event") is not None
            parts.events.append(row, endpoints, hidden=hidden, due=real_time())
            woken.update(endpoints)
        for timer, wanted in self._timers:
            if wanted:
                parts.timers.set(timer)
            else:
                parts.timers.clear(timer.object, timer.kind)
        if self._response is not None:
            parts.keys.save(*self._response, parts.clock.now())
        return woken


TimerHandler = Callable[[Books, str], None]
"""What a timer does to the object whose id it is given."""
