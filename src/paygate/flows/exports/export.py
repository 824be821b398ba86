"""Export all records of a kind, decrypted, in memory that does not grow with them.

An export is whole or it has failed: a record that cannot be read ends it, and the count and the
sums at the end say what was in it.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from paygate.domain.access.roles import Action, Caller
from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.exports import SHEETS, ExportKind, PlacedLine, csv_lines
from paygate.domain.ledger import Transfer
from paygate.domain.money import decimal_units
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.refund import Refund
from paygate.domain.settlements.discrepancy import Discrepancy
from paygate.domain.settlements.line import MatchState
from paygate.domain.settlements.match import decided
from paygate.domain.settlements.settlement import Settlement
from paygate.flows.access.read_merchants import find_merchant
from paygate.flows.context import Context
from paygate.storage.change import Change, StorageError
from paygate.storage.pages import Place, Stretch

RECORDS: Final = 500
PAGES: Final = 4
"""Pages of lines read at once: some megabytes."""

R = TypeVar("R", bound=msgspec.Struct)
_KINDS: Final[Mapping[ExportKind, Sequence[type[msgspec.Struct]]]] = {
    ExportKind.PAYMENTS: (PaymentIntent,),
    ExportKind.REFUNDS: (Refund,),
    ExportKind.DISPUTES: (Dispute,),
    ExportKind.SETTLEMENTS: (Settlement,),
    ExportKind.DISCREPANCIES: (Discrepancy,),
    ExportKind.LEDGER: (Transfer, AccountTransfer),
}
_OPEN: Final = (MatchState.SUGGESTED, MatchState.UNMATCHED)


class NotWhole(StorageError):
    """A record could not be read, so that what was written is not all."""


class Wanted(NamedTuple):
    """Which records: of one merchant, and of a time, when it was asked for. `since` is in it,
    `until` is not.
    """

    kind: ExportKind
    merchant: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def has(self, merchant: str, at: datetime) -> bool:
        """Whether a record of that merchant and time is wanted."""
        return (
            self.merchant in (None, merchant)
            and (self.since is None or self.since <= at)
            and (self.until is None or at < self.until)
        )


class Exported(NamedTuple):
    """How many rows there were, and what the column `summed` comes to in each currency."""

    rows: int
    summed: str
    totals: Mapping[str, int]


Progress = Callable[[str, float, float | None], None]


async def export(
    ctx: Context, caller: Caller, wanted: Wanted, write: Callable[[str], Any], progress: Progress
) -> Exported:
    """Write the header and all rows as CSV, piece by piece.

    Raises:
        Refusal: `resource_missing`: there is no such merchant.
        NotWhole: a record cannot be read. Nothing of it, and nothing behind it, was written.
    """
    if wanted.merchant is not None:
        await find_merchant(ctx, wanted.merchant)
    asked = {name: str(value) for name, value in wanted._asdict().items() if value is not None}
    await ctx.door.commit(Change(ctx.audit(caller, Action.EXPORT, details=asked)))
    sheet, now = SHEETS[wanted.kind], ctx.now()
    write(csv_lines([sheet.columns]))
    count, totals = 0, Counter[str]()
    async for records in _records(ctx, wanted):
        rows = [row for record in records for row in sheet.rows(record, now)]
        write(csv_lines(rows))
        count += len(rows)
        for row in rows:
            money = sheet.summed_of(row)
            if money is not None:
                totals[money.currency] += money.amount or 0
        progress(wanted.kind, count, None)
    sums = ", ".join(f"{decimal_units(totals[each], each)} {each}" for each in sorted(totals))
    details = {**asked, "rows": str(count), sheet.summed: sums}
    await ctx.door.commit(Change(ctx.audit(caller, Action.EXPORT, details=details)))
    return Exported(count, sheet.summed, dict(totals))


def _records(ctx: Context, wanted: Wanted) -> AsyncIterator[Sequence[Any]]:
    if wanted.kind is ExportKind.SETTLEMENT_LINES:
        return _lines(ctx, wanted)
    return _of_tables(ctx, wanted)


async def _of_tables(ctx: Context, wanted: Wanted) -> AsyncIterator[Sequence[Any]]:
    for record in _KINDS[wanted.kind]:
        async for records in _stretches(partial(ctx.whole_tables.after, record), RECORDS):
            yield [each for each in records if wanted.has(_merchant_of(each), _made_at(each))]


def _merchant_of(record: Any) -> str:
    """Whose the row is, as it shows it: a discrepancy is kept by the account, whosever it is."""
    of: str = record.what.merchant if isinstance(record, Discrepancy) else record.merchant
    return of


def _made_at(record: Any) -> datetime:
    at: datetime = record.created_at if hasattr(record, "created_at") else record.posted_at
    return at


async def _lines(ctx: Context, wanted: Wanted) -> AsyncIterator[Sequence[PlacedLine]]:
    """Every line of all settlements, as people decided of it."""
    async for pages in _stretches(ctx.whole_tables.pages_after, PAGES):
        for page in pages:
            undecided = [line.id for line in page.lines if line.state in _OPEN]
            matches = await ctx.settlements.decided(page.merchant, undecided)
            lines = (decided(line, matches.get(line.id)) for line in page.lines)
            yield [
                PlacedLine(page.id, line)
                for line in lines
                if wanted.has(line.merchant, line.said.created_at)
            ]


async def _stretches(
    read: Callable[[Place | None, int], Any], size: int
) -> AsyncIterator[Sequence[Any]]:
    last: Place | None = None
    while True:
        stretch: Stretch[Any] = await read(last, size)
        if stretch.unread:
            raise NotWhole(f"the export is not whole: {stretch.unread[0]}")
        yield stretch.records
        if stretch.last is None:
            return
        last = stretch.last
