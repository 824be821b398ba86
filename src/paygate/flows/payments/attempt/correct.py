"""Correct a payment intent that had ended without money, on the provider's proof of some.

Captured money is true, whatever we had concluded: the intent becomes succeeded, and stands in the
ledger. A hold is given back. Captured money is never sent back by itself.
"""

from datetime import datetime

from paygate.domain.payments.confirmation import Moved, capture_fields
from paygate.domain.payments.outcome import Answer, Approved
from paygate.domain.payments.payment_intent import PaymentIntent, Status, correct
from paygate.flows.context import Context
from paygate.providers.contract import CancelOrder


def corrected(before: PaymentIntent, answer: Answer, at: datetime, *, proof: str) -> Moved:
    """The move that sets the intent right, on the provider's proof of money."""
    outcome = answer.outcome
    assert isinstance(outcome, Approved), "only money sets an end right"
    assert outcome.captured, "a hold is given back instead"
    after = correct(
        before,
        Status.SUCCEEDED,
        at,
        payment_method=outcome.payment_method or before.payment_method,
        provider_reference=answer.provider_reference or before.provider_reference,
        provider_as_of=answer.as_of or before.provider_as_of,
        **capture_fields(before, outcome),
    )
    return Moved(before, after, proof=proof)


async def give_back(ctx: Context, answer: Answer) -> Answer:
    """Ask the provider to release a hold that no intent rests on; returns the answer. The provider
    remembers its no under the key, so each try has a key of its own; a cancel takes no money.
    """
    assert answer.provider_reference is not None, "the provider told of it"
    order = CancelOrder(
        key=f"{answer.provider_reference}-void-{int(ctx.now().timestamp())}",
        provider_reference=answer.provider_reference,
    )
    return await ctx.provider.cancel(order, timeout_seconds=ctx.policy.provider_timeout_seconds)
