"""Stripe's payouts and its balance's lines: the port's part, over the same wire as payments."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.outcome import Line, Payout
from paygate.providers.absence import Absent, ProviderSilent
from paygate.providers.stripe import balance_lines, fields, lists, payout_answers
from paygate.providers.stripe.client import Reply, StripeWire
from paygate.providers.stripe.replies import is_missing

_PAYOUTS: Final = "/v1/payouts"
_LINES: Final = "/v1/balance_transactions"
_PAYMENTS: Final = "/v1/payment_intents"
_REFUNDS: Final = "/v1/refunds"
_OK, _NOT_FOUND = 200, 404
_WITH_SOURCES: Final[Mapping[str, Any]] = {"expand": ["data.source.charge"]}
"""The source of each line, and of a refund or a dispute the charge too."""
_PAID_FROM: Final = "payments"
"""The balance that payouts are paid from. Others - of issued cards, of prefunded refunds - have
rows of their own, which are in no payout.
"""


class StripePayouts:
    """Implements the payouts of `Provider`."""

    def __init__(self, wire: StripeWire, *, livemode: bool) -> None:
        self._wire = wire
        self._livemode = livemode

    async def retrieve(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> Payout | Absent | Unknown:
        shown = await self._shown(_PAYOUTS, provider_reference, [], timeout_seconds)
        if not isinstance(shown, Reply):
            return shown
        found = payout_answers.payout(shown.body, livemode=self._livemode, as_of=shown.as_of)
        if isinstance(found, Payout) and found.provider_reference != provider_reference:
            return Unknown("the provider answered with another payout")
        return found

    async def created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Payout | Unknown]:
        """All of a window, by the payouts' own time, whenever they arrive."""
        async for item, as_of in lists.each_once(
            self._wire, _PAYOUTS, {}, created=(since, until), timeout_seconds=timeout_seconds
        ):
            yield payout_answers.payout(item, livemode=self._livemode, as_of=as_of)

    async def lines(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[Line | Unknown]:
        """All of a payout, which Stripe lists of automatic ones alone."""
        if fields.identifier(provider_reference) is None:
            raise ProviderSilent("it is no payout of the provider's")
        asked = {"payout": provider_reference, **_WITH_SOURCES}
        async for item, _ in lists.each_once(
            self._wire, _LINES, asked, timeout_seconds=timeout_seconds
        ):
            yield balance_lines.line(item, payout=provider_reference)

    async def lines_created(
        self, currency: Currency, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Line | Unknown]:
        asked = {"currency": currency, **_WITH_SOURCES}
        async for item, _ in lists.each_once(
            self._wire, _LINES, asked, created=(since, until), timeout_seconds=timeout_seconds
        ):
            if item.get("balance_type", _PAID_FROM) == _PAID_FROM:
                yield balance_lines.line(item)

    async def of_payment(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        shown = await self._shown(
            _PAYMENTS, payment_reference, ["latest_charge.balance_transaction"], timeout_seconds
        )
        if not isinstance(shown, Reply):
            return shown
        if not self._is_of(shown.body, payment_reference, "payment_intent"):
            return Unknown("the provider answered with another payment")
        charge = shown.body.get("latest_charge")
        if charge is None:
            return Absent()
        return _line_of(charge, payment_reference)

    async def of_refund(
        self, refund_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        shown = await self._shown(
            _REFUNDS, refund_reference, ["balance_transaction", "charge"], timeout_seconds
        )
        if not isinstance(shown, Reply):
            return shown
        if shown.body.get("object") != "refund" or shown.body.get("id") != refund_reference:
            return Unknown("the provider answered with another refund")
        return _line_of(shown.body, None)

    async def line(self, line_reference: str, *, timeout_seconds: float) -> Line | Absent | Unknown:
        shown = await self._shown(_LINES, line_reference, ["source.charge"], timeout_seconds)
        if not isinstance(shown, Reply):
            return shown
        found = balance_lines.line(shown.body)
        if isinstance(found, Line) and found.provider_reference != line_reference:
            return Unknown("the provider answered with another line")
        return found

    async def _shown(
        self, path: str, reference: str, expand: list[str], timeout_seconds: float
    ) -> Reply | Absent | Unknown:
        """An object as the provider shows it."""
        if fields.identifier(reference) is None:
            return Absent()
        asked = {"expand": expand} if expand else {}
        fact = await self._wire.call(
            "get", f"{path}/{reference}", asked, timeout_seconds=timeout_seconds
        )
        if not isinstance(fact, Reply):
            return Unknown(fact.message)
        if fact.status == _NOT_FOUND and is_missing(fact.body):
            return Absent()
        if fact.status != _OK:
            return Unknown(f"the provider answered HTTP {fact.status}")
        return fact

    def _is_of(self, body: Mapping[str, Any], reference: str, kind: str) -> bool:
        same = body.get("object") == kind and body.get("id") == reference
        return same and body.get("livemode") is self._livemode


def _line_of(source: object, payment_reference: str | None) -> Line | Absent | Unknown:
    """The line of what moved money, which shows it; `payment_reference` is the payment that it must
    be of.
    """
    if not isinstance(source, Mapping):
        return Unknown("the provider does not show what moved the money")
    row = source.get("balance_transaction")
    if row is None:
        return Absent()
    found = balance_lines.line(row, source=source)
    if isinstance(found, Line) and payment_reference not in {None, found.payment_reference}:
        return Unknown("the provider answered with the line of another payment")
    return found
