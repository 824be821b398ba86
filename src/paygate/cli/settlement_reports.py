"""`paygate settle --report`: a settlement report on this machine, read and settled."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

from paygate.cli.command import (
    Data,
    perform,
    plain,
    print_json,
    settings_of,
    shown_progress,
)
from paygate.cli.settlement_tables import print_settlements
from paygate.domain.settlements.report_import import ReportFormat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paygate.domain.access.roles import Caller
    from paygate.domain.settlements.report_import import SettlementImport
    from paygate.domain.settlements.settlement import Settlement
    from paygate.flows.context import Context
    from paygate.flows.settlements.import_report import Report

    Done = tuple[SettlementImport, Sequence[Settlement]]

_READ: Final = 1024 * 1024
_SHOWN: Final = 20
"""Refused lines that are printed; the import has up to a thousand."""


class ReportGiven(NamedTuple):
    """The options that name a report."""

    file: Path
    format: ReportFormat
    mapping: Path | None


async def settle_report(given: ReportGiven, data: Data, *, as_json: bool, quiet: bool) -> None:
    """Read a report and settle its payouts; exit 1 if something is left for a person."""
    from paygate.domain.access.roles import Action
    from paygate.domain.settlements.report_import import ImportStatus
    from paygate.domain.settlements.settlement import Matching

    report, breaks = _report(given)

    async def work(ctx: "Context", caller: "Caller") -> "Done":
        return await _imported(ctx, caller, report, given.file, settings_of(data).data, breaks)

    done, settlements = await perform(data, Action.SETTLEMENT_IMPORT, work)
    if as_json:
        print_json(_json(done, settlements))
    elif not quiet:
        _print(done, settlements)
    balanced = all(each.matching is Matching.BALANCED for each in settlements)
    if done.status is not ImportStatus.COMPLETED or done.refused_count or not balanced:
        raise typer.Exit(1)


async def _imported(
    ctx: "Context", caller: "Caller", report: "Report", file: Path, where: Path, breaks: int
) -> "Done":
    from paygate.domain.access.roles import Action
    from paygate.flows.settlements.import_report import (
        begin_import,
        check_report,
        import_subject,
        new_import,
        work_for_person,
    )
    from paygate.flows.settlements.our_side import ACCOUNT
    from paygate.storage.change import Change
    from paygate.worker.report_hands import hands_for

    check_report(ctx, report, file)
    begun = new_import(ctx, caller, report)
    audit = ctx.audit(caller, Action.SETTLEMENT_IMPORT, import_subject(begun))
    done = await begin_import(ctx, caller, report, begun, Change(audit, creates=(begun,)))
    with shown_progress() as progress:
        read = 0

        def heard(lines: int) -> None:
            nonlocal read
            read += lines
            progress("lines", read, max(breaks, read))

        async with hands_for(ctx, caller, where, report.size_bytes, heard) as hands:
            done = await work_for_person(ctx, caller, done, hands, file)
    found = [await ctx.settlements.settlement(ACCOUNT, each) for each in done.settlements]
    return done, [each for each in found if each is not None]


def _report(given: ReportGiven) -> "tuple[Report, int]":
    """The report, and how many line breaks it has: about its lines, for the bar."""
    from paygate.flows.settlements.import_report import Report

    digest, size, breaks = hashlib.sha256(), 0, 0
    if given.file.exists() and not given.file.is_file():
        said = "it is no file: a report is read more than once, so a pipe or a device is none"
        raise typer.BadParameter(said, param_hint="--report")
    try:
        with given.file.open("rb") as content:
            while piece := content.read(_READ):
                digest.update(piece)
                size += len(piece)
                breaks += piece.count(b"\n")
    except OSError as error:
        raise typer.BadParameter(str(error.strerror), param_hint="--report") from None
    return Report(given.format, _mapping(given.mapping), digest.digest(), size), breaks


def _mapping(file: Path | None) -> "Mapping[str, str]":
    if file is None:
        return {}
    wanted = "a JSON object of strings (docs/settlement-reports.md)"
    found: Any = None
    try:
        with suppress(ValueError):
            found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise typer.BadParameter(str(error.strerror), param_hint="--mapping") from None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise typer.BadParameter(wanted, param_hint="--mapping")
    return found


def _json(done: "SettlementImport", settlements: "Sequence[Settlement]") -> Any:
    from paygate.api.settlement_import_object import settlement_import_object
    from paygate.api.settlement_object import settlement_object

    return {
        "settlement_import": settlement_import_object(done),
        "settlements": [settlement_object(each) for each in settlements],
    }


def _print(done: "SettlementImport", settlements: "Sequence[Settlement]") -> None:
    print_settlements(settlements)
    typer.echo(
        f"import {done.id} {done.status}: {done.lines_read} lines read, {done.lines_new} of them"
        f" new, {done.refused_count} refused"
    )
    if done.failure is not None:
        typer.echo(plain(done.failure))
    for each in done.refused[:_SHOWN]:
        typer.echo(f"line {each.line}: {plain(each.message)}")
