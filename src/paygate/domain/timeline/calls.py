"""Audit entries as entries of a timeline: who asked for what, and what the clock had done.

One call leaves an audit entry for each of its commits, all with its request's id: here they are
one entry. A run by the clock has one id for all that it saw to: here each object has its entry.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from paygate.domain.access.roles import Action
from paygate.domain.audit import AuditEntry, Result, Subject
from paygate.domain.payments.attempt import OPEN, AttemptState
from paygate.domain.timeline.entry import Cause, Detail, Entry, Kind
from paygate.domain.timeline.words import name_of, who

READS: Final = frozenset(
    action
    for action in Action
    if action.partition(".")[2] in {"read", "read_body", "list", "explain"}
)
"""What changes nothing, and is left out: a shop that asks again and again how a payment stands
would fill its timeline. The audit log has them."""

_ASKED: Final[Mapping[Action, str]] = MappingProxyType(
    {
        Action.INTENT_CREATE: "create the payment",
        Action.INTENT_ATTACH: "attach a payment method",
        Action.INTENT_CONFIRM: "confirm the payment",
        Action.INTENT_CAPTURE: "capture the money that is held",
        Action.INTENT_CANCEL: "cancel the payment",
        Action.REFUND_CREATE: "refund the payment",
        Action.REFUND_APPROVE: "approve a refund",
        Action.REFUND_REJECT: "reject a refund",
        Action.REFUND_RELEASE: "approve a refund, which could not be made any more",
    }
)
_LOOKED: Final[Mapping[Action, str]] = MappingProxyType(
    {
        Action.ATTEMPT_RESOLVE: "saw to a call whose end was not known, or was due",
        Action.INTENT_EXPIRE: "closed what nobody has paid in time",
        Action.AUTHORIZATION_WATCH: "asked the provider about the money that is held",
        Action.REFUND_RESOLVE: "looked for what had become of a refund",
        Action.REFUND_EXPIRE: "ended a refund that nobody had approved in time",
        Action.REFUND_CREATE: "found a refund that was made at the provider",
        Action.DISPUTE_RECORD: "found a dispute at the provider",
        Action.DISPUTE_FOLLOW: "asked the provider how a dispute stands",
        Action.RECONCILE: "held the payment against the provider's",
    }
)


def calls(audited: Iterable[AuditEntry]) -> list[Entry]:
    """The calls and sweeps that audit entries tell of; what the provider did, its events tell."""
    groups: dict[tuple[str | None, Action, Result, bool, Subject | None], list[AuditEntry]] = {}
    for entry in audited:
        if entry.actor.type != "provider" and entry.action not in READS:
            replayed = entry.details.get("idempotency") == "replayed"
            of = entry.subject if entry.actor.type == "job" else None
            key = (entry.request_id or entry.id, entry.action, entry.result, replayed, of)
            groups.setdefault(key, []).append(entry)
    return [_call(group) for group in groups.values()]


def answers(audited: Iterable[AuditEntry], provider: str) -> list[Entry]:
    """The provider's answers that were not its last word on a payment, which is told by the attempt
    itself. An audit entry has them where its commit applied one.
    """
    return [
        Entry(
            at=entry.at,
            kind=Kind.PROVIDER_CALL,
            cause=Cause.ANSWERED,
            summary=f"{provider} {ANSWERED[state]}.",
            request_id=entry.request_id,
            outcome=str(state),
        )
        for entry in audited
        if (state := _ON_THE_WAY.get(entry.details.get("outcome", ""))) is not None
    ]


def _call(group: list[AuditEntry]) -> Entry:
    first = min(group, key=lambda entry: entry.at)
    swept = first.actor.type == "job"
    actor = first.actor
    details: dict[str, Detail] = {"action": str(first.action), "role": actor.role}
    if actor.type == "api_key":
        details["api_key"] = actor.id
    if first.subject is not None and first.subject.object != "payment_intent":
        details[first.subject.object] = first.subject.id
    if first.address is not None:
        details["address"] = first.address
    for entry in group:
        details |= {name: value for name, value in entry.details.items() if name not in _KNOWN}
    return Entry(
        at=first.at,
        kind=Kind.SWEEP if swept else Kind.API_CALL,
        cause=Cause.ASKED,
        summary=_swept(first) if swept else _asked(first),
        actor=name_of(actor),
        request_id=first.request_id,
        outcome=first.details.get("code", str(first.result)),
        details=details,
    )


_KNOWN: Final = {"payment_intent"}
"""What the timeline is of need not be said again."""
ANSWERED: Final[Mapping[AttemptState, str]] = MappingProxyType(
    {
        AttemptState.UNKNOWN: "gave no clear answer, so what became of it is looked up",
        AttemptState.PENDING: "works on it",
        AttemptState.ACTION_REQUIRED: "wants the payer to act",
        AttemptState.APPROVED: "approved it",
        AttemptState.DECLINED: "answered that the payer's bank declined",
        AttemptState.REJECTED: "did not take the request",
        AttemptState.CANCELLED: "says that it is cancelled",
        AttemptState.NOT_SENT: "was not reached, and nothing was sent",
    }
)
"""What the provider did about a call, by the state that this led to."""
_ON_THE_WAY: Final = {str(state): state for state in OPEN | {AttemptState.NOT_SENT}}


def _swept(entry: AuditEntry) -> str:
    what, how = _words(entry.action)
    return f"{who(entry.actor)} {_LOOKED.get(entry.action, f'saw to a {what} ({how})')}."


def _asked(entry: AuditEntry) -> str:
    if entry.action is Action.INTENT_AUTHENTICATE:
        return "The payer came back from their bank's check."
    of, verb = _words(entry.action)
    what = _ASKED.get(entry.action, f"{verb} ({of})")
    if entry.details.get("idempotency") == "replayed":
        return f"{who(entry.actor)} asked once more to {what}, and got the first answer again."
    if entry.result is Result.ALLOWED:
        return f"{who(entry.actor)} asked to {what}."
    return f"{who(entry.actor)} asked to {what}: {entry.result}, {entry.details.get('code')}."


def _words(action: Action) -> tuple[str, str]:
    """What an action is done to, and the verb: for those that nobody has put into words here."""
    noun, _, verb = action.partition(".")
    return noun.replace("_", " "), verb.replace("_", " ")
