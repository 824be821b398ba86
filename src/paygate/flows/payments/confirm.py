"""Confirm a payment intent in three beats: prepare, call, conclude.

The attempt and its provider key are durable before the provider is called, nothing is open in the
database during the call, and one commit concludes the attempt by the answer. A crash between any
two beats leaves an open attempt that its event or the sweep resolves.
"""

from datetime import datetime

import msgspec

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import Attempt, AttemptState, Operation
from paygate.domain.payments.outcome import Answer, Rejected, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status, Trigger
from paygate.domain.payments.payment_method import CardToken, Instrument, PushTransfer
from paygate.domain.payments.return_url import check_return_url
from paygate.flows.context import Context, Patience
from paygate.flows.customers.introduce import forget_customer, introduce_customer
from paygate.flows.payments.attempt.begin import (
    IN_DOUBT,
    TOO_LATE,
    attempt_of_this_request,
    begin,
    commit_resend,
    may_be_sent,
    new_attempt,
    refuse_if_not_sent,
    stood_still,
)
from paygate.flows.payments.attempt.choose import check_instrument
from paygate.flows.payments.attempt.conclude import conclude_attempt
from paygate.flows.payments.attempt.work import Work
from paygate.flows.payments.complete_authentication import callback_url
from paygate.flows.payments.read import find_again, find_payment_intent
from paygate.providers.absence import Absent, ProviderSilent
from paygate.providers.contract import ConfirmOrder
from paygate.telemetry import timing


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """How an intent is to be paid. A card needs a `return_url`; `amount` and `currency` are what
    the caller expects of the intent.
    """

    instrument: Instrument | None = None
    """None: the instrument that is attached to the intent."""
    return_url: str | None = None
    amount: int | None = None
    currency: str | None = None


async def confirm_payment_intent(
    ctx: Context, caller: Caller, intent_id: str, confirmation: Confirmation
) -> PaymentIntent:
    """The intent after the provider's answer; `processing` while there is no answer yet.

    A request that died is resumed under its idempotency key: the same attempt goes on, so that
    the provider sees the same key, and nothing is charged twice.

    Raises:
        Refusal: not found, already confirmed, contradicting parameters, `state_conflict` when
            another method was attached at the same time, or `provider_unavailable` when certainly
            nothing was sent.
    """
    patience = Patience("an intent kept changing while it was confirmed")
    intent = first = await find_payment_intent(ctx, caller.merchant, intent_id)
    while True:
        before = await _earlier_try(ctx, intent)
        if before is None:
            instrument = _check(ctx, intent, confirmation)
            work = await _prepare(ctx, caller, intent, confirmation, instrument)
        elif _resumes(intent, before):
            work = await commit_resend(ctx, Work(caller, Action.INTENT_CONFIRM, intent, before))
        else:
            return intent
        if work is not None:
            return await _ask(ctx, work)
        await patience.pause()
        intent = await find_again(ctx, first)


def _resumes(intent: PaymentIntent, attempt: Attempt) -> bool:
    """Whether this request resumes the attempt that its own earlier try left behind."""
    not_sent = attempt.state is AttemptState.NOT_SENT and intent.status is Status.PROCESSING
    return not_sent or attempt.state in IN_DOUBT


async def _ask(ctx: Context, work: Work) -> PaymentIntent:
    with ctx.answers.awaited(work.attempt):
        answer = await send_confirm(ctx, work)
        if isinstance(answer.outcome, Rejected) and answer.outcome.reason == "customer_refused":
            # Committed before the answer is: a crash in between must not fail every later payment.
            await forget_customer(ctx, work.caller, work.intent)
        intent = await conclude_attempt(ctx, work, answer)
    refuse_if_not_sent(intent, answer, waits=intent.status is Status.PROCESSING)
    return intent


def _check(ctx: Context, intent: PaymentIntent, confirmation: Confirmation) -> Instrument:
    """The instrument that the intent is paid with, once all that the caller says was checked."""
    instrument = _instrument(ctx, intent, confirmation.instrument)
    if confirmation.return_url is not None:
        check_return_url(
            confirmation.return_url,
            hosts=ctx.policy.return_url_hosts,
            production=ctx.policy.production,
        )
    elif isinstance(instrument, CardToken):
        raise Refusal(
            ErrorCode.PARAMETER_MISSING,
            "a card needs a return_url: the payer's bank may want to ask them",
            param="return_url",
        )
    if confirmation.currency not in (None, intent.currency):
        raise Refusal(
            ErrorCode.CURRENCY_MISMATCH,
            f"the payment intent is in {intent.currency}",
            param="currency",
        )
    if confirmation.amount not in (None, intent.amount):
        raise Refusal(
            ErrorCode.AMOUNT_MISMATCH,
            f"the payment intent is for {intent.amount}",
            param="amount",
        )
    return instrument


def _instrument(ctx: Context, intent: PaymentIntent, chosen: Instrument | None) -> Instrument:
    if chosen is not None:
        check_instrument(ctx, intent, chosen)
        return chosen
    if intent.attached is not None:
        return intent.attached
    raise Refusal(
        ErrorCode.PARAMETER_MISSING,
        "no payment method is attached: a confirm needs a payment_method",
        param="payment_method",
    )


async def _earlier_try(ctx: Context, intent: PaymentIntent) -> Attempt | None:
    """The attempt of an earlier try of this same request; None when the intent is untouched.

    Raises:
        Refusal: another request confirmed it.
    """
    if intent.status is Status.CREATED:
        return None
    last = await attempt_of_this_request(ctx, intent)
    if last is not None:
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
    confirmation: Confirmation,
    instrument: Instrument,
) -> Work | None:
    attempt = new_attempt(
        ctx, intent, Operation.CONFIRM, instrument=instrument, return_url=confirmation.return_url
    )
    attempt = msgspec.structs.replace(
        attempt,
        callback_url=callback_url(ctx, attempt),
        close_at=_patience(ctx, attempt.created_at, instrument),
    )
    # What the intent shows of the attached method is not true of another method.
    shown = intent.payment_method if confirmation.instrument is None else None
    work = Work(caller, Action.INTENT_CONFIRM, intent, attempt)
    return await begin(ctx, work, Trigger.CONFIRM, payment_method=shown)


def _patience(ctx: Context, at: datetime, instrument: Instrument) -> datetime:
    """The time until which we wait for the payer, should they have to act."""
    pushed = isinstance(instrument, PushTransfer)
    return at + (ctx.policy.bank_transfer_ttl if pushed else ctx.policy.authentication_ttl)


async def send_confirm(ctx: Context, work: Work) -> Answer:
    """Send the attempt's confirm and return the answer: one charge, however often it is sent."""
    caller, _, intent, attempt = work
    if stood_still(ctx, attempt) or not may_be_sent(ctx, attempt):
        return Answer(TOO_LATE)
    timeout_seconds = ctx.policy.provider_timeout_seconds
    payer: str | None = None
    with timing.spent(timing.Part.PROVIDER):
        found = await _sent_before_a_restore(ctx, intent, attempt)
        if found is not None:
            return found
        if isinstance(attempt.instrument, PushTransfer):
            timeout_seconds /= 2  # two calls, in the time of one
            made = await introduce_customer(ctx, caller, intent, timeout_seconds=timeout_seconds)
            if not isinstance(made, str):
                return Answer(made)
            payer = made
        order = confirm_order(intent, attempt, payer)
        if stood_still(ctx, attempt):
            return Answer(TOO_LATE)  # what was asked before took its time
        return await ctx.provider.confirm(order, timeout_seconds=timeout_seconds)


async def _sent_before_a_restore(
    ctx: Context, intent: PaymentIntent, attempt: Attempt
) -> Answer | None:
    """How the payment stands that this attempt made before a restore; None: it made none."""
    timeout = ctx.policy.provider_timeout_seconds
    try:
        reference = await ctx.after_restore.payment_of(intent, attempt.id, timeout_seconds=timeout)
    except ProviderSilent as silence:
        return Answer(Unknown(str(silence)))
    if reference is None:
        return None
    found = await ctx.provider.retrieve(reference, timeout_seconds=timeout)
    return Answer(Unknown("the provider has lost it")) if isinstance(found, Absent) else found


def confirm_order(intent: PaymentIntent, attempt: Attempt, payer: str | None) -> ConfirmOrder:
    """The order that is sent for an attempt: made of its rows alone, so that a re-send is equal."""
    assert attempt.instrument is not None, "a confirm is paid with something"
    return ConfirmOrder(
        attempt=attempt.id,
        intent=intent.id,
        merchant=intent.merchant,
        amount=intent.amount,
        currency=intent.currency,
        capture_method=intent.capture_method,
        instrument=attempt.instrument,
        customer=payer,
        return_url=attempt.callback_url or attempt.return_url,
        description=intent.description,
        statement_descriptor=intent.statement_descriptor,
    )
