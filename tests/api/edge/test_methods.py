"""A method is the one of the request line, and `HEAD` is allowed to whom `GET` is."""

import pytest

from paygate.domain.access.roles import Role
from tests.api.edge.asgi import Door
from tests.flows.world import World

OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")


@pytest.mark.parametrize("name", OVERRIDES)
async def test_no_header_changes_the_method(world: World, name: str) -> None:
    door = Door(world)
    headers: dict[str, str | bytes] = {"authorization": await door.key(Role.AUDITOR), name: "GET"}
    body = b'{"amount": 100, "currency": "eur"}'
    posted = await door.call("POST", "/payment-intents", body, headers=headers)
    assert (posted.status, posted.code) == (403, "role_not_allowed")
    headers[name] = "POST"
    read = await door.call("GET", "/payment-intents", headers=headers)
    assert read.json["object"] == "list"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "PUT", "get"])
async def test_another_method_is_none_for_anybody(world: World, method: str) -> None:
    door = Door(world)
    headers: dict[str, str | bytes] = {"authorization": await door.key(Role.ADMIN)}
    answer = await door.call(method, "/payment-intents", headers=headers)
    assert (answer.status, answer.code) == (405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/audit-log", "/api-keys", "/webhook-endpoints"])
async def test_head_is_refused_to_whom_get_is(world: World, path: str) -> None:
    door = Door(world)
    headers: dict[str, str | bytes] = {"authorization": await door.key(Role.SUPPORT)}
    statuses = [(await door.call(m, path, headers=headers)).status for m in ("GET", "HEAD")]
    assert statuses == [403, 403]
