"""A record that cannot be read, over HTTP: one clear error, and everything beside it works."""

import asyncpg

from tests.api.shops import Shop, open_shop
from tests.gateway import Gateway


async def spoil(gateway: Gateway, intent: str) -> None:
    connection = await asyncpg.connect(gateway.ready["database_url"])
    async with connection.transaction():
        await connection.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
        await connection.execute(
            r"UPDATE payment_intent SET sealed = sealed || '\x00'::bytea WHERE id = $1", intent
        )
        await connection.execute("ALTER TABLE payment_intent ENABLE TRIGGER USER")
    await connection.close()


async def create(shop: Shop) -> str:
    body = {"amount": 1999, "currency": "eur"}
    return str((await shop.call("POST", "/payment-intents", body)).json["id"])


async def test_a_record_that_cannot_be_read_is_one_clear_error(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    good, broken, later = [await create(shop) for _ in range(3)]
    await spoil(gateway, broken)
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
