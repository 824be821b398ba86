"""`paygate trigger`: have the sandbox send an event, to rehearse what it does."""

import difflib
from typing import Annotated

import typer

from paygate.cli.command import AsJson, Data, Quiet, print_json, print_list, run_async, settings_of


def trigger(
    event: Annotated[
        str | None,
        typer.Argument(metavar="EVENT", help="The provider's name, such as refund.created."),
    ] = None,
    payment: Annotated[
        str | None,
        typer.Option(
            help="The provider's id of the payment that it is about (provider_reference); left out,"
            " a payment of nobody's."
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the events there are.")] = False,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Have the sandbox send an event to the gateway: for rehearsals, never from Stripe.

    What it shows of a payment is the truth: nothing is changed at the sandbox.
    """
    from paygate.wiring.provider import open_sandbox_events

    if (event is None) is not list_:
        raise typer.BadParameter("an event's name, or --list", param_hint="EVENT")
    settings = settings_of(data)

    async def go() -> None:
        async with open_sandbox_events(settings) as events:
            known = await events.types()
            if event is None:
                _show(known, as_json=as_json)
                return
            if event not in known:
                raise typer.BadParameter(_unknown(event, known), param_hint="EVENT")
            sent = await events.send(event, payment)
        if as_json:
            print_json({"type": event, **sent._asdict()})
        elif quiet:
            typer.echo(sent.provider_reference)
        else:
            typer.echo(f"{sent.provider_reference} ({event}) goes to {sent.endpoints} endpoint(s)")

    run_async(go())


def _show(known: list[str], *, as_json: bool) -> None:
    if as_json:
        print_list([{"object": "event_type", "id": name} for name in known], "/event-types")
        return
    for name in known:
        typer.echo(name)


def _unknown(event: str, known: list[str]) -> str:
    near = difflib.get_close_matches(event, known, n=1)
    meant = f": did you mean {near[0]}?" if near else "; --list names them"
    return f"the sandbox sends no such event{meant}"
