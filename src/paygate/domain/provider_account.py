"""The provider's account that the installation's payments are at."""

from datetime import datetime

from paygate.domain.record import Recorded


class ProviderAccount(Recorded, frozen=True, kw_only=True):
    """`id` is the provider's name. What is pinned stays: another account knows none of the
    payments that were made at this one.
    """

    id: str
    merchant: str
    account: str
    """The provider's own id of it."""
    created_at: datetime
