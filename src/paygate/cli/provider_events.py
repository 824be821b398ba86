"""`paygate provider-events`: what the provider told us, and having it applied once more."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from paygate.cli.command import AsJson, Data, Quiet, perform, print_json, print_table, run_async

if TYPE_CHECKING:
    from paygate.api.provider_events import (
        ProviderEventList,
        ProviderEventObject,
        ReadProviderEventObject,
    )
    from paygate.domain.access.roles import Caller
    from paygate.domain.provider_event import ProviderEvent
    from paygate.flows.context import Context
    from paygate.storage.reader import EventFilters

app = typer.Typer(
    help="Provider events: what the provider told us, and what became of it.",
    no_args_is_help=True,
)

EventId = Annotated[str, typer.Argument(metavar="ID", help="The event's id: pe_...")]


@app.command("list")
def list_(
    type_: Annotated[
        str | None, typer.Option("--type", help="The provider's name for what happened.")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(help="received, parked, processed, ignored, stale or dead_letter."),
    ] = None,
    verdict: Annotated[
        str | None, typer.Option(help="What became of them, such as no_handler.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="The payment that they are about: pi_...")
    ] = None,
    created_after: Annotated[
        str | None, typer.Option(metavar="ISO8601", help="Received after this time.")
    ] = None,
    created_before: Annotated[
        str | None, typer.Option(metavar="ISO8601", help="Received before this time.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the events that pass the filters, newest first."""
    from paygate.api.edge.body_faults import refused_body
    from paygate.api.provider_events import ProviderEventQuery
    from paygate.domain.access.roles import Action

    asked = {
        "type": type_,
        "status": status,
        "verdict": verdict,
        "subject": subject,
        "created_after": created_after,
        "created_before": created_before,
    }

    async def work(ctx: "Context", caller: "Caller") -> "ProviderEventList":
        given = {name: value for name, value in asked.items() if value is not None}
        try:
            query = msgspec.convert(given, ProviderEventQuery)
        except msgspec.ValidationError as error:
            raise refused_body(error, ProviderEventQuery) from None
        return await _all(ctx, caller, query.filters(), given)

    async def go() -> None:
        found = await perform(data, Action.PROVIDER_EVENT_LIST, work)
        if as_json:
            print_json(found)
            return
        head = ("id", "type", "status", "verdict", "subject", "tries", "received", "error")
        rows = [
            (
                *(e.id, e.type, e.status, e.verdict),
                None if e.subject is None else e.subject.id,
                *(str(e.attempts), e.received_at, e.last_error),
            )
            for e in found.data
        ]
        print_table(head, rows, quiet=quiet)

    run_async(go())


@app.command()
def show(
    event_id: EventId, data: Data = None, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Show an event, and what the provider sent; with --quiet that alone."""
    from paygate.api.provider_events import read_provider_event_object
    from paygate.domain.access.roles import Action
    from paygate.flows.provider_events.read import read_provider_event

    async def work(ctx: "Context", caller: "Caller") -> "ReadProviderEventObject":
        return read_provider_event_object(await read_provider_event(ctx, caller, event_id))

    async def go() -> None:
        event = await perform(data, Action.PROVIDER_EVENT_READ, work)
        if as_json:
            print_json(event)
            return
        fields = msgspec.structs.asdict(event)
        body = fields.pop("body")
        if not quiet:
            if event.subject is not None:
                fields["subject"] = event.subject.id
            rows = [(name, None if value is None else str(value)) for name, value in fields.items()]
            print_table(("", ""), rows)
        print_json(body)

    run_async(go())


@app.command()
def replay(
    event_id: EventId, data: Data = None, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Have a dead letter, or an ignored event, applied once more by the worker."""
    from paygate.api.provider_events import provider_event_object
    from paygate.domain.access.roles import Action
    from paygate.flows.provider_events.replay import replay_provider_event

    async def work(ctx: "Context", caller: "Caller") -> "ProviderEventObject":
        shown = await replay_provider_event(ctx, caller, event_id)
        return provider_event_object(shown.event, livemode=shown.livemode)

    async def go() -> None:
        replayed = await perform(data, Action.PROVIDER_EVENT_REPLAY, work)
        if as_json:
            print_json(replayed)
        elif not quiet:
            typer.echo(f"{replayed.id} ({replayed.type}) is applied once more by the worker")

    run_async(go())


async def _all(
    ctx: "Context", caller: "Caller", filters: "EventFilters", asked: dict[str, str]
) -> "ProviderEventList":
    from paygate.api.pages import LIMIT
    from paygate.api.provider_events import provider_event_list
    from paygate.flows.provider_events.read import list_provider_events
    from paygate.storage.pages import Cut, newest

    events: list[ProviderEvent] = []
    cut = newest("provider_event", LIMIT)
    query = "&".join(f"{name}={value}" for name, value in {**asked, "limit": LIMIT}.items())
    while True:
        page = await list_provider_events(ctx, caller, cut, filters, query)
        events += page.items
        if not page.has_more:
            return provider_event_list(events, ctx.provider.livemode, has_more=False)
        cut = Cut(LIMIT, events[-1].id)
