"""Close payments that nobody waits for any longer: a challenge that was not answered or could not
be shown, a bank transfer that was not funded, a cancel that the provider has not confirmed yet. A
payment that the provider still works on is only looked up: its event may have been lost.

The provider says how each payment ends: a payer who acts in the last moment has paid. Any number of
nodes may run this sweep at once: each attempt is taken in hand by the version it was read at.
"""

from datetime import timedelta
from functools import partial
from typing import Final

from paygate.domain.access.roles import Action, Caller
from paygate.domain.payments.attempt import Attempt, AttemptState, Operation, put_off, to_be_closed
from paygate.domain.payments.outcome import Answer
from paygate.domain.payments.payment_method import DirectDebit
from paygate.flows.context import Context
from paygate.flows.payments.attempt.begin import commit_progress
from paygate.flows.payments.attempt.conclude import conclude_attempt
from paygate.flows.payments.attempt.work import Work, reread, take_up
from paygate.flows.payments.sweeps.ask_provider import alert_absent, ask_provider, close_at_provider
from paygate.flows.sweep import Crew, Sweep
from paygate.providers.absence import Absent

AT_ONCE: Final = 25
"""Attempts in hand at once, each with a call to the provider: at 100 ms a call 250 a second, above
any pace."""
PAGE: Final = 200
AGAIN_AFTER: Final = timedelta(minutes=15)
LOOK_AGAIN_AFTER: Final = timedelta(hours=1)
"""How often a debit is looked up, which takes days."""
EXPIRED: Final = "expired"
"""The cancellation's reason."""

_WAITING: Final = frozenset({AttemptState.PENDING, AttemptState.ACTION_REQUIRED})


async def close_overdue_attempts(ctx: Context, run_id: str) -> int:
    """Close every attempt whose time is over. Returns how many this run brought to an end."""
    closed = 0
    sweep = Sweep(ctx, "expire-intents", run_id)
    met: set[str] = set()

    async def close(attempt: Attempt) -> None:
        nonlocal closed
        ended = await _close(ctx, sweep.caller(attempt.merchant), attempt)
        closed += ended

    async with Crew(AT_ONCE, sweep) as crew:
        async for attempt in sweep.every(partial(ctx.read.attempts_to_close, ctx.now()), PAGE):
            if attempt.id not in met:  # a wish to close it puts it behind the others
                met.add(attempt.id)
                await crew.take(close(attempt))
    await sweep.end()
    return closed


async def _close(ctx: Context, caller: Caller, attempt: Attempt) -> bool:
    """Close one attempt; returns whether the attempt has come to its end."""
    work = await take_up(ctx, caller, Action.INTENT_EXPIRE, attempt.merchant, attempt.id)
    attempt = work.attempt
    if attempt.state not in _WAITING or attempt.close_at is None or attempt.close_at > ctx.now():
        return False
    # What the provider works on is not the payer's to finish, and no time is up for it.
    acts = attempt.state is AttemptState.ACTION_REQUIRED and not _takes_days(ctx, attempt)
    if attempt.cancelling or acts:
        wait = AGAIN_AFTER
        if not await _end(ctx, work):
            return False  # somebody else has it in hand
    else:
        wait = LOOK_AGAIN_AFTER
        await _look(ctx, work)
    work = await reread(ctx, work)
    if work.attempt.state not in _WAITING:
        return True
    await commit_progress(ctx, work, put_off(work.attempt, ctx.now(), ctx.now() + wait))
    return False


def _takes_days(ctx: Context, attempt: Attempt) -> bool:
    """Whether the payer still waits for the small deposits that prove a debit's account theirs."""
    days = attempt.created_at + ctx.policy.bank_transfer_ttl
    return isinstance(attempt.instrument, DirectDebit) and ctx.now() < days


async def _end(ctx: Context, work: Work) -> bool:
    """Commit the wish and have the provider close the payment; whether that was ours to do."""
    if not work.attempt.cancelling:
        closing = to_be_closed(work.attempt, ctx.now(), reason=EXPIRED, given_up=True)
        wished = await commit_progress(ctx, work, closing, pending_operation=Operation.CANCEL.value)
        if wished is None:
            return False
        work = wished
    reference = work.intent.provider_reference
    assert reference is not None, "what is under way is known to the provider"
    await _conclude(ctx, work, await close_at_provider(ctx, work.attempt, reference))
    return True


async def _look(ctx: Context, work: Work) -> None:
    """Look the payment up, and conclude by how it stands if the provider tells."""
    reference = work.intent.provider_reference
    assert reference is not None, "what is under way is known to the provider"
    asked = work._replace(action=Action.ATTEMPT_RESOLVE)
    await _conclude(ctx, asked, await ask_provider(ctx, reference))


async def _conclude(ctx: Context, work: Work, answer: Answer | Absent) -> None:
    if isinstance(answer, Absent):
        await alert_absent(ctx, work)
    else:
        await conclude_attempt(ctx, work, answer)
