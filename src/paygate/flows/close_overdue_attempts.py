"""Close payments that nobody waits for any longer: a challenge that was not answered, a transfer
that was not funded, a cancel that the provider has not confirmed yet. What the provider itself
still works on is only asked for: its event may have been lost.

The provider says how each ends: a payer who acts in the last moment has paid. Any number of nodes
may run it at once: each attempt is taken in hand by the version it was read at.
"""

import asyncio
from datetime import timedelta
from typing import Final

from paygate.domain.access import Action, Actor, Caller
from paygate.domain.attempt import Attempt, AttemptState, put_off, to_be_closed
from paygate.domain.payment_intent import PaymentIntent, Trigger, advance
from paygate.flows.cancel_payment_intent import send_cancel
from paygate.flows.context import Context, intent_subject
from paygate.flows.settle_attempt import reread, settle_attempt
from paygate.flows.sweep import Faults
from paygate.providers.contract import Absent
from paygate.storage.change import Change, Committed

BATCH: Final = 20
"""Asked at once: each is a call to the provider."""
AGAIN_AFTER: Final = timedelta(minutes=15)
LOOK_AGAIN_AFTER: Final = timedelta(hours=1)
"""A debit takes days."""
EXPIRED: Final = "expired"
"""The cancellation's reason."""

_WAITING: Final = frozenset({AttemptState.PENDING, AttemptState.ACTION_REQUIRED})


async def close_overdue_attempts(ctx: Context, run_id: str) -> int:
    """Close every attempt whose time is over; how many this run brought to an end."""
    closed = 0
    faults = Faults()

    async def close(attempt: Attempt) -> bool | None:
        with faults:
            return await _close(ctx, run_id, attempt)
        return None

    while overdue := await ctx.read.attempts_to_close(ctx.now(), BATCH):
        done = await asyncio.gather(*map(close, overdue))
        closed += done.count(True)
        if all(each is None for each in done):
            break  # another run has them in hand, or none can be closed now
    faults.tell()
    return closed


async def _close(ctx: Context, run_id: str, attempt: Attempt) -> bool | None:
    """Whether it is closed now; None when somebody else has it in hand."""
    caller = Caller(Actor("job", name="expire-intents"), attempt.merchant, run_id)
    intent, attempt = await reread(ctx, attempt)
    if attempt.state not in _WAITING or attempt.close_at is None or attempt.close_at > ctx.now():
        return None
    if attempt.cancelling or intent.next_action is not None:
        if not attempt.cancelling:
            given_up = await _give_up(ctx, caller, intent, attempt)
            if given_up is None:
                return None
            intent, attempt = given_up
        answer = await send_cancel(ctx, intent, attempt)
        await settle_attempt(ctx, caller, Action.INTENT_EXPIRE, intent, attempt, answer)
        wait = AGAIN_AFTER
    else:
        await _ask_how_it_stands(ctx, caller, intent, attempt)
        wait = LOOK_AGAIN_AFTER
    intent, attempt = await reread(ctx, attempt)
    if attempt.state not in _WAITING:
        return True
    later = put_off(attempt, ctx.now(), ctx.now() + wait)
    put = await _advance(ctx, caller, intent, later)
    return None if put is None else False


async def _ask_how_it_stands(
    ctx: Context, caller: Caller, intent: PaymentIntent, attempt: Attempt
) -> None:
    """What the provider works on is not the payer's to finish, and no time is up for it."""
    assert intent.provider_reference is not None, "what is under way is known to the provider"
    found = await ctx.provider.retrieve(
        intent.provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if not isinstance(found, Absent):
        await settle_attempt(ctx, caller, Action.ATTEMPT_RESOLVE, intent, attempt, found)


async def _give_up(
    ctx: Context, caller: Caller, intent: PaymentIntent, attempt: Attempt
) -> tuple[PaymentIntent, Attempt] | None:
    """Both as they are while the provider is asked to close it."""
    attempt = to_be_closed(attempt, ctx.now(), reason=EXPIRED, given_up=True)
    return await _advance(ctx, caller, intent, attempt, pending_operation="cancel")


async def _advance(
    ctx: Context, caller: Caller, intent: PaymentIntent, attempt: Attempt, **changes: str
) -> tuple[PaymentIntent, Attempt] | None:
    intent = advance(intent, Trigger.WORK_ON, ctx.now(), **changes)
    audit = ctx.audit(caller, Action.INTENT_EXPIRE, intent_subject(intent.id))
    change = Change(audit, advances=(intent, attempt))
    return (intent, attempt) if isinstance(await ctx.door.commit(change), Committed) else None
