"""Audit entries as entries of a timeline: who asked for what, and what the clock had done.

One call leaves an audit entry for each of its commits, all with its request's id: here they are
one entry.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from paygate.domain.access.roles import Action
from paygate.domain.audit import AuditEntry, Result
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
        Action.RECONCILE: "held the payment against the provider's",
    }
)


def calls(audited: Iterable[AuditEntry]) -> list[Entry]:
    """The calls and sweeps that audit entries tell of; what the provider did, its events tell."""
    groups: dict[tuple[str | None, Action, Result, bool], list[AuditEntry]] = {}
    for entry in audited:
        if entry.actor.type != "provider" and entry.action not in READS:
            replayed = entry.details.get("idempotency") == "replayed"
            key = (entry.request_id or entry.id, entry.action, entry.result, replayed)
            groups.setdefault(key, []).append(entry)
    return [_call(group) for group in groups.values()]


def _call(group: list[AuditEntry]) -> Entry:
    first = min(group, key=lambda entry: entry.at)
    swept = first.actor.type == "job"
    details: dict[str, Detail] = {"action": str(first.action)}
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
        actor=name_of(first.actor),
        request_id=first.request_id,
        outcome=first.details.get("code", str(first.result)),
        details=details,
    )


_KNOWN: Final = {"payment_intent"}
"""What the timeline is of need not be said again."""


def _swept(entry: AuditEntry) -> str:
    return f"{who(entry.actor)} {_LOOKED.get(entry.action, f'did {entry.action}')}."


def _asked(entry: AuditEntry) -> str:
    if entry.action is Action.INTENT_AUTHENTICATE:
        return "The payer came back from their bank's check."
    what = _ASKED.get(entry.action, f"do {entry.action}")
    if entry.details.get("idempotency") == "replayed":
        return f"{who(entry.actor)} asked once more to {what}, and got the first answer again."
    if entry.result is Result.ALLOWED:
        return f"{who(entry.actor)} asked to {what}."
    return f"{who(entry.actor)} asked to {what}: {entry.result}, {entry.details.get('code')}."
