"""Another account's key stops the start; a provider that cannot be asked stops nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paygate.settings import SettingsError, load
from paygate.wiring.service import check
from tests.cli.processes import is_one_clear_line, run
from tests.gateway import Gateway
from tests.providers.stripe_server import Behaviour, StripeServer, answer, error


async def account_of(gateway: Gateway) -> str:
    """The sandbox's."""
    return str((await gateway.sandbox("GET", "/v1/account"))["id"])


def account(name: str) -> Behaviour:
    return answer({"id": name, "object": "account"})


@pytest.fixture
async def elsewhere() -> AsyncIterator[StripeServer]:
    """Where the provider is for the commands of a test."""
    server = StripeServer()
    await server.start()
    yield server
    await server.stop()


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_another_accounts_key_stops_the_start(
    command: str, gateway: Gateway, elsewhere: StripeServer, tmp_path: Path
) -> None:
    elsewhere.otherwise = account("acct_other")
    ran = await asyncio.to_thread(
        run,
        *(command, "--data", gateway.ready["data_dir"]),
        cwd=tmp_path,
        environ={"PAYGATE_STRIPE_API_BASE": elsewhere.url},
    )
    is_one_clear_line(ran, "PAYGATE_STRIPE_API_KEY", "another account")
    assert {(r.method, r.path) for r in elsewhere.requests} == {("GET", "/v1/account")}


async def checks(gateway: Gateway, base: str) -> None:
    """What `serve` asks of its settings, before it starts anything."""
    environ = {"PAYGATE_STRIPE_API_BASE": base}
    await check(load(environ, data=Path(gateway.ready["data_dir"])))


async def test_only_a_proven_other_account_stops_it(
    gateway: Gateway, elsewhere: StripeServer
) -> None:
    for silent in (
        account(await account_of(gateway)),
        error(403, type="invalid_request_error", code="more_permissions_required"),
        error(401, type="invalid_request_error"),
        error(401, {"Request-Id": ""}, message="a proxy"),
        error(500, type="api_error"),
        answer(b"<html>Welcome</html>", 200, {"Content-Type": "text/html"}),
        answer({"id": "acct_other"}),
        answer({"id": "cus_other", "object": "customer"}),
    ):
        elsewhere.otherwise = silent
        await checks(gateway, elsewhere.url)
    await checks(gateway, "http://127.0.0.1:1")
    elsewhere.otherwise = account("acct_other")
    with pytest.raises(SettingsError, match="another account"):
        await checks(gateway, elsewhere.url)
