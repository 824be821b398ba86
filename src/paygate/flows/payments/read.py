"""Read a payment intent. A read leaves its audit entry before anything is shown."""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal, missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.context import Context, intent_subject
from paygate.storage.change import Change


async def read_payment_intent(ctx: Context, caller: Caller, intent_id: str) -> PaymentIntent:
    """The intent as it stands, after an audit entry.

    Raises:
        Refusal: `resource_missing` for an id that is malformed, unknown or another merchant's.
    """
    intent = await find_payment_intent(ctx, caller.merchant, intent_id)
    await ctx.door.commit(Change(ctx.audit(caller, Action.INTENT_READ, intent_subject(intent.id))))
    return intent


async def find_payment_intent(ctx: Context, merchant: str, intent_id: str) -> PaymentIntent:
    """The intent, for a flow that leaves an audit entry of its own."""
    if is_id(PREFIXES["payment_intent"], intent_id):
        intent = await ctx.read.payment_intent(merchant, intent_id)
        if intent is not None:
            return intent
    raise missing("payment intent")


async def find_again(ctx: Context, first: PaymentIntent) -> PaymentIntent:
    """The intent as it stands now, for a flow that read `first` and whose commit met a conflict.

    Raises:
        Refusal: `state_conflict` when another payment method was attached in between, for the
            caller has decided by the one before.
    """
    intent = await find_payment_intent(ctx, first.merchant, first.id)
    if intent.status is Status.CREATED and intent.version != first.version:
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            "the payment method of this payment intent was changed at the same time",
            subject=intent,
        )
    return intent
