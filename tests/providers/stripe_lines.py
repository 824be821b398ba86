"""Payouts and lines of Stripe's balance as its servers render them, with what they are for."""

import json
from typing import Any

from paygate.domain.settlements.outcome import Line
from paygate.providers.stripe.balance_lines import line
from paygate.providers.stripe.decoding import decoded
from tests.providers.stripe_objects import INSTALLATION, METADATA

MIDNIGHT = 1_772_236_800
"""2026-02-28T00:00:00Z."""
REFUND_MARKS = {
    "paygate_installation": INSTALLATION,
    "paygate_merchant": "default",
    "paygate_refund": "re_01j000000000000000000000",
}


def charge(**changes: Any) -> dict[str, Any]:
    return {
        "id": "ch_3Q",
        "object": "charge",
        "amount": 1999,
        "amount_captured": 1999,
        "currency": "eur",
        "payment_intent": "pi_3Q",
        "metadata": dict(METADATA),
    } | changes


def refund(**changes: Any) -> dict[str, Any]:
    return {
        "id": "re_3Q",
        "object": "refund",
        "amount": 500,
        "charge": charge(),
        "currency": "eur",
        "payment_intent": "pi_3Q",
        "metadata": REFUND_MARKS,
    } | changes


def dispute(**changes: Any) -> dict[str, Any]:
    return {
        "id": "du_3Q",
        "object": "dispute",
        "amount": 1999,
        "charge": charge(),
        "currency": "eur",
        "payment_intent": "pi_3Q",
        "metadata": {},
    } | changes


def row(**changes: Any) -> dict[str, Any]:
    """A balance transaction of a charge, as Stripe renders it, with its source."""
    said: dict[str, Any] = {
        "id": "txn_3Q",
        "object": "balance_transaction",
        "amount": 1999,
        "available_on": MIDNIGHT,
        "balance_type": "payments",
        "created": 1_772_064_123,
        "currency": "eur",
        "description": None,
        "exchange_rate": None,
        "fee": 83,
        "fee_details": [
            {"amount": 83, "currency": "eur", "type": "stripe_fee", "description": "Stripe fees"}
        ],
        "net": 1916,
        "reporting_category": "charge",
        "source": charge(),
        "status": "available",
        "type": "charge",
    }
    said |= changes
    if "amount" in changes and not {"fee", "net"} & changes.keys():
        said |= {"fee": 0, "net": changes["amount"], "fee_details": []}
    return said


def payout(**changes: Any) -> dict[str, Any]:
    """An automatic payout as Stripe renders it, on its way."""
    return {
        "id": "po_3Q",
        "object": "payout",
        "amount": 9_000,
        "arrival_date": MIDNIGHT,
        "automatic": True,
        "balance_transaction": "txn_own",
        "created": 1_772_064_123,
        "currency": "eur",
        "failure_balance_transaction": None,
        "failure_code": None,
        "livemode": False,
        "method": "standard",
        "original_payout": None,
        "reconciliation_status": "completed",
        "reversed_by": None,
        "source_type": "card",
        "status": "in_transit",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    } | changes


def read(**changes: Any) -> Line:
    found = line(row(**changes))
    assert isinstance(found, Line)
    return found


def converted(source: dict[str, Any], amount: int, rate: str, **changes: Any) -> Line:
    """A line in another currency than its source's, whose rate is written so."""
    body = row(amount=amount, source=source, **changes) | {"exchange_rate": "RATE"}
    found = line(decoded(json.dumps(body).replace('"RATE"', rate).encode()))
    assert isinstance(found, Line)
    return found
