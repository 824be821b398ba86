"""The merchant's side of generated books: what this gateway would have recorded of them.

The generator writes what should have been recorded as files; here they become sealed records, and
are written in bulk, without the flows that would have made them.
"""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.outcome import (
    DisputeKind,
    DisputeReason,
    DisputeStatus,
    MoneyRow,
    RowKind,
)
from paygate.domain.ids import make_id
from paygate.domain.money import Currency, major_units
from paygate.domain.payments.payment_intent import (
    CaptureMethod,
    PaymentIntent,
    PaymentMethodType,
    Status,
)
from paygate.domain.refunds.refund import Refund, RefundState
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.reports.layout import CellReader, Cells
from paygate.providers.stripe.itemized_report import LAYOUT

MERCHANT: Final = "default"
PIECE_BYTES: Final = 1 << 18
Record = PaymentIntent | Refund | Dispute


class Label(NamedTuple):
    """A discrepancy that was injected: its kind, and the provider's id of what it is about."""

    kind: str
    about: str


def payments(folder: Path) -> Iterator[PaymentIntent]:
    """The payments, in the order in which they were taken."""
    for row in _rows(folder / "payments.csv"):
        at = _time(row["captured_at"])
        taken = int(row["amount_captured"]) if row["status"] == "succeeded" else 0
        yield PaymentIntent(
            id=_id("pi_", row["payment_intent"], at),
            merchant=MERCHANT,
            livemode=False,
            amount=int(row["amount"]),
            currency=Currency(row["currency"]),
            status=Status(row["status"]),
            capture_method=CaptureMethod.AUTOMATIC,
            payment_method_types=(PaymentMethodType.CARD,),
            provider="stripe",
            created_at=at,
            updated_at=at,
            amount_received=taken,
            reference=f"order-{row['attempt']}",
            attempt=row["attempt"],
            attempts=1,
            seed=hashlib.sha256(row["attempt"].encode()).digest()[:16],
            provider_reference=row["payment_intent"],
            provider_as_of=at,
            money_seq=1 if taken else 0,
            final_at=at,
        )


def refunds(folder: Path) -> Iterator[Refund]:
    """The refunds."""
    taken = {row["payment_intent"]: row["captured_at"] for row in _rows(folder / "payments.csv")}
    for row in _rows(folder / "refunds.csv"):
        at = _time(row["created_at"])
        intent = row["payment_intent"]
        yield Refund(
            id=_id("re_", row["refund"], at),
            merchant=MERCHANT,
            livemode=False,
            intent=_id("pi_", intent, _time(taken[intent])),
            amount=int(row["amount"]),
            currency=Currency(row["currency"]),
            state=RefundState.SUCCEEDED,
            created_at=at,
            updated_at=at,
            expected_by=at.date() + timedelta(days=10),
            provider_reference=row["refund"],
        )


def disputes(folder: Path) -> Iterator[Dispute]:
    """The disputes, with the money that the provider has booked for each."""
    taken = {row["payment_intent"]: row["captured_at"] for row in _rows(folder / "payments.csv")}
    booked = _money_rows(folder)
    for row in _rows(folder / "disputes.csv"):
        at = _time(row["created_at"])
        intent = row["payment_intent"]
        rows = booked[row["dispute"]]
        won = any(each.kind is RowKind.REINSTATED for each in rows)
        yield Dispute(
            id=_id("dp_", row["dispute"], at),
            merchant=MERCHANT,
            livemode=False,
            intent=_id("pi_", intent, _time(taken[intent])),
            kind=DisputeKind.CHARGEBACK,
            status=DisputeStatus.WON if won else DisputeStatus.LOST,
            reason=DisputeReason.FRAUDULENT,
            amount=int(row["amount"]),
            currency=Currency(row["currency"]),
            provider_reference=row["dispute"],
            created_at=at,
            updated_at=at,
            rows=tuple(rows),
        )


def add_own_rows(folder: Path) -> None:
    """Add to the report what the provider says of each payout: the payout's own row, as the
    balance has it.
    """
    report = folder / "report.csv"
    with report.open(newline="") as content:
        header = next(csv.reader(content))
    with report.open("a", newline="") as content:
        writer = csv.DictWriter(content, header, restval="", lineterminator="\n")
        for row in _rows(folder / "payouts.csv"):
            at = _time(row["created_at"]).strftime("%Y-%m-%d %H:%M:%S")
            left = _decimal(-int(row["amount"]), row["currency"])
            zero = _decimal(0, row["currency"])
            own = {"gross": left, "fee": zero, "net": left, "currency": row["currency"]}
            own |= {"automatic_payout_id": row["payout"], "source_id": row["payout"]}
            own |= {"balance_transaction_id": f"txn_{row['payout']}", "created_utc": at}
            writer.writerow(own | {"available_on_utc": at, "reporting_category": "payout"})


def labels(folder: Path) -> set[Label]:
    """What is wrong with the books: with which line, or payout, or payment that has no line."""
    return {
        Label(row["kind"], row["transaction"] or row["payout"] or row["payment_intent"])
        for row in _rows(folder / "discrepancies.csv")
    }


def lines(folder: Path) -> Iterator[Line]:
    """Every line of the report."""
    reader = CellReader(LAYOUT)
    with (folder / "report.csv").open("rb") as content:
        while piece := content.read(PIECE_BYTES):
            yield from (LAYOUT.read(e.cells) for e in reader.feed(piece) if isinstance(e, Cells))
    yield from (LAYOUT.read(each.cells) for each in reader.end() if isinstance(each, Cells))


def _money_rows(folder: Path) -> Mapping[str, list[MoneyRow]]:
    kinds = {
        LineCategory.DISPUTE: RowKind.WITHDRAWN,
        LineCategory.DISPUTE_REVERSAL: RowKind.REINSTATED,
    }
    booked: dict[str, list[MoneyRow]] = defaultdict(list)
    for line in lines(folder):
        kind = kinds.get(line.category)
        if kind is not None and line.source_reference is not None:
            booked[line.source_reference].append(
                MoneyRow(
                    provider_reference=line.provider_reference,
                    kind=kind,
                    amount=line.gross,
                    fee=line.fee,
                    currency=line.currency,
                    created_at=line.created_at,
                )
            )
    return booked


def _decimal(units: int, currency: str) -> str:
    return major_units(units, Currency(currency)).rpartition(" ")[0]


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with file.open(newline="") as content:
        yield from csv.DictReader(content)


def _time(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _id(prefix: str, reference: str, at: datetime) -> str:
    """Our id of what the provider calls so: the same whenever it is made."""
    body = hashlib.sha256(reference.encode()).digest()
    return make_id(prefix, int(at.timestamp() * 1000), body[:10])
