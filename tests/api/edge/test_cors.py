"""CORS: what a page of an allowed origin is let do, and everything else that it is not."""

from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from paygate.api.edge.cors import Cors
from paygate.api.routes import ENDPOINTS
from tests.gateway import Gateway, Response

SHOP = "https://shop.example"
LOCAL = "http://127.0.0.1:8090"
STRANGER = "https://evil.example"
SETTINGS = {"PAYGATE_ALLOWED_ORIGINS": f"{SHOP}, {LOCAL}", "PAYGATE_RATE_LIMIT": "60/minute"}
KEY = 180
"""60 a minute, three minutes' worth at once."""
UNKNOWN = "/payment-intents/pi_" + "0" * 26
CONFIRM = {
    "payment_method": {"type": "card", "token": "pm_card_visa"},
    "return_url": "https://shop.example/done",
}
SHARED = {
    ("GET", "/payment-intents/{id}"),
    ("POST", "/payment-intents/{id}/payment-method"),
    ("POST", "/payment-intents/{id}/confirm"),
}


@pytest.fixture(scope="module")
def shared_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway.start(tmp_path_factory.mktemp("cors"), environment=SETTINGS)
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="module")
async def shared(shared_process: Gateway) -> AsyncIterator[Gateway]:
    await shared_process.open()
    yield shared_process
    await shared_process.close()


def cors_of(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower().startswith("access-control-")
    }


def may_be_read_by_a_page(answer: Response, origin: str = SHOP) -> None:
    """The page may read this answer, whatever it says."""
    assert cors_of(answer.headers) == {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": "Request-Id, Idempotent-Replayed, Retry-After",
    }
    assert answer.headers["Vary"] == "Origin"


async def preflight(
    gateway: Gateway, path: str, method: str | None, origin: str | None = SHOP
) -> Response:
    headers = {"Access-Control-Request-Headers": "authorization,paygate-client-secret"}
    if origin is not None:
        headers["Origin"] = origin
    if method is not None:
        headers["Access-Control-Request-Method"] = method
    return await gateway.call("OPTIONS", path, key=None, headers=headers)


def browser(gateway: Gateway, secret: str, origin: str = SHOP) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {gateway.ready['publishable_key']}",
        "Paygate-Client-Secret": secret,
        "Origin": origin,
    }


@pytest.mark.parametrize("origin", [SHOP, LOCAL])
@pytest.mark.parametrize(("method", "path"), [("GET", UNKNOWN), ("POST", f"{UNKNOWN}/confirm")])
async def test_a_preflight_is_answered(
    shared: Gateway, method: str, path: str, origin: str
) -> None:
    answer = await preflight(shared, path, method, origin)
    assert (answer.status, answer.body) == (204, b"")
    assert cors_of(answer.headers) == {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": method,
        "access-control-allow-headers": (
            "Authorization, Content-Type, Idempotency-Key, Paygate-Client-Secret, Paygate-Session"
        ),
        "access-control-max-age": "600",
    }
    assert answer.headers["Vary"] == "Origin"
    assert answer.headers["Request-Id"].startswith("req_")


async def test_no_other_preflight_is(shared: Gateway) -> None:
    for origin in (STRANGER, "null", "*", SHOP + "/", SHOP.upper(), SHOP + ":443", None):
        answer = await preflight(shared, UNKNOWN, "GET", origin)
        assert cors_of(answer.headers) == {}, origin
    for path, method in (
        (UNKNOWN, "POST"),
        (UNKNOWN, "DELETE"),
        (UNKNOWN, None),
        (f"{UNKNOWN}/confirm", "GET"),
        (f"{UNKNOWN}/cancel", "POST"),
        ("/payment-intents", "POST"),
        ("/payment-intents", "GET"),
        ("/alerts", "GET"),
        ("/webhooks", "POST"),
        ("/nowhere", "GET"),
    ):
        answer = await preflight(shared, path, method)
        assert cors_of(answer.headers) == {}, (path, method)


async def test_the_client_side_is_shared_and_nothing_else(shared: Gateway) -> None:
    cors = Cors([SHOP])
    for endpoint in ENDPOINTS:
        path = endpoint.path.replace("{id}", "pi_1")
        expected = (endpoint.method, endpoint.path) in SHARED
        found = cors.headers(endpoint.method, path, {"origin": SHOP})
        assert bool(found) is expected, endpoint.path
    for path in ("/payment-intents", "/alerts", "/healthz", "/openapi.json", "/nowhere"):
        answer = await shared.call("GET", path, headers={"Origin": SHOP})
        assert cors_of(answer.headers) == {}, path


async def test_a_page_pays_and_reads_every_answer(shared: Gateway) -> None:
    intent, secret = await shared.create_with_secret()
    path = f"/payment-intents/{intent['id']}"
    headers = browser(shared, secret)
    keyed = headers | {"Idempotency-Key": "pay"}
    first = await shared.call("POST", f"{path}/confirm", CONFIRM, headers=keyed)
    again = await shared.call("POST", f"{path}/confirm", CONFIRM, headers=keyed)
    other = await shared.call("POST", f"{path}/confirm", CONFIRM, headers=headers)
    read = await shared.call("GET", path, headers=headers)
    missing = await shared.call("GET", UNKNOWN, headers=headers)
    stranger = await shared.call("GET", path, headers=headers | {"Authorization": "Bearer x"})
    nameless = await shared.call("GET", path, key=None, headers={"Origin": SHOP})
    refused = await shared.call("POST", f"{path}/confirm", raw=b"{", headers=headers)
    answers = (first, again, other, read, missing, stranger, nameless, refused)
    assert [a.status for a in answers] == [200, 200, 409, 200, 404, 401, 401, 400]
    for answer in answers:
        may_be_read_by_a_page(answer)
    may_be_read_by_a_page(
        await shared.call("GET", path, headers=browser(shared, secret, LOCAL)), LOCAL
    )


async def test_another_page_reads_none(shared: Gateway) -> None:
    intent, secret = await shared.create_with_secret()
    path = f"/payment-intents/{intent['id']}"
    for origin in (STRANGER, "null", SHOP + ".evil.example"):
        answer = await shared.call("GET", path, headers=browser(shared, secret, origin))
        assert answer.status == 200  # a server may ask with any header; a browser hides the answer
        assert cors_of(answer.headers) == {}
        assert answer.headers["Vary"] == "Origin"


async def test_a_page_that_asks_too_often_is_told_when_to_come_again(shared: Gateway) -> None:
    headers = browser(shared, "no secret")
    answers = [await shared.call("GET", UNKNOWN, headers=headers) for _ in range(KEY + 1)]
    for answer in answers:
        may_be_read_by_a_page(answer)
    assert answers[-1].status == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_without_origins_there_is_no_cors() -> None:
    cors = Cors(())
    asked = {"origin": SHOP, "access-control-request-method": "GET"}
    assert cors.headers("OPTIONS", UNKNOWN, asked) == ()
    assert cors.headers("GET", UNKNOWN, {"origin": SHOP}) == ()


def test_nothing_ever_goes_with_credentials() -> None:
    cors = Cors([SHOP])
    asked = {"origin": SHOP, "access-control-request-method": "POST"}
    path = f"{UNKNOWN}/confirm"
    said = cors.headers("OPTIONS", path, asked) + cors.headers("POST", path, {"origin": SHOP})
    assert b"access-control-allow-credentials" not in dict(said)
    assert b"*" not in b"".join(value for _, value in said)
