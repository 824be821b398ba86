"""Stripe's clear no to an order in a dispute, and to a file (HTTP 400 to 404); pure.

What Stripe does not take of the evidence is told field by field, by the parameter that it names.
Its own sentence is repeated only where nothing that we sent stands in it: evidence is about people.
(https://docs.stripe.com/api/disputes/update, https://docs.stripe.com/error-codes)
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from paygate.domain.card_data.search import find
from paygate.domain.disputes.outcome import DisputeRejected, EvidenceRefusal, RejectionCode
from paygate.domain.payments.outcome import Unknown
from paygate.providers.stripe.fields import code, mapping

_UNAUTHENTICATED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_INVALID: Final = "invalid_request_error"
_EVIDENCE: Final = re.compile(r"evidence(?:\[([a-z0-9_]{1,64})\])?(\[[a-z0-9_\[\]]{1,200})?")
_ENHANCED: Final = "enhanced_evidence"
_SENTENCE: Final = re.compile(r"[ -~]{1,300}")
"""What may be repeated of Stripe's: a line of plain text."""
_RECOGNISED: Final = 4
"""A piece of a text of this length is taken for a quotation of it."""
_SECRETS: Final = re.compile(r"(?:sk|rk|pk|whsec)_[A-Za-z0-9*]+|Bearer", re.IGNORECASE)
_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "resource_missing": "The provider does not know the file.",
        "parameter_invalid_empty": "The provider does not take an empty text.",
        "parameter_invalid_string_blank": "The provider does not take a blank text.",
        "parameter_unknown": "The provider knows no such field.",
    }
)
"""By Stripe's error code."""
_CONFIGURATION: Final = DisputeRejected(
    RejectionCode.PROVIDER_CONFIGURATION, "The provider refuses our API key or what it may do."
)


def of_order(status: int, body: object, sent: Iterable[str] = ()) -> DisputeRejected | Unknown:
    """A no to a submission, with the values that were `sent`, or to an acceptance.

    `ORDER_REFUSED` when it names nothing of the evidence: then how the dispute stands may be why.
    """
    error = mapping(body, "error")
    if ended := _of_the_call(status, error):
        return ended
    found = _EVIDENCE.fullmatch(param) if isinstance(param := error.get("param"), str) else None
    if found is None:
        if status == _NOT_FOUND or code(error.get("code")) == "resource_missing":
            # Another account's key knows no such dispute, and says nothing of this one.
            return Unknown("the provider says that it has no such dispute")
        return DisputeRejected(
            RejectionCode.ORDER_REFUSED, "The provider does not take this for the dispute."
        )
    field = found[1]
    if field == _ENHANCED and "fee_acknowledged" in (found[2] or ""):
        return FEE_NOT_ACKNOWLEDGED
    refusal = EvidenceRefusal(field, _why(error, sent))
    said = "The provider does not take the evidence as it stands."
    return DisputeRejected(RejectionCode.EVIDENCE_REFUSED, said, (refusal,))


def of_file(status: int, body: object, sent: Iterable[str]) -> DisputeRejected | Unknown:
    """A no to a file, with the values that were `sent`."""
    error = mapping(body, "error")
    if ended := _of_the_call(status, error):
        return ended
    if status == _NOT_FOUND:
        return Unknown("the provider does not know the address that we called")
    return DisputeRejected(RejectionCode.FILE_REFUSED, _why(error, sent))


def speaks_of_its_call_alone(outcome: DisputeRejected | Unknown) -> bool:
    """Whether a refusal tells nothing of an earlier call."""
    return outcome == _CONFIGURATION


FEE_NOT_ACKNOWLEDGED: Final = DisputeRejected(
    RejectionCode.FEE_NOT_ACKNOWLEDGED,
    "The card network decides this case for a fee of its own, which must be agreed to first.",
)


def _of_the_call(status: int, error: Mapping[str, Any]) -> DisputeRejected | Unknown | None:
    """What is said of the call itself, whatever it asks for."""
    kind = code(error.get("type"))
    if kind == "idempotency_error":
        return Unknown(
            "the provider knows this key with other parameters: it was done before, and is to be"
            " looked up"
        )
    if status in {_UNAUTHENTICATED, _FORBIDDEN} and kind == _INVALID:
        return _CONFIGURATION
    if kind != _INVALID:
        return Unknown("the provider refused in a way that is not understood")
    return None


def _why(error: Mapping[str, Any], sent: Iterable[str]) -> str:
    """Why a part is not taken, in words that hold nothing of what was sent."""
    reason = code(error.get("code"))
    if reason in _WORDS:
        return _WORDS[str(reason)]
    message = error.get("message")
    if isinstance(message, str) and _is_fit(message, sent):
        return message
    return f"The provider does not take this{f' ({reason})' if reason else ''}."


def _is_fit(message: str, sent: Iterable[str]) -> bool:
    """Whether a sentence of Stripe's may be shown: plain, without a key, and quoting nothing."""
    if _SENTENCE.fullmatch(message) is None or _SECRETS.search(message) or find(message):
        return False
    return not any(_quotes(message, value) for value in sent)


def _quotes(message: str, value: str) -> bool:
    """Whether a sentence has the beginning of a value in it: what is cut is cut at the end."""
    beginning = value.strip()[:_RECOGNISED]
    return bool(beginning) and beginning.lower() in message.lower()
