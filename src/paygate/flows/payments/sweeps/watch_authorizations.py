"""Watch holds: an alert a day before one lapses, and the provider's word when its time has come."""

from datetime import timedelta
from typing import Final, NamedTuple

from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context, intent_subject
from paygate.flows.payments.attempt.conclude import ask_how_it_stands
from paygate.flows.payments.attempt.work import Work
from paygate.flows.sweep import Sweep

PAGE: Final = 500
NOTICE: Final = timedelta(hours=24)


class Watched(NamedTuple):
    """The counts of a run."""

    expiring: int
    lapsed: int


async def watch_authorizations(ctx: Context, run_id: str) -> Watched:
    """Look at every hold there is. Returns the counts of this run."""
    expiring = lapsed = 0
    sweep = Sweep(ctx, "watch-authorizations", run_id)
    async for intent in sweep.every(ctx.read.payment_intents_held, PAGE):
        caller = sweep.caller(intent.merchant)
        with sweep:
            end = intent.authorization_expires_at
            assert end is not None, "a hold has an end"
            if ctx.now() >= end:
                lapsed += await _follow(ctx, caller, intent)
            elif ctx.now() >= end - NOTICE:
                expiring += 1
                await raise_alert(ctx, caller, _problem(intent))
    await sweep.end()
    return Watched(expiring, lapsed)


async def _follow(ctx: Context, caller: Caller, intent: PaymentIntent) -> bool:
    """Look up a hold whose time is over, and conclude by that; whether the hold has ended."""
    assert intent.attempt is not None, "it was confirmed"
    attempt = await ctx.read.attempt(intent.merchant, intent.attempt)
    assert attempt is not None, "payments are never deleted"
    after = await ask_how_it_stands(ctx, Work(caller, Action.AUTHORIZATION_WATCH, intent, attempt))
    return after.status is not intent.status


def _problem(intent: PaymentIntent) -> Problem:
    return Problem(
        type=AlertType.AUTHORIZATION_EXPIRING,
        subject=intent_subject(intent.id),
        severity="warning",
        message="a hold lapses within a day, and its money is not captured",
        what_to_do="Capture it, or cancel it: after its end the payer must pay again.",
        due_at=intent.authorization_expires_at,
    )
