"""Every refusal has a stable code; the catalogue says its type and whether a retry may help.

HTTP statuses live at the HTTP edge (`api/edge/errors.py`), and a test holds that map total.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec


class ErrorType(StrEnum):
    """The family a client branches on first."""

    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    IDEMPOTENCY = "idempotency"
    RATE_LIMIT = "rate_limit"
    PROVIDER = "provider"
    INTERNAL = "internal"


class ErrorCode(StrEnum):
    """Stable names: they only grow."""

    MALFORMED_JSON = "malformed_json"
    MALFORMED_MULTIPART = "malformed_multipart"
    PARAMETER_INVALID = "parameter_invalid"
    PARAMETER_UNKNOWN = "parameter_unknown"
    PARAMETER_MISSING = "parameter_missing"
    AMOUNT_TOO_SMALL = "amount_too_small"
    AMOUNT_TOO_LARGE = "amount_too_large"
    AMOUNT_MISMATCH = "amount_mismatch"
    AMOUNT_NOT_REPRESENTABLE = "amount_not_representable"
    CURRENCY_UNKNOWN = "currency_unknown"
    CURRENCY_MISMATCH = "currency_mismatch"
    PAYMENT_METHOD_TYPE_NOT_ALLOWED = "payment_method_type_not_allowed"
    PAYMENT_METHOD_REJECTED = "payment_method_rejected"
    CARD_DATA_REFUSED = "card_data_refused"
    BODY_TOO_LARGE = "body_too_large"
    CONTENT_TYPE_UNSUPPORTED = "content_type_unsupported"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_MALFORMED = "request_malformed"
    REQUEST_TIMED_OUT = "request_timed_out"
    HEADERS_TOO_LARGE = "headers_too_large"
    API_KEY_MISSING = "api_key_missing"
    API_KEY_INVALID = "api_key_invalid"
    ROLE_NOT_ALLOWED = "role_not_allowed"
    TLS_REQUIRED = "tls_required"
    RESOURCE_MISSING = "resource_missing"
    ROUTE_UNKNOWN = "route_unknown"
    INTENT_ALREADY_CONFIRMED = "intent_already_confirmed"
    REFERENCE_IN_USE = "reference_in_use"
    STATE_CONFLICT = "state_conflict"
    EVENT_NOT_REPLAYABLE = "event_not_replayable"
    OPERATION_PENDING = "operation_pending"
    RECONCILIATION_RUNNING = "reconciliation_running"
    AUTHORIZATION_EXPIRED = "authorization_expired"
    NOTHING_TO_REFUND = "nothing_to_refund"
    PAYMENT_DISPUTED = "payment_disputed"
    REFUND_LIMIT_EXCEEDED = "refund_limit_exceeded"
    ACTOR_REQUIRED = "actor_required"
    APPROVER_IS_REQUESTER = "approver_is_requester"
    AUDIT_LOG_NOT_WHOLE = "audit_log_not_whole"
    FILE_NOT_TAKEN = "file_not_taken"
    REPORT_UNREADABLE = "report_unreadable"
    EVIDENCE_TOO_LARGE = "evidence_too_large"
    EVIDENCE_DEADLINE_PASSED = "evidence_deadline_passed"
    DISPUTE_ANSWERED = "dispute_answered"
    FEE_NOT_ACKNOWLEDGED = "fee_not_acknowledged"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    IDEMPOTENCY_KEY_IN_USE = "idempotency_key_in_use"
    RESPONSE_ERASED = "response_erased"
    CUSTOMER_ERASED = "customer_erased"
    CUSTOMER_IN_USE = "customer_in_use"
    SIGNATURE_INVALID = "signature_invalid"
    CALLBACK_STATE_INVALID = "callback_state_invalid"
    RETURN_URL_NOT_ALLOWED = "return_url_not_allowed"
    WEBHOOK_URL_NOT_ALLOWED = "webhook_url_not_allowed"
    RATE_LIMITED = "rate_limited"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    OVERLOADED = "overloaded"
    OUTCOME_UNKNOWN = "outcome_unknown"
    RECORD_UNREADABLE = "record_unreadable"
    NODE_OUTDATED = "node_outdated"
    INTERNAL_ERROR = "internal_error"


class CodeEntry(msgspec.Struct, frozen=True):
    """What the catalogue says of a code."""

    type: ErrorType
    retriable: bool
    """True when the same request may succeed later, unchanged."""
    meaning: str


def _final(kind: ErrorType, meaning: str) -> CodeEntry:
    return CodeEntry(kind, retriable=False, meaning=meaning)


def _retriable(kind: ErrorType, meaning: str) -> CodeEntry:
    return CodeEntry(kind, retriable=True, meaning=meaning)


CATALOGUE: Final[Mapping[ErrorCode, CodeEntry]] = MappingProxyType(
    {
        ErrorCode.MALFORMED_JSON: _final(
            ErrorType.INVALID_REQUEST,
            "The body is not one JSON object in UTF-8, with each name once.",
        ),
        ErrorCode.MALFORMED_MULTIPART: _final(
            ErrorType.INVALID_REQUEST, "The body is not one complete multipart/form-data body."
        ),
        ErrorCode.PARAMETER_INVALID: _final(
            ErrorType.INVALID_REQUEST, "A parameter has the wrong type, or a value out of range."
        ),
        ErrorCode.PARAMETER_UNKNOWN: _final(
            ErrorType.INVALID_REQUEST, "A parameter that this call does not take."
        ),
        ErrorCode.PARAMETER_MISSING: _final(
            ErrorType.INVALID_REQUEST, "A required parameter is missing."
        ),
        ErrorCode.AMOUNT_TOO_SMALL: _final(
            ErrorType.INVALID_REQUEST, "The amount is zero or negative."
        ),
        ErrorCode.AMOUNT_TOO_LARGE: _final(
            ErrorType.INVALID_REQUEST, "The amount is above PAYGATE_MAX_AMOUNT."
        ),
        ErrorCode.AMOUNT_MISMATCH: _final(
            ErrorType.INVALID_REQUEST, "The amount differs from the payment intent's."
        ),
        ErrorCode.AMOUNT_NOT_REPRESENTABLE: _final(
            ErrorType.INVALID_REQUEST, "The provider cannot charge exactly this amount."
        ),
        ErrorCode.CURRENCY_UNKNOWN: _final(
            ErrorType.INVALID_REQUEST, "Not a lower-case ISO 4217 code with a smallest unit."
        ),
        ErrorCode.CURRENCY_MISMATCH: _final(
            ErrorType.INVALID_REQUEST, "The currency differs from the payment intent's."
        ),
        ErrorCode.PAYMENT_METHOD_TYPE_NOT_ALLOWED: _final(
            ErrorType.INVALID_REQUEST, "The payment intent does not allow this payment method type."
        ),
        ErrorCode.PAYMENT_METHOD_REJECTED: _final(
            ErrorType.INVALID_REQUEST,
            "The provider has no such payment method, or it cannot pay for this payment intent.",
        ),
        ErrorCode.CARD_DATA_REFUSED: _final(
            ErrorType.INVALID_REQUEST,
            "A parameter holds what looks like a card number or an IBAN; nothing was stored. Those "
            "go to the provider's own fields, never here.",
        ),
        ErrorCode.BODY_TOO_LARGE: _final(
            ErrorType.INVALID_REQUEST, "The body is larger than this call takes."
        ),
        ErrorCode.CONTENT_TYPE_UNSUPPORTED: _final(
            ErrorType.INVALID_REQUEST,
            "The body is not sent as plain application/json, nor, where a call takes files, as "
            "multipart/form-data.",
        ),
        ErrorCode.METHOD_NOT_ALLOWED: _final(
            ErrorType.INVALID_REQUEST, "The path exists; it does not take this method."
        ),
        ErrorCode.REQUEST_MALFORMED: _final(
            ErrorType.INVALID_REQUEST, "The bytes that came are no HTTP/1.1 request."
        ),
        ErrorCode.REQUEST_TIMED_OUT: _final(
            ErrorType.INVALID_REQUEST, "The request did not arrive in time."
        ),
        ErrorCode.HEADERS_TOO_LARGE: _final(
            ErrorType.INVALID_REQUEST, "The headers have too many bytes or lines."
        ),
        ErrorCode.API_KEY_MISSING: _final(
            ErrorType.AUTHENTICATION, "No `Authorization: Bearer` header with an API key."
        ),
        ErrorCode.API_KEY_INVALID: _final(
            ErrorType.AUTHENTICATION, "The API key is malformed, unknown, expired or revoked."
        ),
        ErrorCode.ROLE_NOT_ALLOWED: _final(
            ErrorType.PERMISSION, "The API key's role may not do this."
        ),
        ErrorCode.TLS_REQUIRED: _final(
            ErrorType.PERMISSION,
            "The request came in clear, and so did its key: send it by https, and change the key.",
        ),
        ErrorCode.RESOURCE_MISSING: _final(
            ErrorType.NOT_FOUND, "No such object for this API key's merchant."
        ),
        ErrorCode.ROUTE_UNKNOWN: _final(ErrorType.NOT_FOUND, "No such path."),
        ErrorCode.INTENT_ALREADY_CONFIRMED: _final(
            ErrorType.CONFLICT, "The payment intent is no longer `created`; the error carries it."
        ),
        ErrorCode.REFERENCE_IN_USE: _final(
            ErrorType.CONFLICT,
            "A payment intent of this reference is paid, or can still be paid; the error carries "
            "it.",
        ),
        ErrorCode.STATE_CONFLICT: _final(
            ErrorType.CONFLICT, "The object's state does not allow this; the error carries it."
        ),
        ErrorCode.EVENT_NOT_REPLAYABLE: _final(
            ErrorType.CONFLICT,
            "The provider event is under way or was applied; a dead letter or an ignored one can be"
            " replayed.",
        ),
        ErrorCode.AUDIT_LOG_NOT_WHOLE: _final(
            ErrorType.CONFLICT,
            "The audit log is not what was sealed; no gap in it can be declared.",
        ),
        ErrorCode.OPERATION_PENDING: _retriable(
            ErrorType.CONFLICT,
            "Something is under way at the provider, or its outcome is not known yet.",
        ),
        ErrorCode.RECONCILIATION_RUNNING: _retriable(
            ErrorType.CONFLICT, "A reconciliation is running; there is one at a time."
        ),
        ErrorCode.AUTHORIZATION_EXPIRED: _final(
            ErrorType.CONFLICT, "The hold has lapsed: nothing can be captured any more."
        ),
        ErrorCode.NOTHING_TO_REFUND: _final(
            ErrorType.CONFLICT,
            "The payment has no money left to give back: none was taken, or all of it is back or on"
            " its way.",
        ),
        ErrorCode.PAYMENT_DISPUTED: _final(
            ErrorType.CONFLICT,
            "A chargeback of the payment waits for a response or is under review: what the bank"
            " takes by itself is not refunded too. The error carries the payment intent.",
        ),
        ErrorCode.REFUND_LIMIT_EXCEEDED: _final(
            ErrorType.PERMISSION,
            "More than PAYGATE_SUPPORT_REFUND_LIMIT lets a support key give.",
        ),
        ErrorCode.ACTOR_REQUIRED: _final(
            ErrorType.INVALID_REQUEST,
            "A refund that a second person must approve names both people: Paygate-Actor.",
        ),
        ErrorCode.APPROVER_IS_REQUESTER: _final(
            ErrorType.PERMISSION,
            "Who asked for a refund does not decide on it: key and Paygate-Actor must both differ.",
        ),
        ErrorCode.FILE_NOT_TAKEN: _final(
            ErrorType.INVALID_REQUEST,
            "The file is no PDF, JPEG or PNG by its content, says that it is another type than it"
            " is, or cannot be read.",
        ),
        ErrorCode.REPORT_UNREADABLE: _final(
            ErrorType.INVALID_REQUEST,
            "The file is no report of this format: a column is missing or there twice, or there is"
            " no line. The message lists what was found.",
        ),
        ErrorCode.EVIDENCE_TOO_LARGE: _final(
            ErrorType.INVALID_REQUEST,
            "With this the evidence would be more than banks take: 4,500,000 bytes or 49 pages of"
            " files, or 150,000 characters of text.",
        ),
        ErrorCode.EVIDENCE_DEADLINE_PASSED: _final(
            ErrorType.CONFLICT,
            "The dispute could be answered until its `evidence_due_by`; the error carries it.",
        ),
        ErrorCode.DISPUTE_ANSWERED: _final(
            ErrorType.CONFLICT,
            "Evidence was submitted already, here or elsewhere, and that is done once; the error"
            " carries the dispute.",
        ),
        ErrorCode.FEE_NOT_ACKNOWLEDGED: _final(
            ErrorType.INVALID_REQUEST,
            "Answering a compliance case costs a fee of the card network's own: name the network"
            " in `fees_acknowledged`.",
        ),
        ErrorCode.IDEMPOTENCY_KEY_REUSED: _final(
            ErrorType.IDEMPOTENCY, "The Idempotency-Key was used before, with other parameters."
        ),
        ErrorCode.IDEMPOTENCY_KEY_IN_USE: _retriable(
            ErrorType.CONFLICT,
            "The first request with this Idempotency-Key is still under way; try it again.",
        ),
        ErrorCode.RESPONSE_ERASED: _final(
            ErrorType.CONFLICT,
            "The request with this Idempotency-Key was answered, and the answer went when its"
            " customer was erased; nothing was done again. Read the object instead.",
        ),
        ErrorCode.CUSTOMER_ERASED: _final(
            ErrorType.CONFLICT, "The customer was erased, and pays under a new id."
        ),
        ErrorCode.CUSTOMER_IN_USE: _final(
            ErrorType.CONFLICT,
            "A payment, refund or dispute of the customer is open, which the message names; erase"
            " when it has ended.",
        ),
        ErrorCode.SIGNATURE_INVALID: _final(
            ErrorType.INVALID_REQUEST, "The provider's signature is missing, wrong or out of time."
        ),
        ErrorCode.CALLBACK_STATE_INVALID: _final(
            ErrorType.INVALID_REQUEST, "A payer came back by an address that we did not make."
        ),
        ErrorCode.RETURN_URL_NOT_ALLOWED: _final(
            ErrorType.INVALID_REQUEST, "PAYGATE_RETURN_URL_HOSTS does not name the host."
        ),
        ErrorCode.WEBHOOK_URL_NOT_ALLOWED: _final(
            ErrorType.INVALID_REQUEST,
            "The URL's host has no address, or one that webhooks are not sent to "
            "(PAYGATE_WEBHOOK_ALLOWED_NETWORKS).",
        ),
        ErrorCode.RATE_LIMITED: _retriable(
            ErrorType.RATE_LIMIT, "Too many requests; Retry-After says when there is room again."
        ),
        ErrorCode.PROVIDER_UNAVAILABLE: _retriable(
            ErrorType.PROVIDER,
            "The provider was certainly not reached, or did not tell what must be known first; "
            "nothing was charged.",
        ),
        ErrorCode.OVERLOADED: _retriable(
            ErrorType.INTERNAL, "Too many writes are waiting; nothing was done."
        ),
        ErrorCode.OUTCOME_UNKNOWN: _retriable(
            ErrorType.INTERNAL,
            "The database did not answer in time; the write may still complete. Retry with the "
            "same Idempotency-Key.",
        ),
        ErrorCode.RECORD_UNREADABLE: _final(
            ErrorType.INTERNAL,
            "A stored record that this needs is not as we left it, and is not guessed at. An alert "
            "tells the people who look after the gateway; nothing was done.",
        ),
        ErrorCode.NODE_OUTDATED: _retriable(
            ErrorType.INTERNAL,
            "An upgrade is under way and this node runs the older version; nothing was done. "
            "Retry: a node of the newer version will answer.",
        ),
        ErrorCode.INTERNAL_ERROR: _retriable(
            ErrorType.INTERNAL, "A fault of ours; the request id finds it in the log."
        ),
    }
)


class Refusal(Exception):
    """A request that is refused: nothing was done, and the caller is told why.

    `subject` is the object whose state stood in the way, shown in the error when given.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        param: str | None = None,
        subject: msgspec.Struct | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.subject = subject
        self.retry_after_seconds = retry_after_seconds


def missing(kind: str, *, param: str = "id") -> Refusal:
    """The one answer for unknown, malformed and foreign ids, so that none tells which it was."""
    return Refusal(ErrorCode.RESOURCE_MISSING, f"no such {kind}", param=param)
