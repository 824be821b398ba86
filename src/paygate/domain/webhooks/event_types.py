"""The types of events that there are, and those that an endpoint may ask for."""

from typing import Final

ALL: Final = "*"
"""Every type there is, those that come later too."""

_BY_OBJECT: Final = {
    "payment_intent": (
        *("created", "processing", "requires_action", "requires_capture", "partially_funded"),
        *("succeeded", "failed", "cancelled", "refunded"),
    ),
    "refund": ("created", "succeeded", "failed"),
    "dispute": ("created", "updated", "closed"),
    "settlement": ("created", "paid", "failed", "balanced"),
    "discrepancy": ("opened", "resolved"),
    "alert": ("opened",),
}
EVENT_TYPES: Final = frozenset(
    f"{kind}.{happened}" for kind, those in _BY_OBJECT.items() for happened in those
)
