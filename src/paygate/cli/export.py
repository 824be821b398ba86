"""`paygate export`: records as CSV, decrypted, for an accountant's program."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from paygate.cli.command import (
    Data,
    Quiet,
    moment_of,
    perform,
    plain,
    run_async,
    shown_progress,
)
from paygate.domain.exports import ExportKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from paygate.domain.access.roles import Caller
    from paygate.flows.context import Context
    from paygate.flows.exports.export import Exported, Wanted

Kind = Annotated[ExportKind, typer.Argument(help="What is exported.", show_default=False)]
Format = Annotated[Literal["csv"], typer.Option("--format", help="The only one so far.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="A file, for you alone, which is there once it is whole."),
]
Merchant = Annotated[str | None, typer.Option(help="Of one merchant alone.")]
Since = Annotated[str | None, typer.Option(metavar="ISO8601", help="Made then or later.")]
Until = Annotated[str | None, typer.Option(metavar="ISO8601", help="Made before then.")]


def export(
    kind: Kind,
    format_: Format = "csv",  # noqa: ARG001 -- there is no other
    output: Output = None,
    merchant: Merchant = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    quiet: Quiet = False,
) -> None:
    """Write all records of a kind to standard output or to a file, with their count and sums on
    standard error. Exit 1 and an error when it is not whole.
    """
    from paygate.flows.exports.export import Wanted

    wanted = Wanted(
        kind,
        merchant,
        None if since is None else moment_of(since, "--since"),
        None if until is None else moment_of(until, "--until"),
    )
    run_async(_export(data, wanted, output, quiet=quiet))


async def _export(data: Path | None, wanted: "Wanted", output: Path | None, *, quiet: bool) -> None:
    from paygate.domain.access.roles import Action
    from paygate.domain.money import decimal_units
    from paygate.private import written_whole

    async def work(ctx: "Context", caller: "Caller") -> "Exported":
        if output is None:
            return await _written(ctx, caller, wanted, _to_standard_output)
        with written_whole(output) as file:
            return await _written(ctx, caller, wanted, lambda text: file.write(text.encode()))

    done = await perform(data, Action.EXPORT, work)
    if not quiet:
        totals = sorted(done.totals.items())
        sums = ", ".join(f"{decimal_units(a, c)} {c.upper()}" for c, a in totals)
        said = f"{done.rows} rows; {done.summed}: {sums or 'nothing'}"
        typer.echo(plain(said), err=True)


async def _written(
    ctx: "Context", caller: "Caller", wanted: "Wanted", write: "Callable[[str], object]"
) -> "Exported":
    from paygate.flows.exports.export import export as export_all

    with shown_progress() as progress:
        return await export_all(ctx, caller, wanted, write, progress)


def _to_standard_output(text: str) -> None:
    try:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        from paygate.flows.exports.export import NotWhole

        # Nothing is left to be flushed at the program's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise NotWhole("the export is not whole: nobody reads it any more") from None
