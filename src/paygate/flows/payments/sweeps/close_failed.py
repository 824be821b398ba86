"""Close the provider's object of a payment that has failed: final here is final there.

A declined payment may be tried again at the provider by whoever has its secret; once closed, it
takes no money any more. Should it have taken money all the same, the end is corrected.
"""

from datetime import timedelta
from typing import Final

import msgspec

from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.payments.outcome import Answer, Approved, Cancelled
from paygate.domain.payments.payment_intent import Status
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context, intent_subject
from paygate.flows.payments.attempt.conclude import conclude_attempt
from paygate.flows.payments.attempt.work import Work
from paygate.flows.payments.sweeps.ask_provider import alert_absent, close_at_provider
from paygate.flows.provider.pace import UNHURRIED
from paygate.jobs.messages import CloseFailedPayment
from paygate.providers.absence import Absent

ASK_AGAIN_AFTER: Final = timedelta(minutes=1)
GIVE_UP_AFTER: Final = timedelta(days=3)
"""How long the provider itself tries to deliver an event."""
LEFT_OPEN: Final = "left_open"
"""The stage of the alert for a payment that has failed and may be open at the provider."""


async def close_failed_payment(ctx: Context, message: CloseFailedPayment) -> bool:
    """Have the provider close the payment; returns whether nothing is left to do."""
    found = await ctx.read.attempt_with_intent(message.merchant, message.attempt)
    assert found is not None, "payments are never deleted"
    intent, attempt = found
    if intent.status is not Status.FAILED or intent.provider_reference is None:
        return True
    caller = Caller(Actor("job", name="close-failed-payment"), intent.merchant, attempt.id)
    # A job that waited for its turn would keep a place of the queue's from an event.
    ctx = msgspec.structs.replace(ctx, pace=UNHURRIED)
    work = Work(caller, Action.ATTEMPT_RESOLVE, intent, attempt)
    answer = await close_at_provider(ctx, attempt, intent.provider_reference)
    match answer:
        case Absent():
            await alert_absent(ctx, work)
        case Answer(outcome=Cancelled()):
            return True
        case Answer(outcome=Approved(captured=True)):
            await conclude_attempt(ctx, work, answer)
            return True
    # The payment is not closed, or not known to be: it may still take money.
    if ctx.now() <= attempt.updated_at + GIVE_UP_AFTER:
        return False
    await _alert_open(ctx, work)
    return True


async def _alert_open(ctx: Context, work: Work) -> None:
    """Raise an alert about a payment that is given up: nobody would look for it."""
    intent, attempt = work.intent, work.attempt
    problem = Problem(
        type=AlertType.ATTEMPT_UNRESOLVED,
        subject=intent_subject(intent.id),
        stage=LEFT_OPEN,
        severity="critical",
        message=f"a {attempt.operation} has failed, and the provider has not closed the payment",
        what_to_do=f"Cancel {intent.provider_reference} at the provider: whoever has its secret may"
        " pay it still, and money that is taken so is a correction.",
    )
    await raise_alert(ctx, work.caller, problem)
