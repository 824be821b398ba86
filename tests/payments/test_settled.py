"""Payouts of the sandbox, settled by a whole gateway; the sandbox's own books are the judge.

The gateway is this file's alone: a payout takes all that is available on the account.
"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.api.shops import open_shop
from tests.cli.processes import run
from tests.gateway import Gateway, until

FEES = """
# As the sandbox takes them.
[[rule]]
currency = "eur"
percent = "2.9"
fixed = 25
tolerance = 2
"""
AT_ONCE = "pm_card_bypassPending"
DECLINED = "pm_card_chargeDeclined"
DECIDED = ("id", "status", "decision")


@pytest.fixture(scope="module")
async def books(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("settled")
    rules = folder / "fees.toml"
    rules.write_text(FEES)
    gateway = Gateway.start(folder, environment={"PAYGATE_FEE_RULES": str(rules)})
    await gateway.open()
    yield gateway
    await gateway.close()
    assert gateway.stop() == 0


async def paid(books: Gateway, amount: int = 3000) -> dict[str, Any]:
    intent = await books.create(amount)
    answer = await books.confirm(intent["id"], AT_ONCE)
    assert answer.json["status"] == "succeeded", answer
    return intent


async def pay_out(books: Gateway, **order: Any) -> dict[str, Any]:
    """A payout of all that is available, as the sandbox made it."""
    made = await books.sandbox("POST", "/_sandbox/payouts", {"arrival_in_days": 0} | order)
    assert len(made["payouts"]) == 1, made
    return dict(made["payouts"][0])


async def settled(books: Gateway, payout: dict[str, Any]) -> dict[str, Any]:
    """The payout's settlement, once its lines were read and judged."""

    async def look() -> dict[str, Any] | None:
        listed = await books.call("GET", "/settlements?limit=100")
        of = (s for s in listed.json["data"] if s["provider_reference"] == payout["id"])
        return next((s for s in of if s["matching"] != "waiting"), None)

    found: dict[str, Any] = await until(look)
    return found


async def closed(books: Gateway, settlement: dict[str, Any]) -> dict[str, Any]:
    """The settlement, once it has closed itself."""

    async def look() -> dict[str, Any] | None:
        found = (await books.call("GET", f"/settlements/{settlement['id']}")).json
        return found if found["closed_at"] else None

    shut: dict[str, Any] = await until(look)
    return shut


async def discrepancies(books: Gateway, settlement: dict[str, Any]) -> list[dict[str, Any]]:
    path = f"/discrepancies?settlement={settlement['id']}&limit=100"
    return list((await books.call("GET", path)).json["data"])


async def test_a_payout_is_settled_to_the_cent(books: Gateway, tmp_path: Path) -> None:
    """With a refund in it; its lines are the sandbox's, each matched, and people can read it."""
    intents = [await paid(books, 3000 + n) for n in range(3)]
    back = await books.call("POST", f"/payment-intents/{intents[0]['id']}/refund", {"amount": 700})
    assert back.status == 201, back
    payout = await pay_out(books)
    found = await closed(books, await settled(books, payout))
    assert (found["matching"], found["residual"]) == ("balanced", 0)
    assert sum(total["net"] for total in found["totals"]) == payout["amount"] == found["amount"]
    path = f"/settlements/{found['id']}/lines?limit=100"
    lines = (await books.call("GET", path)).json["data"]
    ledger = await books.sandbox("GET", "/_sandbox/ledger")
    (theirs,) = [p for p in ledger["payouts"] if p["id"] == payout["id"]]
    listed = [line for line in lines if line["category"] != "payout"]
    ours = {line["provider_reference"]: line["net"] for line in listed}
    assert ours == {line["id"]: line["net"] for line in theirs["lines"]}
    refunds = [line["refund"] for line in lines if line["category"] == "refund"]
    assert refunds == [back.json["id"]]
    assert await discrepancies(books, found) == []
    # The same to the last line, from page to page.
    walked: list[str] = []
    while True:
        after = f"&starting_after={walked[-1]}" if walked else ""
        page = (await books.call("GET", f"/settlements/{found['id']}/lines?limit=2{after}")).json
        walked += [line["id"] for line in page["data"]]
        if not page["has_more"]:
            break
    assert walked == [line["id"] for line in lines]
    of = await books.call("GET", f"{path}&payment_intent={intents[0]['id']}")
    assert {line["category"] for line in of.json["data"]} == {"charge", "refund"}
    data = books.ready["data_dir"]
    shown = run("settle", "--data", data, "--payout", payout["id"], cwd=tmp_path)
    assert shown.status == 0, shown
    assert f"payout {payout['id']} ({found['id']}): paid, automatic" in shown.out
    assert "payout in EUR" in shown.out
    as_json = run("settle", "--data", data, "--payout", found["id"], "--json", cwd=tmp_path)
    assert json.loads(as_json.out)["settlement"] == found


@pytest.mark.parametrize(
    ("tamper", "kind", "difference"),
    [
        ("wrong_amount", "amount_mismatch", -5),
        ("wrong_fee", "fee_mismatch", 5),
        ("duplicate_line", "duplicate_at_provider", None),
        ("extra_line", "missing_internally", None),
        ("unknown_line", "unexpected_adjustment", None),
        ("wrong_total", "payout_total_mismatch", None),
        ("wrong_currency", "currency_mismatch", None),
        ("declined_line", "status_mismatch", 600),
        ("extra_refund", "refund_mismatch", None),
        ("extra_chargeback", "unexpected_chargeback", None),
    ],
)
async def test_what_is_wrong_with_a_payout_is_found(
    books: Gateway, tamper: str, kind: str, difference: int | None
) -> None:
    if tamper == "declined_line":
        declined = await books.confirm((await books.create(600))["id"], DECLINED)
        assert declined.json["status"] == "failed", declined
    for amount in (4200, 8800):
        await paid(books, amount)
    payout = await pay_out(books, tamper=tamper)
    settlement = await settled(books, payout)
    (found,) = await discrepancies(books, settlement)
    assert (found["kind"], found["status"]) == (kind, "open")
    assert difference is None or found["difference"] == difference
    victim = payout["tampered"].get("charge")
    if found["payment_intent"] is not None:
        theirs = {c["id"] for c in await books.charges(found["payment_intent"])}
        assert victim in theirs

    async def told() -> bool:
        alerts = (await books.call("GET", "/alerts?status=open&limit=100")).json["data"]
        about = [a for a in alerts if a["subject"]["id"] == settlement["id"]]
        return [a["type"] for a in about] == ["settlement_discrepancy"]

    assert await until(told)
    body = {"action": "resolve", "reason": "made by a test"}
    done = await books.call("POST", f"/discrepancies/{found['id']}/resolve", body)
    assert (done.status, done.json["status"]) == (200, "resolved")
    shut = await closed(books, settlement)
    # What does not sum never balances, though a person may see to it.
    assert shut["matching"] == ("discrepant" if tamper == "wrong_total" else "balanced")
    again = await books.call("POST", f"/discrepancies/{found['id']}/resolve", body)
    assert (again.status, again.code) == (409, "state_conflict")


async def test_the_bank_received_something_else(books: Gateway) -> None:
    """Under an idempotency key, and never of another merchant's key."""
    for amount in (4200, 800):
        await paid(books, amount)
    payout = await pay_out(books, tamper="unknown_line", by=-70)
    settlement = await settled(books, payout)
    path, body = f"/settlements/{settlement['id']}", {"bank_amount": payout["amount"] - 1}
    once = {"Idempotency-Key": "bank"}
    first = await books.call("POST", path, body, headers=once)
    assert (first.status, first.json["bank_amount"]) == (200, payout["amount"] - 1)
    again = await books.call("POST", path, body, headers=once)
    assert (again.status, again.body) == (200, first.body)

    async def found() -> bool:
        kinds = [each["kind"] for each in await discrepancies(books, settlement)]
        return sorted(kinds) == ["payout_total_mismatch", "unexpected_adjustment"]

    assert await until(found)
    await books.call("POST", path, {"bank_amount": payout["amount"]})

    async def healed() -> bool:
        every = await discrepancies(books, settlement)
        return "resolved" in [each["status"] for each in every]

    assert await until(healed)
    shop = await open_shop(books)
    (of, *_) = await discrepancies(books, settlement)
    for method, theirs in (("GET", path), ("POST", path), ("GET", f"{path}/lines")):
        sent = {"bank_amount": 1} if method == "POST" else None
        assert (await shop.call(method, theirs, sent)).status == 404
    answer = await shop.call("GET", f"/discrepancies/{of['id']}")
    assert (answer.status, answer.code) == (404, "resource_missing")


async def test_the_bank_tells_of_a_payout_that_is_closed(books: Gateway) -> None:
    """Once: a replay is answered as the first was, another request is refused."""
    await paid(books)
    settlement = await closed(books, await settled(books, await pay_out(books)))
    path, body = f"/settlements/{settlement['id']}", {"bank_amount": settlement["amount"] - 1}
    first = await books.call("POST", path, body, headers={"Idempotency-Key": "closed"})
    assert (first.status, first.json) == (200, settlement | body), first
    again = await books.call("POST", path, body, headers={"Idempotency-Key": "closed"})
    assert (again.status, again.body) == (200, first.body)
    other = await books.call("POST", path, body, headers={"Idempotency-Key": "another"})
    assert (other.status, other.code) == (409, "state_conflict")
    assert (await books.call("GET", path)).json == settlement | body
    (found,) = await discrepancies(books, settlement)
    assert (found["kind"], found["difference"]) == ("payout_total_mismatch", -1)


async def test_a_failed_payout(books: Gateway) -> None:
    await paid(books)
    payout = await pay_out(books, fail=True, fails_in_days=0)
    await books.sandbox("POST", "/_sandbox/clock", {"advance_seconds": 60})

    async def failed() -> dict[str, Any] | None:
        listed = await books.call("GET", "/discrepancies?kind=payout_failed")
        return next(iter(listed.json["data"]), None)

    found = await until(failed)
    shown = (await books.call("GET", f"/settlements/{found['settlement']}")).json
    assert (shown["provider_reference"], shown["status"]) == (payout["id"], "failed")
    # Its money comes back as one line of the next.
    await paid(books)
    later = await settled(books, await pay_out(books))
    categories = [total["category"] for total in later["totals"]]
    assert "payout_failure" in categories
    assert later["residual"] == 0


async def test_lines_that_the_provider_lists_later(books: Gateway) -> None:
    """Paid at once, with no line; then three in five, then all."""
    for _ in range(5):
        await paid(books)
    payout = await pay_out(books, reconciliation="in_progress", lines_in_hours=12)

    async def taken() -> dict[str, Any] | None:
        listed = (await books.call("GET", "/settlements?limit=100")).json["data"]
        return next((s for s in listed if s["provider_reference"] == payout["id"]), None)

    waiting = await until(taken)
    assert (waiting["matching"], waiting["counts"]["lines"]) == ("waiting", 0)
    for _ in range(2):
        await books.sandbox("POST", "/_sandbox/clock", {"advance_seconds": 6 * 3600 + 60})
    found = await closed(books, await settled(books, payout))
    assert (found["residual"], found["counts"]["matched"]) == (0, 5)


async def test_what_is_in_no_payout_beyond_the_window_is_late(
    books: Gateway, tmp_path: Path
) -> None:
    await paid(books)
    await paid(books)
    payout = await pay_out(books, tamper="missing_line")
    await settled(books, payout)
    later = (datetime.now(UTC) + timedelta(days=15)).isoformat()
    data = books.ready["data_dir"]
    ran = run("jobs", "run", "settle-payouts", "--now", later, "--data", data, cwd=tmp_path)
    assert ran.status == 0, ran
    late = (await books.call("GET", "/discrepancies?kind=late&limit=100")).json["data"]
    victim = payout["tampered"]["charge"]
    charged = [await books.charges(each["payment_intent"]) for each in late]
    (about,) = (each for each, of in zip(late, charged, strict=True) if of[0]["id"] == victim)
    assert about["expected"] == {"amount": 3000, "currency": "eur"}


async def test_what_the_balance_never_had_is_missing_at_the_provider(
    books: Gateway, tmp_path: Path
) -> None:
    """Of its payout nothing is wrong. It is told once the window is over, and once a person has
    resolved it, no later run tells it again.
    """
    await paid(books)
    await paid(books)
    payout = await pay_out(books, tamper="unbooked_charge")
    victim = payout["tampered"]["payment_intent"]
    shut = await closed(books, await settled(books, payout))
    assert (shut["matching"], shut["counts"]["matched"]) == ("balanced", 1)
    assert await discrepancies(books, shut) == []

    async def found() -> list[dict[str, Any]]:
        later = (datetime.now(UTC) + timedelta(days=15)).isoformat()
        job = ("jobs", "run", "settle-payouts", "--now", later)
        ran = run(*job, "--data", books.ready["data_dir"], cwd=tmp_path)
        assert ran.status == 0, ran
        every = (await books.call("GET", "/discrepancies?limit=100")).json["data"]
        ours = [each for each in every if each["payment_intent"] is not None]
        shown = [(await books.charges(each["payment_intent"]), each) for each in ours]
        return [each for charges, each in shown if charges[0]["payment_intent"] == victim]

    (missing,) = await found()
    assert (missing["kind"], missing["status"]) == ("missing_at_provider", "open")
    assert missing["expected"] == {"amount": 3000, "currency": "eur"}
    assert missing["found"] == {"amount": 0, "currency": "eur"}
    body = {"action": "resolve", "reason": "the provider was told"}
    done = await books.call("POST", f"/discrepancies/{missing['id']}/resolve", body)
    assert (done.status, done.json["status"]) == (200, "resolved")
    (again,) = await found()
    assert [again[each] for each in DECIDED] == [done.json[each] for each in DECIDED]
