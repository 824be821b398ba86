"""Correct a payment intent that had ended without money, on the provider's proof of some.

Captured money is true, whatever we had settled: the intent becomes succeeded, and stands in the
ledger. A hold is given back. Captured money is never sent back by itself.
"""

from typing import Final

from paygate.domain import ledger
from paygate.domain.alert import AlertType, Concern
from paygate.domain.payments import events
from paygate.domain.payments.confirmation import captured
from paygate.domain.payments.correction import correction_of
from paygate.domain.payments.outcome import Answer, Approved
from paygate.domain.payments.payment_intent import PaymentIntent, Status, correct
from paygate.flows.context import Context, intent_subject
from paygate.providers.contract import CancelOrder
from paygate.storage.change import Appended

REASON: Final = "captured_after_the_end"


def corrected(
    ctx: Context, before: PaymentIntent, answer: Answer, *, proof: str
) -> tuple[PaymentIntent, tuple[Appended, ...]]:
    """The intent set right, and what must be written with it: correction, transfer, event."""
    outcome = answer.outcome
    assert isinstance(outcome, Approved), "only money sets an end right"
    assert outcome.captured, "a hold is given back instead"
    after = correct(
        before,
        Status.SUCCEEDED,
        ctx.now(),
        payment_method=outcome.payment_method or before.payment_method,
        provider_reference=answer.provider_reference or before.provider_reference,
        provider_as_of=answer.as_of or before.provider_as_of,
        **captured(before, outcome),
    )
    correction = correction_of(
        before, after, correction_id=ctx.new_id("correction"), reason=REASON, proof=proof
    )
    transfer_id = ctx.new_id("ledger_transfer")
    transfer = ledger.capture(before, after, transfer_id=transfer_id, attempt=answer.attempt)
    event = events.of_intent(
        after,
        event_id=ctx.new_id("event"),
        at=after.updated_at,
        request_id=None,
        correction=True,
    )
    return after, (correction, transfer, event)


async def give_back(ctx: Context, answer: Answer) -> Answer:
    """Release a hold that no intent rests on. A refusal is remembered under its key, so each try
    has its own; a cancel takes no money.
    """
    assert answer.provider_reference is not None, "the provider told of it"
    order = CancelOrder(
        key=f"{answer.provider_reference}-void-{int(ctx.now().timestamp())}",
        provider_reference=answer.provider_reference,
    )
    return await ctx.provider.cancel(order, timeout_seconds=ctx.policy.provider_timeout_seconds)


def correction_concern(intent: PaymentIntent) -> Concern:
    """What a person must hear of a correction: it should not happen, and it did."""
    return Concern(
        type=AlertType.STATE_CORRECTION,
        subject=intent_subject(intent.id),
        severity="critical",
        message=f"money was taken, though it had {intent.status}",
        what_to_do="Decide with the payer whether the order is still wanted; refund it if not.",
    )
