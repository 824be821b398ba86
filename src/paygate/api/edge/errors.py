"""Errors on the wire: the domain's codes to HTTP statuses, and every exception to one shape."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from paygate.api.edge.buckets import RateLimited
from paygate.api.objects import (
    api_key_object,
    payment_intent_object,
    public_payment_intent_object,
)
from paygate.domain.access.api_key import ApiKey
from paygate.domain.errors import CATALOGUE, ErrorCode, ErrorType, Refusal
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.storage.change import OutcomeUnknown, Outdated, Overloaded, Unavailable
from paygate.storage.unreadable import Unreadable

DOCS: Final = "/docs#"

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
"""For a 503 that names no time of its own."""

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

_AT: Final = re.compile(r" - at `\$\.?(?:\[\.\.\.\])?([^`]*)`")
_FIELD: Final = re.compile(r"field `([^`]*)`")


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands under `error`."""

    type: str
    code: str
    message: str
    param: str | None
    doc_url: str
    request_id: str
    retriable: bool
    payment_intent: Any = msgspec.UNSET
    api_key: Any = msgspec.UNSET


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    error: ErrorBody


def refusal_of(error: Exception) -> Refusal:
    """Any exception as a refusal with a stable code. What it does not know is our own fault."""
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


def encode_error(refusal: Refusal, request_id: str, *, client_side: bool = False) -> bytes:
    """The body of an error answer; a payer's browser sees an intent's public view alone."""
    entry = CATALOGUE[refusal.code]
    subject = refusal.subject
    show = public_payment_intent_object if client_side else payment_intent_object
    body = ErrorBody(
        type=entry.type,
        code=refusal.code,
        message=refusal.message,
        param=refusal.param,
        doc_url=DOCS + refusal.code,
        request_id=request_id,
        retriable=entry.retriable,
        payment_intent=show(subject) if isinstance(subject, PaymentIntent) else msgspec.UNSET,
        api_key=api_key_object(subject, None) if isinstance(subject, ApiKey) else msgspec.UNSET,
    )
    return msgspec.json.encode(ErrorAnswer(body))


def headers_of(refusal: Refusal) -> dict[str, str]:
    """Retry-After where a retry may help, WWW-Authenticate where a key is asked for."""
    if isinstance(refusal, RateLimited):
        return dict(refusal.headers)
    if STATUS[refusal.code] == 401:  # noqa: PLR2004 -- RFC 9110, 11.6.1
        return {"WWW-Authenticate": "Bearer"}
    if STATUS[refusal.code] == 503 or refusal.retry_after_seconds is not None:  # noqa: PLR2004
        return {"Retry-After": str(refusal.retry_after_seconds or RETRY_AFTER_SECONDS)}
    return {}


def parse_body(error: Exception) -> Refusal:
    """What msgspec says of a body, as a refusal that names the parameter and quotes no value."""
    if not isinstance(error, msgspec.ValidationError):
        return Refusal(ErrorCode.MALFORMED_JSON, "the body must be one JSON object in UTF-8")
    text = str(error)
    where = _AT.search(text)
    path = where[1] if where else ""
    field = _FIELD.search(text)
    said = _AT.sub("", text)
    if field and "unknown field" in said:
        return Refusal(
            ErrorCode.PARAMETER_UNKNOWN,
            "this call takes no such parameter",
            param=_joined(path, field[1][:100]),
        )
    if field and "missing required field" in said:
        name = _joined(path, field[1])
        return Refusal(ErrorCode.PARAMETER_MISSING, f"{name} is required", param=name)
    if said.startswith(("Invalid enum value", "Invalid value")):
        said = "not one of the allowed values"  # msgspec quotes the value
    return Refusal(ErrorCode.PARAMETER_INVALID, f"{path or 'the body'}: {said}", param=path or None)


def _joined(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field
