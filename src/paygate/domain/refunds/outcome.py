"""What a provider's answer about a refund means, as a closed union.

`NotSent` and `Unknown` are those of payments: certain that nothing began, and everything that is
not certain.
"""

from datetime import datetime

import msgspec

from paygate.domain.payments.outcome import NotSent, Unknown


class Refunded(msgspec.Struct, frozen=True, tag="refunded"):
    """The money is on its way. It may still come back, weeks later."""


class RefundPending(msgspec.Struct, frozen=True, tag="pending"):
    """The provider has the refund and works on it: it waits for money, or for the payer's bank
    details. `message` says for what, when the provider does.
    """

    message: str | None = None


class RefundFailed(msgspec.Struct, frozen=True, tag="failed"):
    """The provider had the refund, and the money stays with the merchant, or came back."""

    code: str
    message: str


class RefundRejected(msgspec.Struct, frozen=True, tag="rejected"):
    """The provider made no refund, and will not for the asking: `code` says why."""

    code: str
    message: str


RefundOutcome = Refunded | RefundPending | RefundFailed | RefundRejected | NotSent | Unknown
"""Handled with `match` and `assert_never`."""


class RefundAnswer(msgspec.Struct, frozen=True):
    """An outcome, with what the provider said of the refund."""

    outcome: RefundOutcome
    provider_reference: str | None = None
    """The provider's id of the refund."""
    payment_reference: str | None = None
    """The provider's id of the payment that it gives money back of."""
    as_of: datetime | None = None
    """The provider's own clock: the answer's `Date`, or the event's `created`."""
    created_at: datetime | None = None
    """When the provider made it, by its own clock."""
    amount: int | None = None
    currency: str | None = None
    refund: str | None = None
    """Our refund's id as the provider's metadata bears it."""
    installation: str | None = None
    merchant: str | None = None
    reason: str | None = None
    """Why, in the provider's words."""
    tracking_reference: str | None = None
    """What the payer's bank finds the money by."""
