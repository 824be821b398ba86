"""Control characters: one clear 400 at every door by which a text could reach the database."""

from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from paygate.api.edge.endpoint import Endpoint
from paygate.api.routes import ENDPOINTS
from paygate.domain.access.roles import Role
from tests.api.edge.asgi import Door, door_of
from tests.flows.world import World
from tests.gateway import Response

CONTROLS = ["\0", "\x01", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x9f"]
LINES = "\t\n\r"
GOOD = {"amount": 1999, "currency": "eur"}
CONFIRM = {"payment_method": {"type": "card", "token": "pm_card_visa"}}
KEYED = [e for e in ENDPOINTS if e.action is not None and not e.raw]


def is_refused(answer: Response, param: str | None) -> None:
    assert (answer.status, answer.code) == (400, "parameter_invalid"), answer
    error = answer.json["error"]
    assert error["param"] == param
    assert "control characters" in error["message"]
    assert not set(CONTROLS) & set(error["message"])


async def test_in_an_id_and_in_a_query_of_every_call(world: World) -> None:
    async with door_of(world) as door:
        headers: dict[str, str | bytes] = {"Authorization": await door.key(Role.ADMIN)}
        for endpoint in KEYED:
            for control in CONTROLS:
                text = quote(f"a{control}b")
                path = endpoint.path.format(id="x", delivery="y", line="z")
                for query, param in ((f"?q={text}", "q"), (f"?{text}", None)):
                    is_refused(await ask(door, endpoint, path + query, headers), param)
                if "{id}" in endpoint.path:
                    path = endpoint.path.format(id=text, delivery="y", line="z")
                    is_refused(await ask(door, endpoint, path, headers), "id")


async def ask(door: Door, endpoint: Endpoint, target: str, headers: dict[str, Any]) -> Response:
    return await door.call(endpoint.method, target, b"{}", headers=headers)


@pytest.mark.parametrize("name", ["customer", "reference", "status", "starting_after"])
async def test_in_every_filter(world: World, name: str) -> None:
    async with door_of(world) as door:
        headers: dict[str, str | bytes] = {"Authorization": await door.key()}
        for control in CONTROLS:
            target = f"/payment-intents?limit=3&{name}={quote(control)}"
            is_refused(await door.call("GET", target, headers=headers), name)


BODIES: tuple[tuple[str, Any, str | None, bool], ...] = (
    ("/payment-intents", {"reference": "?"}, "reference", False),
    ("/payment-intents", {"description": "?"}, "description", True),
    ("/payment-intents", {"metadata": {"note": "?"}}, "metadata.note", True),
    ("/payment-intents", {"metadata": {"?": "note"}}, None, False),
    ("/payment-intents", {"customer": {"id": "?"}}, "customer.id", False),
    ("/payment-intents", {"customer": {"name": "?"}}, "customer.name", False),
    ("/payment-intents", {"currency": "?"}, "currency", False),
    ("/payment-intents/x/confirm", CONFIRM | {"currency": "?"}, "currency", False),
    ("/payment-intents/x/cancel", {"reason": "?"}, "reason", True),
    ("/alerts/x/acknowledge", {"note": "?"}, "note", True),
    ("/api-keys", {"role": "operator", "name": "?"}, "name", False),
    ("/api-keys/x/rotate", {"overlap": "?"}, "overlap", False),
    ("/webhook-endpoints", {"url": "https://shop.example/?"}, "url", False),
    ("/webhook-endpoints", {"url": "https://a.example", "description": "?"}, "description", False),
    ("/webhook-endpoints/x/rotate-secret", {"overlap": "?"}, "overlap", False),
    ("/settlements/x/lines/y/match", {"candidate": "?"}, "candidate", False),
    ("/discrepancies/x/resolve", {"action": "resolve", "reason": "?"}, "reason", True),
)


def put(value: Any, text: str) -> Any:
    match value:
        case str():
            return value.replace("?", text)
        case dict():
            return {put(name, text): put(item, text) for name, item in value.items()}
        case _:
            return value


@pytest.mark.parametrize(("path", "body", "param", "lines"), BODIES)
async def test_in_every_text_of_a_body(
    world: World, path: str, body: dict[str, Any], param: str | None, *, lines: bool
) -> None:
    """Escaped, or raw where JSON has them so; a text that people write may have lines and tabs."""
    made = GOOD | body if path == "/payment-intents" else body
    async with door_of(world) as door:
        headers: dict[str, str | bytes] = {"Authorization": await door.key(Role.ADMIN)}
        for control in CONTROLS:
            sent = msgspec.json.encode(put(made, f"a{control}b"))
            for raw in {sent, sent.replace(control.encode(), b"\\u00%02x" % ord(control))}:
                answer = await door.call("POST", path, raw, headers=headers)
                if lines and control in LINES:
                    assert answer.status in {201, 404}, answer
                else:
                    is_refused(answer, param)


def test_every_text_of_every_body_is_in_the_list() -> None:
    """What is not has a pattern of its own, which no control character fits."""
    listed = {param for _, _, param, _ in BODIES}
    patterned = {"session_id", "statement_descriptor", "customer.email", "return_url"}
    patterned |= {"payment_method", "events"}
    for endpoint in KEYED:
        if endpoint.body is None:
            continue
        for field in msgspec.structs.fields(endpoint.body):
            names = (
                {field.encode_name} if field.encode_name not in {"customer", "metadata"} else set()
            )
            info = msgspec.inspect.type_info(field.type)
            if _holds_text(info):
                assert names <= listed | patterned, (endpoint.path, names)


def _holds_text(info: msgspec.inspect.Type) -> bool:
    match info:
        case msgspec.inspect.StrType():
            return True
        case msgspec.inspect.UnionType():
            return any(_holds_text(option) for option in info.types)
        case msgspec.inspect.Metadata():
            return _holds_text(info.type)
        case _:
            return False


async def test_other_text_passes(world: World) -> None:
    async with door_of(world) as door:
        headers: dict[str, str | bytes] = {"Authorization": await door.key()}
        text = 'Łódź \\n "quoted" \u00a0 \u3000 \U0001f600'
        body = msgspec.json.encode(GOOD | {"reference": text, "metadata": {text[:9]: text}})
        created = await door.call("POST", "/payment-intents", body, headers=headers)
        assert created.status == 201
        found = await door.call("GET", f"/payment-intents?reference={quote(text)}", headers=headers)
        assert [i["id"] for i in found.json["data"]] == [created.json["id"]]
