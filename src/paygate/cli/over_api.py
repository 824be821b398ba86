"""A gateway over its API, for commands that act as one of its callers: its address, and calls."""

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from paygate.cli.command import settings_of
from paygate.settings import NOTHING, SettingsError

PAGE: Final = "100"

ApiUrl = Annotated[
    str | None,
    typer.Option(help="The gateway's, where it is not the data directory's."),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="Has the API key, where the data directory has none."),
]
Actor = Annotated[
    str | None,
    typer.Option("--actor", metavar="NAME", help="Who you are (Paygate-Actor), for the audit log."),
]

Again = Annotated[
    str | None,
    typer.Option("--idempotency-key", help="Of a command that is run again: it is done once."),
]


class Address(NamedTuple):
    """Where a gateway is, what opens it, and who signed its certificate."""

    url: str
    key: str
    authority: Path | None

    def tls(self) -> ssl.SSLContext:
        """What the connection is checked by."""
        return ssl.create_default_context(cafile=self.authority)


def address_of(data: Path | None, api_url: str | None, key_file: Path | None) -> Address:
    """By the data directory of `paygate up`, or by what the options say instead.

    Raises:
        SettingsError: neither says which gateway, or which key.
    """
    from paygate.cli.up import STATE

    settings = settings_of(data, NOTHING)
    url = api_url or settings.public_url
    state, authority = settings.data / STATE, settings.data / "tls" / "ca.pem"
    if key_file is not None:
        key = key_file.read_text(encoding="utf-8").strip()
    elif state.exists():
        key = str(json.loads(state.read_text(encoding="utf-8"))["secret_key"])
    else:
        raise SettingsError("no API key: name the data directory of `paygate up`, or a --key-file")
    if url is None:
        raise SettingsError("no gateway: name the data directory of `paygate up`, or an --api-url")
    return Address(url.rstrip("/"), key, authority if authority.exists() else None)


async def call(
    address: Address,
    method: str,
    path: str,
    *,
    body: Any = None,
    files: Mapping[str, Path] | None = None,
    query: dict[str, str] | None = None,
    actor: str | None = None,
    key: str | None = None,
) -> dict[str, Any]:
    """What the gateway answers. `files` are sent as a form, each under its name, instead of a body;
    `key` is the call's Idempotency-Key.

    Raises:
        SettingsError: it refuses, or is not there.
    """
    import aiohttp

    headers = {"Authorization": f"Bearer {address.key}"}
    if actor is not None:
        headers["Paygate-Actor"] = actor
    if key is not None:
        headers["Idempotency-Key"] = key
    form = None
    if files is not None:
        form = aiohttp.FormData()
        for name, path_of in files.items():
            form.add_field(
                name,
                path_of.read_bytes(),
                filename=path_of.name,
                content_type="application/octet-stream",  # the gateway looks itself
            )
    connector = aiohttp.TCPConnector(ssl=address.tls())
    try:
        async with (
            aiohttp.ClientSession(connector=connector, headers=headers) as session,
            session.request(
                method, address.url + path, json=body, data=form, params=query
            ) as response,
        ):
            answer = dict(await response.json())
    except (aiohttp.ClientError, TimeoutError):
        raise SettingsError("the gateway does not answer") from None
    if not response.ok:
        error = answer["error"]
        option = ": --actor" if error["param"] == "Paygate-Actor" else ""
        raise SettingsError(f"the gateway refuses ({error['code']}): {error['message']}{option}")
    return answer


async def every(address: Address, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
    """All items of a list, newest first. Raises as `call`."""
    found: list[dict[str, Any]] = []
    while True:
        after = {"starting_after": found[-1]["id"]} if found else {}
        page = await call(address, "GET", path, query={"limit": PAGE, **query, **after})
        found += page["data"]
        if not page["has_more"]:
            return found
