"""The provider's door: what is not proven to come from the provider leaves nothing but a count."""

import asyncio
import hashlib
import hmac
import json
import time
from typing import Any

import asyncpg
import pytest

from tests.api.test_bad_input import counts, is_error
from tests.gateway import Gateway, until


def signed(secret: str, body: bytes, at: float | None = None, scheme: str = "v1") -> str:
    """A Stripe-Signature header, made here and not by the code under test."""
    stamp = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},{scheme}={digest}"


def event(reference: str, **more: Any) -> bytes:
    return json.dumps(
        {
            "id": reference,
            "object": "event",
            "api_version": "2026-08-26.dahlia",
            "created": int(time.time()),
            "livemode": False,
            "pending_webhooks": 1,
            "request": None,
            "type": "payment_intent.created",
            "data": {"object": {"id": "pi_x", "object": "payment_intent"}},
            **more,
        }
    ).encode()


async def deliver(gateway: Gateway, body: bytes, signature: str | None) -> Any:
    headers = {} if signature is None else {"Stripe-Signature": signature}
    return await gateway.call("POST", "/webhooks", raw=body, key=None, headers=headers)


@pytest.fixture(scope="module", autouse=True)
async def quiet(gateway: Gateway) -> None:
    """Until the events of what other tests paid have come, those that are late by intent too."""

    async def all_came() -> bool:
        deliveries = await gateway.sandbox("GET", "/_sandbox/deliveries")
        return not deliveries.get("pending")

    await gateway.sandbox("DELETE", "/_sandbox/faults")
    await until(all_came)


async def test_a_signed_event_is_stored_once(gateway: Gateway) -> None:
    body = event("evt_once")
    signature = signed(gateway.ready["webhook_secret"], body)
    before = (await counts(gateway, "provider_event"))["provider_event"]
    answers = await asyncio.gather(*(deliver(gateway, body, signature) for _ in range(10)))
    assert {a.status for a in answers} == {200}
    assert (await deliver(gateway, body, signature)).status == 200
    assert (await counts(gateway, "provider_event"))["provider_event"] == before + 1


THIN = {
    "id": "evt_thin",
    "object": "v2.core.event",
    "type": "v2.core.account[requirements].updated",
    "livemode": False,
    "created": "2026-11-28T15:13:32.232083866Z",
    "related_object": {"id": "acct_1", "type": "v2.core.account", "url": "/v2/core/accounts/1"},
}
ODD = {
    "thin": json.dumps(THIN).encode(),
    "bom": b"\xef\xbb\xbf" + event("evt_bom"),
    "half": event("evt_half", type="charge.updated").replace(b'"pi_x"', rb'"\ud83d"'),
    "huge": event("evt_huge", type="charge.updated").replace(b'"pi_x"', b"1e400"),
    "tomorrow": event("evt_new", type="payment_intent.money_teleported", livemode=True),
    "text": event("evt_text", type="charge.updated", created="2026-11-28T15:13:32Z"),
}
UNREADABLE = {
    "empty": b"",
    "nothing": b"{}",
    "list": b"[]",
    "prose": b"not json",
    "number": b'{"id": 7}',
    "bytes": b"\xff",
    "deep": b'{"id": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "no time": event("evt_no_time", type="payment_intent.succeeded", created="soon"),
}


async def test_whatever_is_signed_is_stored_and_what_nobody_can_read_is_told(
    gateway: Gateway,
) -> None:
    connection = await asyncpg.connect(gateway.ready["database_url"])

    async def found() -> tuple[int, int, int]:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM provider_event),"
            " (SELECT count(*) FROM provider_event WHERE status = 'dead_letter'),"
            " (SELECT count(*) FROM alert)"
        )
        assert row is not None
        return row[0], row[1], row[2]

    secret, before = gateway.ready["webhook_secret"], await found()
    for body in (*ODD.values(), *UNREADABLE.values()) * 2:
        answer = await deliver(gateway, body, signed(secret, body))
        assert (answer.status, answer.json) == (200, {"received": True})
    dead = len(UNREADABLE)
    after = (before[0] + len(ODD) + dead, before[1] + dead, before[2] + dead)

    async def all_ended() -> bool:
        left = "SELECT count(*) FROM provider_event WHERE status = 'received'"
        return not await connection.fetchval(left) and (await found())[2] >= after[2]

    await until(all_ended)
    assert await found() == after
    await connection.close()
    listed = (await gateway.call("GET", "/provider-events?limit=100")).json["data"]
    assert len(listed) >= len(ODD) + dead
    for each in listed:
        answer = await gateway.call("GET", f"/provider-events/{each['id']}")
        assert answer.status == 200, "whoever has to look at it can"


async def test_both_paths_are_the_same_door(gateway: Gateway) -> None:
    body = event("evt_other_path")
    headers = {"Stripe-Signature": signed(gateway.ready["webhook_secret"], body)}
    answer = await gateway.call("POST", "/webhooks/stripe", raw=body, key=None, headers=headers)
    assert (answer.status, answer.json) == (200, {"received": True})


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "garbage",
        "t=abc,v1=abc",
        "wrong secret",
        "edited body",
        "too old",
        "in the future",
        "v0 alone",
        "oversized",
    ],
)
async def test_what_is_not_signed_leaves_nothing(gateway: Gateway, signature: str | None) -> None:
    secret, body, now = gateway.ready["webhook_secret"], event("evt_forged"), time.time()
    made = {
        "wrong secret": signed("whsec_wrong", body),
        "edited body": signed(secret, body + b" "),
        "too old": signed(secret, body, now - 301),
        "in the future": signed(secret, body, now + 301),
        "v0 alone": signed(secret, body, scheme="v0"),
        "oversized": signed(secret, body) + ",v1=" + "0" * 7000,
    }
    before = await counts(gateway, "provider_event")
    answer = await deliver(gateway, body, made.get(signature or "", signature))
    is_error(answer, 400, "signature_invalid")
    assert await counts(gateway, "provider_event") == before


async def test_a_body_over_a_megabyte_is_refused(gateway: Gateway) -> None:
    body = b"x" * (1024 * 1024 + 1)
    answer = await deliver(gateway, body, signed(gateway.ready["webhook_secret"], body))
    is_error(answer, 413, "body_too_large")


async def test_a_foreign_event_is_stored_and_ignored(gateway: Gateway) -> None:
    body = event("evt_foreign")
    connection = await asyncpg.connect(gateway.ready["database_url"])
    dead = "SELECT count(*) FROM provider_event WHERE status = 'dead_letter'"
    before = await connection.fetchval(dead)
    await deliver(gateway, body, signed(gateway.ready["webhook_secret"], body))

    async def all_ended() -> bool:
        return not await connection.fetchval(
            "SELECT count(*) FROM provider_event WHERE status = 'received'"
        )

    await until(all_ended)
    assert await connection.fetchval(dead) == before
    await connection.close()


async def test_refusals_of_strangers_do_not_flood_the_audit_log(gateway: Gateway) -> None:
    """One entry per address and minute (and process), however many are refused."""
    connection = await asyncpg.connect(gateway.ready["database_url"])
    count = "SELECT count(*) FROM audit_entry"
    before = await connection.fetchval(count)
    await asyncio.gather(*(deliver(gateway, b"{}", "t=1,v1=00") for _ in range(60)))
    assert await connection.fetchval(count) - before <= 4
    await connection.close()


async def test_an_event_that_changes_nothing_has_ended_when_it_is_acknowledged(
    gateway: Gateway,
) -> None:
    """No job, no second commit: the row stands at its first version."""
    body = event("evt_ended_at_once", type="payment_intent.money_teleported")
    connection = await asyncpg.connect(gateway.ready["database_url"])
    query = "SELECT count(*) FROM provider_event WHERE status = 'ignored' AND version = 1"
    before = await connection.fetchval(query)
    assert (
        await deliver(gateway, body, signed(gateway.ready["webhook_secret"], body))
    ).status == 200
    assert await connection.fetchval(query) == before + 1
    await connection.close()
