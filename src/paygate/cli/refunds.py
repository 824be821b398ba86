"""`paygate refunds`: give money back, and decide on what others want to give back."""

import secrets
from typing import Annotated, Any

import typer

from paygate.cli.command import AsJson, Data, Quiet, print_json, print_list, print_table, run_async
from paygate.cli.over_api import Actor, Again, ApiUrl, KeyFile, address_of, call, every

app = typer.Typer(help="Refunds: create, approve, reject, list.", no_args_is_help=True)

RefundId = Annotated[str, typer.Argument(metavar="ID", help="The refund's id: re_...")]


@app.command()
def create(
    intent: Annotated[str, typer.Argument(metavar="INTENT", help="The payment: pi_...")],
    amount: Annotated[
        int | None, typer.Option(help="In the smallest unit; all that is left, when left out.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="duplicate, fraudulent or requested_by_customer.")
    ] = None,
    idempotency_key: Again = None,
    actor: Actor = None,
    api_url: ApiUrl = None,
    key_file: KeyFile = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Give captured money back, wholly or in part."""
    given = {"amount": amount, "reason": reason}
    body = {name: value for name, value in given.items() if value is not None}
    key = idempotency_key or secrets.token_hex(16)

    async def go() -> None:
        address = address_of(data, api_url, key_file)
        path = f"/payment-intents/{intent}/refund"
        made = await call(address, "POST", path, body=body, actor=actor, key=key)
        _show(made, as_json=as_json, quiet=quiet)

    run_async(go())


def _decision(verb: str, explained: str) -> None:
    """A command by which a second person decides; all of them are one, but for the verb."""

    def decide(
        refund_id: RefundId,
        actor: Actor = None,
        idempotency_key: Again = None,
        api_url: ApiUrl = None,
        key_file: KeyFile = None,
        data: Data = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        path, key = f"/refunds/{refund_id}/{verb}", idempotency_key or secrets.token_hex(16)

        async def go() -> None:
            address = address_of(data, api_url, key_file)
            decided = await call(address, "POST", path, body={}, actor=actor, key=key)
            _show(decided, as_json=as_json, quiet=quiet)

        run_async(go())

    app.command(verb, help=explained)(decide)


_decision("approve", "Approve a refund that somebody else asked for: it is sent.")
_decision("reject", "Reject a refund that somebody else asked for: its amount is free again.")


@app.command("list")
def list_(
    payment_intent: Annotated[str | None, typer.Option(help="Of this payment: pi_...")] = None,
    status: Annotated[str | None, typer.Option(help="pending, succeeded or failed.")] = None,
    api_url: ApiUrl = None,
    key_file: KeyFile = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the refunds that pass the filters, newest first."""
    asked = {"payment_intent": payment_intent, "status": status}
    query = {name: value for name, value in asked.items() if value is not None}

    async def go() -> None:
        found = await every(address_of(data, api_url, key_file), "/refunds", query)
        if as_json:
            print_list(found, "/refunds")
            return
        head = ("id", "payment", "amount", "status", "waits for", "failure", "created")
        print_table(head, [_row(refund) for refund in found], quiet=quiet)

    run_async(go())


def _row(refund: dict[str, Any]) -> tuple[str | None, ...]:
    failure = refund["failure"]
    return (
        *(refund["id"], refund["payment_intent"], _amount(refund)),
        *(refund["status"], refund["pending_reason"], failure and failure["code"]),
        refund["created_at"],
    )


def _show(refund: dict[str, Any], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json(refund)
        return
    if quiet:
        typer.echo(refund["id"])
        return
    typer.echo(f"{refund['id']} of {_amount(refund)} is {refund['status']}")
    match refund:
        case {"failure": {"message": message}}:
            typer.echo(message)
        case {"pending_reason": "approval", "approval": {"expires_at": until}}:
            typer.echo(f"It waits until {until} for another person, with another key:")
            typer.echo(f"paygate refunds approve {refund['id']} --actor NAME --key-file FILE")
        case {"pending_reason": str(reason)}:
            typer.echo(refund["pending_message"] or f"It waits for: {reason}")
        case _:
            typer.echo(f"The payer's bank shows it by {refund['expected_by']}.")


def _amount(refund: dict[str, Any]) -> str:
    from paygate.domain.money import major_units

    return major_units(refund["amount"], refund["currency"])
