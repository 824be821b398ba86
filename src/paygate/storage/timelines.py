"""What is stored of one payment, of all kinds, read in one statement."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from paygate.domain.alert import Alert
from paygate.domain.audit import AuditEntry
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.event import Event
from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.provider_event import ProviderEvent
from paygate.domain.reconciliation.finding import Finding
from paygate.domain.refunds.refund import Refund
from paygate.domain.settlements.discrepancy import Discrepancy
from paygate.domain.settlements.settlement import Settlement
from paygate.domain.timeline.calls import READS
from paygate.domain.timeline.whole import Gap, Stored
from paygate.domain.webhooks.delivery import Delivery
from paygate.storage.reading import Reading
from paygate.storage.tables import STORED
from paygate.storage.unreadable import UNREAD, Unread

MOST: Final = 500
"""Of one source, the newest. A payment with more has been through something that nobody reads line
by line, and the timeline says that there is more."""
AHEAD: Final = timedelta(days=1)
"""How far the clock that a payment was created by may be ahead of those that went on with it."""
FIELDS: Final[dict[str, tuple[type[Any], str]]] = {
    "attempt": (Attempt, "attempts"),
    "event": (Event, "events"),
    "correction": (Correction, "corrections"),
    "refund": (Refund, "refunds"),
    "dispute": (Dispute, "disputes"),
    "ledger_transfer": (Transfer, "transfers"),
    "provider_event": (ProviderEvent, "provider_events"),
    "delivery": (Delivery, "deliveries"),
    "alert": (Alert, "alerts"),
    "audit_entry": (AuditEntry, "audited"),
    "reconciliation_finding": (Finding, "findings"),
    "settlement": (Settlement, "settlements"),
    "discrepancy": (Discrepancy, "discrepancies"),
}
"""By table: what is stored there, and which field of `Stored` it is."""
_TIMES: Final = ("created_at", "at", "posted_at", "received_at", "first_sent_at")
"""The column in clear that says when a row began, by the name that it has in each table."""


class Found(msgspec.Struct, frozen=True):
    """What was read, and why other rows were not."""

    stored: Stored
    unread: Sequence[Unread]


class Timelines(Reading):
    """Raises as `Reading` does."""

    async def of(self, intent: PaymentIntent, account: str) -> Found:
        """All that is stored of a payment, the newest `MOST` of each kind. `account` is the
        merchant for whom the provider's events and reconciliations are stored.
        """
        rows = await self._search(
            "timeline",
            intent.merchant,
            intent.id,
            MOST + 1,
            intent.created_at - AHEAD,
            account,
            sorted(READS),
        )
        by_source: dict[str, list[tuple[Any, ...]]] = {}
        for row in rows:
            by_source.setdefault(row["source"], []).append(tuple(row["record"]))
        fields: dict[str, Any] = {}
        gaps: list[Gap] = []
        unread: list[Unread] = []
        for source, found in by_source.items():
            record, field = FIELDS[source]
            # The newest come first; what is of one moment is told in the order of its making.
            opened, faults = self._each(record, found[:MOST][::-1], source, gaps)
            fields[field] = opened
            unread += faults
            if len(found) > MOST:
                gaps.append(Gap(source, min(_began(source, row) for row in found[:MOST])))
        return Found(Stored(**fields, gaps=tuple(gaps)), unread)

    def _each(
        self, record: type[Any], rows: Sequence[tuple[Any, ...]], source: str, gaps: list[Gap]
    ) -> tuple[tuple[Any, ...], list[Unread]]:
        """The records in rows, and why others were not read: each of those is a gap."""
        opened: list[Any] = []
        faults: list[Unread] = []
        for row in rows:
            try:
                opened.append(self._records.open(record, row))
            except UNREAD as fault:
                faults.append(fault)
                gaps.append(Gap(source, _began(source, row), row[1]))
        return tuple(opened), faults


def _began(source: str, row: tuple[Any, ...]) -> datetime:
    """When the thing began that a row is about, as its column in clear says."""
    names = STORED[FIELDS[source][0]].names
    name = next(each for each in _TIMES if each in names)
    began: datetime = row[names.index(name)]
    return began
