"""Create a payment intent in one commit. The provider is asked about a method that is attached."""

from typing import Any, Final

import msgspec

from paygate.crypto.client_secrets import new_client_secret
from paygate.crypto.encoding import length_prefixed
from paygate.domain import event
from paygate.domain.access.roles import Action, Caller
from paygate.domain.customer import Payer
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.money import check_amount, parse_currency
from paygate.domain.payments import events
from paygate.domain.payments.payment_intent import (
    CaptureMethod,
    PaymentIntent,
    PaymentMethodType,
    Status,
)
from paygate.domain.payments.payment_method import Instrument
from paygate.flows.context import Context, Patience, intent_subject
from paygate.flows.customers.identify import identify_customer
from paygate.flows.payments.attach import look_up_method
from paygate.flows.payments.attempt.claim_reference import claim_reference
from paygate.flows.payments.attempt.consequences import NOTHING, Consequences
from paygate.storage.change import Change, Committed

SEED_BYTES: Final = 16
_FORBIDDEN_IN_DESCRIPTOR = frozenset("<>\\'\"*")


class NewPaymentIntent(msgspec.Struct, frozen=True, kw_only=True):
    """The payment that a merchant asks for; `amount` is in the currency's smallest unit."""

    amount: int
    currency: str
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    payment_method_types: tuple[PaymentMethodType, ...] = (PaymentMethodType.CARD,)
    reference: str | None = None
    unique_reference: bool = False
    """Whether the intent is to be the only payment of its reference."""
    description: str | None = None
    statement_descriptor: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    customer: Payer | None = None
    session_id: str | None = None
    instrument: Instrument | None = None
    """The instrument to attach; None: none."""


class Created(msgspec.Struct, frozen=True):
    """A new intent, and the secret for its payer's browser; the secret's text is kept nowhere."""

    intent: PaymentIntent
    client_secret: str | None


async def create_payment_intent(ctx: Context, caller: Caller, new: NewPaymentIntent) -> Created:
    """Create an intent, and return it once durable, with status `created`.

    Raises:
        Refusal: a parameter is out of range, the provider cannot charge this amount, there is no
            such customer, the payment method cannot be attached, or `reference_in_use`.
    """
    patience = Patience("a customer or a reference kept changing while an intent was created")
    attached: dict[str, Any] = {}
    if new.instrument is not None:
        draft = _new_intent(ctx, caller, new, attached)
        await _claim(ctx, draft, new)  # the provider is not asked for what is refused anyway
        attached = await look_up_method(ctx, caller, draft, new.instrument)
    while True:
        intent = _new_intent(ctx, caller, new, attached)
        claim, details = await _claim(ctx, intent, new)
        customer = await identify_customer(ctx, caller, new.customer)
        created = _with_secret(ctx, intent, new.session_id, customer.id)
        news = event.of(
            created.intent,
            events.status_of(created.intent),
            event_id=ctx.new_id("event"),
            at=intent.created_at,
            request_id=caller.request_id,
        )
        change = Change(
            ctx.audit(caller, Action.INTENT_CREATE, intent_subject(intent.id), details=details),
            creates=(created.intent, news, *customer.creates, *claim.creates),
            advances=(*customer.advances, *claim.advances),
            jobs=customer.jobs,
            response=created,
        )
        if isinstance(await ctx.door.commit(change), Committed):
            return created
        await patience.pause()


async def _claim(
    ctx: Context, intent: PaymentIntent, new: NewPaymentIntent
) -> tuple[Consequences, dict[str, str]]:
    """The claim of a reference that is to be unique, and what the audit log says of it."""
    if not new.unique_reference:
        return NOTHING, {}
    return await claim_reference(ctx, intent), {"unique_reference": "true"}


def _with_secret(
    ctx: Context, intent: PaymentIntent, session_id: str | None, customer: str | None
) -> Created:
    """In production a secret is bound to a session, so an intent without one has no client side."""
    if session_id is None and ctx.policy.production:
        return Created(msgspec.structs.replace(intent, customer=customer), None)
    secret = new_client_secret(intent.id, ctx.random_bytes)
    intent = msgspec.structs.replace(
        intent,
        customer=customer,
        client_secret_hash=ctx.hasher.of_client_secret(secret),
        session_hash=None if session_id is None else ctx.hasher.of_session(intent.id, session_id),
    )
    return Created(intent, secret)


def _new_intent(
    ctx: Context, caller: Caller, new: NewPaymentIntent, attached: dict[str, Any]
) -> PaymentIntent:
    currency = parse_currency(new.currency)
    amount = check_amount(new.amount, maximum=ctx.policy.max_amount)
    if not ctx.provider.representable(amount, currency):
        raise Refusal(
            ErrorCode.AMOUNT_NOT_REPRESENTABLE,
            f"the provider cannot charge exactly {amount} smallest units of {currency}",
            param="amount",
        )
    if _FORBIDDEN_IN_DESCRIPTOR.intersection(new.statement_descriptor or ""):
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            "statement_descriptor must not contain any of < > \\ ' \" *",
            param="statement_descriptor",
        )
    manual = new.capture_method is CaptureMethod.MANUAL
    if manual and PaymentMethodType.CARD not in new.payment_method_types:
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            "only a card's money can be held: capture_method manual needs card among the"
            " payment_method_types",
            param="capture_method",
        )
    now = ctx.now()
    return PaymentIntent(
        id=ctx.new_id("payment_intent", now),
        merchant=caller.merchant,
        livemode=ctx.provider.livemode,
        amount=amount,
        currency=currency,
        status=Status.CREATED,
        capture_method=new.capture_method,
        payment_method_types=tuple(dict.fromkeys(new.payment_method_types)),
        provider=ctx.provider.name,
        reference=new.reference,
        description=new.description,
        statement_descriptor=new.statement_descriptor,
        metadata=new.metadata,
        seed=_seed(ctx, caller),
        create_key=None if ctx.request_key is None else bytes.fromhex(ctx.request_key.id),
        created_at=now,
        updated_at=now,
        **attached,
    )


def _seed(ctx: Context, caller: Caller) -> bytes:
    """A keyed hash of the request's Idempotency-Key, another one each time that the key is used
    anew after its time to live; random without a key.
    """
    if ctx.request_key is None:
        return ctx.random_bytes(SEED_BYTES)
    key, earlier = ctx.request_key
    name = length_prefixed("intent_seed", caller.merchant, key, str(earlier))
    return ctx.index.name(name)
