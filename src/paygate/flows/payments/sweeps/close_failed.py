"""Close the provider's object of a payment that has failed: final here is final there.

What was declined may be tried again at the provider by whoever has its secret; closed, it takes no
money any more. Should it have taken some all the same, that is true, and the end is set right.
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
from paygate.providers.contract import Absent

ASK_AGAIN_AFTER: Final = timedelta(minutes=1)
GIVE_UP_AFTER: Final = timedelta(days=3)
"""As long as the provider itself tries to tell us things."""
LEFT_OPEN: Final = "left_open"
"""The stage of the alert for a payment that has failed and may be open at the provider."""


async def close_failed_payment(ctx: Context, message: CloseFailedPayment) -> bool:
    """Whether there is nothing more to do."""
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
    # Not closed yet, or not known to be: whatever it is, it may take money still.
    if ctx.now() <= attempt.updated_at + GIVE_UP_AFTER:
        return False
    await _alert_open(ctx, work)
    return True


async def _alert_open(ctx: Context, work: Work) -> None:
    """What is given up is told: nobody would look for it."""
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
