"""Create a payment intent: nothing is sent anywhere, one commit."""

from typing import Annotated

import msgspec
from msgspec import Meta

from paygate.domain import events
from paygate.domain.access import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.money import check_amount, parse_currency
from paygate.domain.payment_intent import CaptureMethod, PaymentIntent, PaymentMethodType, Status
from paygate.flows.context import Context, intent_subject
from paygate.storage.change import Change, Committed

Text = Annotated[str, Meta(min_length=1, max_length=500)]
Reference = Annotated[str, Meta(min_length=1, max_length=200)]
# Stripe's rule (payments/account/statement-descriptors): 5 to 22 characters, one of them a
# letter, and none of those that `_FORBIDDEN_IN_DESCRIPTOR` has.
StatementDescriptor = Annotated[
    str, Meta(min_length=5, max_length=22, pattern=r"^(?=.*[A-Za-z])[ -~]*$")
]
MetadataKey = Annotated[str, Meta(min_length=1, max_length=40)]
MetadataValue = Annotated[str, Meta(max_length=500)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=50)]
_FORBIDDEN_IN_DESCRIPTOR = frozenset("<>\\'\"*")


class CreatePaymentIntent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /payment-intents`. `amount` in the currency's smallest unit."""

    amount: int
    currency: str
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    payment_method_types: Annotated[
        tuple[PaymentMethodType, ...], Meta(min_length=1, max_length=2)
    ] = (PaymentMethodType.CARD,)
    reference: Reference | None = None
    description: Text | None = None
    statement_descriptor: StatementDescriptor | None = None
    metadata: Metadata = msgspec.field(default_factory=dict)


async def create_payment_intent(
    ctx: Context, caller: Caller, request: CreatePaymentIntent
) -> PaymentIntent:
    """The intent, durable, with status `created`.

    Raises:
        Refusal: a parameter is out of range, or the provider cannot charge this amount.
    """
    intent = _new_intent(ctx, caller, request)
    event = events.of_intent(
        intent,
        event_id=ctx.new_id("event"),
        at=intent.created_at,
        request_id=caller.request_id,
    )
    audit = ctx.audit(caller, Action.INTENT_CREATE, intent_subject(intent.id))
    verdict = await ctx.door.commit(Change(audit, creates=(intent, event)))
    assert isinstance(verdict, Committed), "a change without guards is never refused"
    return intent


def _new_intent(ctx: Context, caller: Caller, request: CreatePaymentIntent) -> PaymentIntent:
    currency = parse_currency(request.currency)
    amount = check_amount(request.amount, maximum=ctx.policy.max_amount)
    if not ctx.provider.representable(amount, currency):
        raise Refusal(
            ErrorCode.AMOUNT_NOT_REPRESENTABLE,
            f"the provider cannot charge exactly {amount} smallest units of {currency}",
            param="amount",
        )
    if _FORBIDDEN_IN_DESCRIPTOR.intersection(request.statement_descriptor or ""):
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            "statement_descriptor must not contain any of < > \\ ' \" *",
            param="statement_descriptor",
        )
    now = ctx.now()
    return PaymentIntent(
        id=ctx.new_id("payment_intent"),
        merchant=caller.merchant,
        livemode=ctx.provider.livemode,
        amount=amount,
        currency=currency,
        status=Status.CREATED,
        capture_method=request.capture_method,
        payment_method_types=tuple(dict.fromkeys(request.payment_method_types)),
        provider=ctx.provider.name,
        reference=request.reference,
        description=request.description,
        statement_descriptor=request.statement_descriptor,
        metadata=request.metadata,
        created_at=now,
        updated_at=now,
    )
