"""A path has one spelling: every other is no path at all, and no other key's scope."""

import re

import pytest

from paygate.api.docs import DOCUMENTS
from paygate.api.edge.endpoint import Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.edge.idempotency import scope_of
from paygate.api.edge.router import Router
from paygate.api.routes import ENDPOINTS
from paygate.domain.access.roles import Actor, Caller, Role
from paygate.telemetry.timing import Timing
from tests.api.edge.asgi import Door, door_of
from tests.flows.world import World
from tests.gateway import Gateway

ALL = (*ENDPOINTS, *DOCUMENTS)
ID = "pi_" + "0" * 26
GOOD = b'{"amount":1999,"currency":"eur"}'


@pytest.fixture
def router() -> Router:
    return Router(ALL)


def found(router: Router, endpoint: Endpoint, path: str) -> bool:
    route = router.find(path)
    return route is not None and route[0].endpoints.get(endpoint.method) is endpoint


@pytest.mark.parametrize(
    "endpoint", [e for e in ALL if e.path != "/"], ids=lambda e: f"{e.method} {e.path}"
)
def test_every_endpoint_is_at_its_one_path(router: Router, endpoint: Endpoint) -> None:
    path = endpoint.path.format(id=ID, delivery=ID, line=ID)
    assert found(router, endpoint, path)
    first, rest = path[1], path[2:]
    for other in (
        path + "/",
        "/" + path,
        path + "//",
        path.replace("/", "//"),
        path[1:],
        path + "/.",
        "/." + path,
        path + ";v=1",
        path + "%20",
        path + "%",
        f"/%{ord(first):x}{rest}",
        path + "%2f",
        path + "%2F..",
        path.upper(),
        path + "\u00e9",
        "http://host" + path,
        "",
    ):
        if found(router, endpoint, other):
            # Where a path ends with an id, another end is the id of something else.
            assert endpoint.path.endswith("/{id}"), other
            assert other.startswith(path)
            assert "/" not in other.removeprefix(path)


def test_the_root_is_one_path_too(router: Router) -> None:
    assert router.find("/") is not None
    assert [other for other in ("", "//", "/.", "/%20", "///") if router.find(other)] == []


def test_a_missing_parameter_is_no_path(router: Router) -> None:
    for path in ("/payment-intents/", "/payment-intents//confirm", "/alerts//acknowledge"):
        assert router.find(path) is None


def test_a_parameter_is_what_was_sent(router: Router) -> None:
    for sent in (ID, "pi_%30", "%00", "..", "{id}", "x" * 500):
        route = router.find(f"/payment-intents/{sent}/confirm")
        assert route is not None
        assert route[1] == {"id": sent}


def test_head_is_where_get_only_reads(router: Router) -> None:
    for path, allow in (
        ("/payment-intents", "GET, HEAD, OPTIONS, POST"),
        (f"/payment-intents/{ID}", "GET, HEAD, OPTIONS"),
        (f"/payment-intents/{ID}/confirm", "OPTIONS, POST"),
        # A payer's browser goes there to finish; who looks ahead must not.
        (f"/payment-intents/{ID}/3ds-callback", "GET, OPTIONS, POST"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/webhooks", "OPTIONS, POST"),
    ):
        route = router.find(path)
        assert route is not None
        assert route[0].allow == allow


def test_the_scope_of_a_key_is_spelled_as_it_always_was() -> None:
    """Keys are stored by it: a retry across an upgrade finds its answer."""
    exchange = Exchange("req_1", {}, None, Timing())
    exchange.caller = Caller(Actor("api_key", role=Role.PUBLISHABLE), "default", "req_1")
    scopes = set()
    for endpoint in ENDPOINTS:
        exchange.path = dict.fromkeys(re.findall(r"{(\w+)}", endpoint.path), ID)
        exchange.target = "whatever was asked for"
        scopes.add(scope_of(endpoint, exchange))
    assert f"pk POST /payment-intents/{ID}/confirm" in scopes
    assert "pk POST /payment-intents" in scopes
    assert len(scopes) == len(ENDPOINTS)


async def create(door: Door, path: str, key: str, authorization: str) -> tuple[int, bytes]:
    headers = {"Authorization": authorization, "Idempotency-Key": key}
    answer = await door.call("POST", path, GOOD, headers={**headers})
    return answer.status, answer.body


async def test_one_key_and_every_spelling_make_one_intent(world: World) -> None:
    async with door_of(world) as door:
        key = await door.key()
        status, body = await create(door, "/payment-intents", "k", key)
        assert status == 201
        assert await create(door, "/payment-intents", "k", key) == (200, body)
        assert await create(door, "/payment-intents?", "k", key) == (200, body)
        for other in (
            "//payment-intents",
            "/payment-intents/",
            "/payment-intents/?",
            "/payment-intents//",
            "/%70ayment-intents",
            "/payment-intents%2f",
            "/./payment-intents",
        ):
            assert (await create(door, other, "k", key))[0] == 404, other


async def test_the_server_hands_paths_on_as_they_came(gateway: Gateway) -> None:
    for path in (
        "//payment-intents",
        "/payment-intents/?",
        "/%70ayment-intents",
        "/payment-intents/",
    ):
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(GOOD)}\r\n"
            f"Authorization: Bearer {gateway.ready['secret_key']}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\n\r\n"
        )
        answer = await gateway.wire(head.encode() + GOOD)
        assert b"404 Not Found" in answer, path
        assert b'"route_unknown"' in answer
        assert b"request-id: req_" in answer.lower()
