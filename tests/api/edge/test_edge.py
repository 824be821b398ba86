"""The way of a request through the edge: what is done for whom, in which order, and how it ends."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paygate.api.app import Api
from paygate.api.edge import actors, card_data, control_characters
from paygate.api.edge.addresses import TrustedProxies
from paygate.api.edge.cors import Cors
from paygate.api.edge.errors import encode_error
from paygate.api.edge.idempotency import canonical
from paygate.api.edge.limits import Limits
from paygate.api.objects import encode, public_payment_intent_object
from paygate.api.payments.bodies import CancelPaymentIntent, CreatePaymentIntent
from paygate.domain.access.roles import Action, Caller, Role
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.outcome import PaymentError, Rejected
from paygate.domain.payments.payment_intent import Status
from paygate.flows.access import authenticate
from paygate.flows.context import Context
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.run_once import idempotently
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from paygate.settings import load
from tests.api.edge.asgi import Door, Headers, door_of
from tests.flows.world import World, answer
from tests.gateway import Response
from tests.making import make_intent

UNKNOWN = "/payment-intents/pi_" + "0" * 26
GOOD = b'{"amount":1999,"currency":"eur"}'
CONFIRM = (
    b'{"payment_method":{"type":"card","token":"pm_card_visa"},"return_url":"https://s.example/"}'
)
DIGITS = b"4242" * 20_000
SHAPE = {"type", "code", "message", "param", "doc_url", "request_id", "retriable"}


def is_error(found: Response, status: int, code: str) -> None:
    """In our shape, with everything that every answer has, and without what tells too much."""
    assert (found.status, found.code) == (status, code), found
    error = found.json["error"]
    assert set(error) >= SHAPE
    assert error["request_id"] == found.headers["request-id"]
    assert found.headers["content-type"] == "application/json"
    assert found.headers["content-length"] == str(len(found.body))
    assert found.headers["cache-control"] == "no-store"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert "server-timing" not in found.headers


@contextmanager
def watched(*modules: Any) -> Iterator[set[str]]:
    """The functions of these modules that ran."""
    files = {module.__file__: Path(module.__file__).stem for module in modules}
    seen: set[str] = set()

    def look(frame: Any, event: str, _: Any) -> None:
        if event == "call" and (name := files.get(frame.f_code.co_filename)) is not None:
            seen.add(f"{name}.{frame.f_code.co_name}")

    sys.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(None)


LOOKING = (card_data, actors, control_characters)
"""What looks into what a caller wrote."""


async def test_nothing_that_a_stranger_wrote_is_looked_into(world: World) -> None:
    """A header of digits, without a key or with a wrong one, costs what an empty one costs."""
    hostile: Headers = {
        "Paygate-Actor": DIGITS,
        "Paygate-Session": DIGITS,
        "Idempotency-Key": DIGITS,
    }
    target = f"/payment-intents/{'4242' * 9}?reference={'4242' * 99}"
    async with door_of(world) as door:
        key = await door.key()
        with watched(*LOOKING) as seen:
            is_error(await door.call("GET", target, headers=hostile), 401, "api_key_missing")
            wrong: Headers = {"Authorization": "Bearer " + "4" * 60_000}
            is_error(
                await door.call("GET", target, headers=hostile | wrong), 401, "api_key_invalid"
            )
        assert seen == set()
        with watched(*LOOKING) as seen:
            proven: Headers = {"Authorization": key, "Paygate-Actor": "4242 4242 4242 4242"}
            answered = await door.call("GET", UNKNOWN, headers=proven)
            is_error(answered, 400, "card_data_refused")
        assert "card_data.take_from_envelope" in seen


async def test_an_address_over_its_limit_is_not_even_looked_up(world: World) -> None:
    async with door_of(world, PAYGATE_RATE_LIMIT="1/minute") as door:
        headers: Headers = {"Authorization": await door.key(), "Paygate-Actor": DIGITS}
        while (await door.call("GET", UNKNOWN)).status != 429:
            pass
        with watched(*LOOKING, authenticate) as seen:
            is_error(await door.call("GET", UNKNOWN, headers=headers), 429, "rate_limited")
            twice = headers | {"AUTHORIZATION": "Bearer x"}
            is_error(await door.call("GET", UNKNOWN, headers=twice), 429, "rate_limited")
        assert seen == set()
        other = await door.call("GET", UNKNOWN, headers=twice, address="192.0.2.2")
        is_error(other, 400, "parameter_invalid")


async def test_a_key_over_its_limit_is_not_looked_into(world: World) -> None:
    async with door_of(world, PAYGATE_RATE_LIMIT="1/minute") as door:
        headers: Headers = {"Authorization": await door.key()}
        while (await door.call("GET", UNKNOWN, headers=headers)).status != 429:
            pass
        with watched(*LOOKING) as seen:
            hostile = headers | {"Paygate-Actor": DIGITS}
            is_error(await door.call("GET", UNKNOWN, headers=hostile), 429, "rate_limited")
        assert seen == set()


async def test_the_router_refuses_as_everything_else_does(world: World) -> None:
    async with door_of(world) as door:
        for path in ("//", "/nowhere", "//healthz", "/healthz/", "/payment-intents/a/b/c", "/%00"):
            is_error(await door.call("GET", path), 404, "route_unknown")
        for method, path, allow in (
            ("DELETE", "/payment-intents", "GET, HEAD, OPTIONS, POST"),
            ("PUT", UNKNOWN, "GET, HEAD, OPTIONS"),
            ("POST", "/healthz", "GET, HEAD, OPTIONS"),
            ("GET", "/webhooks", "OPTIONS, POST"),
            ("HEAD", "/webhooks", "OPTIONS, POST"),
            ("HEAD", f"{UNKNOWN}/3ds-callback", "GET, OPTIONS, POST"),
            ("TRACE", "/docs", "GET, HEAD, OPTIONS"),
        ):
            found = await door.call(method, path)
            if method == "HEAD":
                assert (found.status, found.body) == (405, b"")
            else:
                is_error(found, 405, "method_not_allowed")
            assert found.headers["allow"] == allow
            options = await door.call("OPTIONS", path)
            assert (options.status, options.body) == (204, b"")
            assert options.headers["allow"] == allow
            assert "content-length" not in options.headers
        assert await world.audited() == [], "no route was asked for, so no access"


async def test_head_is_get_without_its_body(world: World) -> None:
    async with door_of(world) as door:
        headers: Headers = {"Authorization": await door.key()}
        made = (await door.call("POST", "/payment-intents", GOOD, headers=headers)).json
        for path in ("/healthz", "/readyz", "/openapi.json", "/docs", "/payment-intents"):
            got = await door.call("GET", path, headers=headers)
            head = await door.call("HEAD", path, headers=headers)
            assert (head.status, head.body) == (200, b"")
            for name in ("content-length", "content-type", "cache-control"):
                assert head.headers[name] == got.headers[name]
        head = await door.call("HEAD", f"/payment-intents/{made['id']}", headers=headers)
        assert (head.status, head.body) == (200, b"")
        assert (await door.call("HEAD", UNKNOWN)).status == 401
        last = (await world.audited())[-2]
        assert (last.action, last.subject and last.subject.id) == (Action.INTENT_READ, made["id"])


async def test_a_refusal_tells_no_time(world: World) -> None:
    """Whether there is what was asked for shows in how long the database took."""
    async with door_of(world) as door:
        headers: Headers = {"Authorization": await door.key()}
        made = await door.call("POST", "/payment-intents", GOOD, headers=headers)
        assert "gateway;dur=" in made.headers["server-timing"]
        read = await door.call("GET", f"/payment-intents/{made.json['id']}", headers=headers)
        assert "db;dur=" in read.headers["server-timing"]
        is_error(await door.call("GET", UNKNOWN, headers=headers), 404, "resource_missing")
        is_error(await door.call("POST", "/webhooks", b"{}"), 400, "signature_invalid")
        page = await door.call("GET", f"{UNKNOWN}/3ds-callback")
        assert page.status == 400
        assert "server-timing" not in page.headers


async def test_a_key_of_the_version_before_is_found(world: World) -> None:
    """That one took the scope from the path as it came: the right spelling is still the same."""
    new = NewPaymentIntent(amount=1999, currency="eur")
    made = await world.create()
    for path, sent, shape, flow in (
        ("/payment-intents", GOOD, CreatePaymentIntent, partial(create_payment_intent, new=new)),
        (
            f"/payment-intents/{made.id}/cancel",
            b"{}",
            CancelPaymentIntent,
            partial(cancel_payment_intent, intent_id=made.id),
        ),
    ):
        stored = KeyedRequest(
            world.caller,
            Action.INTENT_CREATE,
            f"sk POST {path}",
            "before",
            canonical(msgspec.json.decode(sent, type=shape)),
        )
        run = partial(_run, flow, world.caller)
        first = await idempotently(world.ctx, stored, run, lambda _: b'{"the first":"answer"}')
        async with door_of(world) as door:
            headers: Headers = {"Authorization": await door.key(), "Idempotency-Key": "before"}
            again = await door.call("POST", path, sent, headers=headers)
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["idempotent-replayed"] == "true"


async def _run(flow: Any, caller: Caller, ctx: Context) -> Any:
    return await flow(ctx, caller)


async def test_a_payer_learns_nothing_of_our_account(world: World) -> None:
    """Neither in the public view of the payment, nor in an error that carries it."""
    words = "the provider refuses our API key (api_key_expired)"
    async with door_of(world) as door:
        server: Headers = {"Authorization": await door.key()}
        made = (await door.call("POST", "/payment-intents", GOOD, headers=server)).json
        path = f"/payment-intents/{made['id']}"
        payer: Headers = {
            "Authorization": await door.key(Role.PUBLISHABLE),
            "Paygate-Client-Secret": made["client_secret"],
        }
        world.provider.answers.append(answer(Rejected("provider_configuration", words)))
        confirmed = await door.call("POST", f"{path}/confirm", CONFIRM, headers=payer)
        again = await door.call("POST", f"{path}/confirm", CONFIRM, headers=payer)
        read = await door.call("GET", path, headers=payer)
        assert [a.status for a in (confirmed, again, read)] == [200, 409, 200]
        for response in (confirmed, again, read):
            assert b"configuration" not in response.body
            assert b"API key" not in response.body
            assert b"api_key" not in response.body
        assert read.json["last_payment_error"] == {
            "code": "provider_unavailable",
            "message": "The payment cannot be made here just now.",
        }
        response = await door.call("GET", path, headers=server)
        assert response.json["last_payment_error"]["code"] == "provider_configuration"
        assert response.json["last_payment_error"]["message"] == words


def test_no_error_that_carries_a_payment_says_it_either() -> None:
    failed = msgspec.structs.replace(
        make_intent(),
        status=Status.FAILED,
        last_payment_error=PaymentError("provider_configuration", "our key is refused"),
    )
    refusal = Refusal(ErrorCode.INTENT_ALREADY_CONFIRMED, "confirmed before", subject=failed)
    assert b"configuration" in encode_error(refusal, "req_1")
    for shown in (
        encode_error(refusal, "req_1", client_side=True),
        encode(public_payment_intent_object(failed)),
    ):
        assert b"configuration" not in shown
        assert b"our key" not in shown


class Life:
    """A server around the application, as far as its life goes."""

    def __init__(self, world: World) -> None:
        self.open = 0
        self.fault: Exception | None = None
        limits = Limits(load({}), processes=1)
        self.world = world
        self.api = Api(self._opened, limits, TrustedProxies(()), Cors(()))
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.messages: asyncio.Queue[Any] = asyncio.Queue()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Context]:
        if self.fault is not None:
            raise self.fault
        self.open += 1
        yield self.world.ctx
        self.open -= 1

    async def run(self) -> None:
        async def send(message: Any) -> None:
            await self.said.put(message["type"])

        await self.api({"type": "lifespan"}, self.messages.get, send)

    async def ask(self, path: str) -> int:
        door = Door(self.world)
        door.edge = self.api  # type: ignore[assignment]
        return (await door.call("GET", path)).status


async def test_the_parts_are_open_for_as_long_as_the_server_lives(world: World) -> None:
    life = Life(world)
    running = asyncio.create_task(life.run())
    await life.messages.put({"type": "lifespan.startup"})
    assert await life.said.get() == "lifespan.startup.complete"
    assert life.open == 1
    assert await life.ask("/healthz") == 200
    for _ in range(3):
        assert await life.ask(UNKNOWN) == 401
    await life.messages.put({"type": "lifespan.shutdown"})
    await running
    assert await life.said.get() == "lifespan.shutdown.complete"
    assert life.open == 0
    repeated = [entry.details.get("repeated") for entry in await world.audited()]
    assert repeated == [None, "2"], "what was counted is written down before the door closes"


async def test_what_keeps_the_parts_from_opening_keeps_the_server_from_starting(
    world: World,
) -> None:
    life = Life(world)
    life.fault = OSError("no database")
    await life.messages.put({"type": "lifespan.startup"})
    with pytest.raises(OSError, match="no database"):
        await life.run()
    assert life.said.empty()
