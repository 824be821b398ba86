"""Holds over HTTP, with the provider's own books as the judge."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import run
from tests.gateway import Gateway, Response, until


async def held(gateway: Gateway) -> dict[str, Any]:
    intent = await gateway.create(capture_method="manual")
    answer = await gateway.confirm(intent["id"])
    assert (answer.status, answer.json["status"]) == (200, "requires_capture"), answer
    assert answer.json["amount_capturable"] == 1999
    assert answer.json["authorization_expires_at"]
    return answer.json


async def post(gateway: Gateway, intent: dict[str, Any], verb: str, **body: Any) -> Response:
    return await gateway.call("POST", f"/payment-intents/{intent['id']}/{verb}", body)


@pytest.mark.parametrize("amount", [None, 700])
async def test_a_hold_is_captured(gateway: Gateway, amount: int | None) -> None:
    intent = await held(gateway)
    body = {} if amount is None else {"amount": amount}
    answer = await post(gateway, intent, "capture", **body)
    taken = amount or 1999
    assert (answer.status, answer.json["status"]) == (200, "succeeded"), answer
    assert (answer.json["amount_received"], answer.json["amount_capturable"]) == (taken, 0)
    (charge,) = await gateway.charges(intent["id"])
    assert (charge["captured"], charge["amount_captured"]) == (True, taken)
    again = await post(gateway, intent, "capture")
    assert (again.status, again.code) == (409, "state_conflict")
    assert (await post(gateway, intent, "cancel")).status == 409


async def test_a_hold_is_released(gateway: Gateway) -> None:
    intent = await held(gateway)
    answer = await post(gateway, intent, "cancel", reason="out of stock")
    assert (answer.status, answer.json["status"]) == (200, "cancelled"), answer
    assert answer.json["cancellation_reason"] == "out of stock"
    (charge,) = await gateway.charges(intent["id"])
    assert not charge["captured"]
    assert (await post(gateway, intent, "capture")).code == "state_conflict"


@pytest.mark.parametrize("amount", [0, -5, 2000, 1.5, "5"])
async def test_a_bad_amount_is_refused(gateway: Gateway, amount: Any) -> None:
    intent = await held(gateway)
    answer = await post(gateway, intent, "capture", amount=amount)
    assert (answer.status, answer.json["error"]["param"]) == (400, "amount")
    assert await gateway.read(intent["id"]) == intent


async def test_captures_at_once_capture_once(gateway: Gateway) -> None:
    intent = await held(gateway)
    answers = await asyncio.gather(*(post(gateway, intent, "capture") for _ in range(20)))
    assert [a.status for a in answers].count(200) == 1
    assert {a.code for a in answers if a.status != 200} <= {"operation_pending", "state_conflict"}
    (charge,) = await gateway.charges(intent["id"])
    assert charge["amount_captured"] == 1999


async def test_a_challenge_is_ended_at_the_provider(gateway: Gateway) -> None:
    intent = await gateway.create()
    challenged = await gateway.confirm(intent["id"], "pm_card_threeDSecure2Required")
    assert challenged.json["status"] == "requires_action"
    answer = await post(gateway, intent, "cancel")
    assert (answer.status, answer.json["status"]) == (200, "cancelled"), answer
    theirs = challenged.json["provider_reference"]
    assert (await gateway.sandbox("GET", f"/v1/payment_intents/{theirs}"))["status"] == "canceled"


@pytest.mark.parametrize("verb", ["capture", "cancel"])
@pytest.mark.parametrize("kind", ["drop_reply", "error_after", "error_before"])
async def test_a_lost_answer_is_resolved(
    gateway: Gateway, tmp_path: Path, verb: str, kind: str
) -> None:
    """By the event or the sweep; whichever it is, once."""
    intent = await held(gateway)
    fault = {"on": verb, "kind": kind, "count": 1}
    await gateway.sandbox("POST", "/_sandbox/faults", fault)
    answer = await post(gateway, intent, verb)
    fired = await gateway.sandbox("GET", "/_sandbox/faults")
    await gateway.sandbox("DELETE", "/_sandbox/faults")
    assert answer.status == 200, answer
    assert kind in json.dumps(fired)
    if kind != "error_before":
        assert (answer.json["status"], answer.json["pending_operation"]) in (
            ("requires_capture", verb),
            ("succeeded" if verb == "capture" else "cancelled", None),
        )

    async def final_status() -> dict[str, Any] | None:
        found = await gateway.read(intent["id"])
        return found if found["pending_operation"] is None else None

    if kind == "error_before":  # nothing happened there, so no event comes: the sweep asks again
        await asyncio.to_thread(sweep, gateway, tmp_path)
    final = await until(final_status)
    assert final["status"] == ("succeeded" if verb == "capture" else "cancelled")
    (charge,) = await gateway.charges(intent["id"])
    assert charge["captured"] is (verb == "capture")


def sweep(gateway: Gateway, cwd: Path) -> None:
    """As if a minute had gone by."""
    now = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    data = ("--data", gateway.ready["data_dir"])
    ran = run("jobs", "run", "resolve-attempts", "--now", now, *data, cwd=cwd)
    assert (ran.status, ran.err) == (0, ""), ran


def test_the_ledger_agrees_with_everything(running: Gateway, tmp_path: Path) -> None:
    """After all that the tests of this folder did to this gateway."""
    data = ("--data", running.ready["data_dir"])
    ran = run("ledger", "verify", "--json", *data, cwd=tmp_path)
    found = json.loads(ran.out)
    assert (ran.status, found["mismatches"]) == (0, []), found
    assert found["transfers"] > 0
    assert found["provider_payments"] > 0
    balances = json.loads(run("ledger", "balance", "--json", *data, cwd=tmp_path).out)["balances"]
    by_currency: dict[str, int] = {}
    for row in balances:
        by_currency[row["currency"]] = by_currency.get(row["currency"], 0) + row["amount"]
    assert by_currency
    assert set(by_currency.values()) == {0}
