"""Every route with every kind of key: what the matrix does not allow is refused and written down.

The routes come from the list that the server itself is made from, so one added later is walked.
"""

from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from paygate.api.edge.endpoint import Endpoint
from paygate.api.routes import ENDPOINTS
from paygate.crypto.api_keys import KeyMode, KeySide, new_api_key, parse_api_key
from paygate.domain.access.roles import MATRIX, Action, Role
from paygate.domain.audit import Result
from paygate.domain.ids import PREFIXES
from paygate.flows.access.create_api_key import make_api_key
from paygate.storage.change import Change
from tests.api.shops import Shop, audited, inside, open_shop
from tests.gateway import Gateway, Response
from tests.making import make_audit

KEYED = [e for e in ENDPOINTS if e.action is not None and not e.raw]
OPEN = {"/healthz", "/readyz"}
SIGNED = {"/webhooks", "/webhooks/stripe"}
CALLBACK = "/payment-intents/{id}/3ds-callback"


def label(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def path_of(endpoint: Endpoint) -> str:
    """With the id of an object that does not exist: whoever may ask is told so, and no more."""
    kind = str(endpoint.action).partition(".")[0]
    return endpoint.path.replace("{id}", PREFIXES.get(kind, "") + "0" * 26)


async def ask(shop: Shop, endpoint: Endpoint, key: str | None) -> Response:
    raw = b"{}" if endpoint.method == "POST" else None
    return await shop.call(endpoint.method, path_of(endpoint), raw=raw, key=key)


class Keys(NamedTuple):
    """A shop with a key of every role, and keys that open nothing any more or here."""

    shop: Shop
    of_role: dict[Role, str]
    dead: dict[str, str]


@pytest.fixture(scope="module")
async def keys(gateway: Gateway) -> Keys:
    shop = await open_shop(gateway)
    of_role = {role: (await shop.made(role))["key"] for role in Role}
    revoked = await shop.made("admin")
    await shop.call("POST", f"/api-keys/{revoked['id']}/revoke")
    dead = {"revoked": revoked["key"], "junk": "x", "unknown": unknown_key()}
    dead["wrong random part"] = wrong_random_part(of_role[Role.ADMIN])
    async with inside(gateway) as ctx:
        expired, text = make_api_key(ctx, shop.merchant, role=Role.ADMIN, name="expired")
        expired = msgspec.structs.replace(expired, expires_at=ctx.now() - timedelta(seconds=1))
        await ctx.door.commit(Change(make_audit(shop.merchant), creates=(expired,)))
        dead["expired"] = text.reveal()
        # A key of the other mode that is stored here, as in a database put in the wrong place.
        live, _ = make_api_key(ctx, shop.merchant, role=Role.ADMIN, name="live")
        made = new_api_key(KeyMode.LIVE, KeySide.SECRET, live.id, ctx.random_bytes)
        live = msgspec.structs.replace(
            live, livemode=True, secret_hash=ctx.hasher.of_api_key(parse_api_key(made.key.reveal()))
        )
        await ctx.door.commit(Change(make_audit(shop.merchant), creates=(live,)))
        dead["live"] = made.key.reveal()
    return Keys(shop, of_role, dead)


def unknown_key() -> str:
    return new_api_key(KeyMode.TEST, KeySide.SECRET, "key_" + "0" * 26, bytes).key.reveal()


def wrong_random_part(text: str) -> str:
    """The id of a key that is good, and a checksum that is right."""
    parsed = parse_api_key(text)
    return new_api_key(parsed.mode, parsed.side, parsed.key_id, bytes).key.reveal()


def test_every_route_is_walked_or_open_on_purpose() -> None:
    rest = {e.path for e in ENDPOINTS if e not in KEYED}
    assert rest == OPEN | SIGNED | {CALLBACK}
    assert all(MATRIX[e.action] for e in KEYED if e.action is not None)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("endpoint", KEYED, ids=label)
async def test_a_role_may_do_what_the_matrix_says(
    keys: Keys, endpoint: Endpoint, role: Role
) -> None:
    assert endpoint.action is not None
    answer = await ask(keys.shop, endpoint, keys.of_role[role])
    if role in MATRIX[endpoint.action]:
        assert answer.status in {200, 201, 400, 404, 415}, answer
        return
    assert (answer.status, answer.code) == (403, "role_not_allowed")
    (entry,) = (await audited(keys.shop.gateway))[answer.headers["Request-Id"]]
    assert (entry.action, entry.result) == (endpoint.action, Result.REFUSED)
    assert entry.details == {"code": "role_not_allowed"}
    assert (entry.merchant, entry.actor.role) == (keys.shop.merchant, role)
    assert entry.actor.id == parse_api_key(keys.of_role[role]).key_id


@pytest.mark.parametrize("number", range(len(KEYED)), ids=lambda number: label(KEYED[number]))
async def test_a_key_that_opens_nothing_learns_nothing(keys: Keys, number: int) -> None:
    """One answer for all of them, before path and body are looked at. Two kinds of them for each,
    in turns: a client that fails more than 300 times a minute is told nothing else any more.
    """
    endpoint, kinds = KEYED[number], list(keys.dead.values())
    said: set[tuple[Any, ...]] = set()
    for turn in range(number, number + 2):
        said.add(await _told(keys, endpoint, kinds[turn % len(kinds)]))
    assert {(status, code, param) for status, code, _, param in said} == {
        (401, "api_key_invalid", None)
    }
    assert len(said) == 1
    answer = await ask(keys.shop, endpoint, None)
    assert (answer.status, answer.code) == (401, "api_key_missing")


async def test_every_key_that_opens_nothing_is_told_the_same(keys: Keys) -> None:
    said = {await _told(keys, KEYED[0], key) for key in keys.dead.values()}
    assert len(said) == 1


async def _told(keys: Keys, endpoint: Endpoint, key: str) -> tuple[Any, ...]:
    answer = await ask(keys.shop, endpoint, key)
    error = answer.json["error"]
    return (answer.status, error["code"], error["message"], error["param"])


@pytest.mark.parametrize("path", sorted({*OPEN, *SIGNED, CALLBACK}))
async def test_a_key_changes_nothing_where_none_is_asked(keys: Keys, path: str) -> None:
    method = "GET" if path in OPEN else "POST"
    statuses = {
        (await keys.shop.call(method, path, key=key)).status
        for key in (*keys.of_role.values(), *keys.dead.values(), None)
    }
    assert statuses == {200 if path in OPEN else 400}


async def test_denials_of_strangers_are_written_down_too(keys: Keys) -> None:
    """Once per address and minute: the walk above, and the tests beside it, share the entries."""
    for endpoint in KEYED:
        await ask(keys.shop, endpoint, keys.dead["expired"])
    entries = [e for found in (await audited(keys.shop.gateway)).values() for e in found]
    codes = {e.details.get("code") for e in entries if e.actor.type == "client" and e.details}
    assert codes & {"api_key_invalid", "api_key_missing", "signature_invalid"}
    # A payer who comes back from a challenge has no key either, but is let in.
    entries = [e for e in entries if e.action is not Action.INTENT_AUTHENTICATE]
    assert all(e.result is Result.REFUSED for e in entries if e.actor.type == "client")
