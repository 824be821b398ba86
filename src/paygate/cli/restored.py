"""`paygate restored`: the database was put back to an earlier moment."""

from typing import TYPE_CHECKING

import typer

from paygate.cli.command import AsJson, Data, perform, print_json, run_async

if TYPE_CHECKING:
    from paygate.storage.restores import Restore

NEXT = """\
The database remembers everything up to {taken_at}.
A payment intent of before {noticed_at} is looked for at the provider before it is confirmed.

Next, with the API and the worker running:
  paygate jobs run resolve-attempts    what was under way at the moment of the backup
  paygate jobs run expire-intents      challenges and transfers that ended since
  paygate ledger verify                every payment of the provider's that is missing here
"""


def restored(data: Data = None, as_json: AsJson = False) -> None:
    """Tell the gateway that its database was restored. Run it before the API starts."""
    from paygate.domain.access import Action
    from paygate.flows.declare_restore import declare_restore

    async def go() -> None:
        restore: Restore = await perform(data, Action.RESTORE_DECLARE, declare_restore)
        if as_json:
            print_json({"taken_at": restore.taken_at, "noticed_at": restore.noticed_at})
        else:
            at = {"taken_at": restore.taken_at, "noticed_at": restore.noticed_at}
            shown = {name: f"{moment:%Y-%m-%d %H:%M:%S} UTC" for name, moment in at.items()}
            typer.echo(NEXT.format(**shown), nl=False)

    run_async(go())
