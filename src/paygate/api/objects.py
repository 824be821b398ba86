"""The objects on the wire (docs/objects in the contract): domain values to what clients see.

Unknown is null, never absent. Nothing leaves that is not named here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, assert_never

import msgspec

from paygate.domain.access.api_key import ApiKey
from paygate.domain.access.roles import Role
from paygate.domain.customer import Customer
from paygate.domain.errors import ErrorCode
from paygate.domain.payments.outcome import (
    BankAccount,
    BankTransfer,
    Card,
    NextAction,
    PaymentError,
    PaymentMethod,
    RedirectToUrl,
    TransferInstructions,
)
from paygate.domain.payments.payment_intent import (
    CaptureMethod,
    PaymentIntent,
    PaymentMethodType,
    Status,
)


class CardObject(msgspec.Struct, frozen=True, tag="card", tag_field="type"):
    """What is shown of a card."""

    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None


class BankTransferObject(msgspec.Struct, frozen=True, tag="bank_transfer", tag_field="type"):
    """What is shown of a bank transfer."""

    flow: Literal["push", "debit"]
    country: str | None
    last4: str | None


class RedirectObject(msgspec.Struct, frozen=True):
    """Where to send the payer, and where they come back to."""

    url: str
    return_url: str | None


class RedirectActionObject(msgspec.Struct, frozen=True, tag="redirect_to_url", tag_field="type"):
    """The payer must visit a page."""

    redirect_to_url: RedirectObject


class TransferObject(msgspec.Struct, frozen=True):
    """Where the payer sends the money. An account has `scheme`, `holder`, `country` and its
    scheme's numbers.
    """

    amount_remaining: int
    amount_received: int
    currency: str
    reference: str | None
    expires_at: str | None
    hosted_url: str | None
    accounts: tuple[Mapping[str, str | None], ...]


class TransferActionObject(
    msgspec.Struct, frozen=True, tag="display_bank_transfer_instructions", tag_field="type"
):
    """The payer must send money."""

    bank_transfer: TransferObject


NextActionObject = RedirectActionObject | TransferActionObject


class PaymentErrorObject(msgspec.Struct, frozen=True):
    """Why the payment did not go through."""

    code: str
    decline_code: str | None
    message: str
    advice: str | None


class PaymentIntentObject(msgspec.Struct, frozen=True, kw_only=True):
    """A payment intent. Amounts are integers of the currency's smallest unit."""

    object: Literal["payment_intent"] = "payment_intent"
    id: str
    livemode: bool
    amount: int
    amount_capturable: int
    amount_received: int
    amount_refunded: int
    amount_refund_pending: int
    amount_refundable: int
    currency: str
    status: Status
    pending_operation: str | None
    capture_method: CaptureMethod
    payment_method_types: tuple[PaymentMethodType, ...]
    payment_method: CardObject | BankTransferObject | None
    next_action: NextActionObject | None
    last_payment_error: PaymentErrorObject | None
    cancellation_reason: str | None
    reference: str | None
    description: str | None
    statement_descriptor: str | None
    metadata: Mapping[str, str]
    customer: str | None
    disputed: bool
    provider: str
    provider_reference: str | None
    authorization_expires_at: str | None
    version: int
    created_at: str
    updated_at: str


class CreatedPaymentIntentObject(PaymentIntentObject, frozen=True, kw_only=True):
    """The answer to create alone: the secret is shown once."""

    client_secret: str | None


class PublicErrorObject(msgspec.Struct, frozen=True):
    """Why the payment did not go through, as the payer may know it."""

    code: str
    message: str


class PublicPaymentIntentObject(msgspec.Struct, frozen=True, kw_only=True):
    """A payment intent as its payer's browser sees it."""

    object: Literal["payment_intent"] = "payment_intent"
    id: str
    livemode: bool
    amount: int
    currency: str
    status: Status
    payment_method_types: tuple[PaymentMethodType, ...]
    payment_method: CardObject | BankTransferObject | None
    next_action: NextActionObject | None
    last_payment_error: PublicErrorObject | None
    created_at: str


class CustomerObject(msgspec.Struct, frozen=True, kw_only=True):
    """A customer."""

    object: Literal["customer"] = "customer"
    id: str
    livemode: bool
    email: str | None
    name: str | None
    erased_at: str | None
    created_at: str


Shown = TypeVar("Shown", bound=PaymentIntentObject)


def payment_intent_object(intent: PaymentIntent) -> PaymentIntentObject:
    """The intent as clients see it."""
    return _shown(PaymentIntentObject, intent)


def created_payment_intent_object(
    intent: PaymentIntent, client_secret: str | None
) -> CreatedPaymentIntentObject:
    """The intent as its creator sees it, once."""
    return _shown(CreatedPaymentIntentObject, intent, client_secret=client_secret)


def public_payment_intent_object(intent: PaymentIntent) -> PublicPaymentIntentObject:
    """The intent as its payer's browser sees it."""
    return PublicPaymentIntentObject(
        id=intent.id,
        livemode=intent.livemode,
        amount=intent.amount,
        currency=intent.currency,
        status=intent.status,
        payment_method_types=intent.payment_method_types,
        payment_method=_method(intent.payment_method),
        next_action=_next_action(intent.next_action),
        last_payment_error=_public_error(intent.last_payment_error),
        created_at=time_text(intent.created_at),
    )


def customer_object(customer: Customer) -> CustomerObject:
    """The customer as clients see it."""
    return CustomerObject(
        id=customer.id,
        livemode=customer.livemode,
        email=customer.email,
        name=customer.name,
        erased_at=_time(customer.erased_at),
        created_at=time_text(customer.created_at),
    )


def _shown(kind: type[Shown], intent: PaymentIntent, **more: Any) -> Shown:
    return kind(
        id=intent.id,
        livemode=intent.livemode,
        amount=intent.amount,
        amount_capturable=intent.amount_capturable,
        amount_received=intent.amount_received,
        amount_refunded=intent.amount_refunded,
        amount_refund_pending=intent.amount_refund_pending,
        amount_refundable=intent.amount_refundable,
        disputed=intent.disputes > 0,
        currency=intent.currency,
        status=intent.status,
        pending_operation=intent.pending_operation,
        capture_method=intent.capture_method,
        payment_method_types=intent.payment_method_types,
        payment_method=_method(intent.payment_method),
        next_action=_next_action(intent.next_action),
        last_payment_error=_error(intent.last_payment_error),
        cancellation_reason=intent.cancellation_reason,
        reference=intent.reference,
        description=intent.description,
        statement_descriptor=intent.statement_descriptor,
        metadata=intent.metadata,
        customer=intent.customer,
        provider=intent.provider,
        provider_reference=intent.provider_reference,
        authorization_expires_at=_time(intent.authorization_expires_at),
        version=intent.version,
        created_at=time_text(intent.created_at),
        updated_at=time_text(intent.updated_at),
        **more,
    )


class ApiKeyObject(msgspec.Struct, frozen=True, kw_only=True):
    """An API key, without its text. `last_used_at` is accurate to a minute."""

    object: Literal["api_key"] = "api_key"
    id: str
    livemode: bool
    hint: str
    name: str | None
    role: Role
    merchant: str
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None


def api_key_object(key: ApiKey, last_used_at: datetime | None) -> ApiKeyObject:
    """The key as clients see it."""
    return ApiKeyObject(
        id=key.id,
        livemode=key.livemode,
        hint=key.hint,
        name=key.name,
        role=key.role,
        merchant=key.merchant,
        created_at=time_text(key.created_at),
        last_used_at=_time(last_used_at),
        expires_at=_time(key.expires_at),
        revoked_at=_time(key.revoked_at),
    )


def time_text(at: datetime) -> str:
    """ISO 8601, UTC, milliseconds: `2026-11-24T12:00:00.000Z`."""
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[:-6] + "Z"


def _time(at: datetime | None) -> str | None:
    return None if at is None else time_text(at)


def _method(method: PaymentMethod | None) -> CardObject | BankTransferObject | None:
    match method:
        case Card():
            return CardObject(method.brand, method.last4, method.exp_month, method.exp_year)
        case BankTransfer():
            return BankTransferObject(method.flow, method.country, method.last4)
        case None:
            return None
        case _:
            assert_never(method)


def _error(error: PaymentError | None) -> PaymentErrorObject | None:
    if error is None:
        return None
    return PaymentErrorObject(error.code, error.decline_code, error.message, error.advice)


def _public_error(error: PaymentError | None) -> PublicErrorObject | None:
    """What is wrong with our own key or account at the provider is no payer's business."""
    if error is None:
        return None
    if error.code == "provider_configuration":
        return PublicErrorObject(
            ErrorCode.PROVIDER_UNAVAILABLE, "The payment cannot be made here just now."
        )
    return PublicErrorObject(error.code, error.message)


def _next_action(action: NextAction | None) -> NextActionObject | None:
    match action:
        case RedirectToUrl():
            return RedirectActionObject(RedirectObject(action.url, action.return_url))
        case TransferInstructions():
            return TransferActionObject(
                TransferObject(
                    amount_remaining=action.amount_remaining,
                    amount_received=action.amount_received,
                    currency=action.currency,
                    reference=action.reference,
                    expires_at=_time(action.expires_at),
                    hosted_url=action.hosted_url,
                    accounts=tuple(_account(account) for account in action.accounts),
                )
            )
        case None:
            return None
        case _:
            assert_never(action)


def _account(account: BankAccount) -> dict[str, str | None]:
    known = {"scheme": account.scheme, "holder": account.holder, "country": account.country}
    return {**known, **account.numbers}


def encode(value: Any) -> bytes:
    """JSON, UTF-8."""
    return _ENCODER.encode(value)


_ENCODER = msgspec.json.Encoder()
