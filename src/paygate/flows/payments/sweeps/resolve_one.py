"""Resolve one attempt in doubt, by what the provider says in reply to a call or in its list."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.payments.attempt import Attempt, AttemptState, Operation, missed, move
from paygate.domain.payments.conclusion import conclude
from paygate.domain.payments.confirmation import Moved
from paygate.domain.payments.outcome import Answer, Approved, Rejected, Unknown
from paygate.domain.payments.payment_intent import FINAL
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context, intent_subject
from paygate.flows.payments.attempt.begin import (
    IN_DOUBT,
    TOO_LATE,
    commit_doubt,
    commit_progress,
    commit_resend,
    may_be_sent,
    stood_still,
)
from paygate.flows.payments.attempt.conclude import conclude_attempt
from paygate.flows.payments.attempt.consequences import commit_move
from paygate.flows.payments.attempt.work import Work, reread, take_up
from paygate.flows.payments.capture import send_capture
from paygate.flows.payments.confirm import send_confirm
from paygate.flows.payments.sweeps.ask_provider import (
    alert_absent,
    ask_provider,
    close_at_provider,
    give_up,
    make_sure,
)
from paygate.flows.payments.sweeps.look_up import Sought
from paygate.flows.provider.clock import by_the_provider, is_in_step, provider_now, sent_at
from paygate.providers.absence import Absent

MISSES_APART: Final = timedelta(minutes=10)
"""An attempt never arrived when two look-ups this far apart find nothing."""
UNRESOLVED_AFTER: Final = timedelta(hours=1)
NEVER_ARRIVED: Final = Answer(
    Rejected("provider_unavailable", "The provider could not be reached; nothing was charged.")
)


class End(StrEnum):
    """What became of an attempt in a run."""

    RESOLVED = "resolved"
    IN_DOUBT = "in_doubt"
    ALERTED = "alerted"
    """In doubt, and an alert says why."""


class Doubted(NamedTuple):
    """What an alert says of an attempt in doubt."""

    intent: str
    attempt: str
    operation: Operation
    sent_at: datetime


async def resolve_by_call(ctx: Context, caller: Caller, attempt: Attempt) -> End:
    """Send the attempt again, or ask how its payment stands; what became of the attempt by that."""
    work = await _in_hand(ctx, caller, attempt.merchant, attempt.id, sends=True)
    if isinstance(work, End):
        return work
    answer = await _ask(ctx, work)
    return End.IN_DOUBT if answer is None else await _conclude(ctx, work, answer)


async def resolve_as_found(ctx: Context, caller: Caller, each: Sought, answer: Answer) -> End:
    """Conclude the attempt by its payment in the provider's list; what became of the attempt."""
    work = await _in_hand(ctx, caller, each.merchant, each.attempt)
    return work if isinstance(work, End) else await _conclude(ctx, work, answer)


async def resolve_as_missed(ctx: Context, caller: Caller, each: Sought) -> End:
    """Write the first miss down; a second miss, long after, ends the attempt. No miss counts on a
    node whose clock may be wrong. Returns what became of the attempt.
    """
    work = await _in_hand(ctx, caller, each.merchant, each.attempt)
    if isinstance(work, End):
        return work
    intent, attempt = work.intent, work.attempt
    if intent.provider_reference is not None:
        # The id has become known meanwhile, and an attempt with an id has arrived.
        answer = await ask_provider(ctx, intent.provider_reference)
        return await _conclude(ctx, work, answer)
    if attempt.sent_before or attempt.sent_again_at != each.sent_again_at or not is_in_step(ctx):
        return End.IN_DOUBT
    now = ctx.now()
    if attempt.missed_at is None:
        await commit_progress(ctx, work, missed(attempt, now))
    elif now >= attempt.missed_at + MISSES_APART:
        return await _end(ctx, work)
    return End.IN_DOUBT


async def alert_unresolved(ctx: Context, caller: Caller, doubted: Doubted) -> None:
    """Raise an alert about an attempt that has been in doubt for long."""
    if provider_now(ctx) < doubted.sent_at + UNRESOLVED_AFTER:
        return
    clock = "" if is_in_step(ctx) else "; this node's clock is not known to be right"
    problem = Problem(
        type=AlertType.ATTEMPT_UNRESOLVED,
        subject=intent_subject(doubted.intent),
        severity="critical",
        message=f"what became of a {doubted.operation} is not known since it was sent{clock}",
        what_to_do="Look the payment up in the provider's dashboard by its metadata"
        f" (paygate_attempt: {doubted.attempt}). It is never sent again on its own.",
    )
    await raise_alert(ctx, caller, problem)


async def _in_hand(
    ctx: Context, caller: Caller, merchant: str, attempt_id: str, *, sends: bool = False
) -> Work | End:
    """The work before the provider is asked about it, with the sending written down when this run
    `sends` the attempt again. An `End` when there is nothing to ask, or somebody else is at work.
    """
    work = await take_up(ctx, caller, Action.ATTEMPT_RESOLVE, merchant, attempt_id)
    if work.attempt.state not in IN_DOUBT or work.intent.status in FINAL:
        return End.RESOLVED
    write = commit_resend if sends and _is_sent_again(ctx, work.attempt) else commit_doubt
    return await write(ctx, work) or End.IN_DOUBT


def _is_sent_again(ctx: Context, attempt: Attempt) -> bool:
    """Whether this run may send the attempt: a confirm only while its payer is there."""
    if attempt.cancelling:
        return False
    if attempt.operation is Operation.CONFIRM:
        return payer_is_there(ctx, attempt)
    return may_be_sent(ctx, attempt)


async def _ask(ctx: Context, work: Work) -> Answer | Absent | None:
    """What the provider says of the attempt; None when only the provider's list could tell."""
    attempt, reference = work.attempt, work.intent.provider_reference
    if attempt.cancelling or attempt.operation is Operation.CANCEL:
        assert reference is not None, "what is under way is known to the provider"
        if not attempt.cancelling and may_be_sent(ctx, attempt) and stood_still(ctx, attempt):
            return Answer(TOO_LATE)  # a cancel of a hold may have been given up meanwhile
        return await close_at_provider(ctx, attempt, reference)
    if attempt.operation is Operation.CAPTURE:
        assert reference is not None, "what is held is known to the provider"
        return await _ask_for_capture(ctx, work, reference)
    if payer_is_there(ctx, attempt):
        await ctx.pace.turn()
        answer = await send_confirm(ctx, work)
        reference = answer.provider_reference or reference
        return answer if reference is None else await make_sure(ctx, reference, answer)
    return None if reference is None else await ask_provider(ctx, reference)


async def _ask_for_capture(ctx: Context, work: Work, reference: str) -> Answer | Absent:
    if not may_be_sent(ctx, work.attempt):
        return _forgotten(ctx, work.attempt, await ask_provider(ctx, reference))
    await ctx.pace.turn()
    answer = await send_capture(ctx, work)
    if not isinstance(answer.outcome, Rejected):
        return await make_sure(ctx, reference, answer)
    # A rejection ends the order: it must not be another account's, which knows no such payment.
    standing = await ask_provider(ctx, reference)
    if isinstance(standing, Absent) or isinstance(standing.outcome, Unknown):
        return standing
    return answer


def _forgotten(ctx: Context, attempt: Attempt, standing: Answer | Absent) -> Answer | Absent:
    """The answer to conclude a capture by that may not be sent any more. A hold that still stands
    when the provider has forgotten the key was not captured, and never will be by this order: the
    merchant may capture or cancel the hold again. No key counts as forgotten while the provider's
    time is not known.
    """
    now, first = ctx.provider_time(), attempt.first_sent_as_of or attempt.first_sent_at
    forgotten = now is not None and now >= first + ctx.provider.keys_kept
    match standing:
        case Answer(outcome=Approved(captured=False)) if forgotten:
            return msgspec.structs.replace(standing, outcome=NEVER_ARRIVED.outcome)
        case _:
            return standing


def payer_is_there(ctx: Context, attempt: Attempt) -> bool:
    """Whether the sweep may still send a confirm again, by a clock that all nodes share."""
    now = by_the_provider(ctx, ctx.now())
    until = sent_at(attempt) + ctx.policy.resend_window
    there = now is not None and now < until
    return there and not attempt.sent_before and may_be_sent(ctx, attempt)


async def _conclude(ctx: Context, work: Work, answer: Answer | Absent) -> End:
    """Conclude the attempt by the answer; what became of the attempt."""
    if isinstance(answer, Answer) and isinstance(answer.outcome, Unknown):
        attempt = work.attempt
        confirms = attempt.operation is Operation.CONFIRM and not attempt.cancelling
        if answer.outcome.idle and confirms:
            closing = await give_up(ctx, work, answer)
            if closing is not None:
                work = closing
                reference = str(work.intent.provider_reference)
                answer = await close_at_provider(ctx, work.attempt, reference)
        if isinstance(answer, Answer):
            work = await _adopt(ctx, work, answer)
    if isinstance(answer, Absent):
        await alert_absent(ctx, work)
        return End.ALERTED
    await conclude_attempt(ctx, work, answer)
    work = await reread(ctx, work)
    return End.IN_DOUBT if work.attempt.state in IN_DOUBT else End.RESOLVED


async def _adopt(ctx: Context, work: Work, answer: Answer) -> Work:
    """Commit the provider's id of a payment that says nothing yet, and return the work: from now on
    the payment is looked up by that id.
    """
    reference = answer.provider_reference
    if reference is None or work.intent.provider_reference is not None:
        return work
    known = move(
        work.attempt,
        AttemptState.UNKNOWN,
        ctx.now(),
        provider_reference=reference,
        detail=work.attempt.detail,
    )
    return await commit_progress(ctx, work, known, provider_reference=reference) or work


async def _end(ctx: Context, work: Work) -> End:
    """Fail an attempt that never arrived, in one commit or not at all: the misses say nothing of a
    sending that happens meanwhile. Returns what became of the attempt.
    """
    moved = conclude(work.intent, work.attempt, NEVER_ARRIVED, ctx.now())
    assert isinstance(moved, Moved), "an attempt in doubt can end"
    ended = await commit_move(ctx, work.caller, work.action, moved, answer=NEVER_ARRIVED)
    return End.RESOLVED if ended else End.IN_DOUBT
