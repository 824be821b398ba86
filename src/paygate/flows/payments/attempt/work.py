"""The work on one payment: the value that its flows hand to each other."""

from typing import NamedTuple

from paygate.domain.access.roles import Action, Caller
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.context import Context


class Work(NamedTuple):
    """The caller and the action that is audited, with the intent and the attempt as last known."""

    caller: Caller
    action: Action
    intent: PaymentIntent
    attempt: Attempt


async def take_up(
    ctx: Context, caller: Caller, action: Action, merchant: str, attempt: str
) -> Work:
    """The work on an attempt, by its id, with both records as they stand now."""
    found = await ctx.read.attempt_with_intent(merchant, attempt)
    assert found is not None, "payments are never deleted"
    return Work(caller, action, *found)


async def reread(ctx: Context, work: Work) -> Work:
    """The same work, with both records as they stand now."""
    return await take_up(ctx, work.caller, work.action, work.attempt.merchant, work.attempt.id)
