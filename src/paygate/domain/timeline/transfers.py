"""What a payment did to the ledger."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from paygate.domain.ledger import Transfer, TransferKind
from paygate.domain.timeline.entry import Cause, Entry, Kind
from paygate.domain.timeline.words import money

_WORDS: Final[Mapping[TransferKind, str]] = MappingProxyType(
    {
        TransferKind.CAPTURE: "taken from the payer",
        TransferKind.REFUND_RESERVE: "reserved for a refund",
        TransferKind.REFUND_PAY: "paid back, as it was reserved",
        TransferKind.REFUND_RELEASE: "no longer reserved: the refund was not made",
        TransferKind.REFUND_PAY_AT_ONCE: "paid back",
        TransferKind.REFUND_RETURN: "come back: the refund failed after all",
    }
)


def transfers(posted: Iterable[Transfer]) -> list[Entry]:
    """An entry for each transfer, with what it moved."""
    return [_transfer(each) for each in sorted(posted, key=lambda each: each.money_seq)]


def _transfer(transfer: Transfer) -> Entry:
    amount = sum(entry.amount for entry in transfer.entries if entry.amount > 0)
    # An older name of what a newer version posts is said as it is.
    words = _WORDS.get(transfer.kind, transfer.kind.replace("_", " "))
    return Entry(
        at=transfer.posted_at,
        kind=Kind.TRANSFER,
        cause=Cause.MONEY,
        summary=f"In the ledger: {money(amount, transfer.currency)} {words}.",
        provider_reference=transfer.provider_reference,
        outcome=str(transfer.kind),
        amount=amount,
        currency=transfer.currency,
        details={
            "transfer": transfer.id,
            "money_seq": transfer.money_seq,
            "refund": transfer.refund,
            **{f"to_{entry.account}": entry.amount for entry in transfer.entries},
        },
    )
