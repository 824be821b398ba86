"""`paygate listen`: a merchant's events as they happen, printed and sent on to a program."""

import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
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
ANSWER_SECONDS: Final = 30.0
"""For a page; one that takes longer is asked for again."""
_AWAY: Final = "does not answer; asking again"
_BACK: Final = "answers again"
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
    # Ctrl-C is how it ends.
    with contextlib.suppress(KeyboardInterrupt):
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
        """Every event from now on, in the order of their commits. A gateway that goes away is
        waited for, and none of its events is missed.

        Raises:
            SettingsError: the gateway refuses, or is not there to begin with.
        """
        import aiohttp

        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        ) as session:
            newest = await self._page(session, "limit=1")
            if newest is None:
                raise SettingsError("the gateway cannot be reached")
            last = newest["data"][0]["id"] if newest["data"] else None
            away = False
            while True:
                page = await self._next(session, last)
                if (page is None) is not away:
                    away = not away
                    sys.stderr.write(f"paygate: the gateway {_AWAY if away else _BACK}\n")
                for event in () if page is None else page["data"]:
                    last = event["id"]
                    yield event
                if page is None or not page["has_more"]:
                    await asyncio.sleep(ASK_SECONDS)

    async def _next(
        self, session: "aiohttp.ClientSession", last: str | None
    ) -> dict[str, Any] | None:
        """The next events, the oldest first; None when the gateway does not answer."""
        query = f"limit={PAGE}"
        if last is not None:
            page = await self._page(session, f"{query}&ending_before={last}")
            return None if page is None else {**page, "data": page["data"][::-1]}
        # There was none when we began: all that there are, from the newest back.
        found: list[dict[str, Any]] = []
        while True:
            before = f"&starting_after={found[-1]['id']}" if found else ""
            page = await self._page(session, query + before)
            if page is None:
                return None
            found += page["data"]
            if not page["has_more"]:
                return {"data": found[::-1], "has_more": False}

    async def _page(self, session: "aiohttp.ClientSession", query: str) -> dict[str, Any] | None:
        """A page as the gateway shows it; None when it does not answer, or not now.

        Raises:
            SettingsError: it refuses.
        """
        import aiohttp

        try:
            async with session.get(f"{self._url}/events?{query}") as response:
                status, page = response.status, dict(await response.json())
        except (aiohttp.ClientError, TimeoutError, ValueError, TypeError):  # or no page at all
            return None
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return None
        if status != HTTPStatus.OK:
            raise SettingsError(f"the gateway refuses: {page['error']['message']}")
        return page


async def _listen(
    api: _Api, forward_to: str | None, wanted: frozenset[str], *, as_json: bool
) -> None:
    from ipaddress import ip_network

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
    finally:
        await egress.close()


async def _send(egress: "Egress", url: str, key: bytes, event: dict[str, Any]) -> str:
    """What became of it, in a word."""
    import msgspec

    from paygate.egress.client import Responded
    from paygate.flows.webhooks.send import signed_headers

    body = msgspec.json.encode(event)  # the very bytes that a webhook has
    headers = signed_headers(event["id"], body, [key], datetime.now(UTC))
    outcome = await egress.post(url, body, headers)
    return f"-> {outcome.status if isinstance(outcome, Responded) else outcome}"
