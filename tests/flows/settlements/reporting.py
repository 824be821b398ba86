"""Reports as files, made of a provider's lines."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paygate.domain.access.roles import Action
from paygate.domain.settlements.outcome import Line
from paygate.domain.settlements.report_import import ReportFormat, SettlementImport
from paygate.domain.settlements.reports.rows import ALL
from paygate.flows.settlements.import_report import (
    OwnHands,
    Report,
    begin_import,
    import_subject,
    new_import,
    work_for_person,
)
from paygate.storage.change import Change
from tests.domain.settlements.reports.reading import csv_of
from tests.flows.settlements.paying import C, line
from tests.flows.world import World

HEADER = (
    "automatic_payout_id", "balance_transaction_id", "created_utc", "available_on_utc", "currency",
    "gross", "fee", "net", "reporting_category", "source_id", "payment_intent_id",
    "payment_metadata[paygate_installation]", "payment_metadata[paygate_merchant]",
    "payment_metadata[paygate_attempt]",
)  # fmt: skip


def euros(amount: int) -> str:
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def row(payout: str, said: Line) -> tuple[str, ...]:
    """A line as the provider's itemised report has it."""
    return (
        payout,
        said.provider_reference,
        said.created_at.strftime("%Y-%m-%d %H:%M:%S"),
        f"{said.available_on.isoformat()} 00:00:00",
        said.currency,
        *map(euros, (said.gross, said.fee, said.net)),
        said.provider_category,
        said.source_reference or "",
        said.payment_reference or "",
        said.installation or "",
        said.merchant or "",
        said.attempt or "",
    )


def own_row(payout: str, lines: Sequence[Line]) -> Line:
    """The payout's own row."""
    amount = sum(each.net for each in lines)
    return line(f"txn_{payout}", -amount, C.PAYOUT, source_reference=payout)


def report(payouts: Mapping[str, Sequence[Line]], *, own: bool = True) -> bytes:
    """A report of payouts, each with its own row."""
    rows: list[tuple[str, ...]] = [HEADER]
    for payout, lines in payouts.items():
        every = [*lines, own_row(payout, lines)] if own else lines
        rows += [row(payout, each) for each in every]
    return csv_of(*rows)


async def bring(
    world: World,
    folder: Path,
    content: bytes,
    report_format: ReportFormat = ReportFormat.STRIPE_ITEMIZED,
    mapping: Mapping[str, str] | None = None,
    **caller: Any,
) -> SettlementImport:
    """Import a file, in this process."""
    file = folder / "report.csv"
    file.write_bytes(content)
    digest = hashlib.sha256(content).digest()
    brought = Report(report_format, mapping or {}, digest, len(content))
    begun = new_import(world.ctx, world.caller, brought)
    audit = world.ctx.audit(world.caller, Action.SETTLEMENT_IMPORT, import_subject(begun))
    change = Change(audit, creates=(begun,))
    done = await begin_import(world.ctx, world.caller, brought, begun, change)
    hands = OwnHands(world.ctx, world.caller, ALL, lambda _: None)
    return await work_for_person(world.ctx, world.caller, done, hands, file)
