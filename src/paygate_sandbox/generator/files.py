"""The books as files: the provider's report and payouts, the merchant's records, the labels.

Everything is written as it comes. It must never hold more of it than the generator does.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final

from paygate_sandbox.generator.books import Generator
from paygate_sandbox.generator.plan import DAY, Plan
from paygate_sandbox.generator.rows import Discrepancy, Dispute, Line, Payment, Payout, Refund
from paygate_sandbox.resources.currencies import exponent
from paygate_sandbox.resources.reports.columns import DEFAULT_COLUMNS, major, moment

REPORT: Final = "report.csv"
"""The provider's itemised payout report."""
PAYOUTS: Final = "payouts.csv"
"""The payouts as the provider's API tells them."""
LABELS: Final = "discrepancies.csv"
SUMMARY: Final = "books.json"
_RECORDS: Final[Mapping[type[Any], str]] = {
    Payment: "payments.csv",
    Refund: "refunds.csv",
    Dispute: "disputes.csv",
}
"""What the merchant's side recorded, amounts in minor units."""
_MORE_COLUMNS: Final = ("charge_id", "payment_intent_id", "charge_created_utc", "dispute_reason")
_PAYOUT_COLUMNS: Final = ("payout", "amount", "currency", "status", "created_at", "arrival_date")
_BUFFER: Final = 1 << 20

_NEEDS_QUOTES: Final = re.compile(r'[",\r\n]')

Write = Callable[[Iterable[Any]], Any]


def write_books(plan: Plan, out: Path) -> dict[str, Any]:
    """Write every file into a folder, made when there is none; answers the summary. Raises
    PlanError.
    """
    generator = Generator(plan)
    out.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    with ExitStack() as stack:

        def opened(name: str) -> IO[str]:
            path = out / name
            return stack.enter_context(path.open("w", _BUFFER, encoding="utf-8", newline=""))

        def rows(name: str, header: Iterable[str]) -> Write:
            write = csv.writer(opened(name), lineterminator="\n").writerow
            write(header)
            return write

        report = opened(REPORT)
        csv.writer(report, lineterminator="\n").writerow(_header(plan))
        payouts = rows(PAYOUTS, _PAYOUT_COLUMNS)
        labels = rows(LABELS, Discrepancy._fields)
        records = {kind: rows(name, kind._fields) for kind, name in _RECORDS.items()}
        for entry in generator.entries():
            if isinstance(entry, Payout):
                payouts(entry[:-1])
                report.writelines(_lines_of(entry, plan))
                counts["lines"] += len(entry.lines)
                counts["payouts"] += 1
                sums[entry.currency] += entry.amount
            elif isinstance(entry, Discrepancy):
                labels(entry)
                counts[entry.kind] += 1
            else:
                records[type(entry)](entry)
                counts[f"{type(entry).__name__.lower()}s"] += 1
    summary = _summary(plan, counts, sums)
    (out / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def _summary(plan: Plan, counts: Counter[str], sums: Counter[str]) -> dict[str, Any]:
    kinds = {kind: count for kind, count in sorted(plan.discrepancies.items()) if count}
    told = {kind: counts.pop(kind, 0) for kind in kinds}
    assert told == kinds, "as many of each kind are labelled as were wanted"
    return {
        "seed": plan.seed,
        "months": plan.months,
        "attempt_key": plan.attempt_key,
        "marks": dict(plan.marks),
        **dict(sorted(counts.items())),
        "paid_out": dict(sorted(sums.items())),
        "discrepancies": told,
    }


def _header(plan: Plan) -> list[str]:
    metadata = [f"payment_metadata[{key}]" for key in (plan.attempt_key, *plan.marks)]
    return [*DEFAULT_COLUMNS, *_MORE_COLUMNS, *metadata]


def _lines_of(payout: Payout, plan: Plan) -> Iterator[str]:
    """The report's lines of a payout. Only texts that others chose may need quotes."""
    arrival = moment(payout.arrival_date)
    marks = "".join(f",{_text(mark)}" for mark in plan.marks.values())
    nothing = "," * len(plan.marks)
    for line in payout.lines:
        created, available = _moment(line.created_at), _moment(line.available_on)
        amount = "" if line.customer_amount is None else _customer_amount(line)
        charged = "" if line.charged_at is None else _moment(line.charged_at)
        currency, gross, fee = line.currency, line.gross, line.fee
        yield (
            f"{payout.id},{arrival},{line.transaction},{created},{created},{available},{available},"
            f"{currency},{_major(gross, currency)},{_major(fee, currency)},"
            f"{_major(gross - fee, currency)},{line.category},{line.source},{line.description},"
            f"{amount},{line.customer_currency},{line.charge},{line.payment_intent},{charged},"
            f"{line.dispute_reason},{_text(line.attempt)}{marks if line.marked else nothing}\n"
        )


def _text(cell: str) -> str:
    if _NEEDS_QUOTES.search(cell) is None:
        return cell
    return '"' + cell.replace('"', '""') + '"'


def _customer_amount(line: Line) -> str:
    assert line.customer_amount is not None, "a line of a charge"
    return _major(line.customer_amount, line.customer_currency)


_digits = lru_cache(exponent)


def _major(amount: int, currency: str) -> str:
    """What `columns.major` says, for a million lines."""
    digits = _digits(currency)
    if digits == 2 and amount >= 0:  # noqa: PLR2004 -- almost all of them
        return f"{amount // 100}.{amount % 100:02d}"
    return major(amount, currency)


def _moment(at: int) -> str:
    """What `columns.moment` says in UTC, for a million lines."""
    day, rest = divmod(at, DAY)
    return _date(day) + _time(rest)


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return moment(day * DAY)[:11]


@lru_cache(maxsize=DAY)
def _time(rest: int) -> str:
    return moment(rest)[11:]
