"""The ledger: double entry, per merchant and currency. What it has posted is never changed.

A positive amount debits an account, a negative one credits it, and the entries of a transfer
sum to zero in each currency: one that does not balance cannot be made. Amounts are in the smallest
unit of the currency that stands on the entry.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import msgspec

from paygate.domain.disputes.conclusion import DisputeMoved, DisputePosting
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.outcome import DisputeStatus, MoneyRow
from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Answer, Approved
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.record import Recorded
from paygate.domain.refunds.conclusion import Posting, RefundMoved


class Account(StrEnum):
    """Where money stands, from the merchant's side."""

    PROVIDER = "provider"
    """An asset: what the provider has taken for the merchant and owes them."""
    SALES = "sales"
    """Income: what payers have paid."""
    REFUNDS = "refunds"
    """Less income: what goes back to payers, from its reservation on."""
    REFUNDS_DUE = "refunds_due"
    """A debt: what is promised to payers and has not left the provider."""
    DISPUTES = "disputes"
    """An asset in question: what the provider withdrew for disputes that are not lost."""
    DISPUTE_LOSSES = "dispute_losses"
    """An expense: what was withdrawn for disputes that are lost."""
    DISPUTE_FEES = "dispute_fees"
    """An expense: what the provider charges for disputes, won ones too."""
    FEES = "fees"
    """An expense: what the provider charges for payments, and by itself."""
    TAXES = "taxes"
    """An expense: what the provider withholds for the state."""
    BANK = "bank"
    """An asset: what was paid out to the merchant's bank, on its way there or arrived."""
    FX = "fx"
    """What conversions gave less what they took, in each currency; over all of them, at the rates
    of the day, gain or loss."""
    RESERVES = "reserves"
    """An asset: what the provider holds back, and gives free later."""
    ADVANCES = "advances"
    """A debt: what the provider lent, and takes back."""
    TRANSFERS = "transfers"
    """An asset: what went to other accounts at the provider."""
    ADJUSTMENTS = "adjustments"
    """An expense (or, negative, income): what the provider booked by hand."""
    FOREIGN = "foreign"
    """A debt: what others' payments on the provider's account brought."""
    UNEXPLAINED = "unexplained"
    """What nobody could say of a payout: its residual, and lines that nothing stands behind."""


class TransferKind(StrEnum):
    """Which fact about money a transfer records."""

    CAPTURE = "capture"
    REFUND_RESERVE = "refund_reserve"
    REFUND_PAY = "refund_pay"
    REFUND_RELEASE = "refund_release"
    REFUND_PAY_AT_ONCE = "refund_pay_at_once"
    REFUND_RETURN = "refund_return"
    DISPUTE_WITHDRAW = "dispute_withdraw"
    DISPUTE_REINSTATE = "dispute_reinstate"
    DISPUTE_FEE = "dispute_fee"
    DISPUTE_LOSE = "dispute_lose"
    DISPUTE_REGAIN = "dispute_regain"


_REFUND_SIDES: Final[Mapping[Posting, tuple[Account, Account]]] = MappingProxyType(
    {
        Posting.RESERVE: (Account.REFUNDS, Account.REFUNDS_DUE),
        Posting.PAY: (Account.REFUNDS_DUE, Account.PROVIDER),
        Posting.RELEASE: (Account.REFUNDS_DUE, Account.REFUNDS),
        Posting.PAY_AT_ONCE: (Account.REFUNDS, Account.PROVIDER),
        Posting.RETURN: (Account.PROVIDER, Account.REFUNDS),
    }
)
"""The account that each debits, and the one that it credits."""


class Unbalanced(Exception):
    """The entries do not make a transfer."""


class Entry(Recorded, frozen=True):
    """One side of a transfer. `amount` in the smallest unit of `currency`."""

    account: Account
    amount: int
    currency: Currency | None = None
    """None on entries that were posted before it stood on them: their transfer's."""


def sides(debit: Account, credit: Account, amount: int, currency: Currency) -> tuple[Entry, Entry]:
    """The two entries of a transfer that moves `amount` from one account to another."""
    return Entry(debit, amount, currency), Entry(credit, -amount, currency)


class Transfer(Recorded, frozen=True, kw_only=True):
    """Append-only, sealed. `money_seq` is its place among all that moved money on the intent, and
    `currency` the intent's.
    """

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
    refund: str | None = None
    dispute: str | None = None

    def __post_init__(self) -> None:
        """Raises `Unbalanced`."""
        if len(self.entries) < 2 or any(entry.amount == 0 for entry in self.entries):  # noqa: PLR2004 -- two sides
            raise Unbalanced("a transfer has two sides, and moves something")
        totals = Counter[Currency]()
        for entry in self.entries:
            totals[self.currency_of(entry)] += entry.amount
        if any(totals.values()):
            raise Unbalanced("a transfer's entries sum to zero in each currency")

    def currency_of(self, entry: Entry) -> Currency:
        """The currency of one of its entries."""
        return entry.currency or self.currency

    def moved(self, account: Account, currency: Currency | None = None) -> int:
        """How much it debits (or, negative, credits) an account, in its own currency or another."""
        wanted = currency or self.currency
        return sum(
            entry.amount
            for entry in self.entries
            if entry.account is account and self.currency_of(entry) == wanted
        )


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
        entries=sides(Account.PROVIDER, Account.SALES, taken, after.currency),
        posted_at=after.updated_at,
        attempt=attempt,
        provider_reference=after.provider_reference,
    )


def refund(moved: RefundMoved, *, transfer_id: str) -> Transfer:
    """What a refund's move does to the money; it must do something."""
    before, after = moved.before, moved.intent
    assert moved.posting is not None, "a refund's move that leaves the money alone posts nothing"
    assert after.money_seq == before.money_seq + 1, "what moves money has its own place"
    debit, credit = _REFUND_SIDES[moved.posting]
    amount, currency = moved.refund.amount, moved.refund.currency
    return Transfer(
        id=transfer_id,
        merchant=after.merchant,
        intent=after.id,
        money_seq=after.money_seq,
        kind=TransferKind(moved.posting),
        currency=currency,
        entries=sides(debit, credit, amount, currency),
        posted_at=after.updated_at,
        provider_reference=moved.refund.provider_reference,
        refund=moved.refund.id,
    )


def dispute(moved: DisputeMoved, *, transfer_id: str) -> Transfer:
    """What a dispute's move does to the money; it must do something. What the provider booked is
    posted as it booked it, in the currency of its row.
    """
    before, after, of = moved.before, moved.intent, moved.dispute
    assert moved.posting is not None, "a dispute's move that leaves the money alone posts nothing"
    assert after.money_seq == before.money_seq + 1, "what moves money has its own place"
    row = moved.row
    return Transfer(
        id=transfer_id,
        merchant=after.merchant,
        intent=after.id,
        money_seq=after.money_seq,
        kind=TransferKind(moved.posting),
        currency=after.currency,
        entries=_of_row(of, row) if row is not None else _of_loss(of, moved.posting),
        posted_at=after.updated_at,
        provider_reference=of.provider_reference if row is None else row.provider_reference,
        dispute=of.id,
    )


def _of_row(of: Dispute, row: MoneyRow) -> tuple[Entry, ...]:
    lost = of.status is DisputeStatus.LOST
    moves = (
        (Account.PROVIDER, row.amount - row.fee),
        (Account.DISPUTE_LOSSES if lost else Account.DISPUTES, -row.amount),
        (Account.DISPUTE_FEES, row.fee),
    )
    currency = Currency(row.currency)
    return tuple(Entry(account, amount, currency) for account, amount in moves if amount)


def _of_loss(of: Dispute, posting: DisputePosting) -> tuple[Entry, ...]:
    """What was withdrawn and is not back, from what is in question to what is lost, or back."""
    sign = 1 if posting is DisputePosting.LOSE else -1
    return tuple(
        entry
        for currency, sums in of.sums.items()
        if sums.outstanding
        for entry in (
            Entry(Account.DISPUTE_LOSSES, sign * sums.outstanding, currency),
            Entry(Account.DISPUTES, -sign * sums.outstanding, currency),
        )
    )


Balances = Mapping[tuple[str, Currency, Account], int]
"""By merchant, currency and account."""


class Posted(Protocol):
    """What moves money between accounts of one merchant: of an intent, or of the account."""

    @property
    def merchant(self) -> str:
        """Whose accounts."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Its sides."""

    def currency_of(self, entry: Entry) -> Currency:
        """The currency of one of them."""


def post(totals: MutableMapping[tuple[str, Currency, Account], int], transfer: Posted) -> None:
    """Add a transfer to what every account holds."""
    for entry in transfer.entries:
        account = (transfer.merchant, transfer.currency_of(entry), entry.account)
        totals[account] = totals.get(account, 0) + entry.amount


class Mismatch(msgspec.Struct, frozen=True):
    """Where an intent and its transfers disagree, or a settlement and its."""

    intent: str
    """The id of the intent, or of the settlement."""
    what: str


def check_intent(intent: PaymentIntent, transfers: Iterable[Transfer]) -> list[Mismatch]:
    """Hold an intent against its transfers, all of them."""
    ordered = sorted(transfers, key=lambda transfer: transfer.money_seq)
    found = []
    if [t.money_seq for t in ordered] != list(range(1, intent.money_seq + 1)):
        found.append(Mismatch(intent.id, "its transfers are not numbered 1, 2, 3 to its last"))
    if any(t.currency != intent.currency for t in ordered):
        found.append(Mismatch(intent.id, "a transfer is in another currency"))
    captured = sum(-t.moved(Account.SALES) for t in ordered)
    if captured != intent.amount_received:
        found.append(Mismatch(intent.id, "its captures do not sum to what it received"))
    due = sum(-t.moved(Account.REFUNDS_DUE) for t in ordered)
    if due != intent.amount_refund_pending:
        found.append(Mismatch(intent.id, "its reservations do not sum to its refunds pending"))
    if sum(t.moved(Account.REFUNDS) for t in ordered) - due != intent.amount_refunded:
        found.append(Mismatch(intent.id, "its refunds do not sum to what it refunded"))
    withdrawn = _held(ordered, Account.DISPUTES, Account.DISPUTE_LOSSES)
    if withdrawn != intent.withdrawn:
        found.append(Mismatch(intent.id, "its disputes do not sum to what they withdrew"))
    if _held(ordered, Account.DISPUTE_FEES) != intent.dispute_fees:
        found.append(Mismatch(intent.id, "its disputes' fees do not sum to what they cost"))
    return found


def _held(transfers: Iterable[Transfer], *accounts: Account) -> dict[str, int]:
    """What transfers leave in accounts together, by currency."""
    totals = Counter[str]()
    for transfer in transfers:
        for entry in transfer.entries:
            if entry.account in accounts:
                totals[transfer.currency_of(entry)] += entry.amount
    return {currency: total for currency, total in totals.items() if total}


class Money(NamedTuple):
    """What a provider has of one payment, in the smallest unit: taken, or held; and how much of
    what it took it has given back.
    """

    taken: int = 0
    held: int = 0
    given_back: int = 0


NO_MONEY: Final = Money()
_BACKED: Final = frozenset(Status) - {Status.CREATED, Status.FAILED, Status.CANCELLED}
"""Statuses that stand on the payment at the provider, once one is recorded."""


def money_at_provider(answer: Answer) -> Money:
    """What the provider says that it has of a payment."""
    outcome = answer.outcome
    if not isinstance(outcome, Approved):
        return NO_MONEY
    held = 0 if outcome.captured else outcome.amount_capturable
    return Money(outcome.amount_received, held, answer.refunded)


def money_recorded(intent: PaymentIntent, reference: str) -> Money:
    """What an intent says that the provider has of one of its payments: one of them pays for it."""
    if intent.provider_reference != reference:
        return NO_MONEY
    held = intent.amount_capturable if intent.status is Status.REQUIRES_CAPTURE else 0
    return Money(intent.amount_received, held, intent.amount_refunded)


def needs_payment(intent: PaymentIntent) -> bool:
    """Whether the provider must have the payment that the intent records."""
    return intent.amount_received > 0 or intent.status in _BACKED


def check_payment(intent: PaymentIntent, reference: str, theirs: Money | None) -> Mismatch | None:
    """Hold an intent against one payment at the provider; `theirs` is None when it has none."""
    ours = money_recorded(intent, reference)
    if theirs is None:
        if intent.provider_reference != reference or not needs_payment(intent):
            return None
        said = f"the provider has no payment {reference}, and we have {_words(ours)}"
        return Mismatch(intent.id, said)
    if theirs == ours:
        return None
    if (theirs.taken, theirs.held) == (ours.taken, ours.held):
        return _check_given_back(intent, theirs.given_back)
    if theirs.taken and ours == NO_MONEY and intent.amount_received:
        said = f"the provider took {theirs.taken} once more, as {reference}"
        return Mismatch(intent.id, f"{said}: {intent.provider_reference} has paid for it")
    if theirs.taken != ours.taken:
        said = f"the provider took {theirs.taken}, and we have {ours.taken}"
        return Mismatch(intent.id, said)
    return Mismatch(intent.id, f"the provider holds {theirs.held}, and we have {ours.held} held")


def _check_given_back(intent: PaymentIntent, theirs: int) -> Mismatch | None:
    """A refund that is on its way may be counted there already, or not."""
    ours = intent.amount_refunded
    if ours <= theirs <= ours + intent.amount_refund_pending:
        return None
    return Mismatch(intent.id, f"the provider has given back {theirs}, and we have {ours}")


def _words(money: Money) -> str:
    return f"{money.held} held" if money.held else str(money.taken)
