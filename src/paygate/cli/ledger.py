"""`paygate ledger`: totals, and the check of everything against everything."""

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
from paygate.cli.export import Format, Merchant, Output, Since, Until
from paygate.cli.export import export as of_kind
from paygate.domain.exports import ExportKind

if TYPE_CHECKING:
    from paygate.domain.access.roles import Caller
    from paygate.domain.ledger import Balances
    from paygate.flows.context import Context
    from paygate.flows.ledger.verify import Verified

app = typer.Typer(help="The ledger: what was captured, and proof of it.", no_args_is_help=True)


@app.command()
def balance(data: Data = None, as_json: AsJson = False) -> None:
    """Print what every account holds, by merchant and currency. Debits are positive."""
    from paygate.domain.access.roles import Action
    from paygate.domain.money import major_units
    from paygate.flows.ledger.verify import read_balances

    async def work(ctx: "Context", caller: "Caller") -> "Balances":
        with shown_progress() as progress:
            return await read_balances(ctx, caller, progress=progress)

    async def go() -> None:
        found = sorted((await perform(data, Action.LEDGER_READ, work)).items())
        if as_json:
            rows = [
                {"merchant": merchant, "currency": currency, "account": account, "amount": amount}
                for (merchant, currency, account), amount in found
            ]
            print_json({"balances": rows})
        else:
            table = [(m, account, major_units(a, c)) for (m, c, account), a in found]
            print_table(("merchant", "account", "holds"), table)

    run_async(go())


@app.command()
def export(
    format_: Format = "csv",
    output: Output = None,
    merchant: Merchant = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    quiet: Quiet = False,
) -> None:
    """Write every entry of every transfer as CSV: `paygate export ledger`."""
    of_kind(ExportKind.LEDGER, format_, output, merchant, since, until, data, quiet)


@app.command()
def verify(
    provider: Annotated[
        bool, typer.Option(help="Compare with the provider's own list of payments too.")
    ] = True,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Recompute everything against ledger and provider; exit 1 if anything disagrees."""
    from paygate.domain.access.roles import Action
    from paygate.flows.ledger.verify import verify_ledger

    async def work(ctx: "Context", caller: "Caller") -> "Verified":
        with shown_progress() as progress:
            return await verify_ledger(ctx, caller, provider=provider, progress=progress)

    async def go() -> None:
        found = await perform(data, Action.LEDGER_READ, work)
        if as_json:
            print_json(found._asdict())
        elif not quiet:
            _print(found)
        if not found.agrees:
            raise typer.Exit(1)

    run_async(go())


def _print(found: "Verified") -> None:
    print_table(("of", "what disagrees"), [(m.intent, m.what) for m in found.mismatches])
    if found.more:
        typer.echo(f"and {found.more} more that differ, which were not looked into one by one")
    for part in found.not_compared:
        span = f" from {part.since} to {part.until}" if part.since else ""
        several = f": {part.payments} payments" if part.payments else ""
        several += f": {part.payouts} payouts" if part.payouts else ""
        typer.echo(f"not compared{span}{several}: {part.why}")
    disagree = len(found.mismatches) + found.more
    typer.echo(
        f"{found.transfers} transfers, {found.intents} payment intents, {found.settlements}"
        f" settlements, {found.provider_payments} payments at the provider:"
        f" {disagree or 'nothing'} disagrees"
        + (", as far as it was compared" if found.not_compared else "")
    )
