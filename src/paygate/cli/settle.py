"""`paygate settle`: payouts held against our records, printed for whoever keeps the books."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from paygate.cli.command import AsJson, Data, Quiet, perform, print_json, print_table, run_async
from paygate.cli.settlement_reports import ReportGiven, settle_report
from paygate.domain.settlements.report_import import ReportFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paygate.domain.access.roles import Caller
    from paygate.domain.settlements.discrepancy import Amount, Discrepancy
    from paygate.domain.settlements.settlement import Settlement
    from paygate.flows.context import Context
    from paygate.flows.settlements.run import Ran

    Shown = tuple[Settlement, Sequence[Discrepancy]]

SHOWN: Final = 1000
"""Discrepancies of a settlement that are printed; all of them are in the API's list."""


def settle(
    payout: Annotated[
        str | None,
        typer.Option(metavar="ID", help="One payout, by the provider's id or the settlement's."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read a settlement report, and settle its payouts."),
    ] = None,
    report_format: Annotated[
        ReportFormat | None,
        typer.Option("--format", help="What its columns mean; stripe_itemized unless told."),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The columns of a generic report, as JSON."),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Settle payouts, all, one or a report's; exit 1 if something is left for a person."""
    if report is not None:
        if payout is not None:
            raise typer.BadParameter("settle a payout or a report", param_hint="--report")
        given = ReportGiven(report, report_format or ReportFormat.STRIPE_ITEMIZED, mapping)
        run_async(settle_report(given, data, as_json=as_json, quiet=quiet))
    elif mapping is not None or report_format is not None:
        option = "--format" if mapping is None else "--mapping"
        raise typer.BadParameter("it is for --report", param_hint=option)
    elif payout is None:
        run_async(_all(data, as_json=as_json, quiet=quiet))
    else:
        run_async(_one(data, payout, as_json=as_json, quiet=quiet))


async def _all(data: Data, *, as_json: bool, quiet: bool) -> None:
    from paygate.domain.access.roles import Action
    from paygate.flows.settlements.by_hand_run import settle_all

    settled: dict[str, Settlement] = {}

    def heard(done: Any) -> None:
        if done.settlement is not None:
            settled[done.settlement.id] = done.settlement

    async def work(ctx: "Context", _: "Caller") -> "Ran":
        return await settle_all(ctx, heard)

    ran = await perform(data, Action.SETTLEMENT_TAKE, work)
    if as_json:
        print_json(_run_json(ran, list(settled.values())))
    elif not quiet:
        _print_run(ran, list(settled.values()))
    if ran.failed or ran.discrepancies:
        raise typer.Exit(1)


async def _one(data: Data, payout: str, *, as_json: bool, quiet: bool) -> None:
    from paygate.domain.access.roles import Action
    from paygate.flows.settlements.by_hand_run import discrepancies_of, settle_one

    async def work(ctx: "Context", caller: "Caller") -> "Shown":
        settlement = await settle_one(ctx, caller, payout)
        return settlement, await discrepancies_of(ctx, settlement, SHOWN)

    settlement, found = await perform(data, Action.SETTLEMENT_TAKE, work)
    if as_json:
        print_json(_json(settlement, found))
    elif not quiet:
        print_settlement(settlement, found)
    is_left = settlement.is_open and settlement.matching != "balanced"
    if is_left or settlement.open_discrepancies:
        raise typer.Exit(1)


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
    if settlement.refused_lines:
        typer.echo(f"{settlement.refused_lines} lines of its report could not be read")
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


def _print_run(ran: "Ran", settled: "Sequence[Settlement]") -> None:
    print_settlements(settled)
    left = ran.unsettled
    typer.echo(
        f"{ran.settled} payouts settled, {ran.closed} of them closed, {ran.failed} failed;"
        f" {ran.discrepancies} discrepancies are open\n"
        f"{left.asked} payments and refunds in no payout were asked for: {left.late} late,"
        f" {left.missing} missing at the provider; {left.healed} found since"
    )


def _run_json(ran: "Ran", settled: "Sequence[Settlement]") -> Any:
    from paygate.api.settlement_object import settlement_object

    return {
        "settlements": [settlement_object(each) for each in settled],
        "settled": ran.settled,
        "closed": ran.closed,
        "failed": ran.failed,
        "open_discrepancies": ran.discrepancies,
        "unsettled": ran.unsettled._asdict(),
    }


def _json(settlement: "Settlement", found: "Sequence[Discrepancy]") -> Any:
    from paygate.api.settlement_object import discrepancy_object, settlement_object

    return {
        "settlement": settlement_object(settlement),
        "discrepancies": [discrepancy_object(each) for each in found],
    }


def _plain(amount: int | None, currency: str) -> str:
    """An amount without its currency, which the table's foot names."""
    return "-" if amount is None else _major(amount, currency).partition(" ")[0]


def _amount(amount: "Amount | None") -> str:
    return "-" if amount is None else amount.words


def _major(amount: int | None, currency: str) -> str:
    from paygate.domain.settlements.discrepancy import Amount

    return "-" if amount is None else Amount(amount, currency).words
