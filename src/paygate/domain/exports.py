"""Records as rows of a table that an accountant's program reads. Pure.

Amounts are exact decimals by the currency's ISO exponent, each beside its currency, and no two
currencies share a sum. Times are ISO 8601 in UTC, days are days, and what is unknown is empty.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.disputes.dispute import Dispute, Sums
from paygate.domain.ledger import Transfer
from paygate.domain.money import decimal_units
from paygate.domain.payments.outcome import Card
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.refund import Refund
from paygate.domain.settlements.discrepancy import Amount, Discrepancy
from paygate.domain.settlements.line import SettlementLine
from paygate.domain.settlements.settlement import Settlement
from paygate.domain.settlements.working_days import age_days

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet reckon with a text."""


class ExportKind(StrEnum):
    """What can be exported."""

    PAYMENTS = "payments"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    SETTLEMENTS = "settlements"
    SETTLEMENT_LINES = "settlement-lines"
    DISCREPANCIES = "discrepancies"
    LEDGER = "ledger"


class Money(NamedTuple):
    """An amount in smallest units; unknown when it is None."""

    amount: int | None
    currency: str


class PlacedLine(NamedTuple):
    """A line as people decided of it, and the id of its settlement."""

    settlement: str
    line: SettlementLine


Cell = str | int | bool | Money | datetime | date | None
Row = tuple[Cell, ...]


class Sheet(NamedTuple):
    """One kind's table: its columns, the rows that a record makes, and which column is summed."""

    columns: tuple[str, ...]
    rows: Callable[[Any, datetime], Iterable[Row]]
    summed: str

    def summed_of(self, row: Row) -> Money | None:
        """What a row adds to the sum of its currency."""
        money = row[self.columns.index(self.summed)]
        return money if isinstance(money, Money) and money.amount is not None else None


def csv_lines(rows: Iterable[Iterable[Cell]]) -> str:
    """Rows as CSV (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(map(_written, row) for row in rows)
    return text.getvalue()


def _written(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case int():
            return str(cell)
        case Money(amount=amount, currency=currency):
            return "" if amount is None else decimal_units(amount, currency)
        case datetime():
            shown = cell.astimezone(UTC).isoformat(timespec="milliseconds")
            return shown.replace("+00:00", "Z")
        case date():
            return cell.isoformat()
        case _:
            return guarded(cell)


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula: one that could be has an apostrophe before
    it. Numbers are never texts here, so that -12.00 stays one.
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def _payment(of: PaymentIntent, _now: datetime) -> Iterator[Row]:
    method = of.payment_method
    card = method if isinstance(method, Card) else Card()
    shown = None if method is None else "card" if isinstance(method, Card) else "bank_transfer"
    amounts = (
        *(of.amount, of.amount_received, of.amount_refunded, of.amount_refund_pending),
        *(of.amount_disputed, of.amount_refundable),
    )
    yield (
        *(of.id, of.merchant, of.created_at, of.status, of.currency),
        *(Money(amount, of.currency) for amount in amounts),
        *(of.capture_method, shown, card.brand, card.last4),
        *(of.reference, of.description, of.customer, of.provider, of.provider_reference),
    )


def _refund(of: Refund, _now: datetime) -> Iterator[Row]:
    failure = None if of.failure is None else of.failure.code
    yield (
        *(of.id, of.merchant, of.intent, of.created_at, of.updated_at, of.status),
        *(of.currency, Money(of.amount, of.currency)),
        *(of.reason, failure, of.provider_reference),
    )


def _dispute(of: Dispute, _now: datetime) -> Iterator[Row]:
    """One row, and one more for each further currency that its money moved in: what is disputed
    stands on the first alone.
    """
    for number, (currency, sums) in enumerate((of.sums or {of.currency: Sums()}).items()):
        yield (
            *(of.id, of.merchant, of.intent, of.created_at, of.kind, of.status, of.reason),
            *(of.currency, Money(None if number else of.amount, of.currency), currency),
            *(Money(a, currency) for a in (sums.withdrawn, sums.reinstated, sums.fee)),
            *(of.evidence_due_by, of.closed_at, of.provider_reference),
        )


def _settlement(of: Settlement, _now: datetime) -> Iterator[Row]:
    counts = of.counts
    yield (
        *(of.id, of.provider_reference, of.source, of.automatic, of.status, of.matching),
        of.currency,
        *(Money(amount, of.currency) for amount in (of.amount, of.residual, of.bank_amount)),
        *(of.arrival_date, counts.lines, counts.matched, counts.suggested, counts.unmatched),
        *(counts.foreign, counts.provider_only, of.open_discrepancies, of.lines_in_doubt),
        *(of.created_at, of.concluded_at, of.closed_at),
    )


def _line(of: PlacedLine, _now: datetime) -> Iterator[Row]:
    line, said = of.line, of.line.said
    customer = Money(said.customer_amount, said.customer_currency or said.currency)
    yield (
        *(of.settlement, line.id, said.provider_reference, said.category, said.provider_category),
        said.currency,
        *(Money(amount, said.currency) for amount in (said.gross, said.fee, said.net)),
        *(said.customer_currency, customer, said.exchange_rate),
        *(said.source_reference, said.payment_reference, line.merchant, line.payment_intent),
        *(line.refund, line.dispute, line.state, line.by, said.available_on, said.created_at),
    )


def _discrepancy(of: Discrepancy, now: datetime) -> Iterator[Row]:
    what, decision = of.what, of.decision
    sides = [_side(what.expected), _side(what.found)]
    difference = None if what.found is None else Money(what.difference, what.found.currency)
    decided: Row = (None,) * 4
    if decision is not None:
        decided = (decision.action, decision.reason, decision.actor, decision.at)
    yield (
        *(of.id, of.kind, of.severity, of.status, what.merchant, of.settlement),
        *(what.settlement_line, what.payment_intent, what.about),
        *(cell for side in sides for cell in side),
        *(difference, age_days(what.since or of.first_seen_at, now)),
        *(of.first_seen_at, of.last_seen_at, *decided),
    )


def _side(amount: Amount | None) -> tuple[Cell, Cell]:
    if amount is None:
        return None, None
    return amount.currency, Money(amount.amount, amount.currency)


def _transfer(of: Transfer | AccountTransfer, _now: datetime) -> Iterator[Row]:
    """A row for each entry: the transfer's rows together balance in each currency."""
    own: Row
    if isinstance(of, Transfer):
        own = (of.intent, of.refund, of.dispute, None, of.provider_reference, None, of.money_seq)
    else:
        own = (None, None, None, of.settlement, of.provider_reference, of.category, None)
    for entry in of.entries:
        currency = of.currency_of(entry)
        debit = entry.amount if entry.amount > 0 else None
        credit = -entry.amount if entry.amount < 0 else None
        yield (
            *(of.id, of.posted_at, of.merchant, of.kind, entry.account, currency),
            *(Money(debit, currency), Money(credit, currency), *own),
        )


_K: Final = ExportKind
SHEETS: Final[Mapping[ExportKind, Sheet]] = MappingProxyType(
    {
        _K.PAYMENTS: Sheet(
            (
                *("id", "merchant", "created_at", "status", "currency", "amount"),
                *("amount_received", "amount_refunded", "amount_refund_pending"),
                *("amount_disputed", "amount_refundable", "capture_method", "payment_method"),
                *("card_brand", "card_last4", "reference", "description", "customer"),
                *("provider", "provider_reference"),
            ),
            _payment,
            "amount_received",
        ),
        _K.REFUNDS: Sheet(
            (
                *("id", "merchant", "payment_intent", "created_at", "updated_at", "status"),
                *("currency", "amount", "reason", "failure_code", "provider_reference"),
            ),
            _refund,
            "amount",
        ),
        _K.DISPUTES: Sheet(
            (
                *("id", "merchant", "payment_intent", "created_at", "kind", "status", "reason"),
                *("currency", "amount", "money_currency", "withdrawn", "reinstated", "fee"),
                *("evidence_due_by", "closed_at", "provider_reference"),
            ),
            _dispute,
            "amount",
        ),
        _K.SETTLEMENTS: Sheet(
            (
                *("id", "provider_reference", "source", "automatic", "status", "matching"),
                *("currency", "amount", "residual", "bank_amount", "arrival_date", "lines"),
                *("matched", "suggested", "unmatched", "foreign", "provider_only"),
                *("open_discrepancies", "refused_lines", "created_at", "concluded_at"),
                "closed_at",
            ),
            _settlement,
            "amount",
        ),
        _K.SETTLEMENT_LINES: Sheet(
            (
                *("settlement", "id", "provider_reference", "category", "provider_category"),
                *("currency", "gross", "fee", "net", "customer_currency", "customer_amount"),
                *("exchange_rate", "source_reference", "payment_reference", "merchant"),
                *("payment_intent", "refund", "dispute", "match", "matched_by"),
                *("available_on", "created_at"),
            ),
            _line,
            "net",
        ),
        _K.DISCREPANCIES: Sheet(
            (
                *("id", "kind", "severity", "status", "merchant", "settlement"),
                *("settlement_line", "payment_intent", "about", "expected_currency", "expected"),
                *("found_currency", "found", "difference", "age_days", "first_seen_at"),
                *("last_seen_at", "decision", "reason", "decided_by", "decided_at"),
            ),
            _discrepancy,
            "difference",
        ),
        _K.LEDGER: Sheet(
            (
                *("transfer", "posted_at", "merchant", "kind", "account", "currency", "debit"),
                *("credit", "payment_intent", "refund", "dispute", "settlement"),
                *("provider_reference", "category", "money_seq"),
            ),
            _transfer,
            "debit",
        ),
    }
)
