"""`/reconciliations`: begun over the API, worked on by the worker, and read by whom it concerns."""

from typing import Any

import pytest

from tests.api.shops import open_shop
from tests.gateway import Gateway, until

NOWHERE = "rc_" + "0" * 26


async def begun(gateway: Gateway, body: Any = None) -> dict[str, Any]:
    """A new round. The clock may have begun one just now: then this waits for its end."""

    async def begin() -> dict[str, Any] | None:
        answer = await gateway.call("POST", "/reconciliations", body)
        if answer.status == 409:
            assert answer.code == "reconciliation_running"
            assert int(answer.headers["Retry-After"]) > 0
            return None
        assert answer.status == 201, answer
        return answer.json

    found: dict[str, Any] = await until(begin, seconds=120)
    return found


async def ended(gateway: Gateway, run: dict[str, Any]) -> dict[str, Any]:
    """The round, once the worker has brought it to its end."""

    async def look() -> dict[str, Any] | None:
        answer = await gateway.call("GET", f"/reconciliations/{run['id']}")
        assert answer.status == 200, answer
        return None if answer.json["status"] == "running" else answer.json

    found: dict[str, Any] = await until(look, seconds=120)
    return found


async def test_a_round_is_begun_worked_on_and_read(gateway: Gateway) -> None:
    run = await begun(gateway)
    assert (run["object"], run["cause"], run["status"]) == ("reconciliation", "person", "running")
    assert run["window"] == {"from": None, "to": None}
    assert run["finished_at"] is None
    done = await ended(gateway, run)
    assert list(done) == list(run)
    assert done["window"]["from"] < done["window"]["to"]
    assert done["examined"]["ours"] == done["in_step"] + done["healed"] + done["held"]
    apart = done["orphans"] + done["foreign"]
    assert done["examined"]["theirs"] == done["examined"]["ours"] + apart
    assert done["provider_calls"] > 0
    listed = (await gateway.call("GET", "/reconciliations?limit=100")).json
    assert done in listed["data"]
    findings = await gateway.call("GET", f"/reconciliations/{run['id']}/findings?limit=1")
    assert findings.status == 200
    assert findings.json["url"] == f"/reconciliations/{run['id']}/findings"


async def test_a_repeated_request_is_the_same_round(gateway: Gateway) -> None:
    """Under an idempotency key, which is claimed in the commit that begins the round."""
    headers = {"Idempotency-Key": "a-round"}

    async def begin() -> dict[str, Any] | None:
        answer = await gateway.call("POST", "/reconciliations", {}, headers=headers)
        assert answer.status in {201, 409}, answer
        return answer.json if answer.status == 201 else None

    run: dict[str, Any] = await until(begin, seconds=120)
    again = await gateway.call("POST", "/reconciliations", {}, headers=headers)
    assert (again.status, again.json["id"]) == (200, run["id"])
    await ended(gateway, run)


async def test_an_orphan_is_a_finding(gateway: Gateway) -> None:
    """A charge that bears our mark, made behind our back."""
    intent = await gateway.create()
    assert (await gateway.confirm(intent["id"])).json["status"] == "succeeded"
    (charge,) = await gateway.charges(intent["id"])
    marks = charge["metadata"] | {"paygate_attempt": "at_" + "0" * 26}
    made = await gateway.provider_call(
        "payment_intents",
        {
            "amount": 700,
            "currency": "eur",
            "confirm": "true",
            "payment_method": "pm_card_visa",
            "payment_method_types[0]": "card",
            **{f"metadata[{name}]": value for name, value in marks.items()},
        },
    )
    run = await ended(gateway, await begun(gateway))
    page = await gateway.call("GET", f"/reconciliations/{run['id']}/findings?limit=100")
    (found,) = [f for f in page.json["data"] if f["provider_reference"] == made["id"]]
    assert (found["object"], found["kind"]) == ("reconciliation_finding", "orphan")
    assert (found["action"], found["payment_intent"]) == ("held", None)
    assert (found["ours"], found["theirs"]["amount_received"]) == ({}, 700)
    alerts = (await gateway.call("GET", "/alerts?limit=100")).json["data"]
    (alert,) = [a for a in alerts if a["subject"]["id"] == made["id"]]
    assert (alert["type"], alert["status"]) == ("orphan_charge", "open")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"since": "yesterday"}, "parameter_invalid", "since"),
        ({"since": "2026-11-24T12:00:00"}, "parameter_invalid", "since"),
        ({"since": 5}, "parameter_invalid", "since"),
        ({"since": "2999-01-01T00:00:00Z"}, "parameter_invalid", "since"),
        ({"until": "2026-11-24T12:00:00Z"}, "parameter_unknown", "until"),
    ],
)
async def test_what_nobody_can_begin(
    gateway: Gateway, body: dict[str, Any], code: str, param: str
) -> None:
    answer = await gateway.call("POST", "/reconciliations", body)
    assert (answer.status, answer.code) == (400, code)
    assert answer.json["error"]["param"] == param


@pytest.mark.parametrize("name", [NOWHERE, "rc_1", "pi_" + "0" * 26, "%20"])
async def test_an_unknown_round_is_missing(gateway: Gateway, name: str) -> None:
    for path in (f"/reconciliations/{name}", f"/reconciliations/{name}/findings"):
        answer = await gateway.call("GET", path)
        assert (answer.status, answer.code) == (404, "resource_missing")


@pytest.mark.parametrize("cursor", ["pi_" + "0" * 26, "rf_" + "0" * 26, "rc_1"])
async def test_a_cursor_of_another_list(gateway: Gateway, cursor: str) -> None:
    answer = await gateway.call("GET", f"/reconciliations?starting_after={cursor}")
    assert (answer.status, answer.code) == (400, "parameter_invalid")
    run = (await gateway.call("GET", "/reconciliations?limit=1")).json["data"]
    if run and not cursor.startswith("rf_"):
        path = f"/reconciliations/{run[0]['id']}/findings?starting_after={cursor}"
        answer = await gateway.call("GET", path)
        assert (answer.status, answer.code) == (400, "parameter_invalid")


async def test_reconciliations_are_the_accounts(gateway: Gateway) -> None:
    """Keys of another merchant see none, and begin none."""
    run = await ended(gateway, await begun(gateway))
    shop = await open_shop(gateway)
    assert (await shop.call("GET", "/reconciliations")).json["data"] == []
    for method, path in (
        ("GET", f"/reconciliations/{run['id']}"),
        ("GET", f"/reconciliations/{run['id']}/findings"),
        ("POST", "/reconciliations"),
    ):
        answer = await shop.call(method, path)
        assert (answer.status, answer.code) == (404, "resource_missing")
