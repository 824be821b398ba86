"""Records with a value in every field, those that are added later too: built from their types.

Who wants the values says what stands in the leaves: known ones (`Planted`), or drawn ones.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import msgspec
from msgspec import inspect

from paygate.domain.access.api_key import ApiKey
from paygate.domain.access.roles import Actor, Role
from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.alert import Alert, AlertNotice, AlertStatus, AlertType, Occurrence, Problem
from paygate.domain.audit import AuditEntry, Subject
from paygate.domain.customer import Customer
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.evidence_chunk import EvidenceChunk
from paygate.domain.disputes.outcome import DisputeStatus
from paygate.domain.event import Event
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.ledger import Account, sides
from paygate.domain.money import Currency
from paygate.domain.payments.attempt import Attempt, AttemptState, Operation
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.payments.reference_claim import ReferenceClaim
from paygate.domain.provider_account import ProviderAccount
from paygate.domain.provider_event import EventStatus, ProviderEvent, ProviderEventBody
from paygate.domain.reconciliation.finding import Finding
from paygate.domain.reconciliation.run import Reconciliation, RunStatus
from paygate.domain.refunds.refund import Refund, RefundState
from paygate.domain.settlements.discrepancy import Discrepancy, DiscrepancyStatus
from paygate.domain.settlements.line import LineMatch, LinePage
from paygate.domain.settlements.report_import import FileChunk, ImportStatus, SettlementImport
from paygate.domain.settlements.settlement import Matching, Settlement
from paygate.domain.webhooks.delivery import Delivery, DeliveryStatus, WebhookBody
from paygate.domain.webhooks.endpoint import EndpointStatus, WebhookEndpoint
from paygate.storage.change import Record
from tests.making import START, new_id

KINDS: Final[tuple[type[Record], ...]] = (
    PaymentIntent,
    Attempt,
    IdempotencyKey,
    ProviderEvent,
    ProviderEventBody,
    ApiKey,
    Alert,
    Occurrence,
    AlertNotice,
    Customer,
    Correction,
    Refund,
    Dispute,
    EvidenceChunk,
    ReferenceClaim,
    ProviderAccount,
    WebhookEndpoint,
    WebhookBody,
    Delivery,
    Reconciliation,
    Finding,
    Settlement,
    LinePage,
    LineMatch,
    Discrepancy,
    SettlementImport,
    FileChunk,
    AccountTransfer,
    Event,
    AuditEntry,
)
PROBLEM: Final = Problem(
    type=AlertType.IDEMPOTENCY_UNFINISHED,
    subject=Subject("payment_intent", new_id("payment_intent")),
    severity="warning",
    message="something",
    what_to_do="something",
)
CLEAR: Final[dict[type[Record], dict[str, Any]]] = {
    PaymentIntent: {
        "create_key": bytes(16),
        "version": 1,
        "status": Status.CREATED,
        "customer": new_id("customer"),
        "money_seq": 0,
    },
    Attempt: {
        "version": 1,
        "number": 1,
        "operation": Operation.CONFIRM,
        "state": AttemptState.STARTED,
    },
    IdempotencyKey: {
        "about": Subject("payment_intent", new_id("payment_intent")),
        "version": 1,
        "state": KeyState.WORKING,
        "holder": "req_1",
        "lease": timedelta(seconds=30),
    },
    Alert: {
        "version": 1,
        "status": AlertStatus.OPEN,
        "problem": PROBLEM,
    },
    Occurrence: {"version": 1, "alert": None},
    AlertNotice: {
        "version": 1,
        "alert": new_id("alert"),
        "channel": "1-slack",
        "alert_version": 1,
    },
    Customer: {"version": 1},
    WebhookEndpoint: {"version": 1, "status": EndpointStatus.ENABLED},
    Delivery: {
        "version": 1,
        "status": DeliveryStatus.PENDING,
        "endpoint": new_id("webhook_endpoint"),
    },
    Correction: {
        "intent_version": 2,
        "intent": new_id("payment_intent"),
        "from_status": Status.FAILED,
        "to_status": Status.SUCCEEDED,
    },
    Refund: {
        "version": 1,
        "state": RefundState.STARTED,
        "intent": new_id("payment_intent"),
    },
    Dispute: {
        "version": 1,
        "status": DisputeStatus.NEEDS_RESPONSE,
        "intent": new_id("payment_intent"),
        "submission_count": 0,
    },
    EvidenceChunk: {"version": 1, "dispute": new_id("dispute")},
    ReferenceClaim: {"version": 1},
    ProviderEvent: {
        "version": 1,
        "status": EventStatus.DEAD_LETTER,
        "subject": Subject("payment_intent", new_id("payment_intent")),
        "verdict": "retries_exhausted",
    },
    Reconciliation: {"version": 1, "status": RunStatus.RUNNING},
    Finding: {
        "reconciliation": new_id("reconciliation"),
        "payment_intent": new_id("payment_intent"),
    },
    Settlement: {"version": 1, "matching": Matching.WAITING, "closed_at": None},
    LinePage: {"version": 1},
    LineMatch: {"settlement": new_id("settlement")},
    Discrepancy: {
        "version": 1,
        "status": DiscrepancyStatus.OPEN,
        "settlement": new_id("settlement"),
    },
    SettlementImport: {
        "version": 1,
        "status": ImportStatus.RUNNING,
        "content_hash": bytes(32),
    },
    FileChunk: {"version": 1},
    AccountTransfer: {
        "settlement": new_id("settlement"),
        "entries": sides(Account.FEES, Account.PROVIDER, 73194653, Currency("eur")),
    },
    ApiKey: {"version": 1, "secret_hash": bytes(32)},
    ProviderEventBody: {},
    Event: {"object": "payment_intent", "type": "payment_intent.created"},
    AuditEntry: {
        "subject": Subject("payment_intent", new_id("payment_intent")),
        "actor": Actor("api_key", id=new_id("api_key"), role=Role.ADMIN, name=None),
    },
}
"""The fields that stand in clear beside merchant, ids and times, as a new record has them."""
ID_OF: Final = {
    PaymentIntent: "payment_intent",
    Attempt: "attempt",
    ProviderEvent: "provider_event",
    ProviderEventBody: "provider_event",
    ApiKey: "api_key",
    Alert: "alert",
    Occurrence: "alert_occurrence",
    Customer: "customer",
    Correction: "correction",
    Refund: "refund",
    Dispute: "dispute",
    EvidenceChunk: "dispute_file",
    Reconciliation: "reconciliation",
    Finding: "reconciliation_finding",
    Settlement: "settlement",
    LinePage: "settlement",
    LineMatch: "settlement_line",
    Discrepancy: "discrepancy",
    SettlementImport: "settlement_import",
    FileChunk: "settlement_import",
    AccountTransfer: "account_transfer",
    AuditEntry: "audit_entry",
    WebhookEndpoint: "webhook_endpoint",
    Delivery: "delivery",
}


class Leaves(Protocol):
    """Where the values come from. `path` names the field: `Event.data.amount`."""

    def text(self, path: str) -> str: ...
    def data(self, path: str) -> bytes: ...
    def number(self, path: str) -> int: ...
    def time(self, path: str) -> datetime: ...
    def one_of(self, path: str, options: list[Any]) -> Any: ...
    def present(self, path: str) -> bool: ...


class Planted:
    """Values that cannot be mistaken: every text and every byte string is `mark`, the field's
    path and `mark`; every number one of three of eight digits. Nothing is left out.
    """

    NUMBERS: Final = (73194653, 82650917, 91273641)

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._drawn = 0

    def text(self, path: str) -> str:
        return f"{self._mark} {path} {self._mark}"

    def data(self, path: str) -> bytes:
        # Large enough to be put out of line by PostgreSQL.
        return self.text(path).encode() * 100

    def number(self, path: str) -> int:
        self._drawn += 1
        return self.NUMBERS[self._drawn % len(self.NUMBERS)]

    def time(self, path: str) -> datetime:
        self._drawn += 1
        return START + timedelta(seconds=self._drawn)

    def one_of(self, path: str, options: list[Any]) -> Any:
        return options[-1]

    def present(self, path: str) -> bool:
        return True


def planted(kind: type[Record], mark: str, **fixed: Any) -> Any:
    """A new record of this kind, ready for the database, full of planted values."""
    known = {
        "id": new_id(ID_OF.get(kind, "event")),
        "merchant": "default",
        **CLEAR.get(kind, {}),
        **fixed,
    }
    if kind is Attempt:
        known.setdefault("intent", new_id("payment_intent"))
    if kind is Delivery:
        known.setdefault("event", new_id("event"))
    if kind is Event:
        known.setdefault("data", msgspec.Raw(msgspec.msgpack.encode(planted(PaymentIntent, mark))))
    return filled(kind, Planted(mark), **known)


def filled(kind: type[msgspec.Struct], leaves: Leaves, **fixed: Any) -> Any:
    """An instance with every field from `leaves`, except the fixed ones."""
    return _struct(inspect.type_info(kind), leaves, kind.__name__, fixed)


def _struct(info: inspect.Type, leaves: Leaves, path: str, fixed: dict[str, Any]) -> Any:
    assert isinstance(info, inspect.StructType)
    values = dict(fixed)
    for field in info.fields:
        if field.name not in fixed:
            values[field.name] = _value(field.type, leaves, f"{path}.{field.name}")
    return info.cls(**values)


_LEAF: Final[dict[type[inspect.Type], Callable[[Any, Leaves, str], Any]]] = {
    inspect.StrType: lambda _, leaves, path: leaves.text(path),
    inspect.BytesType: lambda _, leaves, path: leaves.data(path),
    inspect.IntType: lambda _, leaves, path: leaves.number(path),
    inspect.DateTimeType: lambda _, leaves, path: leaves.time(path),
    inspect.DateType: lambda _, leaves, path: leaves.time(path).date(),
    # Of an event; what it is about is a record, of which its id alone is looked at here.
    inspect.RawType: lambda _, leaves, path: msgspec.Raw(
        msgspec.msgpack.encode({"id": leaves.text(path)})
    ),
    inspect.TimeDeltaType: lambda _, leaves, path: timedelta(seconds=leaves.number(path) % 10**9),
    inspect.BoolType: lambda _, leaves, path: leaves.one_of(path, [False, True]),
    inspect.EnumType: lambda info, leaves, path: leaves.one_of(path, list(info.cls)),
    inspect.LiteralType: lambda info, leaves, path: leaves.one_of(path, list(info.values)),
}


def _value(info: inspect.Type, leaves: Leaves, path: str) -> Any:
    if leaf := _LEAF.get(type(info)):
        return leaf(info, leaves, path)
    match info:
        case inspect.UnionType(types=types):
            some = [t for t in types if not isinstance(t, inspect.NoneType)]
            if len(some) < len(types) and not leaves.present(path):
                return None
            return _value(leaves.one_of(path, some), leaves, path)
        case inspect.VarTupleType(item_type=item):
            return (_value(item, leaves, path),)
        case inspect.TupleType(item_types=items):
            return tuple(_value(item, leaves, path) for item in items)
        case inspect.DictType(key_type=key, value_type=value):
            return {_value(key, leaves, f"{path}.key"): _value(value, leaves, f"{path}.value")}
        case inspect.StructType():
            return _struct(info, leaves, path, {})
        case _:
            raise TypeError(f"{path} is a {info}: say here how it is filled")
