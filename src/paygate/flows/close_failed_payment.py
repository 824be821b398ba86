"""Close the provider's object of a payment that has failed: final here is final there.

What was declined may be tried again at the provider by whoever has its secret; closed, it takes no
money any more. Should it have taken some all the same, that is true, and the end is set right.
"""

from datetime import timedelta
from typing import Final

from paygate.domain.access import Action, Actor, Caller
from paygate.domain.outcome import Approved, Cancelled
from paygate.domain.payment_intent import Status
from paygate.flows.context import Context
from paygate.flows.settle_attempt import settle_attempt
from paygate.jobs.messages import CloseFailedPayment
from paygate.providers.contract import CancelOrder

ASK_AGAIN_AFTER: Final = timedelta(minutes=1)
GIVE_UP_AFTER: Final = timedelta(days=3)
"""As long as the provider itself tries to tell us things."""


async def close_failed_payment(ctx: Context, message: CloseFailedPayment) -> bool:
    """Whether there is nothing more to do."""
    found = await ctx.read.attempt_with_intent(message.merchant, message.attempt)
    assert found is not None, "payments are never deleted"
    intent, attempt = found
    if intent.status is not Status.FAILED or intent.provider_reference is None:
        return True
    # A refusal is remembered under its key, so each try has its own; a cancel takes no money.
    key = f"{attempt.id}-close-{int(ctx.now().timestamp())}"
    order = CancelOrder(key=key, provider_reference=intent.provider_reference)
    answer = await ctx.provider.cancel(order, timeout_seconds=ctx.policy.provider_timeout_seconds)
    caller = Caller(Actor("job", name="close-failed-payment"), intent.merchant, attempt.id)
    match answer.outcome:
        case Cancelled():
            return True
        case Approved(captured=True):
            await settle_attempt(ctx, caller, Action.ATTEMPT_RESOLVE, intent, attempt, answer)
            return True
        case _:
            # Not closed yet, or not known to be: whatever it is, it may take money still.
            return ctx.now() > attempt.updated_at + GIVE_UP_AFTER
