"""Attach a payment method to a payment intent that is not confirmed yet, or detach the one it has.

The provider is asked at once what a token stands for, so that a dead one is refused and the payer
can look at the card before they pay. The look-up changes nothing at the provider, so nothing is
written before the call; the intent's version decides who was first.
"""

from typing import Any

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.confirmation import Moved
from paygate.domain.payments.outcome import BankTransfer, Card, NotSent, Rejected
from paygate.domain.payments.payment_intent import PaymentIntent, Status, Trigger, advance
from paygate.domain.payments.payment_method import Instrument, PushTransfer
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context, Patience
from paygate.flows.payments.attempt.choose import check_instrument
from paygate.flows.payments.attempt.consequences import commit_move, misconfigured
from paygate.flows.payments.read import find_again, find_payment_intent
from paygate.telemetry import timing


async def attach_payment_method(
    ctx: Context, caller: Caller, intent_id: str, instrument: Instrument | None
) -> PaymentIntent:
    """The intent with the instrument attached in place of any other; None detaches.

    Raises:
        Refusal: not found; `state_conflict` when it is no longer created, or somebody else changed
            it while the provider was asked; the method is not allowed or has no token;
            `payment_method_rejected`; `provider_unavailable` when the provider did not tell.
    """
    patience = Patience("an intent was kept from having a payment method attached")
    intent = await find_payment_intent(ctx, caller.merchant, intent_id)
    _check_created(intent)
    attached = await look_up_method(ctx, caller, intent, instrument)
    while True:
        after = advance(intent, Trigger.ATTACH, ctx.now(), **attached)
        if await commit_move(
            ctx, caller, Action.INTENT_ATTACH, Moved(intent, after), response=after
        ):
            return after
        await patience.pause()
        _check_created(await find_again(ctx, intent))


def _check_created(intent: PaymentIntent) -> None:
    if intent.status is not Status.CREATED:
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            f"a payment intent that is {intent.status} keeps its payment method",
            subject=intent,
        )


async def look_up_method(
    ctx: Context, caller: Caller, intent: PaymentIntent, instrument: Instrument | None
) -> dict[str, Any]:
    """The fields of an intent that has the instrument attached; for None, of one that has none.

    Raises:
        Refusal: see `attach_payment_method`.
    """
    if instrument is None:
        return {"attached": None, "payment_method": None}
    check_instrument(ctx, intent, instrument)
    if isinstance(instrument, PushTransfer):
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            "a push has no token that could be attached: name it when you confirm",
            param="payment_method.flow",
        )
    with timing.spent(timing.Part.PROVIDER):
        found = await ctx.provider.payment_method(
            instrument, intent.currency, timeout_seconds=ctx.policy.provider_timeout_seconds
        )
    if isinstance(found, Card | BankTransfer):
        return {"attached": instrument, "payment_method": found}
    if isinstance(found, Rejected):
        if found.reason == "payment_method_rejected":
            raise Refusal(
                ErrorCode.PAYMENT_METHOD_REJECTED, found.message, param="payment_method.token"
            )
        await raise_alert(ctx, caller, misconfigured(ctx, found.message))
    raise Refusal(
        ErrorCode.PROVIDER_UNAVAILABLE,
        "the provider did not tell what this token stands for, and nothing was attached; try again"
        " with the same Idempotency-Key",
        retry_after_seconds=found.retry_after_seconds if isinstance(found, NotSent) else 1,
    )
