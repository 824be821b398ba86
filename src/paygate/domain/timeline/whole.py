"""The whole timeline of a payment, of all that is stored of it.

A new source is a field of `Stored`, a branch of the query `timeline`, and a line in `told`.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

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
from paygate.domain.timeline.calls import answers, calls
from paygate.domain.timeline.disputes import disputes
from paygate.domain.timeline.entry import CUT, UNREADABLE, Cause, Entry, Kind, in_order
from paygate.domain.timeline.payments import corrections, provider_calls, transitions
from paygate.domain.timeline.refunds import refunds
from paygate.domain.timeline.settlements import discrepancies, settlements
from paygate.domain.timeline.told import alerts, findings, provider_events, webhooks
from paygate.domain.timeline.transfers import transfers
from paygate.domain.webhooks.delivery import Delivery


class Gap(msgspec.Struct, frozen=True):
    """What is not shown: a record that cannot be read, or (`record` is None) all that is older than
    `at` of one source.
    """

    source: str
    at: datetime
    record: str | None = None


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a payment, each in no order, and what of it is not here."""

    attempts: tuple[Attempt, ...] = ()
    events: tuple[Event, ...] = ()
    corrections: tuple[Correction, ...] = ()
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    provider_events: tuple[ProviderEvent, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    alerts: tuple[Alert, ...] = ()
    audited: tuple[AuditEntry, ...] = ()
    findings: tuple[Finding, ...] = ()
    settlements: tuple[Settlement, ...] = ()
    discrepancies: tuple[Discrepancy, ...] = ()
    gaps: tuple[Gap, ...] = ()


OF_SOURCE: Final[Mapping[str, tuple[Kind, str]]] = MappingProxyType(
    {
        "attempt": (Kind.PROVIDER_CALL, "calls of the provider"),
        "event": (Kind.TRANSITION, "changes"),
        "correction": (Kind.CORRECTION, "corrections"),
        "refund": (Kind.REFUND, "refunds"),
        "dispute": (Kind.DISPUTE, "disputes"),
        "ledger_transfer": (Kind.TRANSFER, "transfers of the ledger"),
        "provider_event": (Kind.PROVIDER_EVENT, "events of the provider"),
        "delivery": (Kind.WEBHOOK, "webhooks"),
        "alert": (Kind.ALERT, "alerts"),
        "audit_entry": (Kind.API_CALL, "calls and sweeps"),
        "settlement": (Kind.SETTLEMENT, "payouts"),
        "discrepancy": (Kind.SETTLEMENT, "discrepancies"),
        "reconciliation_finding": (Kind.SWEEP, "findings of the reconciliation"),
    }
)
"""By table: under which kind a gap is told, and what it is a gap of."""


def told(intent: PaymentIntent, stored: Stored) -> list[Entry]:
    """The timeline, in the order of time and cause."""
    provider = intent.provider
    return in_order(
        [
            *map(_gap, stored.gaps),
            *calls(stored.audited),
            *answers(stored.audited, provider),
            *provider_calls(intent, stored.attempts),
            *provider_events(stored.provider_events, provider),
            *findings(stored.findings),
            *transitions(stored.events),
            *corrections(stored.corrections),
            *refunds(stored.refunds, stored.events, provider),
            *disputes(stored.disputes, stored.events),
            *transfers(stored.transfers),
            *settlements(stored.settlements),
            *discrepancies(stored.discrepancies),
            *webhooks(stored.deliveries, stored.events),
            *alerts(stored.alerts),
        ]
    )


def _gap(gap: Gap) -> Entry:
    kind, what = OF_SOURCE[gap.source]
    if gap.record is None:
        return Entry(
            at=gap.at,
            kind=kind,
            cause=Cause.ASKED,
            summary=f"There are more {what} than are shown here: those before this are left out.",
            outcome=CUT,
            details={"source": gap.source},
        )
    return Entry(
        at=gap.at,
        kind=kind,
        cause=Cause.BECAME,
        summary=f"A record cannot be read, so what it tells is missing here: {gap.source}"
        f" {gap.record}.",
        outcome=UNREADABLE,
        details={"source": gap.source, "record": gap.record},
    )
