"""The one account: what a client reads to learn whether its key is good.

It must never show a key.
"""

from paygate_sandbox.protocol.parameters import Parameters
from paygate_sandbox.resources.endpoint import Call, Endpoint
from paygate_sandbox.store.objects import JsonObject


def retrieve(call: Call) -> JsonObject:
    return {
        "id": call.books.parts.account_id,
        "object": "account",
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": "US",
        "default_currency": call.books.parts.settling.currency or "usd",
        "details_submitted": True,
        "email": "sandbox@example.com",
        "payouts_enabled": True,
        "type": "standard",
    }


ENDPOINTS = (Endpoint("GET", "account", "account", "retrieve", Parameters(), retrieve),)
