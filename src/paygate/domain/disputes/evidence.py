"""The fields of evidence: which there are, what goes into each, and which a reason asks for.

The fields and their limits are the provider's (Stripe's of version 2026-08-26); a text counts by
its characters. What a reason asks for follows the provider's guides to evidence; of what was sold
only that is known which the evidence itself shows, so that digital goods are asked for no shipment.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from paygate.domain.disputes.outcome import DisputeReason

LONG: Final = 20_000
SHORT: Final = 5_000
TEXTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "access_activity_log": LONG,
        "billing_address": SHORT,
        "cancellation_policy_disclosure": LONG,
        "cancellation_rebuttal": LONG,
        "customer_email_address": SHORT,
        "customer_name": SHORT,
        "customer_purchase_ip": SHORT,
        "duplicate_charge_explanation": LONG,
        "duplicate_charge_id": SHORT,
        "product_description": LONG,
        "refund_policy_disclosure": LONG,
        "refund_refusal_explanation": LONG,
        "service_date": SHORT,
        "shipping_address": SHORT,
        "shipping_carrier": SHORT,
        "shipping_date": SHORT,
        "shipping_tracking_number": SHORT,
        "uncategorized_text": LONG,
    }
)
"""The fields that hold a text, and the most characters of each."""
FILES: Final = frozenset(
    {
        "cancellation_policy",
        "customer_communication",
        "customer_signature",
        "duplicate_charge_documentation",
        "receipt",
        "refund_policy",
        "service_documentation",
        "shipping_documentation",
        "uncategorized_file",
    }
)
"""The fields that hold a file, one each."""

TEXTS_MOST: Final = 150_000
"""The most characters of all texts together."""
FILE_MOST: Final = 5_000_000
"""The most bytes of a file."""
FILES_MOST: Final = 4_500_000
"""The most bytes of all files together: banks are sent them as one document."""
PAGES_MOST: Final = 49
"""The most pages of that document; an image is one."""

_R: Final = DisputeReason
_SOLD: Final = ("product_description", "customer_name", "customer_email_address")
_POLICY: Final = ("refund_policy", "refund_policy_disclosure", "refund_refusal_explanation")
_BY_THE_PAYER: Final = (*_SOLD, "billing_address", "customer_purchase_ip", "receipt")
_DELIVERED: Final = "delivered"
"""Stands for what shows that the payer got what was sold."""
_AUTHORIZED: Final = (*_SOLD, "customer_signature", "receipt", "customer_communication")
_ASKED: Final[Mapping[DisputeReason, tuple[str, ...]]] = MappingProxyType(
    {
        _R.FRAUDULENT: (*_BY_THE_PAYER, _DELIVERED),
        _R.UNRECOGNIZED: (*_BY_THE_PAYER, _DELIVERED),
        _R.PRODUCT_NOT_RECEIVED: (*_SOLD, _DELIVERED, "customer_communication"),
        _R.PRODUCT_UNACCEPTABLE: (*_SOLD, _DELIVERED, *_POLICY, "customer_communication"),
        _R.CREDIT_NOT_PROCESSED: (*_SOLD, *_POLICY, "customer_communication"),
        _R.DUPLICATE: (
            *_SOLD,
            *("receipt", "duplicate_charge_id", "duplicate_charge_explanation"),
            "duplicate_charge_documentation",
        ),
        _R.SUBSCRIPTION_CANCELED: (
            *_SOLD,
            *("cancellation_policy", "cancellation_policy_disclosure", "cancellation_rebuttal"),
            *("access_activity_log", "customer_communication"),
        ),
        _R.DEBIT_NOT_AUTHORIZED: _AUTHORIZED,
        _R.CUSTOMER_INITIATED: _AUTHORIZED,
        _R.INSUFFICIENT_FUNDS: (*_SOLD, "receipt"),
        _R.INCORRECT_ACCOUNT_DETAILS: (*_SOLD, "receipt"),
        _R.BANK_CANNOT_PROCESS: (*_SOLD, "receipt"),
        _R.CHECK_RETURNED: (*_SOLD, "receipt"),
        _R.NONCOMPLIANT: (*_SOLD, "receipt", "customer_communication"),
        _R.GENERAL: (*_SOLD, "receipt", "customer_communication"),
    }
)
_SHIPMENT: Final = (
    *("shipping_address", "shipping_carrier", "shipping_date", "shipping_tracking_number"),
    "shipping_documentation",
)
_SERVICE: Final = ("service_date", "service_documentation")
_ACCESS: Final = ("access_activity_log",)


def missing(reason: DisputeReason, given: Collection[str]) -> tuple[str, ...]:
    """The fields that evidence against this reason usually has, and that hold nothing yet."""
    asked: list[str] = []
    for field in _ASKED[reason]:
        asked += _proof_of_delivery(given) if field == _DELIVERED else (field,)
    return tuple(field for field in asked if field not in given)


def _proof_of_delivery(given: Collection[str]) -> tuple[str, ...]:
    """The fields that show a delivery, for what the evidence shows to have been sold: a shipment,
    where it shows nothing else.
    """
    for proof in (_SHIPMENT, _SERVICE, _ACCESS):
        if any(field in given for field in proof):
            return proof
    return _SHIPMENT


_NAME_MOST: Final = 80
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


def safe_name(sent: str | None, field: str, extension: str) -> str:
    """A name for a file that says what it was called, with the extension of what it is. It has no
    folder and only characters that every system takes; without any, it is the field's.
    """
    name = re.split(r"[/\\]", sent or "")[-1]
    stem = name.rpartition(".")[0] or name
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    stem = _UNSAFE.sub("_", plain)[:_NAME_MOST].strip("._-")
    return f"{stem or field}.{extension}"
