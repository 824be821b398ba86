"""Holds what the gateway says of a shop's payments against the provider's own books.

The books are asked first: a charge counts for the shop that its metadata names, whether or not the
gateway has ever heard of the payment.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tests.api.shops import Shop

Json = Mapping[str, Any]
CHARGED = {"succeeded": True, "requires_capture": False}
"""The statuses that rest on a charge, and whether its money is captured."""
DOUBTFUL = {"processing"}


async def agrees_with_provider(shop: Shop) -> list[dict[str, Any]]:
    """Assert that the two agree, one to one; the shop's payment intents."""
    intents = await every_intent(shop)
    charges = await shops_charges(shop)
    wrong = differences(intents, charges)
    assert not wrong, "\n".join(["the gateway and the provider disagree:", *wrong])
    return intents


async def every_intent(shop: Shop) -> list[dict[str, Any]]:
    """All of a shop's payment intents."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = await shop.call("GET", f"/payment-intents?limit=100{after}")
        assert page.status == 200, page
        found += page.json["data"]
        if not page.json["has_more"]:
            return found
        after = f"&starting_after={found[-1]['id']}"


async def shops_charges(shop: Shop) -> list[Json]:
    """All that the provider ever did in the name of a shop."""
    ledger = await shop.gateway.sandbox("GET", "/_sandbox/ledger")
    return [c for c in ledger["charges"] if c["metadata"].get("paygate_merchant") == shop.merchant]


def differences(intents: Sequence[Json], charges: Sequence[Json]) -> list[str]:
    """Whatever does not agree, a line each."""
    of_intent: dict[str, list[Json]] = defaultdict(list)
    for charge in charges:
        of_intent[charge["metadata"].get("paygate_intent", "")].append(charge)
    wrong: list[str] = []
    for intent in intents:
        found = of_intent.pop(intent["id"], [])
        line = f"{intent['id']} {intent['status']} {intent['amount']} {intent['currency']}"
        wrong += [f"{line}: {what}" for what in _of_one(intent, found)]
    wrong += [f"{name or 'no intent'}: unknown here, {c}" for name, c in of_intent.items()]
    return wrong


def _of_one(intent: Json, charges: Sequence[Json]) -> list[str]:
    wrong = [] if len(charges) <= 1 else [f"{len(charges)} charges: {charges}"]
    if intent["status"] in DOUBTFUL or intent["pending_operation"] is not None:
        wrong.append(f"still in doubt: {intent['pending_operation']}")
    if any((c["amount"], c["currency"]) != (intent["amount"], intent["currency"]) for c in charges):
        wrong.append(f"another amount: {charges}")
    # A hold that was given back is as good as none.
    live = [c for c in charges if c["status"] != "failed" and not c["amount_refunded"]]
    if any(c["payment_intent"] != intent["provider_reference"] for c in live):
        wrong.append(f"{intent['provider_reference']} is not the payment of {live}")
    captured = CHARGED.get(intent["status"])
    if captured is None:
        return wrong + ([f"money for nothing: {live}"] if live else [])
    if [c["captured"] for c in live] != [captured]:
        return [*wrong, f"it rests on {live}"]
    (charge,) = live
    if charge["amount_captured"] != intent["amount_received"]:
        wrong.append(f"{intent['amount_received']} received, {charge['amount_captured']} captured")
    if charge["amount"] != intent["amount_capturable"] and not captured:
        wrong.append(f"{intent['amount_capturable']} capturable of {charge['amount']}")
    return wrong
