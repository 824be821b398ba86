"""In clear nobody is answered: 403, never a redirect; a trusted proxy may say that it was https."""

from ipaddress import ip_network

import pytest

from paygate.api.edge.addresses import TrustedProxies
from paygate.api.edge.headers import ALWAYS
from tests.api.edge.asgi import Door
from tests.flows.world import World

PROXIES = TrustedProxies((ip_network("10.0.0.0/8"),))
PROXY, STRANGER = "10.0.0.1", "192.0.2.1"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (STRANGER, None),
        (STRANGER, "https"),
        (PROXY, None),
        (PROXY, ""),
        (PROXY, "http"),
        (PROXY, "https, http"),
        (PROXY, "http, https"),
        (PROXY, "httpss"),
    ],
)
@pytest.mark.parametrize("path", ["/payment-intents", "/readyz", "/webhooks", "/nowhere"])
async def test_in_clear_nobody_is_answered(
    world: World, address: str, said: str | None, path: str
) -> None:
    door = Door(world, proxies=PROXIES)
    key = await door.key()
    headers: dict[str, str | bytes] = {"authorization": key}
    if said is not None:
        headers["x-forwarded-proto"] = said
    answer = await door.call("GET", path, headers=headers, address=address, scheme="http")
    assert (answer.status, answer.code) == (403, "tls_required")
    assert "location" not in answer.headers
    for name, value in ALWAYS:
        assert answer.headers[name.decode()] == value.decode()


@pytest.mark.parametrize("said", ["https", "HTTPS", "https, https"])
async def test_a_trusted_proxy_may_say_that_it_was_https(world: World, said: str) -> None:
    door = Door(world, proxies=PROXIES)
    headers: dict[str, str | bytes] = {
        "authorization": await door.key(),
        "x-forwarded-proto": said,
    }
    answer = await door.call(
        "GET", "/payment-intents", headers=headers, address=PROXY, scheme="http"
    )
    assert answer.status == 200


async def test_over_tls_nobody_needs_to_say_so(world: World) -> None:
    door = Door(world, proxies=PROXIES)
    headers: dict[str, str | bytes] = {
        "authorization": await door.key(),
        "x-forwarded-proto": "http",
    }
    assert (await door.call("GET", "/payment-intents", headers=headers)).status == 200
