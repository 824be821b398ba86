"""`paygate settle`: payouts held against our records, printed for whoever keeps the books."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from paygate.cli.command import AsJson, Data, Quiet, perform, print_json, run_async
from paygate.cli.settlement_reports import ReportGiven, settle_report
from paygate.cli.settlement_tables import print_settlement, print_settlements
from paygate.domain.settlements.report_import import ReportFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paygate.domain.access.roles import Caller
    from paygate.domain.settlements.discrepancy import Discrepancy
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
