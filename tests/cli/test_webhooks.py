"""`paygate webhooks register`, at the sandbox: what is registered, told, and left alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from paygate.providers.stripe.events import ENABLED_EVENTS
from paygate.providers.stripe.translate import API_VERSION
from paygate.settings import FILE, load
from paygate.wiring.provider import open_webhook_endpoints
from paygate_sandbox.server import Sandbox, SandboxOptions
from tests.cli.processes import Ran, call, is_one_clear_line, run
from tests.gateway import until

SECRET_KEY = "sk_test_hunter2"
URL = "https://pay.example/webhooks"


class Account(NamedTuple):
    """An account at the sandbox, and a folder with the settings of a gateway that has its key."""

    sandbox: Sandbox
    session: aiohttp.ClientSession
    folder: Path

    async def register(self, *options: str) -> Ran:
        arguments = ("webhooks", "register", "--data", str(self.folder), *options)
        return await asyncio.to_thread(call, *arguments)

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {SECRET_KEY}"}
        url = self.sandbox.parts.base_url + path
        async with self.session.request(method, url, headers=headers, **more) as response:
            assert response.ok, await response.text()
            return await response.json()

    async def make(
        self, url: str = URL, events: Sequence[str] = ENABLED_EVENTS, **more: str
    ) -> str:
        """An endpoint that somebody else made; returns its id."""
        form = [("url", url), *(("enabled_events[]", event) for event in events), *more.items()]
        return str((await self.ask("POST", "/v1/webhook_endpoints", data=form))["id"])

    async def endpoints(self) -> list[dict[str, Any]]:
        found = (await self.ask("GET", "/v1/webhook_endpoints"))["data"]
        assert isinstance(found, list)
        return found


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    options = SandboxOptions(
        host="127.0.0.1",
        port=0,
        data_dir=tmp_path / "sandbox",
        secret_key=SECRET_KEY,
        publishable_key="pk_test_1",
        seed="tests",
    )
    sandbox = Sandbox(options)
    await sandbox.start()
    folder = tmp_path / "gate"
    folder.mkdir()
    (folder / FILE).write_text(
        f'stripe_api_key = "{SECRET_KEY}"\n'
        f'stripe_api_base = "{sandbox.parts.base_url}"\n'
        'public_url = "https://pay.example"\n'
    )
    async with aiohttp.ClientSession() as session:
        yield Account(sandbox, session, folder)
    await sandbox.stop()


async def test_it_is_registered_once_for_our_events_at_our_version(account: Account) -> None:
    looked = await account.register("--dry-run")
    assert looked == (0, "", f"would register {URL}\n")
    assert await account.endpoints() == []

    made = await asyncio.to_thread(run, "webhooks", "register", cwd=account.folder)
    assert made.status == 0, made
    with (account.folder / FILE).open("a") as file:
        file.write(made.out)
    (secret,) = load({}, data=account.folder).stripe_webhook_secrets
    assert secret.startswith("whsec_")
    assert secret not in made.err
    (endpoint,) = await account.endpoints()
    assert (endpoint["url"], endpoint["api_version"]) == (URL, API_VERSION)
    assert sorted(endpoint["enabled_events"]) == sorted(ENABLED_EVENTS)
    assert endpoint["id"] in made.err

    again = await account.register()
    assert (again.status, again.out) == (0, ""), again
    assert await account.endpoints() == [endpoint]


async def test_what_differs_is_said_and_changed_only_when_asked_to(account: Account) -> None:
    missing = ENABLED_EVENTS[1:]
    name = await account.make(f"{URL}/stripe", [*missing, "invoice.paid"], api_version=API_VERSION)
    await account.ask("POST", f"/v1/webhook_endpoints/{name}", data={"disabled": "true"})
    before = await account.endpoints()
    for options in ([], ["--dry-run", "--update"]):
        ran = await account.register(*options)
        assert (ran.status, ran.out) == (1, ""), ran
        assert f"{name}: it is disabled" in ran.err
        assert f"{name}: it does not get {ENABLED_EVENTS[0]} " in ran.err
        assert f"{name}: it gets invoice.paid," in ran.err
        assert await account.endpoints() == before
    ran = await account.register("--update")
    assert (ran.status, ran.out) == (0, ""), ran
    (after,) = await account.endpoints()
    assert (after["url"], after["status"]) == (f"{URL}/stripe", "enabled")
    assert sorted(after["enabled_events"]) == sorted(ENABLED_EVENTS)


async def test_another_version_and_a_second_endpoint_are_for_people_to_end(
    account: Account,
) -> None:
    first = await account.make(events=["*"])
    ran = await account.register("--update")
    assert (ran.status, ran.out) == (1, "")
    assert f"{first}: its API version is the account's default, not {API_VERSION}" in ran.err
    await account.make(api_version=API_VERSION)
    await account.make("https://elsewhere.example/webhooks", events=["*"])
    ran = await account.register()
    assert ran.status == 1
    assert "delete all but one" in ran.err
    assert len(await account.endpoints()) == 3


async def test_two_who_register_at_once_are_told_of_each_other(account: Account) -> None:
    """Between the look of one and its call another registers."""
    fault = {"on": "list", "kind": "slow", "seconds": 8.0, "count": 1, "hold": "after"}
    await account.ask("POST", "/_sandbox/faults", json=fault)
    slow = asyncio.create_task(account.register())

    async def struck() -> bool:
        return bool((await account.ask("GET", "/_sandbox/faults"))["fired"])

    await until(struck)
    other = await account.register()
    ran = await slow
    assert (other.status, ran.status) == (0, 1), (other, ran)
    assert ran.out.startswith('stripe_webhook_secrets = "whsec_')
    assert "there are 2 endpoints" in ran.err
    assert len(await account.endpoints()) == 2


async def test_one_more_secret_does_not_spoil_the_file(account: Account) -> None:
    settings = account.folder / FILE
    text = settings.read_text() + 'stripe_webhook_secrets = "whsec_before"\n'
    settings.write_text(text)
    made = await account.register()
    assert '"whsec_' in made.out
    settings.write_text(text + made.out)
    assert load({}, data=account.folder).stripe_webhook_secrets == ("whsec_before",)


async def test_a_lost_answer_loses_no_secret(account: Account) -> None:
    fault = {"on": "*", "kind": "drop_reply", "count": 2}
    await account.ask("POST", "/_sandbox/faults", json=fault)
    async with open_webhook_endpoints(load({}, data=account.folder)) as endpoints:
        made = await endpoints.make(URL)
    assert made.secret.reveal().startswith("whsec_")
    (endpoint,) = await account.endpoints()
    assert endpoint["id"] == made.endpoint.provider_reference


async def test_a_key_that_may_not_is_one_clear_line(account: Account) -> None:
    environ = {"PAYGATE_STRIPE_API_KEY": "rk_test_other_hunter2"}
    ran = await asyncio.to_thread(run, "webhooks", "register", cwd=account.folder, environ=environ)
    is_one_clear_line(ran, "API key", "webhook endpoints")
    assert await account.endpoints() == []
