"""Settlements as `paygate settle` prints them."""

from typing import TYPE_CHECKING

import typer

from paygate.cli.command import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paygate.domain.settlements.discrepancy import Amount, Discrepancy
    from paygate.domain.settlements.settlement import Settlement


def print_settlement(settlement: "Settlement", found: "Sequence[Discrepancy]") -> None:
    """A payout, its lines by category, and what is wrong with it."""
    from paygate.api.settlement_object import totals_of

    currency, counts = settlement.currency, settlement.counts
    arrival = settlement.arrival_date
    typer.echo(
        f"payout {settlement.provider_reference} ({settlement.id}): {settlement.status},"
        f" {'automatic' if settlement.automatic else 'by hand'},"
        f" arrival {'unknown' if arrival is None else arrival.isoformat()};"
        f" {settlement.matching}{'' if settlement.is_open else ', closed'}"
    )
    rows = [
        (t.category, str(t.count), *(_plain(each, currency) for each in (t.gross, t.fee, t.net)))
        for t in totals_of(settlement)
    ]
    net = None if settlement.amount is None else settlement.amount - (settlement.residual or 0)
    rows.append(("lines together", "", "", "", _plain(net, currency)))
    rows.append(("residual", "", "", "", _plain(settlement.residual, currency)))
    rows.append((f"payout in {currency.upper()}", "", "", "", _plain(settlement.amount, currency)))
    if settlement.bank_amount is not None:
        rows.append(("bank received", "", "", "", _plain(settlement.bank_amount, currency)))
    print_table(("category", "lines", "gross", "fee", "net"), rows)
    typer.echo(
        f"{counts.lines} lines: {counts.matched} matched, {counts.suggested} suggested,"
        f" {counts.unmatched} unmatched, {counts.foreign} foreign, {counts.provider_only} the"
        " provider's own"
    )
    if settlement.lines_in_doubt:
        doubtful = settlement.lines_in_doubt
        typer.echo(
            f"{doubtful} lines of its report were refused, or are not in the provider's list"
        )
    _print_discrepancies(found)


def _print_discrepancies(found: "Sequence[Discrepancy]") -> None:
    rows = [
        (
            each.id,
            each.kind,
            each.status,
            _amount(each.what.expected),
            _amount(each.what.found),
            each.payment_intent,
            each.what.about,
            "" if each.decision is None else f"{each.decision.actor}: {each.decision.reason}",
        )
        for each in found
    ]
    if rows:
        head = ("discrepancy", "kind", "status", "expected", "found", "payment", "about", "decided")
        print_table(head, rows)


def print_settlements(settled: "Sequence[Settlement]") -> None:
    """A line for each settlement."""
    rows = [
        (
            each.provider_reference,
            each.status,
            each.matching if each.is_open else "closed",
            _major(each.amount, each.currency),
            _major(each.residual, each.currency),
            str(each.counts.lines),
            str(each.open_discrepancies),
        )
        for each in settled
    ]
    head = ("payout", "status", "matching", "amount", "residual", "lines", "open discrepancies")
    print_table(head, rows)


def _plain(amount: int | None, currency: str) -> str:
    """An amount without its currency, which the table's foot names."""
    return "-" if amount is None else _major(amount, currency).partition(" ")[0]


def _amount(amount: "Amount | None") -> str:
    return "-" if amount is None else amount.words


def _major(amount: int | None, currency: str) -> str:
    from paygate.domain.settlements.discrepancy import Amount

    return "-" if amount is None else Amount(amount, currency).words
