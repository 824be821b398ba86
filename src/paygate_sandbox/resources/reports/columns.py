"""The columns of the itemised payout report: their names, and what stands in each.

Amounts are decimals in major units by Stripe's own exponents, times are in a time zone without
saying so. It must never read the store, nor know how a file is written.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from paygate_sandbox.resources.currencies import exponent
from paygate_sandbox.store.objects import JsonObject


@dataclass(frozen=True, slots=True)
class Line:
    """A balance transaction with its payout and what it is about, each None where there is none."""

    row: JsonObject
    payout: JsonObject
    zone: tzinfo
    charge: JsonObject | None = None
    refund: JsonObject | None = None
    dispute: JsonObject | None = None
    customer: JsonObject | None = None


Cell = Callable[[Line], str]

DEFAULT_COLUMNS: Final = (
    "automatic_payout_id",
    "automatic_payout_effective_at",
    "balance_transaction_id",
    "created_utc",
    "created",
    "available_on_utc",
    "available_on",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "description",
    "customer_facing_amount",
    "customer_facing_currency",
)
"""What a report has that asks for no columns."""
_METADATA: Final = re.compile(r"(payment|refund|transfer)_metadata\[(.{1,40})\]", re.DOTALL)
_ADDRESS: Final = ("line1", "line2", "city", "state", "postal_code", "country")


def major(amount: int, currency: str) -> str:
    """Minor units as the report writes them: 1999 eur is 19.99, 500 jpy is 500."""
    digits = exponent(currency)
    if not digits:
        return str(amount)
    whole, rest = divmod(abs(amount), 10**digits)
    return f"{'-' if amount < 0 else ''}{whole}.{rest:0{digits}d}"


def moment(at: int, zone: tzinfo = UTC) -> str:
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S")


def cell(name: str) -> Cell | None:
    """What stands in a column; None: there is no such column."""
    found = _METADATA.fullmatch(name)
    if found is not None:
        return _metadata(found[1], found[2])
    return COLUMNS.get(name)


def _metadata(of: str, key: str) -> Cell:
    def read(line: Line) -> str:
        objects = {"payment": line.charge, "refund": line.refund, "transfer": None}
        return str((objects[of] or {}).get("metadata", {}).get(key, ""))

    return read


def _told(value: Any) -> str:
    return "" if value is None else str(value)


def _row(name: str) -> Cell:
    return lambda line: _told(line.row[name])


def _amount(name: str) -> Cell:
    return lambda line: major(line.row[name], line.row["currency"])


def _at(of: Callable[[Line], int | None], *, utc: bool = False) -> Cell:
    def read(line: Line) -> str:
        at = of(line)
        return "" if at is None else moment(at, UTC if utc else line.zone)

    return read


def _within(of: Callable[[Line], JsonObject | None], *path: str) -> Cell:
    """A member of a nested object; empty where anything on the way is missing."""

    def read(line: Line) -> str:
        value: Any = of(line)
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        return _told(value)

    return read


def _charge(line: Line) -> JsonObject | None:
    return line.charge


def _customer(line: Line) -> JsonObject | None:
    return line.customer


def _nothing(_line: Line) -> str:
    """What a payment of the sandbox never has: an invoice, a connected account."""
    return ""


def _facing(line: Line) -> JsonObject:
    """The object whose amount the customer knows, and its sign."""
    if line.refund is not None:
        sign = 1 if line.row["reporting_category"] == "refund_failure" else -1
        return {"amount": sign * line.refund["amount"], "currency": line.refund["currency"]}
    if line.dispute is not None:
        sign = 1 if line.row["amount"] > 0 else -1
        return {"amount": sign * line.dispute["amount"], "currency": line.dispute["currency"]}
    if line.charge is not None:
        return {"amount": line.charge["amount_captured"], "currency": line.charge["currency"]}
    return {}


def _facing_amount(line: Line) -> str:
    facing = _facing(line)
    return major(facing["amount"], facing["currency"]) if facing else ""


def _card(name: str) -> Cell:
    return _within(_charge, "payment_method_details", "card", name)


def _addresses() -> Iterator[tuple[str, Cell]]:
    places: Mapping[str, tuple[Callable[[Line], JsonObject | None], tuple[str, ...]]] = {
        "customer_shipping_address": (_customer, ("shipping", "address")),
        "customer_address": (_customer, ("address",)),
        "shipping_address": (_charge, ("shipping", "address")),
        "card_address": (_charge, ("billing_details", "address")),
    }
    for place, (of, path) in places.items():
        for part in _ADDRESS:
            yield f"{place}_{part}", _within(of, *path, part)


COLUMNS: Final[Mapping[str, Cell]] = {
    "automatic_payout_id": lambda line: str(line.payout["id"]),
    "automatic_payout_effective_at": _at(lambda line: line.payout["arrival_date"]),
    "automatic_payout_effective_at_utc": _at(lambda line: line.payout["arrival_date"], utc=True),
    "balance_transaction_id": _row("id"),
    "created_utc": _at(lambda line: line.row["created"], utc=True),
    "created": _at(lambda line: line.row["created"]),
    "available_on_utc": _at(lambda line: line.row["available_on"], utc=True),
    "available_on": _at(lambda line: line.row["available_on"]),
    "currency": _row("currency"),
    "gross": _amount("amount"),
    "fee": _amount("fee"),
    "net": _amount("net"),
    "reporting_category": _row("reporting_category"),
    "source_id": _row("source"),
    "description": _row("description"),
    "customer_facing_amount": _facing_amount,
    "customer_facing_currency": lambda line: _told(_facing(line).get("currency")),
    "regulatory_tag": _nothing,
    "customer_id": _within(_charge, "customer"),
    "customer_email": _within(_customer, "email"),
    "customer_name": _within(_customer, "name"),
    "customer_description": _within(_customer, "description"),
    **dict(_addresses()),
    "charge_id": _within(_charge, "id"),
    "payment_intent_id": _within(_charge, "payment_intent"),
    "charge_created_utc": _at(lambda line: (line.charge or {}).get("created"), utc=True),
    "charge_created": _at(lambda line: (line.charge or {}).get("created")),
    "invoice_id": _nothing,
    "invoice_number": _nothing,
    "subscription_id": _nothing,
    "order_id": _nothing,
    "payment_method_type": _within(_charge, "payment_method_details", "type"),
    "is_link": lambda line: "" if line.charge is None else "false",
    "card_brand": lambda line: _card("brand")(line).title(),
    "card_funding": _card("funding"),
    "card_country": _card("country"),
    "statement_descriptor": _within(_charge, "calculated_statement_descriptor"),
    "dispute_reason": lambda line: _told((line.dispute or {}).get("reason")),
    "connected_account_id": _nothing,
    "connected_account_name": _nothing,
    "connected_account_country": _nothing,
    "connected_account_direct_charge_id": _nothing,
    "destination_payment_id": _nothing,
}
"""Every column but those of metadata, which have a key: `payment_metadata[order]`."""
