"""Checks whether an intent can be paid with the instrument that its payer chose."""

from datetime import timedelta
from typing import Final, assert_never

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.payment_intent import CaptureMethod, PaymentIntent, PaymentMethodType
from paygate.domain.payments.payment_method import (
    CardToken,
    DirectDebit,
    Instrument,
    Mandate,
    PushTransfer,
)
from paygate.flows.context import Context

CLOCKS_APART: Final = timedelta(minutes=5)
"""How far ahead of our clock the one may be by which a mandate was accepted."""
_FIRST_MANDATE: Final = 2000


def type_of(instrument: Instrument) -> PaymentMethodType:
    """The instrument's payment method type, which an intent allows or not."""
    match instrument:
        case CardToken():
            return PaymentMethodType.CARD
        case PushTransfer() | DirectDebit():
            return PaymentMethodType.BANK_TRANSFER
        case _:
            assert_never(instrument)


def check_instrument(ctx: Context, intent: PaymentIntent, instrument: Instrument) -> None:
    """Return if the intent can be paid with the instrument.

    Raises:
        Refusal: the intent does not allow it, the provider cannot be paid so, or its mandate was
            not accepted yet.
    """
    kind = type_of(instrument)
    if kind not in intent.payment_method_types:
        raise _not_allowed(f"this payment intent does not allow {kind}")
    if kind is not PaymentMethodType.CARD and intent.capture_method is CaptureMethod.MANUAL:
        raise _not_allowed("this payment intent holds the money first, which only a card can")
    match instrument:
        case PushTransfer():
            problem = ctx.provider.transfer_problem(intent.currency, instrument.country)
            if problem is not None:
                raise _refused(problem, "country")
        case DirectDebit():
            problem = ctx.provider.debit_problem(intent.currency)
            if problem is not None:
                raise _refused(problem, "flow")
            _check_mandate(ctx, instrument.mandate)
        case CardToken():
            pass
        case _:
            assert_never(instrument)


def _check_mandate(ctx: Context, mandate: Mandate) -> None:
    at = mandate.accepted_at
    if at > ctx.now() + CLOCKS_APART or at.year < _FIRST_MANDATE:
        raise _refused("accepted_at is when the payer agreed, in the past", "mandate.accepted_at")


def _not_allowed(message: str) -> Refusal:
    return Refusal(ErrorCode.PAYMENT_METHOD_TYPE_NOT_ALLOWED, message, param="payment_method.type")


def _refused(message: str, name: str) -> Refusal:
    return Refusal(ErrorCode.PARAMETER_INVALID, message, param=f"payment_method.{name}")
