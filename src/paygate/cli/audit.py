"""`paygate audit`: the audit log's chain, checked here, or exported for somebody else's check."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paygate.cli.command import (
    AsJson,
    Data,
    Quiet,
    perform,
    print_json,
    print_table,
    run_async,
    shown_progress,
)

if TYPE_CHECKING:
    from paygate.domain.access.roles import Caller
    from paygate.flows.audit_log.verify import Verified
    from paygate.flows.context import Context

app = typer.Typer(help="The audit log: checked, and exported.", no_args_is_help=True)


@app.command()
def verify(
    whole: Annotated[
        bool, typer.Option("--all/--new", help="All of it, or what is new since it was good last.")
    ] = True,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Checkpoints, a line each, as they were kept outside."
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check every entry, the chain, and the checkpoints outside.

    Exit 1 and the first bad entry if anything is not as it was.
    """
    from paygate.domain.access.roles import Action
    from paygate.flows.audit_log.verify import verify_audit_log

    async def work(ctx: "Context", caller: "Caller") -> "Verified":
        with shown_progress() as progress:
            return await verify_audit_log(
                ctx, caller, whole=whole, lines=_lines(checkpoints), progress=progress
            )

    async def go() -> None:
        found = await perform(data, Action.AUDIT_VERIFY, work)
        if as_json:
            print_json(found)
        elif not quiet or not found.is_good:
            _print(found)
        if not found.is_good:
            raise typer.Exit(1)

    run_async(go())


@app.command()
def export(
    first: Annotated[int, typer.Option(min=1, help="The number of the first entry.")] = 1,
    data: Data = None,
) -> None:
    """Write the log to standard output as lines of JSON.

    docs/audit/verify_export.py checks them with Python's standard library alone.
    """
    from paygate.domain.access.roles import Action
    from paygate.flows.audit_log.export import export_audit_log

    async def work(ctx: "Context", caller: "Caller") -> None:
        with shown_progress() as progress:
            async for line in export_audit_log(ctx, caller, first=first, progress=progress):
                sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()

    run_async(perform(data, Action.AUDIT_EXPORT, work))


@app.command()
def keys(data: Data = None, as_json: AsJson = False) -> None:
    """Print the public keys that the log is signed with (Ed25519).

    Keep them apart from this machine: whoever checks an export needs them from somebody else.
    """
    from paygate.domain.access.roles import Action

    async def work(ctx: "Context", _: "Caller") -> dict[str, str]:
        return {str(key): public.hex() for key, public in ctx.audit_keys.public_keys().items()}

    async def go() -> None:
        found = await perform(data, Action.AUDIT_VERIFY, work)
        if as_json:
            print_json({"public_keys": found})
        else:
            print_table(("key", "public key"), found.items())

    run_async(go())


def _lines(path: Path | None) -> Callable[[], Iterator[bytes]] | None:
    if path is None:
        return None
    from paygate.checkpoints import lines_of

    return lambda: lines_of(path)


def _print(found: "Verified") -> None:
    for gap in found.gaps:
        by = f", declared by {gap.declared_by}" if gap.declared_by else ""
        typer.echo(f"declared gap: numbers {gap.first} to {gap.last}, lost by a restore{by}")
    if found.detached:
        typer.echo(f"{found.detached} entries are of months that were taken away")
    if not found.checkpoints_known:
        typer.echo("nothing outside says where the log ends: PAYGATE_AUDIT_CHECKPOINTS is not set")
    if found.fault is not None:
        typer.echo(found.fault.words())
        return
    typer.echo(
        f"good: numbers {found.first} to {found.head}, {found.entries} entries,"
        f" {found.checkpoints} checkpoints"
    )
