"""Close the provider's object of a payment that has failed: final here is final there.

What was declined may be tried again at the provider by whoever has its secret; closed, it takes no
money any more. Should it have taken some all the same, that is true, and the end is set right.
"""

from datetime import timedelta
from typing import Final

from paygate.domain.access import Action, Actor, Caller
from paygate.domain.confirmation import mismatch
from paygate.domain.outcome import Approved, Cancelled
from paygate.domain.payment_intent import Status
from paygate.flows.context import Context, intent_subject
from paygate.flows.correct_payment_intent import alert_correction, corrected
from paygate.jobs.messages import CloseFailedPayment
from paygate.providers.contract import CancelOrder
from paygate.storage.change import Change, Committed

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
            if mismatch(intent, answer):
                what = "money of another amount was taken, though it had failed: it stays as it is"
                await alert_correction(ctx, caller, intent, what)
                return True
            await alert_correction(ctx, caller, intent, "money was taken, though it had failed")
            after, creates = corrected(ctx, intent, answer, proof=intent.provider_reference)
            audit = ctx.audit(caller, Action.ATTEMPT_RESOLVE, intent_subject(intent.id))
            change = Change(audit, creates=creates, advances=(after,))
            return isinstance(await ctx.door.commit(change), Committed)
        case _:
            # Not closed yet, or not known to be: whatever it is, it may take money still.
            return ctx.now() > attempt.updated_at + GIVE_UP_AFTER
