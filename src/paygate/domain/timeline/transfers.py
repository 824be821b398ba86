"""What a payment did to the ledger."""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from paygate.domain.ledger import Account, Transfer, TransferKind
from paygate.domain.money import Currency
from paygate.domain.timeline.entry import Cause, Entry, Kind
from paygate.domain.timeline.words import money

WORDS: Final[Mapping[TransferKind, str]] = MappingProxyType(
    {
        TransferKind.CAPTURE: "taken from the payer",
        TransferKind.REFUND_RESERVE: "reserved for a refund",
        TransferKind.REFUND_PAY: "paid back, as it was reserved",
        TransferKind.REFUND_RELEASE: "no longer reserved: the refund was not made",
        TransferKind.REFUND_PAY_AT_ONCE: "paid back",
        TransferKind.REFUND_RETURN: "come back: the refund failed after all",
        TransferKind.DISPUTE_WITHDRAW: "withdrawn for a dispute",
        TransferKind.DISPUTE_REINSTATE: "given back of a dispute",
        TransferKind.DISPUTE_FEE: "moved by a dispute's fee",
        TransferKind.DISPUTE_LOSE: "lost for good, with the dispute",
        TransferKind.DISPUTE_REGAIN: "no longer lost: the dispute was won after all",
    }
)


def transfers(posted: Iterable[Transfer]) -> list[Entry]:
    """An entry for each transfer, with what it moved."""
    return [_transfer(each) for each in sorted(posted, key=lambda each: each.money_seq)]


def _transfer(transfer: Transfer) -> Entry:
    moved, fees = Counter[Currency](), Counter[Currency]()
    for entry in transfer.entries:
        if entry.amount > 0:
            into = fees if entry.account is Account.DISPUTE_FEES else moved
            into[transfer.currency_of(entry)] += entry.amount
    if not moved:  # a fee by itself
        moved, fees = fees, moved
    # What the provider books may be in another currency than the payment; of more than one, the
    # details have the amounts.
    currency, amount = next(iter(moved.items()))
    beside = f", and a fee of {_amounts(fees)}" if fees else ""
    to = [f"{entry.account}_{transfer.currency_of(entry)}" for entry in transfer.entries]
    return Entry(
        at=transfer.posted_at,
        kind=Kind.TRANSFER,
        cause=Cause.MONEY,
        summary=f"In the ledger: {_amounts(moved)} {WORDS[transfer.kind]}{beside}.",
        provider_reference=transfer.provider_reference,
        outcome=str(transfer.kind),
        amount=amount if len(moved) == 1 else None,
        currency=currency if len(moved) == 1 else None,
        details={
            "transfer": transfer.id,
            "money_seq": transfer.money_seq,
            "refund": transfer.refund,
            "dispute": transfer.dispute,
            **{f"to_{name}": each.amount for name, each in zip(to, transfer.entries, strict=True)},
        },
    )


def _amounts(sums: Counter[Currency]) -> str:
    return " and ".join(money(amount, currency) for currency, amount in sums.items())
