"""What a provider's answer means, as a closed union: the only vocabulary flows know.

*Declined* is the payer's bank saying no; *rejected* is a request that cannot work as it
stands; *not sent* is certain; *unknown* is everything that is not, and it is never a failure.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

from paygate.domain.record import Recorded


class Card(Recorded, frozen=True, tag="card"):
    """What may be shown of a card; never its number."""

    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


class BankTransfer(Recorded, frozen=True, tag="bank_transfer"):
    """What may be shown of a bank transfer; never an account number of the payer's."""

    flow: Literal["push", "debit"]
    country: str | None = None
    last4: str | None = None


PaymentMethod = Card | BankTransfer


class RedirectToUrl(Recorded, frozen=True, tag="redirect_to_url"):
    """The payer must visit `url`; the provider sends them back to `return_url`."""

    url: str
    return_url: str | None = None


class BankAccount(Recorded, frozen=True):
    """Where the payer sends money: the provider's account for them, in its scheme's own fields
    (`iban` and `bic`; `sort_code` and `account_number`; `routing_number` and `account_number`;
    `clabe`; ...).
    """

    scheme: Literal["iban", "sort_code", "aba", "spei", "zengin"]
    holder: str | None
    country: str | None
    numbers: Mapping[str, str]


class TransferInstructions(Recorded, frozen=True, tag="display_bank_transfer_instructions"):
    """The payer must send `amount_remaining` to one of the accounts, naming the reference."""

    amount_remaining: int
    amount_received: int
    currency: str
    reference: str | None
    hosted_url: str | None
    accounts: tuple[BankAccount, ...]
    expires_at: datetime | None = None


NextAction = RedirectToUrl | TransferInstructions


class Advice(StrEnum):
    """What the network says about trying again."""

    CONFIRM_CARD_DATA = "confirm_card_data"
    DO_NOT_TRY_AGAIN = "do_not_try_again"
    TRY_AGAIN_LATER = "try_again_later"


class PaymentError(Recorded, frozen=True):
    """Why a payment did not go through, in plain words for the merchant."""

    code: str
    message: str
    decline_code: str | None = None
    advice: Advice | None = None


class Approved(msgspec.Struct, frozen=True, tag="approved"):
    """The money is captured, or held when `captured` is false. Amounts in the smallest unit."""

    captured: bool
    amount_received: int
    amount_capturable: int
    payment_method: PaymentMethod | None = None
    authorization_expires_at: datetime | None = None


class ActionRequired(msgspec.Struct, frozen=True, tag="action_required"):
    """The payer must act; None when it is nothing that we could show them."""

    next_action: NextAction | None
    payment_method: PaymentMethod | None = None


class Pending(msgspec.Struct, frozen=True, tag="pending"):
    """The provider works on; it will tell."""

    payment_method: PaymentMethod | None = None


class Declined(msgspec.Struct, frozen=True, tag="declined"):
    """They said no. Final for this attempt."""

    error: PaymentError


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """The request itself cannot work: a bad token, our own key refused; or it never arrived.

    *Order refused*: a capture or a cancel that cannot be done as asked, and was not. *Customer
    refused*: the provider does not take the payer's details.
    """

    reason: Literal[
        "payment_method_rejected",
        "provider_configuration",
        "provider_unavailable",
        "order_refused",
        "customer_refused",
    ]
    message: str


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """The provider's object is closed and can take no money any more."""

    reason: str | None = None


class NotSent(msgspec.Struct, frozen=True, tag="not_sent"):
    """Certainly nothing began there: refused connection, rate limit."""

    message: str
    retry_after_seconds: int = 1
    answered: bool = False
    """Somebody said so, who may be a proxy that had sent it: nobody else need retry, and before it
    counts as failed it is looked for.
    """


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """Timeout, reset, 5xx or garbage: it may have happened. The truth is fetched, not guessed."""

    message: str
    idle: bool = False
    """The provider has the payment's object and shows that nothing has begun on it: no payment
    method, or one that was never confirmed, and no failure.
    """
    unfamiliar: bool = False
    """The provider shows the payment, in a word of its own that this version does not know."""
    known_key: bool = False
    """The provider knows the idempotency key with another request: this was sent before, at a time
    that we have forgotten.
    """


Outcome = Approved | ActionRequired | Pending | Declined | Rejected | Cancelled | NotSent | Unknown
"""Handled with `match` and `assert_never`."""


class Answer(msgspec.Struct, frozen=True):
    """An outcome, with what the provider said of itself."""

    outcome: Outcome
    provider_reference: str | None = None
    """The provider's id for the payment, when the answer named it."""
    as_of: datetime | None = None
    """The provider's own clock: the answer's `Date`, or the event's `created`."""
    amount: int | None = None
    """What the provider's object says; it is held against ours."""
    currency: str | None = None
    attempt: str | None = None
    """Our attempt's id as the provider's metadata bears it."""
    installation: str | None = None
    merchant: str | None = None
    intent: str | None = None
    """Our intent's id as the provider's metadata bears it; it was another one before a restore."""
    refunded: int = 0
    """How much of what was captured went back; none, too, where the answer does not tell."""
    disputed: bool = False
    """Whether the payer's bank disputes the charge, as far as the answer tells."""
