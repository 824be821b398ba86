"""`paygate restored`: the database was put back to an earlier moment."""

from typing import TYPE_CHECKING, Annotated

import typer

from paygate.cli.command import AsJson, Data, Quiet, moment_of, perform, print_json, run_async

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
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Tell the gateway that its database was restored. Run it before the API starts."""
    from paygate.domain.access.roles import Action
    from paygate.flows.restores.declare import declare_restore

    moment = None if taken_at is None else moment_of(taken_at, "--taken-at")

    async def work(ctx: "Context", caller: "Caller") -> "Restore":
        return await declare_restore(ctx, caller, moment)

    async def go() -> None:
        restore = await perform(data, Action.RESTORE_DECLARE, work)
        if as_json:
            print_json({"taken_at": restore.taken_at, "noticed_at": restore.noticed_at})
        elif not quiet:
            at = {"taken_at": restore.taken_at, "noticed_at": restore.noticed_at}
            shown = {name: f"{moment:%Y-%m-%d %H:%M:%S} UTC" for name, moment in at.items()}
            typer.echo(NEXT.format(**shown), nl=False)

    run_async(go())
