"""A Dispute as Stripe renders it, read into a `DisputeAnswer`; pure.

As in `translate`, what is not needed is not looked at, what is not understood is `Unknown`, and no
function raises. (https://docs.stripe.com/api/disputes/object, https://docs.stripe.com/disputes)
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec

from paygate.domain.disputes.outcome import (
    Compliance,
    ComplianceNetwork,
    DisputeAnswer,
    Disputed,
    DisputeKind,
    DisputeOutcome,
    DisputeReason,
    DisputeStatus,
    DisputeUnfamiliar,
)
from paygate.domain.payments.outcome import Unknown
from paygate.providers.stripe.balance_rows import money_rows
from paygate.providers.stripe.fields import (
    code,
    identifier,
    mapping,
    moment,
    named,
    text,
    whole,
)
from paygate.providers.stripe.money import NotRepresentable, from_provider

_Word = TypeVar("_Word", bound=StrEnum)

_MAX_UNITS: Final = 10**15
"""Beyond any amount that Stripe has; keeps a hostile number out of our arithmetic."""
_MAX_SUBMISSIONS: Final = 10**6
_S = DisputeStatus
CLOSED: Final = frozenset({_S.WARNING_CLOSED, _S.WON, _S.LOST, _S.PREVENTED})
"""Statuses in which Stripe takes no more orders."""
_INQUIRIES: Final = frozenset(
    {_S.WARNING_NEEDS_RESPONSE, _S.WARNING_UNDER_REVIEW, _S.WARNING_CLOSED}
)
_COMPLIANCE: Final[Mapping[str, ComplianceNetwork]] = MappingProxyType(
    {
        "visa_compliance": ComplianceNetwork.VISA,
        "mastercard_compliance": ComplianceNetwork.MASTERCARD,
    }
)
"""By Stripe's `enhanced_eligibility_types`."""
_REASON_CODES: Final = ("network_reason_code", "reason_code", "dispute_type")
"""Where a payment method's details have the code of the scheme: cards; PayPal and Klarna; Amazon.
"""


def dispute(body: object, *, livemode: bool, as_of: datetime | None) -> DisputeAnswer:
    """What a Dispute says; `livemode` is the mode that it must be of."""
    if not isinstance(body, Mapping) or body.get("object") != "dispute":
        return DisputeAnswer(outcome=Unknown("the answer is not a dispute"), as_of=as_of)
    reference = identifier(body.get("id"))
    if reference is None:
        return DisputeAnswer(outcome=Unknown("the dispute has no usable id"), as_of=as_of)
    if body.get("livemode") is not livemode:
        return DisputeAnswer(outcome=Unknown("the dispute is of the other mode"), as_of=as_of)
    charge = mapping(body, "charge")
    metadata = mapping(charge, "metadata")
    return DisputeAnswer(
        outcome=_outcome(body),
        provider_reference=reference,
        payment_reference=named(body.get("payment_intent")) or named(charge.get("payment_intent")),
        charge_reference=named(body.get("charge")),
        as_of=as_of,
        livemode=livemode,
        attempt=text(metadata, "paygate_attempt"),
        installation=text(metadata, "paygate_installation"),
        merchant=text(metadata, "paygate_merchant"),
        intent=text(metadata, "paygate_intent"),
    )


def of_reference(reference: str, answer: DisputeAnswer) -> DisputeAnswer:
    """The answer, if it is of the dispute that was asked about; else `Unknown`."""
    if answer.provider_reference in {None, reference}:
        return answer
    other = Unknown("the provider answered with another dispute")
    return DisputeAnswer(outcome=other, as_of=answer.as_of)


def _outcome(body: Mapping[str, Any]) -> DisputeOutcome:
    word = code(body.get("status"))
    if word is None:
        return Unknown("the dispute's status is missing")
    status = _word(DisputeStatus, word)
    if status is None:
        return DisputeUnfamiliar(word)
    amount, currency = _money(body)
    created_at = moment(body.get("created"))
    rows = money_rows(body.get("balance_transactions"))
    if amount is None or currency is None or created_at is None:
        return Unknown("the dispute's amount or time makes no sense")
    if rows is None:
        return Unknown("the dispute's movements of money make no sense")
    details = mapping(body, "evidence_details")
    method = _method(body)
    reason = code(body.get("reason"))
    case_type = code(method.get("case_type"))
    return Disputed(
        kind=_kind(status, case_type),
        status=status,
        reason=_word(DisputeReason, reason) or DisputeReason.GENERAL,
        amount=amount,
        currency=currency,
        refundable=body.get("is_charge_refundable") is True,
        created_at=created_at,
        evidence_due_by=_due_by(details),
        past_due=details.get("past_due") is True,
        submission_count=whole(details.get("submission_count"), 0, _MAX_SUBMISSIONS) or 0,
        has_evidence=details.get("has_evidence") is True,
        provider_reason=reason,
        network_reason_code=_reason_code(method),
        case_type=case_type,
        compliance=_compliance(body, details),
        rows=rows,
    )


def _kind(status: DisputeStatus, case_type: str | None) -> DisputeKind:
    """By the status, which tells an inquiry that became a chargeback; of one that was prevented by
    its case, as it tells neither.
    """
    prevented = status is DisputeStatus.PREVENTED and case_type == "inquiry"
    return DisputeKind.INQUIRY if prevented or status in _INQUIRIES else DisputeKind.CHARGEBACK


def _due_by(details: Mapping[str, Any]) -> datetime | None:
    """Stripe says 0, or nothing, of a dispute that nobody can answer."""
    return moment(details.get("due_by")) if details.get("due_by") != 0 else None


def _method(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the payment method's own part says of the dispute."""
    details = mapping(body, "payment_method_details")
    kind = details.get("type")
    return mapping(details, kind) if isinstance(kind, str) else {}


def _reason_code(method: Mapping[str, Any]) -> str | None:
    return next((found for key in _REASON_CODES if (found := text(method, key))), None)


def _compliance(body: Mapping[str, Any], details: Mapping[str, Any]) -> tuple[Compliance, ...]:
    """By what the dispute is eligible for, never by its reason."""
    types = body.get("enhanced_eligibility_types")
    named_types = types if isinstance(types, list) else []
    eligibility = mapping(details, "enhanced_eligibility")
    return tuple(
        Compliance(network, mapping(eligibility, kind).get("status") == "fee_acknowledged")
        for kind, network in _COMPLIANCE.items()
        if kind in named_types
    )


def _money(body: Mapping[str, Any]) -> tuple[int | None, str | None]:
    """Amount in our smallest units, and currency; of a dispute without a sensible one, nothing."""
    units, currency = whole(body.get("amount"), 0, _MAX_UNITS), body.get("currency")
    if units is None or not isinstance(currency, str):
        return None, None
    try:
        return from_provider(units, currency), currency
    except NotRepresentable:
        return None, None


def _word(words: type[_Word], value: str | None) -> _Word | None:
    """The word of ours that Stripe's is, or None: Stripe adds to its own."""
    try:
        return None if value is None else words(value)
    except ValueError:
        return None


def without_time(answer: DisputeAnswer) -> DisputeAnswer:
    """An answer that shows the dispute as it was when its key was first used, with the time of now:
    it orders nothing.
    """
    return msgspec.structs.replace(answer, as_of=None)
