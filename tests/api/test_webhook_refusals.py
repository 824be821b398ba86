"""`/webhook-endpoints` and `/events`: what is refused, call by call; nothing comes of it."""

from typing import Any, NamedTuple

from paygate.domain.ids import make_id
from paygate.flows.webhooks.create import MOST
from tests.api.shops import Shop, open_shop
from tests.api.test_webhook_endpoints import PATH, is_refused, listed, over, sold
from tests.gateway import Gateway
from tests.receiver import Receiver

FOREVER = make_id("evt_", (1 << 48) - 1, b"\xff" * 10)


class Bad(NamedTuple):
    """A call, with `{we}`, `{dl}` and `{evt}` for what is there, and how it is refused."""

    method: str
    path: str
    body: Any
    status: int
    code: str
    param: str | None


CHANGES = [
    ({"secret": "whsec_x"}, "parameter_unknown", "secret"),
    ({"url": "x"}, "parameter_invalid", "url"),
    ({"url": "http://10.0.0.5/"}, "webhook_url_not_allowed", "url"),
    ({"url": None}, "parameter_invalid", "url"),
    ({"events": []}, "parameter_invalid", "events"),
    ({"events": "*"}, "parameter_invalid", "events"),
    ({"events": ["payment_intent.nothing"]}, "parameter_invalid", "events"),
    ({"events": [None]}, "parameter_invalid", "events[0]"),
    ({"events": ["*"] * 500}, "parameter_invalid", "events"),
    ({"description": "a" * 501}, "parameter_invalid", "description"),
    ({"description": 5}, "parameter_invalid", "description"),
    ({"status": "deleted"}, "parameter_invalid", "status"),
    ({"status": None}, "parameter_invalid", "status"),
]
ROTATIONS = [
    ({"overlap": 5}, "parameter_invalid", "overlap"),
    ({"overlap": None}, "parameter_invalid", "overlap"),
    ({"overlap": "8d"}, "parameter_invalid", "overlap"),
    ({"secret": "whsec_x"}, "parameter_unknown", "secret"),
]
LISTS = [
    *(("limit=0", "limit"), ("limit=101", "limit"), ("limit=-1", "limit"), ("limit=x", "limit")),
    *(("limit=", "limit"), ("limit=1.5", "limit")),
    ("starting_after=pi_00000000000000000000000000", "starting_after"),
    ("ending_before=nonsense", "ending_before"),
    ("ending_before=", "ending_before"),
]
EVENTS = [
    *(("type=nothing", "type"), ("type=*", "type"), ("type=", "type")),
    *(("subject=", "subject"), (f"subject={'a' * 65}", "subject")),
    *(("created_after=soon", "created_after"), ("created_before=2026-11-24", "created_before")),
    ("created_after=2026-11-24T12:00:00", "created_after"),
    (f"starting_after={FOREVER}", "starting_after"),
    (f"ending_before=evt_{'0' * 26}", "ending_before"),
]
RESEND = f"{PATH}/{{we}}/deliveries/{{dl}}/resend"
INVALID = (400, "parameter_invalid")
MISSING = (404, "resource_missing", "id")
BAD = [
    *(Bad("POST", f"{PATH}/{{we}}", body, 400, code, param) for body, code, param in CHANGES),
    *(
        Bad("POST", f"{PATH}/{{we}}/rotate-secret", body, 400, code, param)
        for body, code, param in ROTATIONS
    ),
    *(
        Bad("GET", f"{path}?{query}", None, *INVALID, param)
        for path in (PATH, f"{PATH}/{{we}}/deliveries", "/events")
        for query, param in LISTS
    ),
    *(Bad("GET", f"/events?{query}", None, *INVALID, param) for query, param in EVENTS),
    Bad("GET", f"{PATH}/{{we}}/deliveries?status=sent", None, *INVALID, "status"),
    Bad("GET", f"{PATH}?status=enabled", None, 400, "parameter_unknown", "status"),
    Bad("POST", RESEND, {"now": True}, 400, "parameter_unknown", "now"),
    Bad("POST", f"{PATH}/{{we}}/deliveries/{{evt}}/resend", None, *MISSING),
    Bad("POST", f"{PATH}/{{we}}/deliveries/dl_{'0' * 26}/resend", None, *MISSING),
    Bad("POST", f"{PATH}/{{dl}}/deliveries/{{dl}}/resend", None, *MISSING),
    Bad("GET", f"{PATH}/{{evt}}/deliveries", None, *MISSING),
    *(Bad("GET", f"/events/{body}", None, *MISSING) for body in ("{we}", "x", FOREVER)),
]


async def test_each_bad_call_is_refused_and_changes_nothing(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    async with Receiver() as receiver:
        body = {"url": receiver.url(), "description": "as it was"}
        made = (await shop.call("POST", PATH, body)).json
        await sold(shop)
        (delivery,) = await over(shop, made["id"], 1)
        names = {"we": made["id"], "dl": delivery["id"], "evt": delivery["event"]}
        before = await state(shop, made["id"])
        for bad in BAD:
            response = await shop.call(bad.method, bad.path.format(**names), bad.body)
            assert (response.status, response.code) == (bad.status, bad.code), (bad, response)
            assert response.json["error"]["param"] == bad.param, bad
        assert await state(shop, made["id"]) == before
        await shop.call("DELETE", f"{PATH}/{made['id']}")
    assert len(receiver.requests) == 1


async def state(shop: Shop, endpoint: str) -> list[Any]:
    path = f"{PATH}/{endpoint}"
    return [(await shop.call("GET", path)).json, await listed(shop, f"{path}/deliveries")]


async def test_two_cursors_at_once_are_none(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    await sold(shop)
    (event,) = await listed(shop, "/events")
    response = await shop.call(
        "GET", f"/events?starting_after={event['id']}&ending_before={event['id']}"
    )
    is_refused(response, 400, "parameter_invalid", "ending_before")


async def test_a_delivery_is_resent_by_its_own_endpoint_alone(gateway: Gateway) -> None:
    """One of the merchant's endpoints does not name another's delivery."""
    shop = await open_shop(gateway)
    async with Receiver() as receiver:
        one, two = [(await shop.call("POST", PATH, {"url": receiver.url()})).json for _ in "ab"]
        await sold(shop)
        (delivery,) = await over(shop, one["id"], 1)
        await over(shop, two["id"], 1)
        wrong = f"{PATH}/{two['id']}/deliveries/{delivery['id']}/resend"
        is_refused(await shop.call("POST", wrong), 404, "resource_missing", "id")
        for endpoint in (one, two):
            await shop.call("DELETE", f"{PATH}/{endpoint['id']}")
    assert len(receiver.requests) == 2


async def test_a_merchant_has_so_many_endpoints_and_no_more(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    body = {"url": "http://127.0.0.1:9/", "events": ["refund.failed"]}
    made = [await shop.call("POST", PATH, body) for _ in range(MOST)]
    assert {response.status for response in made} == {201}
    is_refused(await shop.call("POST", PATH, body), 409, "state_conflict")
    await shop.call("DELETE", f"{PATH}/{made[0].json['id']}")
    assert (await shop.call("POST", PATH, body)).status == 201
    for endpoint in await listed(shop, f"{PATH}?limit=100"):
        await shop.call("DELETE", f"{PATH}/{endpoint['id']}")
