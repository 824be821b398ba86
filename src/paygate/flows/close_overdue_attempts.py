"""Close payments that nobody waits for any longer: a challenge that was not answered, a transfer
that was not funded, a cancel that the provider has not confirmed yet. What the provider itself
still works on is only asked for: its event may have been lost.

The provider says how each ends: a payer who acts in the last moment has paid. Any number of nodes
may run it at once: each attempt is taken in hand by the version it was read at.
"""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Final

from paygate.domain.access import Action, Caller
from paygate.domain.attempt import Attempt, AttemptState, Operation, put_off, to_be_closed
from paygate.domain.payment_method import DirectDebit
from paygate.flows.begin_attempt import work_on
from paygate.flows.cancel_payment_intent import send_cancel
from paygate.flows.context import Context
from paygate.flows.settle_attempt import ask_how_it_stands, reread, settle_attempt
from paygate.flows.sweep import Sweep

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
    sweep = Sweep(ctx, "expire-intents", run_id)

    async def close(attempt: Attempt) -> bool:
        with sweep:
            return await _close(ctx, sweep.caller(attempt.merchant), attempt)
        return False

    async for overdue in sweep.stretches(partial(ctx.read.attempts_to_close, ctx.now()), BATCH):
        closed += sum(await asyncio.gather(*map(close, overdue)))
    await sweep.end()
    return closed


async def _close(ctx: Context, caller: Caller, attempt: Attempt) -> bool:
    """Whether this run has closed it; another may have it in hand."""
    action = Action.INTENT_EXPIRE
    intent, attempt = await reread(ctx, attempt)
    if attempt.state not in _WAITING or attempt.close_at is None or attempt.close_at > ctx.now():
        return False
    acts = intent.next_action is not None and not _takes_days(ctx, attempt)
    if attempt.cancelling or acts:
        if not attempt.cancelling:
            attempt = to_be_closed(attempt, ctx.now(), reason=EXPIRED, given_up=True)
            pending = {"pending_operation": Operation.CANCEL.value}
            prepared = await work_on(ctx, caller, action, intent, attempt, **pending)
            if prepared is None:
                return False
            intent, attempt = prepared
        answer = await send_cancel(ctx, intent, attempt)
        await settle_attempt(ctx, caller, action, intent, attempt, answer)
        wait = AGAIN_AFTER
    else:
        # What the provider works on is not the payer's to finish, and no time is up for it.
        await ask_how_it_stands(ctx, caller, Action.ATTEMPT_RESOLVE, intent, attempt)
        wait = LOOK_AGAIN_AFTER
    intent, attempt = await reread(ctx, attempt)
    if attempt.state not in _WAITING:
        return True
    later = put_off(attempt, ctx.now(), ctx.now() + wait)
    await work_on(ctx, caller, action, intent, later)
    return False


def _takes_days(ctx: Context, attempt: Attempt) -> bool:
    """Whether the payer still waits for the small deposits that prove a debit's account theirs."""
    days = attempt.created_at + ctx.policy.bank_transfer_ttl
    return isinstance(attempt.instrument, DirectDebit) and ctx.now() < days
