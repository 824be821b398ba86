"""Alerts over HTTP: raised by the purge for a request that never ended, seen, acknowledged."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from paygate.settings import load
from paygate.wiring.service import open_context
from paygate.worker.scheduled import run_scheduled
from tests.api.shops import Shop, open_shop
from tests.gateway import Gateway

CONFIRM = {
    "payment_method": {"type": "card", "token": "pm_card_visa"},
    "return_url": "https://shop.example/done",
}


async def unfinished(gateway: Gateway, shop: Shop, key: str) -> None:
    """A confirm that the provider refused for its rate: its key is not finished."""
    intent = (
        await shop.call("POST", "/payment-intents", {"amount": 1999, "currency": "eur"})
    ).json["id"]
    fault = {"on": "confirm", "kind": "rate_limit", "count": 50}
    await gateway.sandbox("POST", "/_sandbox/faults", fault)
    path = f"/payment-intents/{intent}/confirm"
    answer = await shop.call("POST", path, CONFIRM, headers={"Idempotency-Key": key})
    await gateway.sandbox("DELETE", "/_sandbox/faults")
    assert (answer.status, answer.code) == (503, "provider_unavailable"), answer


async def purge(gateway: Gateway, hours: int = 25) -> None:
    def tomorrow() -> datetime:
        return datetime.now(UTC) + timedelta(hours=hours)

    settings = load({}, data=Path(gateway.ready["data_dir"]))
    async with open_context(settings, name="test", clock=tomorrow) as ctx:
        await run_scheduled(ctx, "purge-idempotency-keys")


async def alerts(shop: Shop, query: str = "") -> list[dict[str, Any]]:
    answer = await shop.call("GET", f"/alerts{query}")
    assert answer.status == 200, answer
    return list(answer.json["data"])


async def test_a_request_that_never_ended_is_alerted_once(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    await unfinished(gateway, shop, "never-ended")
    for hours in (25, 25, 27):
        await purge(gateway, hours)
    (alert,) = await alerts(shop)
    assert (alert["type"], alert["status"], alert["count"]) == ("idempotency_unfinished", "open", 2)
    assert (alert["object"], alert["livemode"], alert["severity"]) == ("alert", False, "warning")
    assert alert["subject"]["object"] == "idempotency_key"
    assert "never-ended" not in str(alert)
    assert "same key" in alert["what_to_do"]
    other = await open_shop(gateway)
    assert await alerts(other) == []
    path = f"/alerts/{alert['id']}/acknowledge"
    assert (await other.call("POST", path)).status == 404
    headers = {"Paygate-Actor": "ana@shop.example"}
    seen = await shop.call("POST", path, {"note": "I look"}, headers=headers)
    assert (seen.status, seen.json["status"]) == (200, "acknowledged")
    assert seen.json["acknowledged"]["by"] == "ana@shop.example"
    assert seen.json["acknowledged"]["note"] == "I look"
    again = await shop.call("POST", path)
    assert (again.status, again.code) == (409, "state_conflict")
    await purge(gateway)
    assert [a["count"] for a in await alerts(shop, "?status=acknowledged")] == [3]
    assert await alerts(shop, "?status=open") == []
