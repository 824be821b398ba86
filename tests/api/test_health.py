"""The probes: what keeps a process from its work, and what is only a warning."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.api.test_api_keys import serve_beside
from tests.gateway import Gateway, Response, until
from tests.providers.stripe_server import StripeServer, error


async def test_all_is_well(gateway: Gateway) -> None:
    ready = await gateway.call("GET", "/readyz", key=None)
    said = ready.json
    assert "audit_verified_at" in said
    del said["audit_verified_at"]  # another test may have verified it
    assert (ready.status, said) == (200, {"status": "ok", "warnings": []})
    alive = await gateway.call("GET", "/healthz", key=None)
    assert (alive.status, alive.json) == (200, {"status": "ok"})
    for path, answer in (("/readyz", ready), ("/healthz", alive)):
        head = await gateway.call("HEAD", path, key=None)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == answer.headers["Content-Length"]


@pytest.fixture
async def refusing() -> AsyncIterator[StripeServer]:
    """A provider that does not say whose account it is, on a clock of its own: its answers are
    of another day.
    """
    server = StripeServer()
    server.otherwise = error(403, type="invalid_request_error", code="more_permissions_required")
    await server.start()
    yield server
    await server.stop()


async def test_a_provider_in_trouble_is_a_warning(gateway: Gateway, refusing: StripeServer) -> None:
    node = serve_beside(gateway, PAYGATE_STRIPE_API_BASE=refusing.url)
    await node.open()

    async def ready() -> Response | None:
        try:
            answer = await node.call("GET", "/readyz", key=None)
        except aiohttp.ClientError:
            return None
        return answer if answer.status == 200 else None

    try:
        answer = await until(ready)
        assert answer.json["status"] == "ok"
        account, clock = answer.json["warnings"]
        assert account["code"] == "provider_account_unreadable"
        assert clock["code"] == "clock_skew"
        assert "our clock is more than a" in clock["message"]
        # Who asks often does not ask the provider often.
        asked = len(refusing.requests)
        for _ in range(5):
            assert (await ready()) is not None
        assert len(refusing.requests) <= asked + 1
    finally:
        await node.close()
        assert await asyncio.to_thread(node.stop) == 0
