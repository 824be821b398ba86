"""What became of a payment's refunds, and what the provider was asked of them: from their records
and events.
"""

from collections.abc import Iterable
from functools import partial

from paygate.domain.event import Event
from paygate.domain.refunds.refund import Refund, RefundState, RefundStatus
from paygate.domain.timeline.entry import Cause, Entry, Kind
from paygate.domain.timeline.words import money


def refunds(refunded: Iterable[Refund], events: Iterable[Event], provider: str) -> list[Entry]:
    """How each refund went from status to status, by its events; and the calls of the provider."""
    entries: list[Entry] = []
    standing = {each.id: each for each in refunded}
    last: dict[str, RefundStatus] = {}
    for event in sorted(events, key=lambda each: (each.object_version, each.created_at)):
        then = event.record
        if isinstance(then, Refund):
            before = last.get(then.id)
            # A refund that ends in the commit that makes it has two events of one version.
            status = RefundStatus.PENDING if event.type == "refund.created" else then.status
            entries.append(_became(then, event, before, status))
            last[then.id] = status
    for refund in standing.values():
        if refund.id not in last:
            entries.append(_as_it_stands(refund))
        entries += _calls(refund, provider)
    return entries


def _became(
    refund: Refund, event: Event, before: RefundStatus | None, after: RefundStatus
) -> Entry:
    return Entry(
        at=event.created_at,
        kind=Kind.REFUND,
        cause=Cause.BECAME,
        summary=f"{_words(refund, before, after)}.",
        request_id=event.request_id,
        before=None if before is None else str(before),
        after=str(after),
        provider_reference=refund.provider_reference,
        outcome=None if refund.failure is None else refund.failure.code,
        amount=refund.amount,
        currency=refund.currency,
        details={"refund": refund.id, "event": event.id, "reason": refund.reason},
    )


def _words(refund: Refund, before: RefundStatus | None, after: RefundStatus) -> str:
    amount = f"A refund of {money(refund.amount, refund.currency)}"
    why = "" if refund.reason is None else f" ({refund.reason.replace('_', ' ')})"
    match after:
        case RefundStatus.PENDING if refund.external:
            return f"{amount} was made at the provider, not here"
        case RefundStatus.PENDING if refund.state is RefundState.AWAITING_APPROVAL:
            return f"{amount}{why} waits for a second person"
        case RefundStatus.PENDING:
            return f"{amount}{why} was begun, and its amount reserved"
        case RefundStatus.SUCCEEDED:
            return f"{amount} succeeded: the payer has it by {refund.expected_by}"
        case RefundStatus.FAILED:
            after_all = " after all" if before is RefundStatus.SUCCEEDED else ""
            said = "" if refund.failure is None else f": {refund.failure.message.rstrip('.')}"
            return f"{amount} failed{after_all}{said}"


def _as_it_stands(refund: Refund) -> Entry:
    """For a refund whose events are not kept."""
    return Entry(
        at=refund.created_at,
        kind=Kind.REFUND,
        cause=Cause.BECAME,
        summary=f"A refund of {money(refund.amount, refund.currency)} was begun; it is"
        f" {refund.status} since {refund.updated_at:%Y-%m-%d %H:%M} UTC.",
        after=str(refund.status),
        provider_reference=refund.provider_reference,
        amount=refund.amount,
        currency=refund.currency,
        details={"refund": refund.id},
    )


_ANSWERED = {
    RefundState.UNKNOWN: "gave no clear answer about the refund, so it is looked up",
    RefundState.NOT_SENT: "was not reached about the refund, and nothing was sent",
    RefundState.PENDING: "works on the refund",
    RefundState.SUCCEEDED: "made the refund",
    RefundState.FAILED: "did not make the refund",
}


def _calls(refund: Refund, provider: str) -> list[Entry]:
    if refund.first_sent_at is None or refund.external:
        return []
    call = partial(
        Entry,
        kind=Kind.PROVIDER_CALL,
        amount=refund.amount,
        currency=refund.currency,
        details={"refund": refund.id, "operation": "refund", "detail": refund.message},
    )
    order = f"to refund {money(refund.amount, refund.currency)}"
    asked = f"{provider} was asked {order}."
    entries = [call(at=refund.first_sent_at, cause=Cause.SENT, summary=asked)]
    if refund.last_sent_at is not None and refund.last_sent_at != refund.first_sent_at:
        again = f"{provider} was asked again {order}, under the same key."
        entries.append(call(at=refund.last_sent_at, cause=Cause.SENT, summary=again))
    if (said := _ANSWERED.get(refund.state)) is not None:
        answered = call(
            at=refund.updated_at,
            cause=Cause.ANSWERED,
            summary=f"{provider} {said}.",
            outcome=str(refund.state),
            provider_reference=refund.provider_reference,
        )
        entries.append(answered)
    return entries
