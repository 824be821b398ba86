"""`paygate merchants`: who sells here."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from paygate.cli.command import (
    AsJson,
    Data,
    Quiet,
    perform,
    print_json,
    print_list,
    print_table,
    run_async,
)

if TYPE_CHECKING:
    from paygate.domain.access.merchant import Merchant
    from paygate.domain.access.roles import Caller
    from paygate.flows.context import Context

app = typer.Typer(help="Merchants: what divides keys, payments and events.", no_args_is_help=True)


class MerchantObject(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant, printed as the API prints its objects."""

    object: str = "merchant"
    id: str
    livemode: bool
    created_at: str


@app.command()
def create(
    merchant: Annotated[
        str, typer.Argument(metavar="ID", help="1 to 40 characters of a-z, 0-9, _ and -.")
    ],
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Create a merchant."""
    from paygate.domain.access.roles import Action
    from paygate.flows.access.create_merchant import create_merchant

    async def work(ctx: "Context", caller: "Caller") -> MerchantObject:
        return _shown(ctx, await create_merchant(ctx, caller, merchant))

    async def go() -> None:
        made = await perform(data, Action.MERCHANT_CREATE, work)
        if as_json:
            print_json(made)
        elif quiet:
            typer.echo(made.id)
        else:
            typer.echo(f"created {made.id}; its first key:")
            typer.echo(f"paygate api-keys create --role admin --merchant {made.id}")

    run_async(go())


@app.command("list")
def list_(data: Data = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the merchants."""
    from paygate.domain.access.roles import Action
    from paygate.flows.access.read_merchants import list_merchants

    async def work(ctx: "Context", caller: "Caller") -> list[MerchantObject]:
        return [_shown(ctx, merchant) for merchant in await list_merchants(ctx, caller)]

    async def go() -> None:
        found = await perform(data, Action.MERCHANT_LIST, work)
        if as_json:
            print_list(found, "/merchants")
        else:
            print_table(("id", "created"), [(m.id, m.created_at) for m in found], quiet=quiet)

    run_async(go())


def _shown(ctx: "Context", merchant: "Merchant") -> MerchantObject:
    from paygate.api.objects import time_text

    return MerchantObject(
        id=merchant.id,
        livemode=ctx.provider.livemode,
        created_at=time_text(merchant.created_at),
    )
