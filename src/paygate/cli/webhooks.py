"""`paygate webhooks`: the provider's endpoint for our events, and what merchants are sent again."""

import sys
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from paygate.cli.command import (
    AsJson,
    Data,
    Quiet,
    moment_of,
    perform,
    print_json,
    run_async,
    settings_of,
)
from paygate.settings import Needs, Settings, line

if TYPE_CHECKING:
    from paygate.domain.access.roles import Caller
    from paygate.flows.context import Context
    from paygate.providers.event_endpoints import EventEndpoint
    from paygate.providers.stripe.webhook_endpoints import StripeWebhookEndpoints

NEEDS: Final = Needs(("stripe_api_key", "public_url"))

app = typer.Typer(
    help="The provider's webhook endpoint for this gateway, and what merchants are sent.",
    no_args_is_help=True,
)


@app.command()
def register(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look, and say what would be done.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Change an endpoint that differs from what we need.")
    ] = False,
    data: Data = None,
) -> None:
    """Register PAYGATE_PUBLIC_URL/webhooks at the provider, for exactly the events that we read.

    The signing secret goes to standard output, as a line of paygate.toml, and
    all else to standard error: `paygate webhooks register >> paygate.toml`. An
    endpoint that is there already is left as it is, and what is wrong with it
    is said (exit status 1).
    """
    from paygate.wiring.provider import open_webhook_endpoints

    settings = settings_of(data, NEEDS)
    url = f"{settings.require('public_url')}/webhooks"

    async def go() -> None:
        async with open_webhook_endpoints(settings) as endpoints:
            # The same door has two names.
            urls = frozenset({url, f"{url}/stripe"})
            found = await endpoints.at(urls)
            if found:
                right = [await _look_at(endpoints, e, update=update and not dry_run) for e in found]
                if _say_if_many(len(found)) or not all(right):
                    raise typer.Exit(1)
            elif dry_run:
                _say(f"would register {url}")
            else:
                await _make(endpoints, url, settings)
                # Somebody else may have looked, and made one, at the same moment.
                if _say_if_many(len(await endpoints.at(urls))):
                    raise typer.Exit(1)

    run_async(go())


async def _make(endpoints: "StripeWebhookEndpoints", url: str, settings: Settings) -> None:
    made = await endpoints.make(url)
    _say(f"registered {url} ({made.endpoint.provider_reference})")
    _say("its signing secret is shown once, here; it is a line of paygate.toml:")
    # A second line of the same name would spoil the file.
    remark = "# one more of " if settings.stripe_webhook_secrets else ""
    typer.echo(f"{remark}{line('stripe_webhook_secrets', made.secret.reveal())}", nl=False)


async def _look_at(
    endpoints: "StripeWebhookEndpoints", endpoint: "EventEndpoint", *, update: bool
) -> bool:
    """Say how an endpoint stands, changed if it should be; returns whether nothing is wrong."""
    reference = endpoint.provider_reference
    if update and endpoint.faults:
        endpoint = await endpoints.change(reference, endpoint.url) or endpoint
        _say(f"{reference} is updated")
    for fault in endpoint.faults:
        _say(f"{reference}: {fault} (--update mends it)")
    if endpoint.version_fault:
        _say(f"{reference}: {endpoint.version_fault} (delete it there, and register again)")
    right = not endpoint.faults and endpoint.version_fault is None
    if right:
        _say(f"{endpoint.url} is registered ({reference}); its secret is in the provider's pages")
    return right


def _say_if_many(count: int) -> bool:
    """Whether there are more endpoints than one, which is said."""
    if count > 1:
        _say(
            f"there are {count} endpoints, and every event comes once for each: delete all but one"
        )
    return count > 1


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


@app.command()
def resend(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="Its id: we_...")],
    delivery: Annotated[
        str | None, typer.Option(metavar="ID", help="This delivery alone: dl_...")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="ISO8601", help="All that failed of what was made since then."),
    ] = None,
    delivered_too: Annotated[
        bool, typer.Option("--delivered-too", help="Those that were delivered as well.")
    ] = False,
    merchant: Annotated[str, typer.Option(help="Whose endpoint it is.")] = "default",
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Send a merchant's webhook deliveries again: one, or all that failed since a time."""
    from paygate.domain.access.roles import Action
    from paygate.flows.access.read_merchants import find_merchant
    from paygate.flows.webhooks.resend import Resent, resend_delivery, resend_since

    if (delivery is None) is (since is None):
        raise typer.BadParameter("one of --delivery and --since", param_hint="--since")
    moment = None if since is None else moment_of(since, "--since")

    async def work(ctx: "Context", caller: "Caller") -> Resent:
        found = await find_merchant(ctx, merchant)
        caller = msgspec.structs.replace(caller, merchant=found.id)
        if moment is None:
            await resend_delivery(ctx, caller, endpoint, str(delivery))
            return Resent(1, 0)
        return await resend_since(ctx, caller, endpoint, moment, delivered_too=delivered_too)

    async def go() -> None:
        done = await perform(data, Action.DELIVERY_RESEND, work)
        if as_json:
            print_json(done._asdict())
        elif not quiet:
            kept = f"; of {done.not_kept} the body is not kept any more" if done.not_kept else ""
            typer.echo(f"{done.resent} are due again{kept}")

    run_async(go())
