"""Errors on the wire: the domain's codes to HTTP statuses, and every exception to one shape."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from paygate.api.dispute_object import dispute_object
from paygate.api.edge.buckets import RateLimited
from paygate.api.objects import (
    api_key_object,
    payment_intent_object,
    public_payment_intent_object,
)
from paygate.domain.access.api_key import ApiKey
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.errors import CATALOGUE, ErrorCode, ErrorType, Refusal
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.storage.change import OutcomeUnknown, Outdated, Overloaded, Unavailable
from paygate.storage.unreadable import Unreadable

DOCS: Final = "/docs#"
"""Where codes are explained, under our own address: a code's row is named by the code."""

_STATUS_OF_TYPE: Final = {
    ErrorType.INVALID_REQUEST: 400,
    ErrorType.AUTHENTICATION: 401,
    ErrorType.PERMISSION: 403,
    ErrorType.NOT_FOUND: 404,
    ErrorType.CONFLICT: 409,
    ErrorType.IDEMPOTENCY: 422,
    ErrorType.RATE_LIMIT: 429,
    ErrorType.PROVIDER: 503,
    ErrorType.INTERNAL: 503,
}
_STATUS_OF_CODE: Final = {
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.REQUEST_TIMED_OUT: 408,
    ErrorCode.BODY_TOO_LARGE: 413,
    ErrorCode.CONTENT_TYPE_UNSUPPORTED: 415,
    ErrorCode.HEADERS_TOO_LARGE: 431,
    ErrorCode.RECORD_UNREADABLE: 500,
    ErrorCode.INTERNAL_ERROR: 500,
}
STATUS: Final[Mapping[ErrorCode, int]] = {
    code: _STATUS_OF_CODE.get(code, _STATUS_OF_TYPE[CATALOGUE[code].type]) for code in ErrorCode
}
RETRY_AFTER_SECONDS: Final = 1
"""The Retry-After of a 503 that names no time of its own."""

_BUSY: Final = (ErrorCode.OVERLOADED, "too busy just now; nothing was done")
_OF_STORAGE: Final[Mapping[type[Exception], tuple[ErrorCode, str]]] = {
    Overloaded: _BUSY,
    Unavailable: _BUSY,
    OutcomeUnknown: (
        ErrorCode.OUTCOME_UNKNOWN,
        "the write is not confirmed yet; retry with the same Idempotency-Key",
    ),
    Outdated: (ErrorCode.NODE_OUTDATED, "an upgrade is under way; nothing was done here: retry"),
}


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The object under `error`."""

    type: str
    code: str
    message: str
    param: str | None
    doc_url: str
    request_id: str
    retriable: bool
    payment_intent: Any = msgspec.UNSET
    api_key: Any = msgspec.UNSET
    dispute: Any = msgspec.UNSET


class ErrorResponse(msgspec.Struct, frozen=True):
    """The body of every response that is not a success."""

    error: ErrorBody


def refusal_of(error: Exception) -> Refusal:
    """Any exception as a refusal with a stable code; an unknown exception is our own fault."""
    match error:
        case Refusal():
            return error
        case Overloaded() | Unavailable() | OutcomeUnknown() | Outdated():
            return Refusal(*_OF_STORAGE[type(error)])
        case Unreadable():
            return Refusal(
                ErrorCode.RECORD_UNREADABLE, "a stored record cannot be read; people are told"
            )
        case _:
            return Refusal(ErrorCode.INTERNAL_ERROR, "an unexpected fault; it was logged")


def docs_at(public_url: str | None) -> str:
    """The address of the explained codes: absolute if our own address is known."""
    return (public_url or "") + DOCS


def encode_error(
    refusal: Refusal, request_id: str, *, docs: str = DOCS, client_side: bool = False
) -> bytes:
    """The body of an error response; a payer's browser sees an intent's public view alone."""
    entry = CATALOGUE[refusal.code]
    subject = refusal.subject
    show = public_payment_intent_object if client_side else payment_intent_object
    body = ErrorBody(
        type=entry.type,
        code=refusal.code,
        message=refusal.message,
        param=refusal.param,
        doc_url=docs + refusal.code,
        request_id=request_id,
        retriable=entry.retriable,
        payment_intent=show(subject) if isinstance(subject, PaymentIntent) else msgspec.UNSET,
        api_key=api_key_object(subject, None) if isinstance(subject, ApiKey) else msgspec.UNSET,
        dispute=dispute_object(subject) if isinstance(subject, Dispute) else msgspec.UNSET,
    )
    return msgspec.json.encode(ErrorResponse(body))


def headers_of(refusal: Refusal) -> dict[str, str]:
    """Retry-After where a retry may help, WWW-Authenticate where a key is asked for."""
    if isinstance(refusal, RateLimited):
        return dict(refusal.headers)
    if STATUS[refusal.code] == 401:  # noqa: PLR2004 -- RFC 9110, 11.6.1
        return {"WWW-Authenticate": "Bearer"}
    if STATUS[refusal.code] == 503 or refusal.retry_after_seconds is not None:  # noqa: PLR2004
        return {"Retry-After": str(refusal.retry_after_seconds or RETRY_AFTER_SECONDS)}
    return {}
