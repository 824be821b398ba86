"""A customer: the one record that holds facts about a person. Others hold its id."""

from datetime import datetime

from paygate.domain.record import Recorded


class Customer(Recorded, frozen=True, kw_only=True):
    """What the merchant told us of a payer."""

    id: str
    merchant: str
    livemode: bool
    created_at: datetime
    updated_at: datetime
    version: int = 1
    email: str | None = None
    name: str | None = None
    provider_reference: str | None = None
    """The provider's customer for this one, as long as the provider takes it."""
    erased_at: datetime | None = None
