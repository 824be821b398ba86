"""`paygate api-keys`: the keys of every merchant, for whoever may run commands here."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from paygate.cli.command import AsJson, Data, Quiet, perform, print_json, print_table, run_async
from paygate.domain.access.roles import Role

if TYPE_CHECKING:
    from paygate.api.api_keys import ApiKeyList, NewApiKeyObject
    from paygate.api.objects import ApiKeyObject
    from paygate.domain.access.api_key import ApiKey
    from paygate.domain.access.roles import Caller
    from paygate.flows.context import Context

app = typer.Typer(help="API keys: create, list, rotate, revoke.", no_args_is_help=True)

Merchant = Annotated[str, typer.Option(help="Whose key it is.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id: key_...")]


@app.command()
def create(
    role: Annotated[Role, typer.Option(help="What the key may do (docs/api-keys.md).")],
    merchant: Merchant = "default",
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Create an API key. Its text is printed once and kept nowhere."""
    from paygate.api.api_keys import CreateApiKey, new_api_key_object
    from paygate.api.edge.body_faults import refused_body
    from paygate.domain.access.roles import Action
    from paygate.flows.access.create_api_key import create_api_key

    async def work(ctx: "Context", caller: "Caller") -> "NewApiKeyObject":
        try:
            request = msgspec.convert({"role": role, "name": name}, CreateApiKey)
        except msgspec.ValidationError as error:
            raise refused_body(error, CreateApiKey) from None
        caller = await _for(ctx, caller, merchant)
        made = await create_api_key(ctx, caller, role=request.role, name=request.name)
        return new_api_key_object(made)

    async def go() -> None:
        made = await perform(data, Action.API_KEY_CREATE, work)
        _show_new(made, as_json=as_json, quiet=quiet)

    run_async(go())


@app.command("list")
def list_(
    merchant: Merchant = "default",
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List a merchant's keys, newest first, revoked and expired ones too."""
    from paygate.domain.access.roles import Action

    async def work(ctx: "Context", caller: "Caller") -> "ApiKeyList":
        return await _all_keys(ctx, await _for(ctx, caller, merchant))

    async def go() -> None:
        found = await perform(data, Action.API_KEY_LIST, work)
        if as_json:
            print_json(found)
            return
        head = ("id", "role", "name", "hint", "created", "last used", "expires", "revoked")
        rows = [
            (k.id, k.role, k.name, k.hint, k.created_at, k.last_used_at, k.expires_at, k.revoked_at)
            for k in found.data
        ]
        print_table(head, rows, quiet=quiet)

    run_async(go())


@app.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[
        str, typer.Option(help="For how long the old key opens too: 0s to 7d.")
    ] = "24h",
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a key like this one, which itself ends after the overlap."""
    from paygate.api.api_keys import new_api_key_object
    from paygate.domain.access.roles import Action
    from paygate.flows.access.rotate_api_key import rotate_api_key

    async def work(ctx: "Context", caller: "Caller") -> "NewApiKeyObject":
        caller = await _for_owner(ctx, caller, key_id)
        return new_api_key_object(await rotate_api_key(ctx, caller, key_id, overlap=overlap))

    async def go() -> None:
        made = await perform(data, Action.API_KEY_ROTATE, work)
        _show_new(made, as_json=as_json, quiet=quiet)

    run_async(go())


@app.command()
def revoke(key_id: KeyId, data: Data = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Revoke a key: within a second it opens nothing, on every node."""
    from paygate.api.objects import api_key_object
    from paygate.domain.access.roles import Action
    from paygate.flows.access.revoke_api_key import revoke_api_key

    async def work(ctx: "Context", caller: "Caller") -> "ApiKeyObject":
        caller = await _for_owner(ctx, caller, key_id)
        return api_key_object(*await revoke_api_key(ctx, caller, key_id))

    async def go() -> None:
        revoked = await perform(data, Action.API_KEY_REVOKE, work)
        if as_json:
            print_json(revoked)
        elif not quiet:
            typer.echo(f"{revoked.id} is revoked since {revoked.revoked_at}")

    run_async(go())


async def _for(ctx: "Context", caller: "Caller", merchant: str) -> "Caller":
    """The caller, acting for a merchant that exists."""
    from paygate.flows.access.read_merchants import find_merchant

    found = await find_merchant(ctx, merchant)
    return msgspec.structs.replace(caller, merchant=found.id)


async def _for_owner(ctx: "Context", caller: "Caller", key_id: str) -> "Caller":
    """The caller, acting for the merchant whose key this is; whoever is here may act for all."""
    from paygate.domain.ids import PREFIXES, is_id

    key = await ctx.read.api_key(key_id) if is_id(PREFIXES["api_key"], key_id) else None
    return caller if key is None else msgspec.structs.replace(caller, merchant=key.merchant)


async def _all_keys(ctx: "Context", caller: "Caller") -> "ApiKeyList":
    from paygate.api.api_keys import api_key_list
    from paygate.api.pages import LIMIT
    from paygate.flows.access.read_api_keys import list_api_keys
    from paygate.storage.pages import Cut, newest

    keys: list[ApiKey] = []
    uses: dict[str, datetime] = {}
    cut, query = newest("api_key", LIMIT), f"limit={LIMIT}"
    while True:
        page, used = await list_api_keys(ctx, caller, cut, query)
        keys += page.items
        uses |= used
        if not page.has_more:
            return api_key_list(keys, uses, has_more=False)
        last = keys[-1].id
        cut, query = Cut(LIMIT, last), f"limit={LIMIT}&starting_after={last}"


def _show_new(made: "NewApiKeyObject", *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json(made)
        return
    if quiet:
        typer.echo(made.key)
        return
    typer.echo(f"{made.id} ({made.role} of {made.merchant}). Keep its text, it is shown once:")
    typer.echo(made.key)
