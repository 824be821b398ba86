"""A Payout as Stripe renders it, read into a `Payout`; pure.

As in `translate`, what is not needed is not looked at, what is not understood is `Unknown`, and no
function raises. (https://docs.stripe.com/api/payouts/object)
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.outcome import Payout, PayoutStatus
from paygate.providers.stripe.fields import code, day, identifier, mapping, moment, named, text
from paygate.providers.stripe.money import told

_STATUSES: Final[Mapping[str, PayoutStatus]] = MappingProxyType(
    {
        "pending": PayoutStatus.PENDING,
        "in_transit": PayoutStatus.IN_TRANSIT,
        "paid": PayoutStatus.PAID,
        "failed": PayoutStatus.FAILED,
        "canceled": PayoutStatus.CANCELLED,
    }
)
_INSTANT: Final = "instant"
"""The method of payouts that Stripe does not itemise, even on an automatic schedule
(https://docs.stripe.com/reports/payout-reconciliation).
"""
_NO_LINES, _COMPLETE = "not_applicable", "completed"
"""Of the statuses of reconciliation: the lines cannot be listed; all of them can."""


def payout(body: object, *, livemode: bool, as_of: datetime | None) -> Payout | Unknown:
    """What a Payout says; `livemode` is the mode that it must be of."""
    if not isinstance(body, Mapping) or body.get("object") != "payout":
        return Unknown("the answer is not a payout")
    reference = identifier(body.get("id"))
    if reference is None:
        return Unknown("a payout has no usable id")
    if body.get("livemode") is not livemode:
        return Unknown(f"the payout {reference} is of the other mode")
    word = code(body.get("status"))
    status = _STATUSES.get(word or "")
    if status is None:
        said = f"the status of the payout {reference} is {word or 'missing'}"
        return Unknown(said, unfamiliar=word is not None)
    currency = text(body, "currency")
    amount = None if currency is None else told(body.get("amount"), currency)
    arrival_date, created_at = day(body.get("arrival_date")), moment(body.get("created"))
    automatic = body.get("automatic")
    if currency is None or amount is None or arrival_date is None or created_at is None:
        return Unknown(f"the amount or the dates of the payout {reference} make no sense")
    if not isinstance(automatic, bool):
        return Unknown(f"the payout {reference} does not say who made it")
    return Payout(
        provider_reference=reference,
        amount=amount,
        currency=currency,
        status=status,
        automatic=automatic,
        itemised=_is_itemised(body),
        lines_complete=body.get("reconciliation_status") == _COMPLETE,
        arrival_date=arrival_date,
        created_at=created_at,
        failure_code=code(body.get("failure_code")),
        failure_reference=named(body.get("failure_balance_transaction")),
        own_reference=named(body.get("balance_transaction")),
        reverses=named(body.get("original_payout")),
        reversed_by=named(body.get("reversed_by")),
        trace_id=_trace(body),
        livemode=livemode,
        as_of=as_of,
    )


def _is_itemised(body: Mapping[str, Any]) -> bool:
    automatic = body.get("automatic") is True and body.get("method") != _INSTANT
    return automatic and body.get("reconciliation_status") != _NO_LINES


def _trace(body: Mapping[str, Any]) -> str | None:
    """What the bank finds the transfer by; it comes days later, and with no event at all."""
    return text(mapping(body, "trace_id"), "value") or None
