"""The ledger: double entry, per merchant and currency. What it has posted is never changed.

A positive amount debits an account, a negative one credits it, and the entries of a transfer
sum to zero: one that does not balance cannot be made. Amounts are in the smallest unit.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from paygate.domain.money import Currency
from paygate.domain.payment_intent import PaymentIntent
from paygate.domain.record import Recorded


class Account(StrEnum):
    """Where money stands, from the merchant's side."""

    PROVIDER = "provider"
    """An asset: what the provider has taken for the merchant and owes them."""
    SALES = "sales"
    """Income: what payers have paid."""


class TransferKind(StrEnum):
    """Which fact about money a transfer records."""

    CAPTURE = "capture"


class Unbalanced(Exception):
    """The entries do not make a transfer."""


class Entry(Recorded, frozen=True):
    """One side of a transfer."""

    account: Account
    amount: int


class Transfer(Recorded, frozen=True, kw_only=True):
    """Append-only, sealed. `money_seq` is its place among all that moved money on the intent."""

    id: str
    merchant: str
    intent: str
    money_seq: int
    kind: TransferKind
    currency: Currency
    entries: tuple[Entry, ...]
    posted_at: datetime
    attempt: str | None = None
    provider_reference: str | None = None

    def __post_init__(self) -> None:
        """Raises `Unbalanced`."""
        if len(self.entries) < 2 or any(entry.amount == 0 for entry in self.entries):  # noqa: PLR2004 -- two sides
            raise Unbalanced("a transfer has two sides, and moves something")
        if sum(entry.amount for entry in self.entries) != 0:
            raise Unbalanced("a transfer's entries sum to zero")

    def moved(self, account: Account) -> int:
        """How much it debits (or, negative, credits) an account."""
        return sum(entry.amount for entry in self.entries if entry.account is account)


def capture(
    before: PaymentIntent, after: PaymentIntent, *, transfer_id: str, attempt: str | None
) -> Transfer:
    """What the provider took between two versions of an intent."""
    taken = after.amount_received - before.amount_received
    assert after.money_seq == before.money_seq + 1, "what moves money has its own place"
    return Transfer(
        id=transfer_id,
        merchant=after.merchant,
        intent=after.id,
        money_seq=after.money_seq,
        kind=TransferKind.CAPTURE,
        currency=after.currency,
        entries=(Entry(Account.PROVIDER, taken), Entry(Account.SALES, -taken)),
        posted_at=after.updated_at,
        attempt=attempt,
        provider_reference=after.provider_reference,
    )


Balances = Mapping[tuple[str, Currency, Account], int]
"""By merchant, currency and account."""


def balances(transfers: Iterable[Transfer]) -> Balances:
    """What every account holds after these transfers."""
    totals: dict[tuple[str, Currency, Account], int] = defaultdict(int)
    for transfer in transfers:
        for entry in transfer.entries:
            totals[transfer.merchant, transfer.currency, entry.account] += entry.amount
    return dict(totals)


class Mismatch(msgspec.Struct, frozen=True):
    """Where an intent and its transfers disagree."""

    intent: str
    what: str


def check_intent(intent: PaymentIntent, transfers: Iterable[Transfer]) -> list[Mismatch]:
    """Hold an intent against its transfers, all of them."""
    ordered = sorted(transfers, key=lambda transfer: transfer.money_seq)
    found = []
    if [t.money_seq for t in ordered] != list(range(1, intent.money_seq + 1)):
        found.append(Mismatch(intent.id, "its transfers are not numbered 1, 2, 3 to its last"))
    if any(t.currency != intent.currency for t in ordered):
        found.append(Mismatch(intent.id, "a transfer is in another currency"))
    if sum(t.moved(Account.PROVIDER) for t in ordered) != intent.amount_received:
        found.append(Mismatch(intent.id, "its captures do not sum to what it received"))
    return found
