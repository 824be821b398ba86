"""A record that cannot be read, over HTTP: one clear error, and everything beside it works."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.api.shops import Shop, open_shop
from tests.gateway import Gateway


@asynccontextmanager
async def spoilt(gateway: Gateway, intent: str) -> AsyncIterator[None]:
    """While it lasts the record cannot be opened; others of this gateway find it whole again."""
    connection = await asyncpg.connect(gateway.ready["database_url"])

    async def put(sealed: str) -> None:
        async with connection.transaction():
            await connection.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
            await connection.execute(
                f"UPDATE payment_intent SET sealed = {sealed} WHERE id = $1", intent
            )
            await connection.execute("ALTER TABLE payment_intent ENABLE TRIGGER USER")

    try:
        await put(r"sealed || '\x00'::bytea")
        try:
            yield
        finally:
            await put("substr(sealed, 1, length(sealed) - 1)")
    finally:
        await connection.close()


async def create(shop: Shop) -> str:
    body = {"amount": 1999, "currency": "eur"}
    return str((await shop.call("POST", "/payment-intents", body)).json["id"])


async def test_a_record_that_cannot_be_read_is_one_clear_error(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    good, broken, later = [await create(shop) for _ in range(3)]
    async with spoilt(gateway, broken):
        await _one_clear_error(shop, good, broken, later)


async def _one_clear_error(shop: Shop, good: str, broken: str, later: str) -> None:
    confirm = {
        "payment_method": {"type": "card", "token": "pm_card_visa"},
        "return_url": "https://shop.example/done",
    }
    for method, path, body in (
        ("GET", f"/payment-intents/{broken}", None),
        ("POST", f"/payment-intents/{broken}/confirm", confirm),
    ):
        answer = await shop.call(method, path, body)
        assert (answer.status, answer.code) == (500, "record_unreadable")
        assert answer.json["error"]["retriable"] is False
        assert b"seal" not in answer.body
    page = (await shop.call("GET", "/payment-intents?limit=1")).json
    assert ([i["id"] for i in page["data"]], page["has_more"]) == ([later], True)
    rest = (await shop.call("GET", f"/payment-intents?limit=1&starting_after={later}")).json
    assert ([i["id"] for i in rest["data"]], rest["has_more"]) == ([good], False)
    (alert,) = (await shop.call("GET", "/alerts")).json["data"]
    assert (alert["type"], alert["severity"]) == ("record_unreadable", "critical")
    assert alert["subject"] == {"object": "payment_intent", "id": broken}
    assert alert["count"] == 1, "counted once an hour, however many look"
