"""Attach on the wire: who may, what is shown, what it costs to try dead tokens."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from paygate.domain.access.roles import Role
from paygate.domain.payments.outcome import Rejected
from paygate.domain.payments.payment_intent import PaymentIntent
from tests.api.edge.asgi import Door, Headers, door_of
from tests.flows.world import APPROVED, World, answer
from tests.gateway import Gateway, Response

CARD = {"type": "card", "brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2030}
METHOD = {"payment_method": {"type": "card", "token": "tok_1"}}
REJECTED = Rejected("payment_method_rejected", "The payment method is unknown.")
DECLINES = 6
"""A tenth of 60 a minute."""


@pytest.fixture
async def door(world: World) -> AsyncIterator[Door]:
    async with door_of(world) as door:
        yield door


class Shop:
    """A merchant's server and its payers' pages, at one door."""

    def __init__(self, door: Door, server: str, page: str) -> None:
        self.door = door
        self.server: Headers = {"Authorization": server}
        self.page: Headers = {"Authorization": page}

    async def post(self, path: str, body: Any, headers: Headers | None = None) -> Response:
        sent = json.dumps(body).encode()
        return await self.door.call("POST", path, sent, headers=headers or self.server)

    async def create(self, **more: Any) -> tuple[str, Headers]:
        """A new intent's path, and what its payer's page sends."""
        made = await self.post("/payment-intents", {"amount": 1999, "currency": "eur"} | more)
        assert made.status == 201, made
        secret = self.page | {"Paygate-Client-Secret": made.json["client_secret"]}
        return f"/payment-intents/{made.json['id']}", secret


@pytest.fixture
async def shop(door: Door) -> Shop:
    return await open_shop(door)


async def open_shop(door: Door) -> Shop:
    return Shop(door, await door.key(), await door.key(Role.PUBLISHABLE))


async def test_the_server_attaches_reviews_and_pays(shop: Shop) -> None:
    path, _ = await shop.create()
    attached = await shop.post(f"{path}/payment-method", METHOD)
    assert (attached.status, attached.json["status"]) == (200, "created")
    assert attached.json["payment_method"] == CARD
    assert "tok_1" not in attached.body.decode()
    assert (await shop.door.call("GET", path, headers=shop.server)).json == attached.json
    shop.door.world.provider.answers.append(answer(APPROVED))
    paid = await shop.post(f"{path}/confirm", {"return_url": "https://shop.example/done"})
    assert (paid.status, paid.json["status"]) == (200, "succeeded")


async def test_the_payers_page_does_the_same_and_sees_the_card(shop: Shop) -> None:
    path, page = await shop.create()
    attached = await shop.post(f"{path}/payment-method", METHOD, page)
    assert (attached.status, attached.json["payment_method"]) == (200, CARD)
    assert "metadata" not in attached.json
    assert (await shop.door.call("GET", path, headers=page)).json == attached.json
    detached = await shop.post(f"{path}/payment-method", {"payment_method": None}, page)
    assert (detached.status, detached.json["payment_method"]) == (200, None)
    stranger = shop.page | {"Paygate-Client-Secret": "guessed"}
    assert (await shop.post(f"{path}/payment-method", METHOD, stranger)).status == 404


async def test_a_method_comes_with_create(shop: Shop) -> None:
    path, page = await shop.create(**METHOD)
    assert (await shop.door.call("GET", path, headers=page)).json["payment_method"] == CARD


async def test_a_dead_token_is_refused_at_once(shop: Shop) -> None:
    path, page = await shop.create()
    world = shop.door.world
    for headers in (shop.server, page):
        world.provider.methods.append(REJECTED)
        refused = await shop.post(f"{path}/payment-method", METHOD, headers)
        assert (refused.status, refused.code) == (400, "payment_method_rejected")
        assert refused.json["error"]["param"] == "payment_method.token"
        assert refused.json["error"]["retriable"] is False
    world.provider.methods.append(REJECTED)
    new = await shop.post("/payment-intents", {"amount": 5, "currency": "eur"} | METHOD)
    assert (new.status, new.code) == (400, "payment_method_rejected")
    assert len(await world.all(PaymentIntent)) == 1


async def test_the_body_must_say_which(shop: Shop) -> None:
    path, _ = await shop.create()
    left_out = await shop.post(f"{path}/payment-method", {})
    assert (left_out.code, left_out.json["error"]["param"]) == (
        "parameter_missing",
        "payment_method",
    )
    pays_with_nothing = await shop.post(f"{path}/confirm", {"return_url": "https://shop.example/"})
    assert (pays_with_nothing.status, pays_with_nothing.code) == (400, "parameter_missing")
    assert pays_with_nothing.json["error"]["param"] == "payment_method"


async def test_what_is_confirmed_is_a_conflict_with_the_intent(shop: Shop) -> None:
    path, page = await shop.create()
    shop.door.world.provider.answers.append(answer(APPROVED))
    paid = await shop.post(f"{path}/confirm", METHOD | {"return_url": "https://shop.example/"})
    for headers in (shop.server, page):
        late = await shop.post(f"{path}/payment-method", METHOD, headers)
        assert (late.status, late.code) == (409, "state_conflict")
        assert late.json["error"]["payment_intent"]["id"] == paid.json["id"]


@pytest.mark.parametrize("way", ["attach", "create"])
async def test_a_stranger_cannot_try_many_tokens(world: World, way: str) -> None:
    """Each that is rejected counts as a decline; a create without a method is not held up."""
    async with door_of(world, PAYGATE_RATE_LIMIT="60/minute") as door:
        shop = await open_shop(door)
        path, _ = await shop.create()
        target = f"{path}/payment-method" if way == "attach" else "/payment-intents"
        body = METHOD if way == "attach" else METHOD | {"amount": 5, "currency": "eur"}
        for _ in range(DECLINES):
            world.provider.methods.append(REJECTED)
            assert (await shop.post(target, body)).status == 400
        asked = len(world.provider.asked)
        refused = await shop.post(target, body)
        assert (refused.status, refused.code) == (429, "rate_limited")
        assert refused.headers["ratelimit-policy"] == f'"declines";q={DECLINES};w=60'
        assert len(world.provider.asked) == asked, "before the provider is asked"
        confirm = await shop.post(f"{path}/confirm", METHOD)
        assert confirm.code == "rate_limited", "one limit for both"
        await shop.create()


async def test_good_tokens_are_no_declines(world: World) -> None:
    async with door_of(world, PAYGATE_RATE_LIMIT="60/minute") as door:
        shop = await open_shop(door)
        path, _ = await shop.create()
        for _ in range(2 * DECLINES):
            assert (await shop.post(f"{path}/payment-method", METHOD)).status == 200


async def test_at_a_whole_gateway(gateway: Gateway) -> None:
    """The sandbox shows the cards, of which each use of a test token makes one."""
    intent, secret = await gateway.create_with_secret(
        payment_method={"type": "card", "token": "pm_card_visa"}
    )
    assert intent["payment_method"]["last4"] == "4242"
    path = f"/payment-intents/{intent['id']}"
    method = {"type": "card", "token": "pm_card_mastercard"}
    page = {
        "Authorization": f"Bearer {gateway.ready['publishable_key']}",
        "Paygate-Client-Secret": secret,
        "Idempotency-Key": "one",
    }
    first, again = [
        await gateway.call(
            "POST", f"{path}/payment-method", {"payment_method": method}, headers=page
        )
        for _ in range(2)
    ]
    assert first.json["payment_method"] == {
        "type": "card",
        "brand": "mastercard",
        "last4": "4444",
        "exp_month": 12,
        "exp_year": 2034,
    }
    assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")
    dead = {"payment_method": {"type": "card", "token": "pm_unheard_of"}}
    refused = await gateway.call("POST", f"{path}/payment-method", dead)
    assert (refused.status, refused.code) == (400, "payment_method_rejected")
    paid = await gateway.call("POST", f"{path}/confirm", {"return_url": "https://shop.example/"})
    assert (paid.json["status"], paid.json["payment_method"]["last4"]) == ("succeeded", "4444")
    assert len(await gateway.charges(intent["id"])) == 1
