"""Transfers that belong to no payment intent: what a payout does, and what the provider takes or
holds back by itself.
"""

from collections import Counter
from datetime import datetime
from enum import StrEnum

from paygate.domain.ledger import Entry, Unbalanced
from paygate.domain.money import Currency
from paygate.domain.record import Recorded


class AccountTransferKind(StrEnum):
    """Which movement of the account it records."""

    FEES = "fees"
    CONVERSION = "conversion"
    PAYOUT = "payout"
    PAYOUT_FAILURE = "payout_failure"
    RESERVE = "reserve"
    TAX = "tax"
    ADVANCE = "advance"
    TOPUP = "topup"
    TRANSFER = "transfer"
    ADJUSTMENT = "adjustment"
    FOREIGN = "foreign"
    """What others took or gave on the provider's account."""
    UNEXPLAINED = "unexplained"
    """What a payout's lines leave unexplained of its amount."""
    CORRECTION = "correction"
    """What was learned of a settlement after it was posted."""


class AccountTransfer(Recorded, frozen=True, kw_only=True):
    """Append-only, sealed. Its id is derived from what it posts - the settlement, merchant, kind
    and category, or the provider's line - so that it is posted once.
    """

    id: str
    merchant: str
    kind: AccountTransferKind
    category: str
    """The lines' category that it sums."""
    entries: tuple[Entry, ...]
    posted_at: datetime
    settlement: str | None = None
    provider_reference: str | None = None
    """The provider's id of the line, where it posts one alone."""

    def __post_init__(self) -> None:
        """Raises `Unbalanced`."""
        if len(self.entries) < 2 or any(entry.amount == 0 for entry in self.entries):  # noqa: PLR2004 -- two sides
            raise Unbalanced("a transfer has two sides, and moves something")
        totals = Counter[str]()
        for entry in self.entries:
            if entry.currency is None:
                raise Unbalanced("an entry of an account's transfer names its currency")
            totals[entry.currency] += entry.amount
        if any(totals.values()):
            raise Unbalanced("a transfer's entries sum to zero in each currency")

    def currency_of(self, entry: Entry) -> Currency:
        """The currency of one of its entries."""
        assert entry.currency is not None, "it was made with one"
        return entry.currency
