"""Each request is one line of the log, and the line has nothing that a stranger wrote."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from paygate.telemetry.request_log import RequestLog
from tests.api.edge.asgi import Door
from tests.flows.world import World


class Lines:
    """What was logged."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self.log = RequestLog(writer)

    def __call__(self) -> list[dict[str, Any]]:
        self.log.flush()
        return [json.loads(line) for line in os.read(self._reader, 100_000).splitlines()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    reader, writer = os.pipe()
    yield Lines(reader, writer)
    os.close(reader)
    os.close(writer)


async def test_each_request_is_a_line(world: World, lines: Lines) -> None:
    door = Door(world, request_log=lines.log)
    key = await door.key()
    body = b'{"amount": 1999, "currency": "eur"}'
    made = await door.call("POST", "/payment-intents", body, headers={"Authorization": key})
    secret = json.loads(made.body)["client_secret"]
    intent = json.loads(made.body)["id"]
    answers = [
        made,
        await door.call("GET", f"/payment-intents/{intent}", headers={"Authorization": key}),
        await door.call("GET", f"/payment-intents/{intent}?hunter2=hunter2"),
        await door.call("DELETE", "/payment-intents"),
        await door.call("GET", "/hunter2"),
        await door.call("POST", "/webhooks", b"hunter2"),
    ]
    found = lines()
    shown = [(x["method"], x["route"], x["status"], x["code"]) for x in found]
    assert shown == [
        ("POST", "/payment-intents", 201, None),
        ("GET", "/payment-intents/{id}", 200, None),
        ("GET", "/payment-intents/{id}", 401, "api_key_missing"),
        ("DELETE", "/payment-intents", 405, "method_not_allowed"),
        ("GET", None, 404, "route_unknown"),
        ("POST", "/webhooks", 400, "signature_invalid"),
    ]
    assert [x["request_id"] for x in found] == [a.headers["request-id"] for a in answers]
    key_id = key.split("_sk_")[1].split("_")[0]
    assert [x["caller"] for x in found] == [f"key_{key_id}"] * 2 + [None] * 4
    assert all(x["duration_ms"] > 0 for x in found)
    text = json.dumps(found)
    for never in ("hunter2", secret, key.removeprefix("Bearer "), intent):
        assert never not in text
