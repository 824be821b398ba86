"""`GET /audit-log`: found by what was touched, by whom, how and when; its reading is on record."""

from typing import Any

import asyncpg
import pytest

from tests.api.shops import Shop, audited, inside, open_shop
from tests.api.test_refunds import paid
from tests.gateway import Gateway, Response


async def listed(shop: Shop, query: str = "", **more: Any) -> list[dict[str, Any]]:
    answer = await shop.call("GET", f"/audit-log?limit=100{query and f'&{query}'}", **more)
    assert answer.status == 200, answer
    return list(answer.json["data"])


def what(entries: list[dict[str, Any]]) -> list[str]:
    """What was done, the oldest first."""
    return [entry["action"] for entry in reversed(entries)]


async def test_an_entry_has_who_what_when_from_where(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    intent = await paid(shop)
    headers = {"Paygate-Actor": "ana@shop.example"}
    path = f"/payment-intents/{intent['id']}"
    made = await shop.call("POST", f"{path}/refund", {"amount": 5}, headers=headers)
    entry, _ = await listed(shop, f"subject={made.json['id']}&action=refund.create")
    assert (entry.pop("sequence") is None) is (entry.pop("hash") is None)
    key = entry["actor"].pop("id")
    assert key.startswith("key_")
    assert entry.pop("id").startswith("au_")
    assert entry.pop("at") == entry.pop("created_at") >= made.json["created_at"]
    assert entry == {
        "object": "audit_entry",
        "livemode": False,
        "actor": {"type": "api_key", "role": "admin", "name": "ana@shop.example"},
        "action": "refund.create",
        "result": "allowed",
        "subject": {"object": "refund", "id": made.json["id"]},
        "merchant": shop.merchant,
        "request_id": made.headers["Request-Id"],
        "address": "127.0.0.1",
        "details": {"payment_intent": intent["id"], "amount": "5 eur", "state": "succeeded"},
    }
    assert [e["subject"]["id"] for e in await listed(shop, f"actor={key}&subject_type=refund")] == [
        made.json["id"],
        made.json["id"],
    ]


async def test_filters_and_cursors(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    first, second = await paid(shop), await paid(shop)
    refused = await shop.call("POST", f"/payment-intents/{first['id']}/refund", {"amount": 9999})
    assert refused.status == 400
    of_first = await listed(shop, f"subject={first['id']}")
    assert what(of_first) == [
        *("payment_intent.create", "payment_intent.confirm", "payment_intent.confirm"),
        "refund.create",
    ]
    assert (of_first[0]["result"], of_first[0]["details"]) == (
        "refused",
        {"code": "amount_too_large"},
    )
    confirms = await listed(shop, "action=payment_intent.confirm")
    assert {e["subject"]["id"] for e in confirms} == {first["id"], second["id"]}
    assert len(confirms) == 4
    at = of_first[-1]["at"]
    assert at < min(e["at"] for e in await listed(shop, f"created_after={at}"))
    assert what(await listed(shop, f"created_before={at}")) == ["merchant.create", "api_key.create"]
    assert await listed(shop, "actor=key_" + "0" * 26) == []
    path = f"/audit-log?limit=2&subject={first['id']}"
    page = (await shop.call("GET", path)).json
    assert ([e["id"] for e in page["data"]], page["has_more"]) == (
        [e["id"] for e in of_first[:2]],
        True,
    )
    rest = (await shop.call("GET", f"{path}&starting_after={of_first[1]['id']}")).json
    assert ([e["id"] for e in rest["data"]], rest["has_more"]) == (
        [e["id"] for e in of_first[2:]],
        False,
    )
    back = (await shop.call("GET", f"{path}&ending_before={of_first[2]['id']}")).json
    assert [e["id"] for e in back["data"]] == [e["id"] for e in of_first[:2]]


async def test_reading_it_is_on_record(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    answer = await shop.call("GET", "/audit-log?limit=2")
    shown = [entry["id"] for entry in answer.json["data"]]
    (entry,) = (await audited(gateway))[answer.headers["Request-Id"]]
    assert (entry.action, entry.merchant) == ("audit_entry.list", shop.merchant)
    assert entry.details == {"query": "limit=2", "ids": ",".join(shown)}
    newest, *_ = await listed(shop)
    assert newest["id"] == entry.id
    assert newest["details"]["query"] == "limit=2"


async def test_a_merchants_log_is_its_own_and_the_accounts_is_the_defaults(
    gateway: Gateway,
) -> None:
    shop, other = await open_shop(gateway), await open_shop(gateway)
    intent = await paid(shop)
    assert {e["merchant"] for e in await listed(shop)} == {shop.merchant}
    assert await listed(other, f"subject={intent['id']}") == []
    (key,) = {e["subject"]["id"] for e in await listed(shop, "action=api_key.create")}
    assert await listed(other, f"actor={key}") == []
    own = await gateway.call("GET", "/audit-log?action=provider_event.receive&limit=1")
    (received,) = own.json["data"]
    assert (received["merchant"], received["actor"]["type"]) == ("default", "provider")
    assert await listed(shop, "subject_type=provider_event") == []


@pytest.mark.parametrize("role", ["operator", "support", "finance"])
async def test_only_admins_and_auditors_read_it(gateway: Gateway, role: str) -> None:
    shop = await open_shop(gateway)
    answer = await shop.call("GET", "/audit-log", key=(await shop.made(role))["key"])
    assert (answer.status, answer.code) == (403, "role_not_allowed")
    auditor = (await shop.made("auditor"))["key"]
    assert (await shop.call("GET", "/audit-log", key=auditor)).status == 200
    (refused, *_) = await listed(shop, "action=audit_entry.list")
    assert refused["result"] in {"allowed", "refused"}


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("action=everything", "parameter_invalid", "action"),
        ("subject_type=cat", "parameter_invalid", "subject_type"),
        ("subject=", "parameter_invalid", "subject"),
        (f"actor={'x' * 256}", "parameter_invalid", "actor"),
        ("created_after=yesterday", "parameter_invalid", "created_after"),
        ("starting_after=pi_1", "parameter_invalid", "starting_after"),
        ("limit=101", "parameter_invalid", "limit"),
        ("person=ana", "parameter_unknown", "person"),
    ],
)
async def test_what_is_asked_wrongly_is_refused(
    gateway: Gateway, query: str, code: str, param: str
) -> None:
    answer = await gateway.call("GET", f"/audit-log?{query}")
    assert (answer.status, answer.code, answer.json["error"]["param"]) == (400, code, param)


async def test_an_entry_that_cannot_be_read_stops_no_list(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    await paid(shop)
    whole = await listed(shop)
    broken = next(e for e in whole if e["action"] == "payment_intent.create")
    await spoil(gateway, broken["id"])
    shown = await listed(shop, f"created_before={whole[0]['at']}")
    ids = [entry["id"] for entry in whole if entry["at"] < whole[0]["at"]]
    assert [entry["id"] for entry in shown] == [each for each in ids if each != broken["id"]]
    page = (await shop.call("GET", f"/audit-log?limit=1&subject={broken['subject']['id']}")).json
    assert page["data"][0]["id"] != broken["id"]
    (alert,) = (await shop.call("GET", "/alerts")).json["data"]
    assert (alert["type"], alert["subject"]["id"]) == ("record_unreadable", broken["id"])
    await spoil(gateway, broken["id"], whole=True)


async def spoil(gateway: Gateway, entry: str, *, whole: bool = False) -> None:
    """Add a byte to what is sealed of an entry, or take it away again, as only an owner can."""
    sealed = "substring(sealed FOR length(sealed) - 1)" if whole else r"sealed || '\x00'::bytea"
    connection = await asyncpg.connect(gateway.ready["database_url"])
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
        await connection.execute(f"UPDATE audit_entry SET sealed = {sealed} WHERE id = $1", entry)
        await connection.execute("ALTER TABLE audit_entry ENABLE TRIGGER USER")
    await connection.close()


async def test_the_ids_of_a_request_lead_from_the_answer_to_the_log(gateway: Gateway) -> None:
    """Each answer's `Request-Id` is in its entries: found by the subject."""
    shop = await open_shop(gateway)
    created: Response = await shop.call(
        "POST", "/payment-intents", {"amount": 5, "currency": "eur"}, headers={}
    )
    (entry,) = await listed(shop, f"subject={created.json['id']}")
    assert entry["request_id"] == created.headers["Request-Id"]
    async with inside(gateway) as ctx:
        assert await ctx.read.opens("audit_entry", shop.merchant, entry["id"])
