"""`paygate listen`: a merchant's events as they happen, printed and sent on to a program."""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from paygate.cli.command import AsJson, Data, run_async
from paygate.cli.over_api import Address, ApiUrl, KeyFile, address_of
from paygate.settings import SettingsError

if TYPE_CHECKING:
    import aiohttp

    from paygate.egress.client import Egress

PAGE: Final = 100
ASK_SECONDS: Final = 1.0
"""Between two looks, and how long to wait for a gateway that is away."""
_PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
"""Where a developer's own machines are."""


def listen(
    forward_to: Annotated[
        str | None, typer.Option(metavar="URL", help="Send each event on to it, signed.")
    ] = None,
    events: Annotated[
        str, typer.Option(metavar="TYPES", help="Of these types alone, comma-separated.")
    ] = "*",
    api_url: ApiUrl = None,
    key_file: KeyFile = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print a merchant's events as they happen, and send them on to a program that you write.

    An event that the program does not take is not sent again: for that there are
    webhook endpoints.
    """
    from paygate.domain.webhooks.event_types import ALL, EVENT_TYPES

    wanted = frozenset(kind.strip() for kind in events.split(","))
    if unknown := wanted - EVENT_TYPES - {ALL}:
        raise typer.BadParameter(f"no types of events: {', '.join(sorted(unknown))}")
    if forward_to is not None:
        _check(forward_to)
    api = _Api(address_of(data, api_url, key_file))
    run_async(_listen(api, forward_to, wanted, as_json=as_json))


def _check(url: str) -> None:
    from paygate.domain.errors import Refusal
    from paygate.domain.webhooks.url import check_webhook_url

    try:
        check_webhook_url(url, production=False)
    except Refusal:
        raise typer.BadParameter("an http or https URL", param_hint="--forward-to") from None


class _Api:
    """A gateway's events, over HTTP."""

    def __init__(self, address: Address) -> None:
        self._url = address.url
        self._headers = {"Authorization": f"Bearer {address.key}"}
        self._tls = address.tls()

    async def follow(self) -> AsyncIterator[dict[str, Any]]:
        """Every event from now on, in the order of their commits."""
        import aiohttp

        connector = aiohttp.TCPConnector(ssl=self._tls)
        async with aiohttp.ClientSession(connector=connector, headers=self._headers) as session:
            newest = (await self._page(session, "limit=1"))["data"]
            last = newest[0]["id"] if newest else None
            while True:
                query = f"limit={PAGE}" + (f"&ending_before={last}" if last else "")
                try:
                    page = await self._page(session, query)
                except (aiohttp.ClientError, TimeoutError):
                    sys.stderr.write("paygate: the gateway does not answer; asking again\n")
                    page = {"data": [], "has_more": False}
                for event in reversed(page["data"]):
                    last = event["id"]
                    yield event
                if not page["has_more"]:
                    await asyncio.sleep(ASK_SECONDS)

    async def _page(self, session: "aiohttp.ClientSession", query: str) -> dict[str, Any]:
        async with session.get(f"{self._url}/events?{query}") as response:
            page = dict(await response.json())
            if not response.ok:
                raise SettingsError(f"the gateway refuses: {page['error']['message']}")
            return page


async def _listen(
    api: _Api, forward_to: str | None, wanted: frozenset[str], *, as_json: bool
) -> None:
    from ipaddress import ip_network

    import aiohttp

    from paygate.domain.addresses import Reach
    from paygate.domain.webhooks.endpoint import SECRET_BYTES, SigningSecret
    from paygate.domain.webhooks.event_types import ALL
    from paygate.egress.client import Egress

    private = tuple(ip_network(text) for text in _PRIVATE)
    egress = Egress(Reach(private=private, loopback=True), user_agent="paygate listen")
    secret = SigningSecret(secrets.token_bytes(SECRET_BYTES))
    if forward_to is not None:
        sys.stderr.write(f"sending to {forward_to}, signed with {secret.text}\n")
    try:
        async for event in api.follow():
            if ALL not in wanted and event["type"] not in wanted:
                continue
            became = (
                "" if forward_to is None else await _send(egress, forward_to, secret.key, event)
            )
            if as_json:
                typer.echo(json.dumps(event))
            else:
                about = event["data"]["object"]["id"]
                typer.echo(f"{event['created_at']}  {event['type']}  {about}  {became}".rstrip())
    except aiohttp.ClientError as error:
        raise SettingsError(f"the gateway cannot be reached: {type(error).__name__}") from None
    finally:
        await egress.close()


async def _send(egress: "Egress", url: str, key: bytes, event: dict[str, Any]) -> str:
    """What became of it, in a word."""
    from paygate.egress.client import Responded
    from paygate.flows.webhooks.send import signed_headers

    body = json.dumps(event).encode()
    headers = signed_headers(event["id"], body, [key], datetime.now(UTC))
    outcome = await egress.post(url, body, headers)
    return f"-> {outcome.status if isinstance(outcome, Responded) else outcome}"
