"""Resolve attempts whose outcome nobody knows: a reply was lost, a process died, an event too.

A confirm is sent again for `PAYGATE_RESEND_WINDOW` after it was first sent; later it is only
looked up, for a charge that begins when the payer has left is a wrong charge. A capture or a
cancel is a standing order, and sent again while the provider knows its key.
"""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple

import msgspec

from paygate.domain.access import Action, Caller
from paygate.domain.alert import AlertType, Concern
from paygate.domain.attempt import Attempt, Operation, missed
from paygate.domain.outcome import Answer, Approved, Rejected, Unknown
from paygate.domain.payment_intent import FINAL, PaymentIntent
from paygate.flows.begin_attempt import (
    TO_ASK_AGAIN,
    doubt,
    may_be_sent,
    send_again,
    work_on,
)
from paygate.flows.cancel_payment_intent import send_cancel
from paygate.flows.capture_payment_intent import send_capture
from paygate.flows.confirm_payment_intent import send_confirm
from paygate.flows.context import Context, intent_subject
from paygate.flows.raise_alert import raise_alert
from paygate.flows.settle_attempt import fail_unsent, settle_attempt
from paygate.flows.sweep import Sweep
from paygate.providers.contract import Absent, ProviderSilent

AT_ONCE: Final = 20
"""Each is a call to the provider, which may take as long as it is waited for."""
BATCH: Final = 200
SENDERS_MARGIN: Final = timedelta(seconds=5)
"""Beyond the provider's deadline nobody is still waiting for the first sending's reply."""
MISSES_APART: Final = timedelta(minutes=10)
"""Two look-ups this far apart that find nothing: it never arrived."""
AROUND: Final = timedelta(minutes=5)
"""The provider's clock and ours, and its queues, are closer than this."""
UNRESOLVED_AFTER: Final = timedelta(hours=1)

_NEVER_ARRIVED: Final = Answer(
    Rejected("provider_unavailable", "The provider could not be reached; nothing was charged.")
)


class Resolved(NamedTuple):
    """What a run did."""

    resolved: int
    unresolved: int


async def resolve_attempts(ctx: Context, run_id: str) -> Resolved:
    """Find out what became of every attempt in doubt."""
    sent_before = ctx.now() - timedelta(seconds=ctx.policy.provider_timeout_seconds)
    resolved = unresolved = 0
    sweep = Sweep(ctx, "resolve-attempts", run_id)

    async def resolve(attempt: Attempt) -> bool:
        caller = sweep.caller(attempt.merchant)
        with sweep:
            if await _resolve(ctx, caller, attempt):
                return True
        with sweep:
            await _alert(ctx, caller, attempt)
        return False

    # All of them: those that stay in doubt for days must not hide the younger.
    in_doubt = partial(ctx.read.attempts_in_doubt, sent_before - SENDERS_MARGIN)
    async for page in sweep.stretches(in_doubt, AT_ONCE):
        done = await asyncio.gather(*map(resolve, page))
        resolved, unresolved = resolved + done.count(True), unresolved + done.count(False)
    never_sent = partial(ctx.read.attempts_never_sent, ctx.now() - ctx.policy.resend_window)
    async for attempt in sweep.every(never_sent, BATCH):
        caller, action = sweep.caller(attempt.merchant), Action.ATTEMPT_RESOLVE
        with sweep:
            resolved += await fail_unsent(ctx, caller, action, attempt, _NEVER_ARRIVED)
    await sweep.end()
    return Resolved(resolved, unresolved)


async def _resolve(ctx: Context, caller: Caller, attempt: Attempt) -> bool:
    """Whether the attempt is in doubt no longer."""
    found = await ctx.read.attempt_with_intent(attempt.merchant, attempt.id)
    assert found is not None, "payments are never deleted"
    intent, attempt = found
    if attempt.state not in TO_ASK_AGAIN or intent.status in FINAL:
        return True
    again = send_again if _is_sent_again(ctx, attempt) else doubt
    prepared = await again(ctx, caller, Action.ATTEMPT_RESOLVE, intent, attempt)
    if prepared is None:
        return False  # it moves: somebody else has it in hand
    intent, attempt = prepared
    answer = await _ask(ctx, caller, intent, attempt)
    if answer is None:
        return await _not_found(ctx, caller, intent, attempt)
    await settle_attempt(ctx, caller, Action.ATTEMPT_RESOLVE, intent, attempt, answer)
    after = await ctx.read.attempt(attempt.merchant, attempt.id)
    return after is not None and after.state not in TO_ASK_AGAIN


async def _ask(
    ctx: Context, caller: Caller, intent: PaymentIntent, attempt: Attempt
) -> Answer | None:
    """What the provider says of it; None when it has no such payment."""
    if attempt.cancelling or attempt.operation is Operation.CANCEL:
        return await send_cancel(ctx, intent, attempt)
    if attempt.operation is Operation.CAPTURE:
        if may_be_sent(ctx, attempt):
            return await send_capture(ctx, intent, attempt)
        return _of_capture(ctx, attempt, await _look_up(ctx, intent, attempt))
    if _is_sent_again(ctx, attempt):
        return await send_confirm(ctx, caller, intent, attempt)
    return await _look_up(ctx, intent, attempt)


def _is_sent_again(ctx: Context, attempt: Attempt) -> bool:
    """Whether the sweep may send it: a confirm only while the payer is there."""
    if attempt.operation is Operation.CONFIRM:
        return ctx.now() < attempt.first_sent_at + ctx.policy.resend_window
    return may_be_sent(ctx, attempt)


def _of_capture(ctx: Context, attempt: Attempt, found: Answer | None) -> Answer | None:
    """A hold that stands when the provider has forgotten the capture's key was not captured by it
    and never will be: its merchant may capture or cancel it again.
    """
    forgotten = ctx.now() >= attempt.first_sent_at + ctx.provider.keys_kept
    match found:
        case Answer(outcome=Approved(captured=False)) if forgotten:
            return msgspec.structs.replace(found, outcome=_NEVER_ARRIVED.outcome)
        case _:
            return found


async def _look_up(ctx: Context, intent: PaymentIntent, attempt: Attempt) -> Answer | None:
    """By its id when that is known, else in the list of what was made while it was sent; never by
    the provider's search, which may not have it yet.
    """
    timeout = ctx.policy.provider_timeout_seconds
    if intent.provider_reference is not None:
        found = await ctx.provider.retrieve(intent.provider_reference, timeout_seconds=timeout)
        return None if isinstance(found, Absent) else found
    # The sweep sends it for so long after the first time; its own caller may be later.
    last_sent_at = max(
        attempt.first_sent_at + ctx.policy.resend_window,
        attempt.sent_again_at or attempt.first_sent_at,
    )
    since, until = attempt.first_sent_at - AROUND, last_sent_at + AROUND
    try:
        async for answer in ctx.provider.list_created(since, until, timeout_seconds=timeout):
            if (answer.installation, answer.attempt) == (ctx.installation, attempt.id):
                return answer
    except ProviderSilent:
        return Answer(Unknown("the provider did not tell"))
    return None


async def _not_found(ctx: Context, caller: Caller, intent: PaymentIntent, attempt: Attempt) -> bool:
    """One miss is written down; a second one, long after, is the end."""
    now = ctx.now()
    if attempt.missed_at is not None and now >= attempt.missed_at + MISSES_APART:
        await settle_attempt(ctx, caller, Action.ATTEMPT_RESOLVE, intent, attempt, _NEVER_ARRIVED)
        return True
    if attempt.missed_at is None:
        await work_on(ctx, caller, Action.ATTEMPT_RESOLVE, intent, missed(attempt, now))
    return False


async def _alert(ctx: Context, caller: Caller, attempt: Attempt) -> None:
    if ctx.now() < attempt.first_sent_at + UNRESOLVED_AFTER:
        return
    concern = Concern(
        type=AlertType.ATTEMPT_UNRESOLVED,
        subject=intent_subject(attempt.intent),
        severity="critical",
        message=f"what became of a {attempt.operation} is not known since it was sent",
        what_to_do="Look the payment up in the provider's dashboard by its metadata"
        f" (paygate_attempt: {attempt.id}). It is never sent again on its own.",
    )
    await raise_alert(ctx, caller, concern)
