"""What the provider told us, over HTTP: listed, read, replayed; and who may."""

import json
import time
from typing import Any

import pytest
from stripe import Webhook, WebhookSignature

from paygate.domain.access.roles import Action, Role
from tests.api.shops import audited, open_shop
from tests.api.test_provider_events import deliver, event, signed
from tests.gateway import Gateway, Response, until

PATH = "/provider-events"
UNKNOWN = "pe_" + "0" * 26


async def told(gateway: Gateway, reference: str, **more: Any) -> dict[str, Any]:
    """An event that was delivered, as the list shows it."""
    body = event(reference, **more)
    assert (
        await deliver(gateway, body, signed(gateway.ready["webhook_secret"], body))
    ).status == 200
    listed = await gateway.call("GET", f"{PATH}?limit=100")
    return next(e for e in listed.json["data"] if e["provider_reference"] == reference)


async def paid(gateway: Gateway) -> dict[str, Any]:
    """A payment that went through."""
    intent = await gateway.create()
    return dict((await gateway.confirm(intent["id"])).json)


async def made(gateway: Gateway, role: Role) -> str:
    """A key of the provider account's merchant."""
    answer = await gateway.call("POST", "/api-keys", {"role": role})
    return str(answer.json["key"])


async def test_an_event_is_shown_wholly(gateway: Gateway) -> None:
    shown = await told(gateway, "evt_shown", type="customer.created", created=1_790_000_000)
    assert shown == {
        "object": "provider_event",
        "id": shown["id"],
        "livemode": False,
        "provider_reference": "evt_shown",
        "type": "customer.created",
        "status": "ignored",
        "verdict": "type_not_used",
        "subject": None,
        "attempts": 1,
        "next_attempt_at": None,
        "last_error": None,
        "duplicates": 0,
        "provider_created_at": "2026-09-21T14:13:20.000Z",
        "received_at": shown["received_at"],
        "processed_at": shown["received_at"],
        "created_at": shown["received_at"],
    }
    again = await told(gateway, "evt_shown", type="customer.created", created=1_790_000_000)
    assert again == shown | {"duplicates": 1}


@pytest.mark.parametrize("role", list(Role))
async def test_the_body_is_for_admins_and_auditors(gateway: Gateway, role: Role) -> None:
    shown = await told(gateway, f"evt_body_{role}")
    answer = await gateway.call("GET", f"{PATH}/{shown['id']}", key=await made(gateway, role))
    if role in {Role.SUPPORT, Role.PUBLISHABLE}:
        assert (answer.status, answer.code) == (403, "role_not_allowed")
        return
    assert answer.status == 200
    read = answer.json
    body = read.pop("body")
    assert read == shown
    may_see = role in {Role.ADMIN, Role.AUDITOR}
    assert body == (
        json.loads(event(f"evt_body_{role}", created=body["created"])) if may_see else None
    )
    (entry,) = (await audited(gateway))[answer.headers["Request-Id"]]
    action = Action.PROVIDER_EVENT_READ_BODY if may_see else Action.PROVIDER_EVENT_READ
    assert (entry.action, entry.subject and entry.subject.id) == (action, shown["id"])


async def test_a_body_that_is_no_json_is_shown_as_a_text(gateway: Gateway) -> None:
    body = b"not json \xff"
    await deliver(gateway, body, signed(gateway.ready["webhook_secret"], body))
    listed = await gateway.call("GET", f"{PATH}?type=unreadable&limit=1")
    (shown,) = listed.json["data"]
    answer = await gateway.call("GET", f"{PATH}/{shown['id']}")
    assert answer.json["body"] == "not json �"
    assert answer.json["provider_reference"].startswith("sha256:")


async def test_the_stripe_client_signs_what_is_taken(gateway: Gateway) -> None:
    """Its signature, and not one of our making."""
    body, secret = event("evt_official"), gateway.ready["webhook_secret"]
    stamp = int(time.time())
    digest = WebhookSignature._compute_signature(f"{stamp}.{body.decode()}", secret)
    header = f"t={stamp},v1={digest}"
    assert Webhook.construct_event(body, header, secret).id == "evt_official"
    assert (await deliver(gateway, body, header)).status == 200
    found = await gateway.call("GET", f"{PATH}?limit=100")
    assert "evt_official" in {e["provider_reference"] for e in found.json["data"]}


async def ids(gateway: Gateway, query: str) -> list[str]:
    answer = await gateway.call("GET", f"{PATH}?{query}")
    assert answer.status == 200, answer
    return [e["id"] for e in answer.json["data"]]


async def test_the_filters_and_the_cursors(gateway: Gateway) -> None:
    kind = "radar.early_fraud_warning.updated"  # of no other test
    three = [
        await told(gateway, f"evt_filter_{n}", type=kind, created=1_790_000_000 + n)
        for n in range(3)
    ]
    newest_first = [e["id"] for e in reversed(three)]
    assert await ids(gateway, f"type={kind}") == newest_first
    assert await ids(gateway, f"type={kind}&limit=1") == newest_first[:1]
    assert await ids(gateway, f"type={kind}&starting_after={newest_first[0]}") == newest_first[1:]
    assert await ids(gateway, f"type={kind}&ending_before={newest_first[2]}") == newest_first[:2]
    assert await ids(gateway, f"type={kind}&status=ignored&verdict=foreign") == newest_first
    assert await ids(gateway, f"type={kind}&status=processed") == []
    assert await ids(gateway, "type=radar.early") == []
    after = "2026-09-21T14:13:20Z"  # the first one's own time
    assert await ids(gateway, f"type={kind}&provider_created_after={after}") == newest_first[:2]
    before = "2026-09-21T14:13:21Z"
    assert await ids(gateway, f"type={kind}&provider_created_before={before}") == newest_first[2:]
    middle = three[1]["created_at"]
    assert await ids(gateway, f"type={kind}&created_after={middle}") == newest_first[:1]
    assert await ids(gateway, f"type={kind}&created_before={middle}") == newest_first[2:]
    assert await ids(gateway, "created_after=9999-12-31T23:59:59Z") == []


async def test_a_payments_events_are_found_by_it(gateway: Gateway) -> None:
    intent = await paid(gateway)
    kind, reference = "charge.succeeded", intent["provider_reference"]
    body = {
        "object": "charge",
        "payment_intent": reference,
        "currency": "eur",
        "status": "succeeded",
        "captured": True,
        "amount": 1999,
        "amount_captured": 1999,
    }
    shown = await told(gateway, "evt_charge", type=kind, data={"object": body})
    assert (shown["status"], shown["verdict"]) == ("processed", "already_settled")
    assert shown["subject"] == {"object": "payment_intent", "id": intent["id"]}
    found = await ids(gateway, f"subject={intent['id']}&verdict=already_settled")
    assert shown["id"] in found


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("starting_after=pi_" + "0" * 26, "starting_after"),
        ("ending_before=x", "ending_before"),
        ("status=lost", "status"),
        ("type=", "type"),
        ("limit=101", "limit"),
        ("created_after=yesterday", "created_after"),
        ("created_after=2026-11-24T12:00:00", "created_after"),
        ("subject=" + "x" * 65, "subject"),
        ("kind=x", "kind"),
    ],
)
async def test_what_a_list_refuses(gateway: Gateway, query: str, param: str) -> None:
    answer = await gateway.call("GET", f"{PATH}?{query}")
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


async def replay(gateway: Gateway, event_id: str, **more: Any) -> Response:
    return await gateway.call("POST", f"{PATH}/{event_id}/replay", **more)


async def test_an_ignored_event_is_applied_once_more(gateway: Gateway) -> None:
    shown = await told(gateway, "evt_replayed", type="customer.created")
    headers = {"Idempotency-Key": "replay-1"}
    answer = await replay(gateway, shown["id"], headers=headers)
    assert answer.status == 200, answer
    waits = {"status": "received", "verdict": None, "attempts": 0, "processed_at": None}
    assert answer.json == shown | waits
    (entry,) = (await audited(gateway))[answer.headers["Request-Id"]]
    assert (entry.action, entry.actor.role) == (Action.PROVIDER_EVENT_REPLAY, Role.ADMIN)
    again = await replay(gateway, shown["id"], headers=headers)
    assert (again.status, again.json) == (200, answer.json)
    assert again.headers["Idempotent-Replayed"] == "true"

    async def ended() -> bool:
        now = await gateway.call("GET", f"{PATH}/{shown['id']}")
        return bool(now.json["status"] == "ignored" and now.json["attempts"] == 1)

    await until(ended)


async def test_what_is_not_replayed(gateway: Gateway) -> None:
    intent = await paid(gateway)

    async def processed() -> bool:
        found = await gateway.call("GET", f"{PATH}?subject={intent['id']}&status=processed")
        return bool(found.json["data"])

    await until(processed)
    (first, *_) = await ids(gateway, f"subject={intent['id']}&status=processed")
    answer = await replay(gateway, first)
    assert (answer.status, answer.code) == (409, "event_not_replayable")
    for unknown in (UNKNOWN, "pe_1", "pi_" + "0" * 26):
        assert (await replay(gateway, unknown)).code == "resource_missing"
        assert (await gateway.call("GET", f"{PATH}/{unknown}")).code == "resource_missing"
    refused = await replay(gateway, first, body={"force": True})
    assert (refused.status, refused.code) == (400, "parameter_unknown")


async def test_another_merchant_sees_none(gateway: Gateway) -> None:
    shown = await told(gateway, "evt_of_the_account", type="customer.created")
    shop = await open_shop(gateway)
    assert (await shop.call("GET", PATH)).json["data"] == []
    for method, path in (("GET", ""), ("POST", "/replay")):
        answer = await shop.call(method, f"{PATH}/{shown['id']}{path}")
        assert (answer.status, answer.code) == (404, "resource_missing")
    cursor = await shop.call("GET", f"{PATH}?starting_after={shown['id']}")
    assert (cursor.status, cursor.json["data"]) == (200, [])
