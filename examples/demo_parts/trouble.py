"""What goes wrong: an answer that is lost, an impatient payer, not one webhook that comes."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from demo_parts.merchant import Merchant, check, wait_for


def lost_answer(merchant: Merchant) -> None:
    fault = {"on": "confirm", "kind": "drop_reply", "count": 1}
    merchant.sandbox("POST", "/_sandbox/faults", fault)
    intent = merchant.create(4200, "usd")
    answer = merchant.confirm(intent, "pm_card_mastercard")
    check(
        (answer.get("status"), answer.get("pending_operation"))
        in (("processing", "confirm"), ("succeeded", None)),
        f"unknown is not failed: {answer.get('status')}",
    )
    final = wait_for("the truth", lambda: merchant.succeeded(intent))
    check(final["amount_received"] == 4200, "then succeeded: 42.00 USD received")
    check(len(merchant.charges(intent)) == 1, "charged once")
    faults = merchant.sandbox("GET", "/_sandbox/faults")
    check("drop_reply" in json.dumps(faults), "the fault really happened")


def impatient_customer(merchant: Merchant) -> None:
    intent = merchant.create(2500, "eur")
    with ThreadPoolExecutor(20) as clicks:
        answers = list(
            clicks.map(lambda _: merchant.confirm(intent, "pm_card_visa", key="pay"), range(20))
        )
    check(all(answer == answers[0] for answer in answers), "all twenty were given one answer")
    check(answers[0].get("status") == "succeeded", "and it is: succeeded")
    check(len(merchant.charges(intent)) == 1, "charged once")
    other = merchant.confirm(intent, "pm_card_mastercard", key="pay")
    check(
        other["error"]["code"] == "idempotency_key_reused",
        "the same key with another card is refused",
    )


def lost_webhooks(merchant: Merchant) -> None:
    for on in ("webhook", "events"):
        fault = {"on": on, "kind": "lose", "count": 1_000_000}
        merchant.sandbox("POST", "/_sandbox/faults", fault)
    paid, held = merchant.create(3300, "eur"), merchant.create(6000, "eur", capture_method="manual")
    asked = merchant.confirm(paid, "pm_card_threeDSecure2Required")
    merchant.browse(asked["next_action"]["redirect_to_url"]["url"], {"outcome": "complete"})
    check(merchant.read(paid)["status"] == "requires_action", "the bank approved; we know nothing")
    there = merchant.confirm(held, "pm_card_visa")["provider_reference"]
    merchant.sandbox_form(f"/v1/payment_intents/{there}/capture", {})
    check(merchant.read(held)["status"] == "requires_capture", "a hold, captured in the dashboard")
    run = wait_for("a reconciliation of ours", lambda: _begun(merchant))
    done = wait_for("its end", lambda: _ended(merchant, run))
    print(
        f"     --  reconciliation {done['id']}: {done['examined']['ours']} of ours and"
        f" {done['examined']['theirs']} of the provider's examined with {done['provider_calls']}"
        f" calls,\n         {done['in_step']} in step, {done['healed']} healed,"
        f" {done['held']} held, {done['orphans']} orphans, {done['foreign']} foreign"
    )
    listed = merchant.call("GET", f"/reconciliations/{done['id']}/findings?limit=100")["data"]
    for found in listed:
        print(
            f"     --  {found['action']}: {found['payment_intent']}"
            f" {found['ours'].get('status')} -> {found['theirs'].get('status')}"
        )
    healed = {found["payment_intent"] for found in listed if found["action"] == "healed"}
    check({paid["id"], held["id"]} <= healed, "both were found and healed")
    for intent, amount in ((paid, 3300), (held, 6000)):
        final = merchant.read(intent)
        check((final["status"], final["amount_received"]) == ("succeeded", amount), "succeeded")
    merchant.sandbox("DELETE", "/_sandbox/faults")


def _begun(merchant: Merchant) -> dict[str, Any] | None:
    """A reconciliation, unless the clock has begun one just now: there is one at a time."""
    run = merchant.call("POST", "/reconciliations", {})
    return None if "error" in run else run


def _ended(merchant: Merchant, run: dict[str, Any]) -> dict[str, Any] | None:
    found = merchant.call("GET", f"/reconciliations/{run['id']}")
    return None if found["status"] == "running" else found
