"""Payments: by card, with a challenge, declined, by bank transfer, held and captured."""

from typing import Any

from demo_parts.merchant import RETURN_URL, Merchant, check, wait_for


def card_payment(merchant: Merchant) -> None:
    intent = merchant.create(1999, "eur")
    answer = merchant.confirm(intent, "pm_card_visa")
    check(answer.get("status") == "succeeded", "confirmed with a card: succeeded")
    check(answer["payment_method"]["last4"] == "4242", "only brand and last4 of the card are known")
    wait_for("webhook", lambda: merchant.acknowledged(intent, "payment_intent.succeeded"))
    print("     ok  the provider's signed webhook was accepted")
    final = merchant.read(intent)
    check(final["status"] == "succeeded", "read: succeeded")
    check(final["amount_received"] == 1999, "read: 19.99 EUR received")
    charges = merchant.charges(intent)
    check(
        [(c["amount"], c["currency"], c["captured"]) for c in charges] == [(1999, "eur", True)],
        "the provider's own ledger has this one charge",
    )


def three_d_secure(merchant: Merchant) -> None:
    intent = merchant.create(12900, "eur")
    asked = merchant.confirm(intent, "pm_card_threeDSecure2Required")
    check(asked.get("status") == "requires_action", "confirmed: requires_action")
    page = asked["next_action"]["redirect_to_url"]["url"]
    callback = merchant.browse(page, {"outcome": "complete"})
    check(callback.startswith(merchant.url), "the payer answers the bank, and comes to the gateway")
    home = merchant.browse(callback)
    expected = f"{RETURN_URL}&payment_intent={intent['id']}&status=succeeded"
    check(home == expected, "which asks the provider, and sends them on to the shop")
    check(merchant.read(intent)["status"] == "succeeded", "read: succeeded")
    check(len(merchant.charges(intent)) == 1, "charged once")


def decline(merchant: Merchant) -> None:
    intent = merchant.create(700, "usd")
    answer = merchant.confirm(intent, "pm_card_visa_chargeDeclinedInsufficientFunds")
    error = answer.get("last_payment_error") or {}
    check(answer.get("status") == "failed", "confirmed: failed, and the shop can say why:")
    check(error.get("decline_code") == "insufficient_funds", f"{error.get('message')}")
    check(not any(c["captured"] for c in merchant.charges(intent)), "nothing was taken")
    closed = wait_for("the close", lambda: _closed_there(merchant, answer))
    check(closed, "final here is final there: the provider's object is closed too")


def bank_transfer(merchant: Merchant) -> None:
    intent = merchant.create(5000, "eur", payment_method_types=["bank_transfer"])
    method = {"type": "bank_transfer", "flow": "push", "country": "DE"}
    asked = merchant.confirm_with(intent, method)
    check(asked.get("status") == "requires_action", "confirmed: the payer is told where to pay")
    pay_to = asked["next_action"]["bank_transfer"]
    iban = next(account["iban"] for account in pay_to["accounts"] if account["scheme"] == "iban")
    check(pay_to["amount_remaining"] == 5000, f"50.00 EUR to {iban[:4]}..., {pay_to['reference']}")
    merchant.send_money(asked, 2000)
    partly = wait_for("the first part", lambda: _received(merchant, intent, 2000))
    check(partly["status"] == "requires_action", "20.00 EUR came: 30.00 EUR remain")
    merchant.send_money(asked, 3000)
    final = wait_for("the rest", lambda: merchant.succeeded(intent))
    check(final["amount_received"] == 5000, "then succeeded: 50.00 EUR received")


def manual_capture(merchant: Merchant) -> None:
    intent = merchant.create(8000, "eur", capture_method="manual")
    held = merchant.confirm(intent, "pm_card_visa")
    check(held.get("status") == "requires_capture", "80.00 EUR are held, none is taken")
    taken = merchant.call("POST", f"/payment-intents/{intent['id']}/capture", {"amount": 3000})
    check(taken.get("status") == "succeeded", "captured 30.00 EUR: succeeded")
    check(taken["amount_received"] == 3000, "the rest is released")
    charges = [(c["captured"], c["amount_captured"]) for c in merchant.charges(intent)]
    check(charges == [(True, 3000)], "the provider's own ledger says the same")
    other = merchant.create(8000, "eur", capture_method="manual")
    merchant.confirm(other, "pm_card_visa")
    cancelled = merchant.call("POST", f"/payment-intents/{other['id']}/cancel", {})
    check(cancelled.get("status") == "cancelled", "another hold is released: cancelled")
    check(not merchant.charges(other)[0]["captured"], "and nothing was taken")


def _received(merchant: Merchant, intent: dict[str, Any], amount: int) -> dict[str, Any] | None:
    found = merchant.read(intent)
    action = found["next_action"] or {"bank_transfer": {"amount_received": 0}}
    return found if action["bank_transfer"]["amount_received"] == amount else None


def _closed_there(merchant: Merchant, intent: dict[str, Any]) -> bool | None:
    theirs = merchant.sandbox("GET", f"/v1/payment_intents/{intent['provider_reference']}")
    return True if theirs["status"] == "canceled" else None
