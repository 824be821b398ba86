"""Stripe's early fraud warnings: the port's part, and one read into a `FraudWarning`.

(https://docs.stripe.com/api/radar/early_fraud_warnings)
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from paygate.domain.disputes.outcome import FraudWarning
from paygate.domain.payments.outcome import Unknown
from paygate.providers.absence import Absent
from paygate.providers.stripe.client import Reply, StripeWire
from paygate.providers.stripe.fields import (
    code,
    identifier,
    mapping,
    moment,
    named,
    text,
    whole,
)
from paygate.providers.stripe.money import NotRepresentable, from_provider
from paygate.providers.stripe.replies import is_missing

_WARNINGS: Final = "/v1/radar/early_fraud_warnings"
_OK, _NOT_FOUND = 200, 404
_MAX_UNITS: Final = 10**15
"""Beyond any amount that Stripe has."""


class StripeFraudWarnings:
    """Implements the fraud warnings of `Provider`."""

    def __init__(self, wire: StripeWire, *, livemode: bool) -> None:
        self._wire = wire
        self._livemode = livemode

    async def retrieve(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> FraudWarning | Absent | Unknown:
        if identifier(provider_reference) is None:
            return Absent()
        path, asked = f"{_WARNINGS}/{provider_reference}", {"expand": ["charge"]}
        fact = await self._wire.call("get", path, asked, timeout_seconds=timeout_seconds)
        if not isinstance(fact, Reply):
            return Unknown(fact.message)
        if fact.status == _NOT_FOUND and is_missing(fact.body):
            return Absent()
        if fact.status != _OK:
            return Unknown(f"the provider answered HTTP {fact.status}")
        found = warning(fact.body, livemode=self._livemode, as_of=fact.as_of)
        if isinstance(found, FraudWarning) and found.provider_reference != provider_reference:
            return Unknown("the provider answered with another warning")
        return found


def warning(body: object, *, livemode: bool, as_of: datetime | None) -> FraudWarning | Unknown:
    """What a warning says; `livemode` is the mode that it must be of. Nothing is raised.

    Without a clear word it is not actionable: nobody is advised by a guess.
    """
    if not isinstance(body, Mapping) or body.get("object") != "radar.early_fraud_warning":
        return Unknown("the answer is not a fraud warning")
    reference = identifier(body.get("id"))
    if reference is None or body.get("livemode") is not livemode:
        return Unknown("the fraud warning has no usable id, or is of the other mode")
    charge = mapping(body, "charge")
    metadata = mapping(charge, "metadata")
    currency = text(charge, "currency")
    disputed = charge.get("disputed")
    return FraudWarning(
        provider_reference=reference,
        fraud_type=code(body.get("fraud_type")) or "misc",
        actionable=body.get("actionable") is True,
        charge_reference=named(body.get("charge")),
        payment_reference=named(body.get("payment_intent")) or named(charge.get("payment_intent")),
        created_at=moment(body.get("created")),
        as_of=as_of,
        livemode=livemode,
        charge_amount=_units(charge, "amount_captured", currency),
        charge_currency=currency,
        charge_refunded=_units(charge, "amount_refunded", currency),
        charge_disputed=disputed if isinstance(disputed, bool) else None,
        attempt=text(metadata, "paygate_attempt"),
        installation=text(metadata, "paygate_installation"),
        merchant=text(metadata, "paygate_merchant"),
        intent=text(metadata, "paygate_intent"),
    )


def _units(charge: Mapping[str, Any], key: str, currency: str | None) -> int | None:
    """An amount in our smallest units."""
    units = whole(charge.get(key), 0, _MAX_UNITS)
    if units is None or currency is None:
        return None
    try:
        return from_provider(units, currency)
    except NotRepresentable:
        return None
