"""The orders of a dispute - submit, accept - in the record: begun, sent, ended.

An order that is begun stands until the provider has said what became of it. What the provider says
of the dispute comes in through `find.py`, whoever asked, and ends an order that it fulfils.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.disputes.conclusion import DisputeMoved
from paygate.domain.disputes.dispute import Dispute, DisputeOperation, DisputeOrder, move
from paygate.domain.disputes.outcome import (
    ComplianceNetwork,
    DisputeAnswer,
    DisputeRejected,
    EvidenceRefusal,
    RejectionCode,
)
from paygate.domain.payments.outcome import Unknown
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context, Patience
from paygate.flows.disputes.commit import commit_dispute
from paygate.flows.disputes.find import apply_dispute
from paygate.flows.disputes.problems import dispute_subject
from paygate.storage.change import Change, Committed, StorageError
from paygate.telemetry import timing

LONG_AFTER: Final = timedelta(minutes=10)
"""So long after a call was begun nothing of it is still under way. What the provider then shows to
have had no effect is ordered again, under a key of its own: the first may be spent on a fault."""
STANDING: Final = frozenset({RejectionCode.ALREADY_SUBMITTED, RejectionCode.DISPUTE_CLOSED})
"""What is ordered was done, or cannot be any more: the dispute itself tells."""


def provider_now(ctx: Context) -> datetime:
    """The time at the provider, which counts the deadline; our own while that is not known."""
    return ctx.provider_time() or ctx.now()


async def begin_order(
    ctx: Context,
    caller: Caller,
    action: Action,
    dispute: Dispute,
    operation: DisputeOperation,
    fees_acknowledged: tuple[ComplianceNetwork, ...] = (),
) -> Dispute | None:
    """The dispute with the order begun; None when it has moved on."""
    now = ctx.now()
    order = DisputeOrder(
        number=dispute.version + 1,
        begun_at=now,
        claim=ctx.claim,
        expected_count=dispute.submission_count,
        fees_acknowledged=fees_acknowledged,
    )
    after = move(dispute, now, pending_operation=operation, order=order, refusals=())
    return await advance_order(ctx, caller, action, after)


async def advance_order(
    ctx: Context, caller: Caller, action: Action, after: Dispute
) -> Dispute | None:
    """The dispute once it is committed; None when another has moved it on."""
    details = {"order": str(after.pending_operation), "evidence": _counted(after)}
    audit = ctx.audit(caller, action, dispute_subject(after), details=details)
    committed = await ctx.door.commit(Change(audit, advances=(after,)))
    return after if isinstance(committed, Committed) else None


def sending(dispute: Dispute, at: datetime) -> Dispute:
    """The dispute with its order about to be sent: under the key of the last time, or under another
    one when the last call was over long ago, and the provider was looked at since.
    """
    order = dispute.order
    assert order is not None, "what is sent was ordered"
    last = order.last_sent_at
    again = last is None or at >= last + LONG_AFTER
    sent = msgspec.structs.replace(order, tries=order.tries + again, last_sent_at=at)
    return move(dispute, at, order=sent)


def key_of(dispute: Dispute) -> str:
    """The provider's idempotency key of the order that is being sent."""
    order = dispute.order
    assert order is not None, "what is sent was ordered"
    return f"{dispute.id}-{dispute.pending_operation}-{order.number}-{order.tries}"


def is_of_this_request(ctx: Context, dispute: Dispute, *, done: bool) -> bool:
    """Whether an earlier try of this same request gave the dispute's order, and that is under way
    or came to its end: it was refused, or is `done`.
    """
    order = dispute.order
    if order is None or ctx.claim is None or order.claim != ctx.claim:
        return False
    return dispute.pending_operation is not None or bool(dispute.refusals) or done


async def send_order(
    ctx: Context,
    caller: Caller,
    action: Action,
    dispute: Dispute,
    ask: Callable[[Dispute], Awaitable[DisputeAnswer]],
) -> tuple[Dispute, object]:
    """Write down that the order is sent, send it, and conclude it: the dispute after that, and what
    the call came to; None where others go on with it, or an earlier call may be what was answered.
    """
    assert dispute.order is not None, "an order is under way"
    first = dispute.order.last_sent_at is None
    sent = await advance_order(ctx, caller, action, sending(dispute, ctx.now()))
    if sent is None:
        return await reread(ctx, dispute), None
    if stood_still(ctx, sent):
        late = Unknown("it was too late to send this: it is looked up")
        answer = DisputeAnswer(outcome=late)
    else:
        with timing.spent(timing.Part.PROVIDER):
            answer = await ask(sent)
    after = await conclude_order(ctx, caller, action, sent, answer, first=first)
    alone = first or not isinstance(answer.outcome, DisputeRejected)
    return after, answer.outcome if alone else None


def stood_still(ctx: Context, dispute: Dispute) -> bool:
    """Whether the order was written down as sent longer ago than a call may take: others may have
    ended it since.
    """
    order = dispute.order
    assert order is not None, "what is sent was ordered"
    assert order.last_sent_at is not None, "what is sent was written down before"
    return abs(ctx.now() - order.last_sent_at) > timedelta(
        seconds=ctx.policy.provider_timeout_seconds
    )


async def reread(ctx: Context, dispute: Dispute) -> Dispute:
    """The dispute as it stands now."""
    found = await ctx.disputes.dispute(dispute.merchant, dispute.id)
    assert found is not None, "disputes are never deleted"
    return found


def is_under_way(dispute: Dispute, order: DisputeOrder | None) -> bool:
    """Whether this is the order that is under way."""
    known = dispute.order
    if dispute.pending_operation is None or known is None or order is None:
        return False
    return known.number == order.number


async def end_order(
    ctx: Context,
    caller: Caller,
    action: Action,
    dispute: Dispute,
    refusals: tuple[EvidenceRefusal, ...],
    *,
    last: bool = False,
) -> Dispute:
    """The dispute without its order, which was not done, and why; as it stands, when the order has
    come to an end by others. `last` says that the request ends with that.
    """
    patience = Patience("a dispute kept changing while its order was ended", end=StorageError)
    while True:
        both = await ctx.disputes.dispute_with_intent(dispute.merchant, dispute.id)
        assert both is not None, "payments and disputes are never deleted"
        intent, newest = both
        if not is_under_way(newest, dispute.order):
            return newest
        after = move(newest, ctx.now(), pending_operation=None, refusals=refusals)
        moved = DisputeMoved(intent, intent, newest, after)
        response = after if last else None
        if await commit_dispute(ctx, caller, action, moved, response=response):
            return after
        await patience.pause()


async def conclude_order(
    ctx: Context,
    caller: Caller,
    action: Action,
    dispute: Dispute,
    answer: DisputeAnswer,
    *,
    first: bool,
) -> Dispute:
    """The dispute after the provider's answer to its order, which stands on while the answer does
    not tell what became of it. `first` says that no earlier call can have reached the provider.
    """
    outcome = answer.outcome
    if not isinstance(outcome, DisputeRejected):
        await apply_dispute(ctx, caller, answer)
        return await reread(ctx, dispute)
    if outcome.code is RejectionCode.PROVIDER_CONFIGURATION:
        await raise_alert(ctx, caller, _misconfigured(ctx, outcome.message))
        return await reread(ctx, dispute)
    if outcome.code in STANDING:
        if first:
            # Before what stands is applied: it was done by others, and people are told so.
            await end_order(ctx, caller, action, dispute, ())
        if outcome.stands is not None:
            stands = msgspec.structs.replace(answer, outcome=outcome.stands)
            await apply_dispute(ctx, caller, stands)
        return await reread(ctx, dispute)
    refusals = outcome.refusals or (EvidenceRefusal(None, outcome.message),)
    return await end_order(ctx, caller, action, dispute, refusals, last=True)


def _misconfigured(ctx: Context, message: str) -> Problem:
    return Problem(
        type=AlertType.PROVIDER_MISCONFIGURED,
        subject=Subject("provider", ctx.provider.name),
        severity="critical",
        message=f"disputes cannot be answered: {message}",
        what_to_do="Look at the provider's key and what it may do: it needs disputes and files, to"
        " write. The order stands, and is sent again until the deadline.",
    )


def _counted(dispute: Dispute) -> str:
    return f"{len(dispute.texts)} texts, {len(dispute.files)} files"
