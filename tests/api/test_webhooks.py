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


async def test_a_signed_event_is_stored_once(gateway: Gateway) -> None:
    body = event("evt_once")
    signature = signed(gateway.ready["webhook_secret"], body)
    before = (await counts(gateway))["provider_event"]
    answers = await asyncio.gather(*(deliver(gateway, body, signature) for _ in range(10)))
    # One that met the first while it was being written may be told to come again.
    assert {a.status for a in answers} <= {200, 503}
    assert (await deliver(gateway, body, signature)).status == 200
    assert (await counts(gateway))["provider_event"] == before + 1


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"not json", b'{"id": 7}', b"\xff"])
async def test_a_signed_body_that_is_no_event_is_refused(gateway: Gateway, body: bytes) -> None:
    before = await counts(gateway)
    answer = await deliver(gateway, body, signed(gateway.ready["webhook_secret"], body))
    is_error(answer, 400, "parameter_invalid")
    assert await counts(gateway) == before


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
    before = await counts(gateway)
    answer = await deliver(gateway, body, made.get(signature or "", signature))
    is_error(answer, 400, "signature_invalid")
    assert await counts(gateway) == before


async def test_a_body_over_a_megabyte_is_refused(gateway: Gateway) -> None:
    body = b"x" * (1024 * 1024 + 1)
    answer = await deliver(gateway, body, signed(gateway.ready["webhook_secret"], body))
    is_error(answer, 413, "body_too_large")


async def test_a_foreign_event_is_stored_and_ignored(gateway: Gateway) -> None:
    body = event("evt_foreign")
    await deliver(gateway, body, signed(gateway.ready["webhook_secret"], body))
    connection = await asyncpg.connect(gateway.ready["database_url"])

    async def all_settled() -> bool:
        return not await connection.fetchval(
            "SELECT count(*) FROM provider_event WHERE status = 'received'"
        )

    await until(all_settled)
    assert (
        await connection.fetchval(
            "SELECT count(*) FROM provider_event WHERE status = 'dead_letter'"
        )
        == 0
    )
    await connection.close()


async def test_refusals_of_strangers_do_not_flood_the_audit_log(gateway: Gateway) -> None:
    """One entry per address and minute (and process), however many are refused."""
    connection = await asyncpg.connect(gateway.ready["database_url"])
    count = "SELECT count(*) FROM audit_entry"
    before = await connection.fetchval(count)
    await asyncio.gather(*(deliver(gateway, b"{}", "t=1,v1=00") for _ in range(60)))
    assert await connection.fetchval(count) - before <= 4
    await connection.close()
