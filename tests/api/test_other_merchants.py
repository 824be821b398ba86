"""Objects of another merchant's: to whoever asks, they are not there, whatever is asked of them."""

from typing import Any, NamedTuple

import pytest

from paygate.api.edge.endpoint import Endpoint
from paygate.api.routes import ENDPOINTS
from paygate.domain.access.roles import MATRIX
from tests.api.shops import Shop, open_shop
from tests.api.test_disputes import heard, ordered
from tests.api.test_refunds import paid
from tests.gateway import Gateway, Response, until

BY_ID = [e for e in ENDPOINTS if "{id}" in e.path and e.action is not None and MATRIX[e.action]]
OF_THE_ACCOUNT = (
    "/provider-events/",
    "/reconciliations/",
    "/settlements/",
    "/settlements/imports/",
    "/discrepancies/",
)
"""What only keys of `default` see, each with a test of its own room."""


class Owner(NamedTuple):
    """A merchant with one object of each kind, by the beginning of its path."""

    shop: Shop
    objects: dict[str, str]
    delivery: str


@pytest.fixture(scope="module")
async def owner(gateway: Gateway) -> Owner:
    shop = await open_shop(gateway)
    endpoint = (
        await shop.call("POST", "/webhook-endpoints", {"url": "https://127.0.0.1:9/hook"})
    ).json["id"]
    body = {"amount": 1999, "currency": "eur", "customer": {"email": "ana@shop.example"}}
    customer = (await shop.call("POST", "/payment-intents", body)).json["customer"]
    refunded = await paid(shop)
    refund = await shop.call("POST", f"/payment-intents/{refunded['id']}/refund", {"amount": 1})
    assert refund.status == 201, refund
    disputed = await paid(shop)
    dispute = await heard(shop, await ordered(gateway, disputed))

    async def first(path: str) -> str | None:
        found = (await shop.call("GET", path)).json["data"]
        return str(found[0]["id"]) if found else None

    objects = {
        "/payment-intents/": refunded["id"],
        "/refunds/": refund.json["id"],
        "/disputes/": dispute["id"],
        "/customers/": customer,
        "/webhook-endpoints/": endpoint,
        "/api-keys/": (await shop.made())["id"],
        "/alerts/": await until(lambda: first("/alerts")),
        "/events/": await until(lambda: first("/events")),
    }
    delivery = await until(lambda: first(f"/webhook-endpoints/{endpoint}/deliveries"))
    return Owner(shop, objects, delivery)


@pytest.fixture(scope="module")
async def stranger(gateway: Gateway) -> Shop:
    return await open_shop(gateway)


def beginning(endpoint: Endpoint) -> str:
    return endpoint.path[: endpoint.path.index("{id}")]


BODIES: dict[str, Any] = {
    "/payment-intents/{id}/confirm": {
        "payment_method": {"type": "card", "token": "pm_card_visa"},
        "return_url": "https://shop.example/done",
    },
    "/payment-intents/{id}/payment-method": {
        "payment_method": {"type": "card", "token": "pm_card_visa"}
    },
    "/disputes/{id}/evidence": {"texts": {"product_description": "shoes"}},
    "/disputes/{id}/submit": {},
    "/webhook-endpoints/{id}": {"description": "mine now"},
}
"""A body that the owner's own call would be taken with."""


async def ask(shop: Shop, endpoint: Endpoint, object_id: str, delivery: str) -> Response:
    path = endpoint.path.replace("{id}", object_id).replace("{delivery}", delivery)
    body = BODIES.get(endpoint.path, {}) if endpoint.method == "POST" else None
    return await shop.call(endpoint.method, path, body, headers={"Paygate-Actor": "eve"})


def shape(response: Response) -> tuple[Any, ...]:
    """All of a response but what is of its own request."""
    error = {k: v for k, v in response.json["error"].items() if k != "request_id"}
    own = {"request-id", "server-timing", "date", "content-length", "ratelimit"}
    headers = {name: value for name, value in response.headers.items() if name.lower() not in own}
    return response.status, str(error), str(sorted(headers.items()))


def test_every_route_by_id_is_walked() -> None:
    walked = {
        "/payment-intents/",
        "/refunds/",
        "/disputes/",
        "/customers/",
        "/webhook-endpoints/",
        "/api-keys/",
        "/alerts/",
        "/events/",
    }
    assert {beginning(e) for e in BY_ID} <= walked | set(OF_THE_ACCOUNT)


@pytest.mark.parametrize(
    "endpoint",
    [e for e in BY_ID if beginning(e) not in OF_THE_ACCOUNT],
    ids=lambda e: f"{e.method} {e.path}",
)
async def test_anothers_object_is_not_there(
    owner: Owner, stranger: Shop, endpoint: Endpoint
) -> None:
    """The same response as for an id that nobody has, and the object stays as it was."""
    real = owner.objects[beginning(endpoint)]
    unknown = real[: real.index("_") + 1] + "0" * 26
    theirs = await ask(stranger, endpoint, real, owner.delivery)
    assert theirs.status == 404, theirs
    nobodys = await ask(stranger, endpoint, unknown, "dl_" + "0" * 26)
    said = shape(theirs)[1].replace(real, "ID"), shape(nobodys)[1].replace(unknown, "ID")
    assert said[0] == said[1]
    assert (shape(theirs)[0], shape(theirs)[2]) == (shape(nobodys)[0], shape(nobodys)[2])


async def test_nothing_of_the_owners_has_moved(owner: Owner) -> None:
    shop = owner.shop
    intent = (await shop.call("GET", f"/payment-intents/{owner.objects['/payment-intents/']}")).json
    assert intent["status"] == "succeeded"
    dispute = (await shop.call("GET", f"/disputes/{owner.objects['/disputes/']}")).json
    assert dispute["status"] == "needs_response"
    assert "product_description" not in dispute["evidence"]["texts"]
    endpoint = (
        await shop.call("GET", f"/webhook-endpoints/{owner.objects['/webhook-endpoints/']}")
    ).json
    assert (endpoint["status"], endpoint["description"]) == ("enabled", None)
    alert = next(
        a
        for a in (await shop.call("GET", "/alerts?limit=100")).json["data"]
        if a["id"] == owner.objects["/alerts/"]
    )
    assert alert["status"] == "open"
    keys = (await shop.call("GET", "/api-keys?limit=100")).json["data"]
    (key,) = [k for k in keys if k["id"] == owner.objects["/api-keys/"]]
    assert key["revoked_at"] is None


async def test_lists_show_a_merchants_own_alone(owner: Owner, stranger: Shop) -> None:
    for endpoint in ENDPOINTS:
        if endpoint.method != "GET" or endpoint.action is None or "{id}" in endpoint.path:
            continue
        # The log of what the stranger asked for names what they asked for.
        if endpoint.raw or not MATRIX[endpoint.action] or endpoint.path == "/audit-log":
            continue
        response = await stranger.call("GET", f"{endpoint.path}?limit=100")
        shown = response.body.decode()
        assert not [i for i in (*owner.objects.values(), owner.delivery) if i in shown], endpoint


async def test_anothers_customer_pays_nothing(owner: Owner, stranger: Shop) -> None:
    """An id in a body is looked for among the caller's own, too."""
    body = {"amount": 1, "currency": "eur", "customer": {"id": owner.objects["/customers/"]}}
    response = await stranger.call("POST", "/payment-intents", body)
    assert response.status in {400, 404}, response
    unknown = body | {"customer": {"id": "cus_" + "0" * 26}}
    assert (await stranger.call("POST", "/payment-intents", unknown)).code == response.code
    for query in ("customer", "starting_after", "ending_before"):
        value = owner.objects["/customers/" if query == "customer" else "/payment-intents/"]
        answer = await stranger.call("GET", f"/payment-intents?{query}={value}")
        assert answer.json.get("data", []) == [], answer
