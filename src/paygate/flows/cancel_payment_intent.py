"""Cancel a payment intent. Nothing was sent for one that is `created`, so it is cancelled here."""

from typing import Annotated

import msgspec
from msgspec import Meta

from paygate.domain import events
from paygate.domain.access import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payment_intent import PaymentIntent, Status, Trigger, advance
from paygate.flows.context import TRIES, Context, intent_subject, pause
from paygate.flows.read_payment_intent import find_payment_intent
from paygate.storage.change import Change, Committed, StorageError


class CancelPaymentIntent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /payment-intents/{id}/cancel`."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


async def cancel_payment_intent(
    ctx: Context, caller: Caller, intent_id: str, request: CancelPaymentIntent
) -> PaymentIntent:
    """The cancelled intent.

    Raises:
        Refusal: not found, or `state_conflict` when it is not `created`.
    """
    for _ in range(TRIES):
        intent = await find_payment_intent(ctx, caller.merchant, intent_id)
        if intent.status is not Status.CREATED:
            raise Refusal(
                ErrorCode.STATE_CONFLICT,
                f"a payment intent that is {intent.status} cannot be cancelled",
                subject=intent,
            )
        after = await cancelled(ctx, caller, Action.INTENT_CANCEL, intent, request.reason)
        if after is not None:
            return after
        await pause()
    raise StorageError("an intent kept changing while it was cancelled")


async def cancelled(
    ctx: Context, caller: Caller, action: Action, intent: PaymentIntent, reason: str | None
) -> PaymentIntent | None:
    """The intent once it is cancelled, or None when it moved on meanwhile."""
    after = advance(intent, Trigger.CANCEL, ctx.now(), cancellation_reason=reason)
    event = events.of_intent(
        after, event_id=ctx.new_id("event"), at=after.updated_at, request_id=caller.request_id
    )
    audit = ctx.audit(caller, action, intent_subject(intent.id))
    change = Change(audit, creates=(event,), advances=(after,), concludes=after)
    return after if isinstance(await ctx.door.commit(change), Committed) else None
