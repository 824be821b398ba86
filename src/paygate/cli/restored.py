"""`paygate restored`: the database was put back to an earlier moment."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paygate.cli.command import (
    AsJson,
    Data,
    Quiet,
    moment_of,
    perform,
    print_json,
    run_async,
    shown_progress,
)

if TYPE_CHECKING:
    from paygate.domain.access.roles import Caller
    from paygate.flows.context import Context
    from paygate.storage.restores import Restore

NEXT = """\
The database remembers everything up to {taken_at}.
A payment intent of before {noticed_at} is looked for at the provider before it is confirmed.

Next, with the API and the worker running:
  paygate jobs run resolve-attempts    what was under way at the moment of the backup
  paygate jobs run expire-intents      challenges and transfers that ended since
  paygate ledger verify                every payment of the provider's that is missing here
"""


def restored(
    taken_at: Annotated[
        str | None,
        typer.Option(metavar="ISO8601", help="When the backup was made, if the API ran since."),
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="The audit log's checkpoints, a line each, where an https address keeps them.",
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Tell the gateway that its database was restored. Run it before the API starts."""
    from paygate.checkpoints import lines_of
    from paygate.domain.access.roles import Action
    from paygate.flows.audit_log.checkpoint import LOST
    from paygate.flows.audit_log.lost import lost_by_restore
    from paygate.flows.restores.declare import declare_restore

    moment = None if taken_at is None else moment_of(taken_at, "--taken-at")

    lines = None if checkpoints is None else partial(lines_of, checkpoints)

    async def work(ctx: "Context", caller: "Caller") -> "tuple[Restore, str | None]":
        with shown_progress() as progress:
            lost = await lost_by_restore(ctx, caller, lines=lines, progress=progress)
        return await declare_restore(ctx, caller, moment, lost), lost.get(LOST)

    async def go() -> None:
        restore, lost = await perform(data, Action.RESTORE_DECLARE, work)
        if as_json:
            at = {"taken_at": restore.taken_at, "noticed_at": restore.noticed_at}
            print_json({**at, "audit_entries_lost": lost})
        elif not quiet:
            at = {"taken_at": restore.taken_at, "noticed_at": restore.noticed_at}
            shown = {name: f"{moment:%Y-%m-%d %H:%M:%S} UTC" for name, moment in at.items()}
            typer.echo(NEXT.format(**shown), nl=False)
            if lost is not None:
                typer.echo(f"The audit log has lost its numbers {lost}: declared, and shown.")

    run_async(go())
