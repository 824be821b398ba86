"""What a confirm is to be paid with: the request's words, checked, as an instrument."""

from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Annotated, Final, Literal, assert_never

import msgspec
from msgspec import Meta

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

# In every pattern: `$` alone lets a line end pass behind the last character.
Token = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,255}$(?!\n)")]
"""The provider's; a number of a card or an account is refused before it comes here."""
CLOCKS_APART: Final = timedelta(minutes=5)
"""How far ahead of ours the clock may be that a mandate was accepted by."""
_FIRST_MANDATE: Final = 2000


class CardMethod(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="card", tag_field="type"
):
    """A card as the provider's token; a number has no place here."""

    token: Token


class MandateDetails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the payer agreed to be debited, as the merchant's page saw it."""

    accepted_at: Annotated[datetime, Meta(tz=True)]
    ip_address: Annotated[str, Meta(max_length=45)]
    user_agent: Annotated[str, Meta(pattern=r"^[ -~]{1,500}$(?!\n)")]


class BankTransferMethod(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="bank_transfer",
    tag_field="type",
):
    """`push`: the payer sends money, `country` says to an account where. `debit`: we take it, with
    the provider's `token` of the account and the payer's `mandate`.
    """

    flow: Literal["push", "debit"]
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$(?!\n)")] | None = None
    token: Token | None = None
    mandate: MandateDetails | None = None


Method = CardMethod | BankTransferMethod


def type_of(method: Method) -> PaymentMethodType:
    """The type, as an intent allows it or not."""
    match method:
        case CardMethod():
            return PaymentMethodType.CARD
        case BankTransferMethod():
            return PaymentMethodType.BANK_TRANSFER
        case _:
            assert_never(method)


def choose_instrument(ctx: Context, intent: PaymentIntent, method: Method) -> Instrument:
    """The instrument that the request names.

    Raises:
        Refusal: the intent does not allow it, the provider cannot be paid so, or a part of it is
            missing, makes no sense or belongs to another method.
    """
    kind = type_of(method)
    if kind not in intent.payment_method_types:
        raise _not_allowed(f"this payment intent does not allow {kind}")
    if isinstance(method, CardMethod):
        return CardToken(method.token)
    if intent.capture_method is CaptureMethod.MANUAL:
        raise _not_allowed("this payment intent holds the money first, which only a card can")
    return _push(ctx, intent, method) if method.flow == "push" else _debit(ctx, intent, method)


def _push(ctx: Context, intent: PaymentIntent, method: BankTransferMethod) -> PushTransfer:
    for name in ("token", "mandate"):
        if getattr(method, name) is not None:
            raise _refused(f"a push has no {name}", name)
    problem = ctx.provider.transfer_problem(intent.currency, method.country)
    if problem is not None:
        raise _refused(problem, "country")
    return PushTransfer(method.country)


def _debit(ctx: Context, intent: PaymentIntent, method: BankTransferMethod) -> DirectDebit:
    if method.country is not None:
        raise _refused("a debit has no country: the account's token has it", "country")
    for name in ("token", "mandate"):
        if getattr(method, name) is None:
            raise _refused(f"a debit needs its {name}", name, ErrorCode.PARAMETER_MISSING)
    problem = ctx.provider.debit_problem(intent.currency)
    if problem is not None:
        raise _refused(problem, "flow")
    assert method.token is not None, "looked at above"
    assert method.mandate is not None, "looked at above"
    return DirectDebit(method.token, _mandate(ctx, method.mandate))


def _mandate(ctx: Context, given: MandateDetails) -> Mandate:
    if given.accepted_at > ctx.now() + CLOCKS_APART or given.accepted_at.year < _FIRST_MANDATE:
        raise _refused("accepted_at is when the payer agreed, in the past", "mandate.accepted_at")
    try:
        address = ip_address(given.ip_address)
    except ValueError:
        address = None
    # A zone ("%eth0") is any text, and means something on the payer's own network alone.
    if address is None or "%" in given.ip_address:
        raise _refused("ip_address is no IP address", "mandate.ip_address")
    return Mandate(given.accepted_at, str(address), given.user_agent)


def _not_allowed(message: str) -> Refusal:
    return Refusal(ErrorCode.PAYMENT_METHOD_TYPE_NOT_ALLOWED, message, param="payment_method.type")


def _refused(message: str, name: str, code: ErrorCode = ErrorCode.PARAMETER_INVALID) -> Refusal:
    return Refusal(code, message, param=f"payment_method.{name}")
