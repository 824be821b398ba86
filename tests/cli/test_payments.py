"""`paygate payments` and `paygate explain` over the API: as a support person reads them, and as a
program does.
"""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import Ran, is_one_clear_line, run
from tests.gateway import Gateway


@pytest.fixture
def reference() -> str:
    """An order's that no other test has."""
    return f"order-{secrets.token_hex(6)}"


def on(gateway: Gateway, cwd: Path, *arguments: str) -> Ran:
    return run(*arguments, "--data", gateway.ready["data_dir"], cwd=cwd)


async def some(gateway: Gateway, reference: str) -> list[dict[str, Any]]:
    """Two payments of one order: declined first, then paid and refunded in part."""
    body = {"amount": 1999, "currency": "eur", "reference": reference}
    made = [(await gateway.call("POST", "/payment-intents", body)).json for _ in range(2)]
    await gateway.confirm(made[0]["id"], "pm_card_chargeDeclinedInsufficientFunds")
    await gateway.confirm(made[1]["id"])
    path = f"/payment-intents/{made[1]['id']}"
    headers = {"Paygate-Actor": "ana@shop.example"}
    await gateway.call("POST", f"{path}/refund", {"amount": 500}, headers=headers)
    return [(await gateway.call("GET", f"/payment-intents/{each['id']}")).json for each in made]


async def test_listed_by_what_a_person_knows(
    gateway: Gateway, reference: str, tmp_path: Path
) -> None:
    declined, paid = await some(gateway, reference)
    of_order = ("payments", "list", "--reference", reference)
    listed = json.loads(on(gateway, tmp_path, *of_order, "--json").out)
    assert listed == {
        "object": "list",
        "data": [paid, declined],
        "has_more": False,
        "url": "/payment-intents",
    }
    failed = on(gateway, tmp_path, *of_order, "--status", "failed", "-q")
    assert failed == (0, f"{declined['id']}\n", "")
    newest = on(gateway, tmp_path, *of_order, "--limit", "1", "-q")
    assert (newest.out, newest.status) == (f"{paid['id']}\n", 0)
    assert newest.err == "There are more than these 1: see --limit and the filters.\n"
    bounds = ("--created-after", paid["created_at"])
    assert on(gateway, tmp_path, *of_order, *bounds, "-q").out == ""
    head, row, _ = on(gateway, tmp_path, *of_order).out.splitlines()
    assert head.split()[:4] == ["id", "status", "amount", "refunded"]
    assert row.split()[1:8] == ["succeeded", "19.99", "EUR", "5.00", "EUR", reference, "visa"]
    is_one_clear_line(on(gateway, tmp_path, *of_order, "--status", "lost"), "status")


async def test_shown_as_it_stands(gateway: Gateway, reference: str, tmp_path: Path) -> None:
    declined, paid = await some(gateway, reference)
    shown = on(gateway, tmp_path, "payments", "show", paid["id"])
    lines = dict(line.split(None, 1) for line in shown.out.splitlines() if len(line.split()) > 1)
    assert {name: lines[name] for name in ("status", "amount", "refunded", "refundable")} == {
        "status": "succeeded",
        "amount": "19.99 EUR",
        "refunded": "5.00 EUR",
        "refundable": "14.99 EUR",
    }
    assert "None" not in shown.out
    failed = on(gateway, tmp_path, "payments", "show", declined["id"]).out
    assert "The card has insufficient funds" in failed
    assert json.loads(on(gateway, tmp_path, "payments", "show", paid["id"], "--json").out) == paid
    missing = on(gateway, tmp_path, "payments", "show", "pi_" + "0" * 26)
    is_one_clear_line(missing, "resource_missing")


async def test_explained_in_a_table_and_for_programs(
    gateway: Gateway, reference: str, tmp_path: Path
) -> None:
    _, paid = await some(gateway, reference)
    told = on(gateway, tmp_path, "explain", paid["id"])
    assert (told.status, told.err) == (0, "")
    for words in (
        f"The payment was created: 19.99 EUR, reference {reference}.",
        "stripe was asked to take 19.99 EUR by card.",
        "The payment succeeded: 19.99 EUR taken, visa ending in 4242.",
        "ana@shop.example asked to refund the payment.",
        "In the ledger: 5.00 EUR paid back",
    ):
        assert words in told.out, words
    whole = json.loads(on(gateway, tmp_path, "explain", paid["id"], "--json").out)
    assert (whole["object"], whole["payment_intent"]) == ("timeline", paid["id"])
    entries = whole["entries"]
    assert [e["at"] for e in entries] == sorted(e["at"] for e in entries)
    assert all(
        set(entry)
        == {
            *("at", "kind", "summary", "actor", "request_id", "from", "to"),
            *("provider_reference", "outcome", "amount", "currency", "details"),
        }
        for entry in entries
    )
    is_one_clear_line(on(gateway, tmp_path, "explain", "pi_1"), "resource_missing")
