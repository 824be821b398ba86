"""Money back to the payer."""

from demo_parts.merchant import Merchant, check


def refunds(merchant: Merchant) -> None:
    intent = merchant.confirm(merchant.create(6000, "eur"), "pm_card_visa")
    path = f"/payment-intents/{intent['id']}/refund"
    asked = {"amount": 1500, "reason": "requested_by_customer"}
    part = merchant.call("POST", path, asked, key="one shoe of two")
    check(part.get("status") == "succeeded", "15.00 EUR of 60.00 EUR are refunded: succeeded")
    print(f"     --  the shop may tell its customer: {part['customer_message']}")
    again = merchant.call("POST", path, asked, key="one shoe of two")
    check(again["id"] == part["id"], "the same request with the same key: the same refund")
    now = merchant.read(intent)
    check((now["status"], now["amount_refundable"]) == ("succeeded", 4500), "45.00 EUR are left")
    refused = merchant.call("POST", path, {"amount": 4501})["error"]
    check(refused["code"] == "amount_too_large", f"more is refused: {refused['message']}")
    rest = merchant.call("POST", path, {})
    check(rest.get("amount") == 4500, "a refund without an amount gives all back that is left")
    now = merchant.read(intent)
    check((now["status"], now["amount_refunded"]) == ("refunded", 6000), "the payment is refunded")
    listed = merchant.call("GET", f"/refunds?payment_intent={intent['id']}")["data"]
    check([each["id"] for each in listed] == [rest["id"], part["id"]], "both are listed")
    theirs = [(each["idempotency_key"], each["amount"]) for each in merchant.given_back(intent)]
    check(
        theirs == [(part["id"], 1500), (rest["id"], 4500)],
        "the provider's own ledger has these two, each under its own key",
    )
    charges = [(c["amount_captured"], c["amount_refunded"]) for c in merchant.charges(intent)]
    check(charges == [(6000, 6000)], "and says that all of the one charge went back")
