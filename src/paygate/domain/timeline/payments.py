"""What became of a payment, and what the provider was asked: from its events, attempts and
corrections.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from paygate.domain.event import Event
from paygate.domain.payments.attempt import OPEN, Attempt, AttemptState, Operation
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.events import received
from paygate.domain.payments.outcome import RedirectToUrl, TransferInstructions
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.timeline.calls import ANSWERED
from paygate.domain.timeline.entry import Cause, Entry, Kind
from paygate.domain.timeline.words import failure, instrument, method, money


def transitions(events: Iterable[Event]) -> list[Entry]:
    """How the payment went from status to status, by the events of it; each has the payment as it
    then was.
    """
    entries: list[Entry] = []
    before: PaymentIntent | None = None
    for event in sorted(events, key=lambda each: each.object_version):
        after = event.record
        if isinstance(after, PaymentIntent):
            entries.append(_transition(event, before, after))
            before = after
    return entries


def _transition(event: Event, before: PaymentIntent | None, after: PaymentIntent) -> Entry:
    return Entry(
        at=event.created_at,
        kind=Kind.TRANSITION,
        cause=Cause.BECAME,
        summary=_became(before, after),
        request_id=event.request_id,
        before=None if before is None else str(before.status),
        after=str(after.status),
        provider_reference=after.provider_reference,
        amount=after.amount,
        currency=after.currency,
        details={"event": event.id, "version": after.version, "correction": event.correction},
    )


def _became(before: PaymentIntent | None, after: PaymentIntent) -> str:
    if before is not None and before.status is after.status:
        came = money(received(after), after.currency)
        return f"{came} of {money(after.amount, after.currency)} have come by bank transfer."
    return f"{STATUS_WORDS[after.status]}{_more(after)}."


STATUS_WORDS: Final[Mapping[Status, str]] = MappingProxyType(
    {
        Status.CREATED: "The payment was created",
        Status.PROCESSING: "The payment is under way",
        Status.REQUIRES_ACTION: "The payer must act",
        Status.REQUIRES_CAPTURE: "The money is held",
        Status.SUCCEEDED: "The payment succeeded",
        Status.FAILED: "The payment failed",
        Status.CANCELLED: "The payment was cancelled",
        Status.REFUNDED: "All of the payment was refunded",
    }
)


def _more(after: PaymentIntent) -> str:
    match after.status:
        case Status.CREATED:
            named = f", reference {after.reference}" if after.reference else ""
            return f": {money(after.amount, after.currency)}{named}"
        case Status.REQUIRES_ACTION:
            return _to_do(after)
        case Status.REQUIRES_CAPTURE:
            until = after.authorization_expires_at
            lasts = "" if until is None else f" until {until:%Y-%m-%d %H:%M} UTC"
            return f": {money(after.amount_capturable, after.currency)}{_paid_with(after)}{lasts}"
        case Status.SUCCEEDED:
            return f": {money(after.amount_received, after.currency)} taken{_paid_with(after)}"
        case Status.FAILED if after.last_payment_error is not None:
            return f": {failure(after.last_payment_error)}"
        case Status.CANCELLED if after.cancellation_reason:
            return f": {after.cancellation_reason.rstrip('.')}"
        case _:
            return ""


def _to_do(after: PaymentIntent) -> str:
    match after.next_action:
        case RedirectToUrl():
            return ": their bank wants to know that it is they (3D Secure)"
        case TransferInstructions(amount_remaining=remaining):
            return f": send {money(remaining, after.currency)} to the account that they were shown"
        case None:
            return ""


def _paid_with(after: PaymentIntent) -> str:
    known = method(after.payment_method)
    return "" if known is None else f", {known}"


def corrections(corrected: Iterable[Correction]) -> list[Entry]:
    """Where the provider's proof led the payment out of a status that was final."""
    return [
        Entry(
            at=each.at,
            kind=Kind.CORRECTION,
            cause=Cause.BECAME,
            summary=f"Corrected: it was {each.from_status}, and the provider's proof says"
            f" {each.to_status} ({each.reason.replace('_', ' ')}).",
            before=str(each.from_status),
            after=str(each.to_status),
            provider_reference=each.proof,
            details={"correction": each.id, "reason": each.reason},
        )
        for each in corrected
    ]


_ASKED: Final[Mapping[Operation, str]] = MappingProxyType(
    {
        Operation.CONFIRM: "to take",
        Operation.CAPTURE: "to capture",
        Operation.CANCEL: "to cancel the payment of",
    }
)


def provider_calls(intent: PaymentIntent, attempts: Iterable[Attempt]) -> list[Entry]:
    """What the provider was asked of the payment, and how that ended, as far as it has."""
    return [entry for attempt in attempts for entry in _asked(intent, attempt)]


def _asked(intent: PaymentIntent, attempt: Attempt) -> list[Entry]:
    amount = intent.amount if attempt.amount is None else attempt.amount
    order = f"{_ASKED[attempt.operation]} {money(amount, intent.currency)}"
    how = " ".join(filter(None, (order, instrument(attempt.instrument))))
    call = partial(
        Entry,
        kind=Kind.PROVIDER_CALL,
        amount=amount,
        currency=intent.currency,
        details={
            "attempt": attempt.id,
            "number": attempt.number,
            "operation": str(attempt.operation),
            "detail": attempt.detail,
        },
    )
    provider = intent.provider
    asked = f"{provider} was asked {how}."
    entries = [call(at=attempt.first_sent_at, cause=Cause.SENT, summary=asked)]
    if attempt.sent_again_at is not None:
        again = f"{provider} was asked again {how}, under the same key."
        entries.append(call(at=attempt.sent_again_at, cause=Cause.SENT, summary=again))
    if attempt.state not in OPEN | {AttemptState.NOT_SENT}:
        answered = call(
            at=attempt.updated_at,
            cause=Cause.ANSWERED,
            summary=f"{provider} {ANSWERED[attempt.state]}{_because(attempt)}.",
            outcome=str(attempt.state),
            provider_reference=attempt.provider_reference,
        )
        entries.append(answered)
    return entries


def _because(attempt: Attempt) -> str:
    return "" if attempt.detail is None else f": {attempt.detail.rstrip('.')}"
