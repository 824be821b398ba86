"""`/webhook-endpoints` and `/events` on a real gateway: the objects, their lives, every refusal."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from paygate.domain.audit import Result
from tests.api.shops import Shop, audited, open_shop
from tests.gateway import Gateway, Response, until
from tests.receiver import Receiver, answer

FIELDS = {
    *("object", "id", "livemode", "url", "events", "status", "disabled_because", "description"),
    *("failing_since", "secret_expires_at", "created_at"),
}
PATH = "/webhook-endpoints"
UNKNOWN = f"{PATH}/we_{'0' * 26}"


@pytest.fixture
async def shop(gateway: Gateway) -> Shop:
    return await open_shop(gateway)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def made(shop: Shop, receiver: Receiver, **more: Any) -> dict[str, Any]:
    response = await shop.call("POST", PATH, {"url": receiver.url(), **more})
    assert response.status == 201, response
    return response.json


async def sold(shop: Shop) -> str:
    body = {"amount": 1999, "currency": "eur"}
    return str((await shop.call("POST", "/payment-intents", body)).json["id"])


async def listed(shop: Shop, path: str) -> list[dict[str, Any]]:
    response = await shop.call("GET", path)
    assert response.status == 200, response
    return list(response.json["data"])


async def over(shop: Shop, endpoint: str, count: int) -> list[dict[str, Any]]:
    """The deliveries to an endpoint, once so many are over."""

    async def look() -> list[dict[str, Any]] | None:
        found = await listed(shop, f"{PATH}/{endpoint}/deliveries?limit=100")
        return found if sum(d["status"] != "pending" for d in found) >= count else None

    found: list[dict[str, Any]] = await until(look, seconds=60)
    return found


def is_refused(response: Response, status: int, code: str, param: str | None = None) -> None:
    assert (response.status, response.code) == (status, code), response
    assert response.json["error"]["param"] == param


async def test_an_endpoint_is_told_signed_and_shown(shop: Shop, receiver: Receiver) -> None:
    endpoint = await made(shop, receiver, description="the shop's back end")
    secret = endpoint.pop("secret")
    assert secret.startswith("whsec_")
    assert set(endpoint) == FIELDS
    assert (endpoint["events"], endpoint["status"]) == (["*"], "enabled")
    path = f"{PATH}/{endpoint['id']}"
    assert (await shop.call("GET", path)).json == endpoint
    assert endpoint in await listed(shop, f"{PATH}?limit=100")
    intent = await sold(shop)
    (request,) = await receiver.wait_for(1)
    event = Webhook(secret).verify(request.body, request.headers)
    assert event["data"]["object"]["id"] == intent
    assert (await shop.call("GET", f"/events/{event['id']}")).json == event
    (delivery,) = await over(shop, endpoint["id"], 1)
    assert set(delivery) == {
        *("object", "id", "event", "endpoint", "status", "failure", "attempts"),
        *("next_attempt_at", "created_at"),
    }
    assert (delivery["event"], delivery["status"]) == (event["id"], "delivered")
    (attempt,) = delivery["attempts"]
    assert (attempt["status_code"], attempt["error"]) == (200, None)
    deleted = await shop.call("DELETE", path)
    assert (deleted.status, deleted.json["deleted"]) == (200, True)


async def test_a_receiver_that_was_mended_gets_what_is_asked_for_again(
    shop: Shop, receiver: Receiver
) -> None:
    receiver.answers = [answer(503)]
    endpoint = await made(shop, receiver)
    await sold(shop)
    await receiver.wait_for(1)
    path = f"{PATH}/{endpoint['id']}"

    async def failing() -> Any:
        return (await shop.call("GET", path)).json["failing_since"]

    assert await until(failing)
    (delivery,) = await listed(shop, f"{path}/deliveries?status=pending")
    again = await shop.call("POST", f"{path}/deliveries/{delivery['id']}/resend")
    assert (again.status, again.json["status"]) == (200, "pending")
    first, second = await receiver.wait_for(2)
    assert first.body == second.body
    (delivery,) = await over(shop, endpoint["id"], 1)
    assert delivery["status"] == "delivered"

    async def recovered() -> bool:
        return (await shop.call("GET", path)).json["failing_since"] is None

    assert await until(recovered)
    await shop.call("DELETE", path)


async def test_rotation_shows_a_new_secret_once(shop: Shop, receiver: Receiver) -> None:
    endpoint = await made(shop, receiver)
    path = f"{PATH}/{endpoint['id']}"
    rotated = (await shop.call("POST", f"{path}/rotate-secret", {"overlap": "1h"})).json
    assert set(rotated) == FIELDS | {"secret"}
    assert rotated["secret"] != endpoint["secret"]
    assert rotated["secret_expires_at"] is not None
    assert "secret" not in (await shop.call("GET", path)).json
    await sold(shop)
    (request,) = await receiver.wait_for(1)
    for secret in (endpoint["secret"], rotated["secret"]):
        Webhook(secret).verify(request.body, request.headers)
    for _ in range(3):
        assert (await shop.call("POST", f"{path}/rotate-secret")).status == 200
    is_refused(await shop.call("POST", f"{path}/rotate-secret"), 409, "state_conflict")
    assert (await shop.call("POST", f"{path}/rotate-secret", {"overlap": "0s"})).status == 200
    assert (await shop.call("GET", path)).json["secret_expires_at"] is None
    for overlap in ("8d", "", "1", "-1s"):
        response = await shop.call("POST", f"{path}/rotate-secret", {"overlap": overlap})
        is_refused(response, 400, "parameter_invalid", "overlap")
    await shop.call("DELETE", path)


MALFORMED = [
    *("", "x", "shop.example", "ftp://shop.example/", "https://", "https://u:p@shop.example/"),
    *("https://shop.example/#a", "https://shop example/", "https://shop.example:0/"),
    *("https://shop.example\\@evil.example/", "javascript:alert(1)", "https://é.example/"),
    *("http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/"),
    *("http://2852039166/", "https://" + "a" * 2000 + ".example/", "https://[::1/"),
]
FORBIDDEN = [
    *("http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/"),
    *("http://[::ffff:a9fe:a9fe]/", "http://[0:0:0:0:0:ffff:a00:5]/", "http://[::]/"),
    *("http://10.0.0.5/", "http://192.168.1.1:8080/", "http://172.16.0.1/", "http://0.0.0.1/"),
    *("http://100.64.0.1/", "http://192.0.0.8/", "http://198.18.0.1/", "http://224.0.0.1/"),
    *("http://240.0.0.1/", "http://[fec0::1]/", "http://[fe80::1]/", "http://[fd00:ec2::254]/"),
    *("http://168.63.129.16/", "http://nobody.invalid/", "https://[2002:7f00:1::]/"),
]


@pytest.mark.parametrize("url", MALFORMED)
async def test_what_is_no_url_is_refused(shop: Shop, receiver: Receiver, url: str) -> None:
    endpoint = await made(shop, receiver)
    for path in (PATH, f"{PATH}/{endpoint['id']}"):
        is_refused(await shop.call("POST", path, {"url": url}), 400, "parameter_invalid", "url")
    await shop.call("DELETE", f"{PATH}/{endpoint['id']}")


async def test_where_nothing_may_go_is_refused_in_one_voice(shop: Shop, receiver: Receiver) -> None:
    """At create and at update, a name that has no address too."""
    endpoint = await made(shop, receiver)
    said = set()
    for url in FORBIDDEN:
        for path in (PATH, f"{PATH}/{endpoint['id']}"):
            response = await shop.call("POST", path, {"url": url})
            is_refused(response, 400, "webhook_url_not_allowed", "url")
            said.add(response.json["error"]["message"])
    assert len(said) == 1
    after = (await shop.call("GET", f"{PATH}/{endpoint['id']}")).json
    assert after["url"] == endpoint["url"]
    await shop.call("DELETE", f"{PATH}/{endpoint['id']}")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "parameter_missing", "url"),
        ({"url": 5}, "parameter_invalid", "url"),
        ({"url": "https://a.example/", "secret": "whsec_x"}, "parameter_unknown", "secret"),
        ({"url": "https://a.example/", "events": []}, "parameter_invalid", "events"),
        ({"url": "https://a.example/", "events": ["nothing"]}, "parameter_invalid", "events"),
        (
            {"url": "https://a.example/", "events": ["payment_intent.*"]},
            "parameter_invalid",
            "events",
        ),
        ({"url": "https://a.example/", "description": ""}, "parameter_invalid", "description"),
        ({"url": "https://a.example/", "description": "a\nb"}, "parameter_invalid", "description"),
        ({"url": "https://a.example/", "status": "disabled"}, "parameter_unknown", "status"),
    ],
)
async def test_a_bad_create_makes_nothing(
    shop: Shop, body: dict[str, Any], code: str, param: str
) -> None:
    before = await listed(shop, f"{PATH}?limit=100")
    is_refused(await shop.call("POST", PATH, body), 400, code, param)
    assert await listed(shop, f"{PATH}?limit=100") == before


async def test_an_update_changes_what_it_names(shop: Shop, receiver: Receiver) -> None:
    endpoint = await made(shop, receiver, description="old")
    path = f"{PATH}/{endpoint['id']}"
    changed = await shop.call("POST", path, {"events": ["payment_intent.succeeded"]})
    assert changed.json["events"] == ["payment_intent.succeeded"]
    assert changed.json["description"] == "old"
    changed = await shop.call("POST", path, {"description": None, "status": "disabled"})
    assert (changed.json["description"], changed.json["status"]) == (None, "disabled")
    for body, param in (
        ({"status": "deleted"}, "status"),
        ({"events": ["x"]}, "events"),
        ({"url": None}, "url"),
    ):
        is_refused(await shop.call("POST", path, body), 400, "parameter_invalid", param)
    await shop.call("DELETE", path)


async def test_anothers_and_what_is_not_there_are_the_same(
    shop: Shop, receiver: Receiver, gateway: Gateway
) -> None:
    endpoint = await made(shop, receiver)
    await sold(shop)
    (delivery,) = await over(shop, endpoint["id"], 1)
    other = await open_shop(gateway)
    mine, theirs = await made(other, receiver), f"{PATH}/{endpoint['id']}"
    resend = f"/deliveries/{delivery['id']}/resend"
    calls = [("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/rotate-secret")]
    for method, rest in [*calls, ("GET", "/deliveries"), ("POST", resend)]:
        said = [
            await other.call(method, path + rest)
            for path in (theirs, UNKNOWN, f"{PATH}/nonsense", f"{PATH}/evt_{'0' * 26}")
        ]
        for response in said:
            is_refused(response, 404, "resource_missing", "id")
        assert len({response.json["error"]["message"] for response in said}) == 1
    for path in (delivery["id"], "dl_" + "0" * 26, "nonsense"):
        response = await other.call("POST", f"{PATH}/{mine['id']}/deliveries/{path}/resend")
        is_refused(response, 404, "resource_missing", "id")
    for shop_, path in ((other, f"{PATH}/{mine['id']}"), (shop, theirs)):
        await shop_.call("DELETE", path)


async def test_what_is_deleted_keeps_its_history_and_no_more(
    shop: Shop, receiver: Receiver
) -> None:
    endpoint = await made(shop, receiver)
    await sold(shop)
    (delivery,) = await over(shop, endpoint["id"], 1)
    path = f"{PATH}/{endpoint['id']}"
    disabled = await shop.call("POST", path, {"status": "disabled"})
    assert disabled.json["status"] == "disabled"
    resend = f"{path}/deliveries/{delivery['id']}/resend"
    is_refused(await shop.call("POST", resend), 409, "state_conflict")
    await shop.call("DELETE", path)
    is_refused(await shop.call("POST", resend), 409, "state_conflict")
    for method, rest in (("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/rotate-secret")):
        is_refused(await shop.call(method, path + rest), 404, "resource_missing", "id")
    assert [d["id"] for d in await listed(shop, f"{path}/deliveries")] == [delivery["id"]]
    assert endpoint["id"] not in {e["id"] for e in await listed(shop, f"{PATH}?limit=100")}


async def test_a_repeated_create_makes_one(shop: Shop, receiver: Receiver) -> None:
    once = {"Idempotency-Key": "one endpoint"}
    body = {"url": receiver.url()}
    first, again = [await shop.call("POST", PATH, body, headers=once) for _ in range(2)]
    assert (first.status, again.status, first.body) == (201, 200, again.body)
    await shop.call("DELETE", f"{PATH}/{first.json['id']}")


async def test_lists_take_their_own_cursors_alone(shop: Shop, receiver: Receiver) -> None:
    endpoint = await made(shop, receiver)
    intent = await sold(shop)
    deliveries = f"{PATH}/{endpoint['id']}/deliveries"
    for path in (PATH, deliveries, "/events"):
        for cursor in ("starting_after", "ending_before"):
            for wrong in (intent, "", "x", "req_" + "0" * 26):
                response = await shop.call("GET", f"{path}?{cursor}={wrong}")
                is_refused(response, 400, "parameter_invalid", cursor)
        is_refused(await shop.call("GET", f"{path}?limit=0"), 400, "parameter_invalid", "limit")
        is_refused(await shop.call("GET", f"{path}?x=1"), 400, "parameter_unknown", "x")
    is_refused(await shop.call("GET", f"{deliveries}?status=x"), 400, "parameter_invalid", "status")
    await shop.call("DELETE", f"{PATH}/{endpoint['id']}")


async def test_events_are_filtered(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    intents = [await sold(shop) for _ in range(3)]
    confirm = {
        "payment_method": {"type": "card", "token": "pm_card_visa"},
        "return_url": "https://shop.example/done",
    }
    await shop.call("POST", f"/payment-intents/{intents[1]}/confirm", confirm)

    async def two() -> Any:
        found = await listed(shop, f"/events?subject={intents[1]}")
        return found if len(found) >= 2 else None

    newest, *_ = await until(two)
    assert newest["type"] == "payment_intent.succeeded"
    assert [e["id"] for e in await listed(shop, "/events?type=payment_intent.succeeded")] == [
        newest["id"]
    ]
    created = await listed(shop, "/events?type=payment_intent.created&limit=2")
    assert [e["data"]["object"]["id"] for e in created] == [intents[2], intents[1]]
    rest = await listed(
        shop, f"/events?type=payment_intent.created&starting_after={created[-1]['id']}"
    )
    assert [e["data"]["object"]["id"] for e in rest] == [intents[0]]
    newer = await listed(shop, f"/events?ending_before={rest[0]['id']}&limit=1")
    assert newer[0]["id"] == created[1]["id"]
    after = created[0]["created_at"].replace(":", "%3A")
    assert newest in await listed(shop, f"/events?created_after={after}")
    assert await listed(shop, "/events?created_before=2020-01-01T00:00:00Z") == []
    is_refused(await shop.call("GET", "/events?type=nothing"), 400, "parameter_invalid", "type")
    other = await open_shop(gateway)
    assert await listed(other, "/events") == []
    for event_id in (newest["id"], "evt_" + "0" * 26, "nonsense"):
        is_refused(await other.call("GET", f"/events/{event_id}"), 404, "resource_missing", "id")
    response = await other.call("GET", f"/events?starting_after={newest['id']}")
    is_refused(response, 400, "parameter_invalid", "starting_after")


async def test_every_act_is_written_down(shop: Shop, receiver: Receiver) -> None:
    endpoint = await made(shop, receiver)
    path = f"{PATH}/{endpoint['id']}"
    await sold(shop)
    (delivery,) = await over(shop, endpoint["id"], 1)
    calls = [
        ("GET", PATH, "webhook_endpoint.list"),
        ("GET", path, "webhook_endpoint.read"),
        ("POST", path, "webhook_endpoint.update"),
        ("POST", f"{path}/rotate-secret", "webhook_endpoint.rotate_secret"),
        ("GET", f"{path}/deliveries", "delivery.list"),
        ("POST", f"{path}/deliveries/{delivery['id']}/resend", "delivery.resend"),
        ("GET", "/events", "event.list"),
        ("GET", f"/events/{delivery['event']}", "event.read"),
        ("DELETE", path, "webhook_endpoint.delete"),
    ]
    responses = [await shop.call(method, where) for method, where, _ in calls]
    entries = await audited(shop.gateway)
    for response, (_, _, action) in zip(responses, calls, strict=True):
        (entry,) = entries[response.headers["Request-Id"]]
        assert (entry.action, entry.result) == (action, Result.ALLOWED)
        assert "s3cr3t" not in repr(entry)
    support = (await shop.made("support"))["key"]
    refused = await shop.call("GET", PATH, key=support)
    is_refused(refused, 403, "role_not_allowed")
