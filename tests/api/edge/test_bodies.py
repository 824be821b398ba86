"""Bodies are bounded: each, and all of one process together."""

import asyncio
import gzip
from typing import Any

from paygate.api.edge.bodies import MOST, MOST_OF_LARGE
from paygate.api.edge.endpoint import BODY_LIMIT
from paygate.api.provider_events import EVENT_LIMIT
from tests.api.edge.asgi import Door, door_of
from tests.flows.world import World
from tests.gateway import Response, until


def part(size: int, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


async def holding(door: Door, size: int, count: int, more: asyncio.Event) -> list[Any]:
    """So many requests that have sent `size` bytes and do not come to an end."""
    before = door.edge.bodies.held
    tasks = [
        asyncio.create_task(door.serve("POST", "/webhooks", [part(size)], more=more))
        for _ in range(count)
    ]

    async def all_held() -> bool:
        return door.edge.bodies.held == before + size * count

    await until(all_held)
    return tasks


async def event(door: Door, size: int) -> Response:
    return await door.serve("POST", "/webhooks", [part(size, more=False)])


async def test_all_bodies_together_are_bounded(world: World) -> None:
    """The provider is told to come again, and small ones still come in: an event, a payment."""
    more = asyncio.Event()
    async with door_of(world) as door:
        key: dict[str, str | bytes] = {"Authorization": await door.key()}
        large = await holding(door, EVENT_LIMIT, MOST_OF_LARGE // EVENT_LIMIT, more)
        refused = await event(door, EVENT_LIMIT)
        assert (refused.status, refused.code) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json["error"]["retriable"]
        assert (await event(door, BODY_LIMIT)).code == "signature_invalid"
        small = await holding(door, BODY_LIMIT, (MOST - MOST_OF_LARGE) // BODY_LIMIT, more)
        assert (await event(door, 1)).code == "overloaded"
        body = b'{"amount":1999,"currency":"eur"}'
        again = await door.call("POST", "/payment-intents", body, headers=key)
        assert (again.status, again.code) == (503, "overloaded")
        assert door.edge.bodies.held == MOST
        more.set()
        assert {a.status for a in await asyncio.gather(*large, *small)} == {400}
        assert door.edge.bodies.held == 0
        assert (await event(door, EVENT_LIMIT)).code == "signature_invalid"
        assert (await door.call("POST", "/payment-intents", body, headers=key)).status == 201


async def test_a_body_is_let_go_of_however_its_request_ends(world: World) -> None:
    async with door_of(world) as door:
        gone = asyncio.Event()
        gone.set()
        for messages, status in (
            ([part(5, more=False)], 400),
            ([part(EVENT_LIMIT), part(1)], 413),
            ([part(5)], 400),
        ):
            answer = await door.serve("POST", "/webhooks", messages, more=gone)
            assert answer.status == status
            assert door.edge.bodies.held == 0
        (task,) = await holding(door, 5, 1, asyncio.Event())
        task.cancel()
        await task
        assert door.edge.bodies.held == 0


async def test_a_stranger_sends_no_body_to_a_call_that_asks_for_a_key(world: World) -> None:
    async with door_of(world) as door:
        answer = await door.serve("POST", "/payment-intents", [part(5)], more=asyncio.Event())
        assert answer.status == 401


def test_the_bounds_leave_room_for_what_is_ordinary() -> None:
    assert MOST - MOST_OF_LARGE >= 100 * BODY_LIMIT
    assert MOST_OF_LARGE >= 20 * EVENT_LIMIT


async def test_a_body_is_sent_as_it_is(world: World) -> None:
    """One that another server would decode first is two bodies; even if it is none of that code."""
    body = b'{"amount":1999,"currency":"eur"}'
    async with door_of(world) as door:
        key: dict[str, str | bytes] = {"Authorization": await door.key()}
        for coding, sent in (("gzip", gzip.compress(body)), ("deflate", body), ("identity", body)):
            headers = key | {"Content-Encoding": coding}
            answer = await door.call("POST", "/payment-intents", sent, headers=headers)
            assert (answer.status, answer.code) == (415, "content_type_unsupported")
