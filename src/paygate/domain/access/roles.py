"""Who may do what: one matrix, denied by default. A test walks it over every route."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from paygate.domain.record import Recorded


class Role(StrEnum):
    """What an API key was made for."""

    ADMIN = "admin"
    OPERATOR = "operator"
    SUPPORT = "support"
    FINANCE = "finance"
    AUDITOR = "auditor"
    PUBLISHABLE = "publishable"


class Action(StrEnum):
    """What a route does; also the audit entry's action."""

    INTENT_CREATE = "payment_intent.create"
    INTENT_READ = "payment_intent.read"
    INTENT_LIST = "payment_intent.list"
    INTENT_EXPLAIN = "payment_intent.explain"
    INTENT_ATTACH = "payment_intent.attach"
    INTENT_CONFIRM = "payment_intent.confirm"
    INTENT_CAPTURE = "payment_intent.capture"
    INTENT_CANCEL = "payment_intent.cancel"
    REFUND_CREATE = "refund.create"
    REFUND_APPROVE = "refund.approve"
    REFUND_REJECT = "refund.reject"
    REFUND_READ = "refund.read"
    REFUND_LIST = "refund.list"
    REFUND_RESOLVE = "refund.resolve"
    REFUND_EXPIRE = "refund.expire"
    REFUND_RELEASE = "refund.release"
    DISPUTE_READ = "dispute.read"
    DISPUTE_LIST = "dispute.list"
    DISPUTE_STAGE = "dispute.stage_evidence"
    DISPUTE_SUBMIT = "dispute.submit"
    DISPUTE_ACCEPT = "dispute.accept"
    DISPUTE_RESOLVE = "dispute.resolve"
    DISPUTE_RECORD = "dispute.record"
    DISPUTE_FOLLOW = "dispute.follow"
    INTENT_AUTHENTICATE = "payment_intent.authenticate"
    CUSTOMER_INTRODUCE = "customer.introduce"
    INTENT_EXPIRE = "payment_intent.expire"
    ATTEMPT_RESOLVE = "attempt.resolve"
    AUTHORIZATION_WATCH = "authorization.watch"
    CUSTOMER_READ = "customer.read"
    CUSTOMER_ERASE = "customer.erase"
    LEDGER_READ = "ledger.read"
    EXPORT = "export"
    RESTORE_DECLARE = "restore.declare"
    API_KEY_CREATE = "api_key.create"
    API_KEY_LIST = "api_key.list"
    API_KEY_ROTATE = "api_key.rotate"
    API_KEY_REVOKE = "api_key.revoke"
    MERCHANT_CREATE = "merchant.create"
    MERCHANT_LIST = "merchant.list"
    ALERT_LIST = "alert.list"
    ALERT_ACKNOWLEDGE = "alert.acknowledge"
    ALERT_RAISE = "alert.raise"
    ALERT_CLOSE = "alert.close"
    ALERT_SEND = "alert.send"
    EVENT_READ = "event.read"
    EVENT_LIST = "event.list"
    EVENT_PRUNE = "event.prune"
    WEBHOOK_ENDPOINT_CREATE = "webhook_endpoint.create"
    WEBHOOK_ENDPOINT_READ = "webhook_endpoint.read"
    WEBHOOK_ENDPOINT_LIST = "webhook_endpoint.list"
    WEBHOOK_ENDPOINT_UPDATE = "webhook_endpoint.update"
    WEBHOOK_ENDPOINT_DELETE = "webhook_endpoint.delete"
    WEBHOOK_ENDPOINT_ROTATE = "webhook_endpoint.rotate_secret"
    WEBHOOK_ENDPOINT_WATCH = "webhook_endpoint.watch"
    DELIVERY_LIST = "delivery.list"
    DELIVERY_RESEND = "delivery.resend"
    PROVIDER_ACCOUNT_PIN = "provider_account.pin"
    IDEMPOTENCY_KEY_PURGE = "idempotency_key.purge"
    RECONCILIATION_BEGIN = "reconciliation.begin"
    RECONCILIATION_READ = "reconciliation.read"
    RECONCILIATION_LIST = "reconciliation.list"
    RECONCILIATION_FINDING_LIST = "reconciliation_finding.list"
    RECONCILE = "reconciliation.work_on"
    SETTLEMENT_TAKE = "settlement.take"
    SETTLEMENT_READ_LINES = "settlement.read_lines"
    SETTLEMENT_CONCLUDE = "settlement.conclude"
    SETTLEMENT_READ = "settlement.read"
    SETTLEMENT_LIST = "settlement.list"
    SETTLEMENT_LINE_LIST = "settlement_line.list"
    SETTLEMENT_LINE_MATCH = "settlement_line.match"
    SETTLEMENT_LINE_FIND = "settlement_line.find_match"
    SETTLEMENT_BANK_AMOUNT = "settlement.record_bank_amount"
    SETTLEMENT_IMPORT = "settlement_import.create"
    SETTLEMENT_IMPORT_READ = "settlement_import.read"
    SETTLEMENT_IMPORT_WORK = "settlement_import.work_on"
    SETTLEMENT_IMPORT_WITHDRAW = "settlement_import.withdraw"
    DISCREPANCY_OPEN = "discrepancy.open"
    DISCREPANCY_HEAL = "discrepancy.heal"
    DISCREPANCY_READ = "discrepancy.read"
    DISCREPANCY_LIST = "discrepancy.list"
    DISCREPANCY_RESOLVE = "discrepancy.resolve"
    PROVIDER_EVENT_RECEIVE = "provider_event.receive"
    PROVIDER_EVENT_APPLY = "provider_event.apply"
    PROVIDER_EVENT_LIST = "provider_event.list"
    PROVIDER_EVENT_READ = "provider_event.read"
    PROVIDER_EVENT_READ_BODY = "provider_event.read_body"
    PROVIDER_EVENT_REPLAY = "provider_event.replay"
    AUDIT_LIST = "audit_entry.list"
    AUDIT_VERIFY = "audit_log.verify"
    AUDIT_EXPORT = "audit_log.export"
    AUDIT_DETACH = "audit_log.detach"
    AUDIT_DISOWN = "audit_log.disown"
    ENCRYPTION_STATUS = "encryption.status"
    ENCRYPTION_ROTATE = "encryption.rotate"
    ENCRYPTION_REWRAP = "encryption.rewrap"
    ENCRYPTION_RETIRE = "encryption.retire"
    ENCRYPTION_RESEAL = "encryption.reseal"


_READERS: Final = frozenset({Role.ADMIN, Role.OPERATOR, Role.SUPPORT, Role.FINANCE, Role.AUDITOR})
_SELLERS: Final = frozenset({Role.ADMIN, Role.OPERATOR})
_BOOKKEEPERS: Final = frozenset({Role.ADMIN, Role.FINANCE})
_ADMINS: Final = frozenset({Role.ADMIN})
_CLIENT: Final = frozenset({Role.PUBLISHABLE})
"""A browser's key: with the intent's client secret it sees that one, attaches a payment method
to it and confirms it, and no more."""

MATRIX: Final[Mapping[Action, frozenset[Role]]] = MappingProxyType(
    {
        Action.INTENT_CREATE: _SELLERS,
        Action.INTENT_READ: _READERS | _CLIENT,
        Action.INTENT_LIST: _READERS,
        Action.INTENT_EXPLAIN: _READERS,
        Action.INTENT_ATTACH: _SELLERS | _CLIENT,
        Action.INTENT_CONFIRM: _SELLERS | _CLIENT,
        Action.INTENT_CAPTURE: _SELLERS,
        Action.INTENT_CANCEL: _SELLERS,
        Action.REFUND_CREATE: _SELLERS | {Role.SUPPORT},
        Action.REFUND_APPROVE: _SELLERS | {Role.FINANCE},
        Action.REFUND_REJECT: _SELLERS | {Role.FINANCE},
        Action.REFUND_READ: _READERS,
        Action.REFUND_LIST: _READERS,
        Action.DISPUTE_READ: _READERS,
        Action.DISPUTE_LIST: _READERS,
        Action.CUSTOMER_READ: _READERS,
        Action.CUSTOMER_ERASE: _ADMINS,
        Action.LEDGER_READ: _READERS - {Role.SUPPORT},
        Action.EXPORT: _READERS - {Role.SUPPORT},
        Action.RESTORE_DECLARE: _ADMINS,
        Action.API_KEY_CREATE: _ADMINS,
        Action.API_KEY_LIST: _ADMINS,
        Action.API_KEY_ROTATE: _ADMINS,
        Action.API_KEY_REVOKE: _ADMINS,
        Action.MERCHANT_CREATE: _ADMINS,
        Action.MERCHANT_LIST: _ADMINS,
        Action.ALERT_LIST: _READERS,
        Action.ALERT_ACKNOWLEDGE: _SELLERS | {Role.FINANCE},
        Action.EVENT_READ: _READERS - {Role.SUPPORT},
        Action.EVENT_LIST: _READERS - {Role.SUPPORT},
        Action.WEBHOOK_ENDPOINT_CREATE: _SELLERS,
        Action.WEBHOOK_ENDPOINT_READ: _READERS - {Role.SUPPORT},
        Action.WEBHOOK_ENDPOINT_LIST: _READERS - {Role.SUPPORT},
        Action.WEBHOOK_ENDPOINT_UPDATE: _SELLERS,
        Action.WEBHOOK_ENDPOINT_DELETE: _SELLERS,
        Action.WEBHOOK_ENDPOINT_ROTATE: _SELLERS,
        Action.DELIVERY_LIST: _READERS - {Role.SUPPORT},
        Action.DELIVERY_RESEND: _SELLERS,
        Action.RECONCILIATION_BEGIN: _SELLERS,
        Action.RECONCILIATION_READ: _READERS - {Role.SUPPORT},
        Action.RECONCILIATION_LIST: _READERS - {Role.SUPPORT},
        Action.RECONCILIATION_FINDING_LIST: _READERS - {Role.SUPPORT},
        Action.PROVIDER_EVENT_LIST: _READERS - {Role.SUPPORT},
        Action.PROVIDER_EVENT_READ: _READERS - {Role.SUPPORT},
        Action.PROVIDER_EVENT_READ_BODY: frozenset({Role.ADMIN, Role.AUDITOR}),
        Action.PROVIDER_EVENT_REPLAY: _SELLERS,
        Action.SETTLEMENT_READ: _READERS - {Role.SUPPORT},
        Action.SETTLEMENT_LIST: _READERS - {Role.SUPPORT},
        Action.SETTLEMENT_LINE_LIST: _READERS - {Role.SUPPORT},
        Action.SETTLEMENT_LINE_MATCH: _BOOKKEEPERS,
        Action.SETTLEMENT_BANK_AMOUNT: _BOOKKEEPERS,
        Action.SETTLEMENT_IMPORT: _BOOKKEEPERS,
        Action.SETTLEMENT_IMPORT_WITHDRAW: _BOOKKEEPERS,
        Action.SETTLEMENT_IMPORT_READ: _READERS - {Role.SUPPORT},
        Action.DISCREPANCY_READ: _READERS - {Role.SUPPORT},
        Action.DISCREPANCY_LIST: _READERS - {Role.SUPPORT},
        Action.DISCREPANCY_RESOLVE: _BOOKKEEPERS,
        Action.DISPUTE_STAGE: _SELLERS,
        Action.DISPUTE_SUBMIT: _SELLERS,
        Action.DISPUTE_ACCEPT: _SELLERS,
        Action.AUDIT_LIST: frozenset({Role.ADMIN, Role.AUDITOR}),
        Action.AUDIT_VERIFY: frozenset({Role.ADMIN, Role.AUDITOR}),
        Action.AUDIT_EXPORT: frozenset({Role.ADMIN, Role.AUDITOR}),
        Action.ENCRYPTION_STATUS: _ADMINS,
        Action.ENCRYPTION_ROTATE: _ADMINS,
        Action.ENCRYPTION_REWRAP: _ADMINS,
        Action.ENCRYPTION_RETIRE: _ADMINS,
        # By signature, or by the gateway itself; no API key opens these.
        Action.DISPUTE_RESOLVE: frozenset(),
        Action.INTENT_AUTHENTICATE: frozenset(),
        Action.REFUND_RESOLVE: frozenset(),
        Action.REFUND_EXPIRE: frozenset(),
        Action.REFUND_RELEASE: frozenset(),
        Action.DISPUTE_RECORD: frozenset(),
        Action.DISPUTE_FOLLOW: frozenset(),
        Action.CUSTOMER_INTRODUCE: frozenset(),
        Action.INTENT_EXPIRE: frozenset(),
        Action.ATTEMPT_RESOLVE: frozenset(),
        Action.AUTHORIZATION_WATCH: frozenset(),
        Action.ALERT_RAISE: frozenset(),
        Action.ALERT_CLOSE: frozenset(),
        Action.ALERT_SEND: frozenset(),
        Action.WEBHOOK_ENDPOINT_WATCH: frozenset(),
        Action.PROVIDER_ACCOUNT_PIN: frozenset(),
        Action.IDEMPOTENCY_KEY_PURGE: frozenset(),
        Action.EVENT_PRUNE: frozenset(),
        Action.RECONCILE: frozenset(),
        Action.AUDIT_DETACH: frozenset(),
        Action.AUDIT_DISOWN: frozenset(),
        Action.ENCRYPTION_RESEAL: frozenset(),
        Action.SETTLEMENT_TAKE: frozenset(),
        Action.SETTLEMENT_READ_LINES: frozenset(),
        Action.SETTLEMENT_CONCLUDE: frozenset(),
        Action.SETTLEMENT_IMPORT_WORK: frozenset(),
        Action.SETTLEMENT_LINE_FIND: frozenset(),
        Action.DISCREPANCY_OPEN: frozenset(),
        Action.DISCREPANCY_HEAL: frozenset(),
        Action.PROVIDER_EVENT_RECEIVE: frozenset(),
        Action.PROVIDER_EVENT_APPLY: frozenset(),
    }
)


class Actor(Recorded, frozen=True):
    """Who acts, as the audit log names them."""

    type: Literal["api_key", "client", "provider", "job", "command"]
    id: str | None = None
    role: Role | None = None
    name: str | None = None
    """The person or system that the merchant says is behind it (`Paygate-Actor`)."""


class Caller(msgspec.Struct, frozen=True):
    """An authenticated request: who, for which merchant, from where."""

    actor: Actor
    merchant: str
    request_id: str
    address: str | None = None


def may(role: Role, action: Action) -> bool:
    """Whether the matrix allows it."""
    return role in MATRIX.get(action, frozenset())
