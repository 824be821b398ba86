"""Confirm a payment intent in three beats: prepare, call, settle.

The attempt and its provider key are durable before the provider hears of it, nothing is open
in the database while it is asked, and what it said is settled in one commit. A crash between
any two leaves an open attempt that its event or the sweep resolves.
"""

from datetime import timedelta
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from paygate.domain import events
from paygate.domain.access import Action, Caller
from paygate.domain.attempt import Attempt, AttemptState, Operation, move
from paygate.domain.confirmation import CONFIRMING
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.outcome import Answer, NotSent, Unknown
from paygate.domain.payment_intent import (
    PaymentIntent,
    PaymentMethodType,
    Status,
    Trigger,
    advance,
)
from paygate.flows.context import TRIES, Context, intent_subject, pause
from paygate.flows.read_payment_intent import find_payment_intent
from paygate.flows.settle_attempt import settle_attempt
from paygate.providers.contract import ConfirmOrder
from paygate.storage.change import Change, Committed, StorageError
from paygate.telemetry import timing

KEYS_MARGIN: Final = timedelta(hours=1)
"""An attempt is not sent again in the last hour that the provider promises to know its key."""
_TO_ASK_AGAIN: Final = frozenset({AttemptState.STARTED, AttemptState.UNKNOWN})
"""States of an attempt whose request died before it had an answer."""


class CardMethod(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A card as the provider's token; a number has no place here."""

    type: Literal["card"]
    token: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,255}$")]


class ConfirmPaymentIntent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /payment-intents/{id}/confirm`."""

    payment_method: CardMethod
    return_url: Annotated[str, Meta(max_length=2000, pattern=r"^https://[!-~]+$")]
    amount: int | None = None
    currency: str | None = None


async def confirm_payment_intent(
    ctx: Context, caller: Caller, intent_id: str, request: ConfirmPaymentIntent
) -> PaymentIntent:
    """The intent after the provider's answer; `processing` when that is not known yet.

    A request that died is resumed under its idempotency key: the same attempt goes on, so that
    the provider sees the same key, and nothing is charged twice.

    Raises:
        Refusal: not found, already confirmed, contradicting parameters, or
            `provider_unavailable` when certainly nothing was sent.
    """
    for _ in range(TRIES):
        intent = await find_payment_intent(ctx, caller.merchant, intent_id)
        _check(intent, request)
        before = await _attempt_of_this_request(ctx, intent)
        if before is None or before.state is AttemptState.NOT_SENT:
            prepared = await _prepare(ctx, caller, intent, request, again=before is not None)
        elif before.state in _TO_ASK_AGAIN:
            prepared = await _resume(ctx, caller, intent, before)
        else:
            return intent
        if prepared is not None:
            return await _ask(ctx, caller, *prepared)
        await pause()
    raise StorageError("an intent kept changing while it was confirmed")


async def _ask(
    ctx: Context, caller: Caller, intent: PaymentIntent, attempt: Attempt
) -> PaymentIntent:
    answer = await _call(ctx, intent, attempt)
    intent = await settle_attempt(ctx, caller, Action.INTENT_CONFIRM, intent, attempt, answer)
    if isinstance(answer.outcome, NotSent) and intent.status is Status.PROCESSING:
        raise Refusal(
            ErrorCode.PROVIDER_UNAVAILABLE,
            "the provider could not be reached; nothing was charged, try again with the same"
            " Idempotency-Key",
            retry_after_seconds=answer.outcome.retry_after_seconds,
        )
    return intent


def _check(intent: PaymentIntent, request: ConfirmPaymentIntent) -> None:
    if PaymentMethodType(request.payment_method.type) not in intent.payment_method_types:
        raise Refusal(
            ErrorCode.PAYMENT_METHOD_TYPE_NOT_ALLOWED,
            f"this payment intent does not allow {request.payment_method.type}",
            param="payment_method.type",
        )
    if request.currency not in (None, intent.currency):
        raise Refusal(
            ErrorCode.CURRENCY_MISMATCH,
            f"the payment intent is in {intent.currency}",
            param="currency",
        )
    if request.amount not in (None, intent.amount):
        raise Refusal(
            ErrorCode.AMOUNT_MISMATCH,
            f"the payment intent is for {intent.amount}",
            param="amount",
        )


async def _attempt_of_this_request(ctx: Context, intent: PaymentIntent) -> Attempt | None:
    """What an earlier try of this same request left behind; None when the intent is untouched.

    Raises:
        Refusal: another request confirmed it.
    """
    if intent.status is Status.CREATED:
        return None
    if ctx.claim is not None and intent.attempt is not None:
        last = await ctx.read.attempt(intent.merchant, intent.attempt)
        if last is not None and last.claim == ctx.claim:
            return last
    raise Refusal(
        ErrorCode.INTENT_ALREADY_CONFIRMED,
        f"the payment intent is {intent.status}: it can be confirmed once",
        subject=intent,
    )


async def _prepare(
    ctx: Context,
    caller: Caller,
    intent: PaymentIntent,
    request: ConfirmPaymentIntent,
    *,
    again: bool,
) -> tuple[PaymentIntent, Attempt] | None:
    """The guard and the attempt, durable: from here on the sweep will ask, whatever happens."""
    now = ctx.now()
    attempt = Attempt(
        id=ctx.new_id("attempt"),
        merchant=intent.merchant,
        intent=intent.id,
        number=intent.attempts + 1,
        operation=Operation.CONFIRM,
        state=AttemptState.STARTED,
        token=request.payment_method.token,
        return_url=request.return_url,
        claim=ctx.claim,
        first_sent_at=now,
        created_at=now,
        updated_at=now,
    )
    intent = advance(
        intent,
        Trigger.WORK_ON if again else Trigger.CONFIRM,
        now,
        attempt=attempt.id,
        attempts=attempt.number,
        pending_operation=CONFIRMING,
    )
    event = events.of_intent(
        intent, event_id=ctx.new_id("event"), at=now, request_id=caller.request_id
    )
    audit = ctx.audit(caller, Action.INTENT_CONFIRM, intent_subject(intent.id))
    change = Change(audit, creates=(attempt,) if again else (attempt, event), advances=(intent,))
    committed = isinstance(await ctx.door.commit(change), Committed)
    return (intent, attempt) if committed else None


async def _resume(
    ctx: Context, caller: Caller, intent: PaymentIntent, attempt: Attempt
) -> tuple[PaymentIntent, Attempt] | None:
    """The attempt as it must be before it is sent once more: its first sending is in doubt."""
    if attempt.state is AttemptState.UNKNOWN:
        return intent, attempt
    now = ctx.now()
    attempt = move(attempt, AttemptState.UNKNOWN, now, detail="the request was cut off")
    intent = advance(intent, Trigger.WORK_ON, now)
    audit = ctx.audit(caller, Action.INTENT_CONFIRM, intent_subject(intent.id))
    change = Change(audit, advances=(intent, attempt))
    committed = isinstance(await ctx.door.commit(change), Committed)
    return (intent, attempt) if committed else None


async def _call(ctx: Context, intent: PaymentIntent, attempt: Attempt) -> Answer:
    if ctx.now() >= attempt.first_sent_at + ctx.provider.keys_kept - KEYS_MARGIN:
        return Answer(Unknown("too late to send it again"))
    with timing.spent(timing.Part.PROVIDER):
        return await ctx.provider.confirm(
            confirm_order(intent, attempt), timeout_seconds=ctx.policy.provider_timeout_seconds
        )


def confirm_order(intent: PaymentIntent, attempt: Attempt) -> ConfirmOrder:
    """What is sent for an attempt: from its rows alone, so that a re-send is equal."""
    return ConfirmOrder(
        attempt=attempt.id,
        intent=intent.id,
        merchant=intent.merchant,
        amount=intent.amount,
        currency=intent.currency,
        capture_method=intent.capture_method,
        token=attempt.token,
        return_url=attempt.return_url,
        description=intent.description,
        statement_descriptor=intent.statement_descriptor,
    )
