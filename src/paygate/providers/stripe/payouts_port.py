"""The port's calls for payouts and lines, as the adapter has them."""

from collections.abc import AsyncIterator
from datetime import datetime

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.outcome import Line, Payout
from paygate.providers.absence import Absent
from paygate.providers.stripe.payouts import StripePayouts


class PayoutCalls:
    """Implements `Payouts`, but for what needs no call."""

    _payouts: StripePayouts

    async def retrieve_payout(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> Payout | Absent | Unknown:
        return await self._payouts.retrieve(provider_reference, timeout_seconds=timeout_seconds)

    def list_payouts_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Payout | Unknown]:
        return self._payouts.created(since, until, timeout_seconds=timeout_seconds)

    def list_payout_lines(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[Line | Unknown]:
        return self._payouts.lines(provider_reference, timeout_seconds=timeout_seconds)

    def list_lines_created(
        self, currency: Currency, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Line | Unknown]:
        return self._payouts.lines_created(currency, since, until, timeout_seconds=timeout_seconds)

    async def line_of_payment(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        return await self._payouts.of_payment(payment_reference, timeout_seconds=timeout_seconds)

    async def line_of_refund(
        self, refund_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        return await self._payouts.of_refund(refund_reference, timeout_seconds=timeout_seconds)

    async def retrieve_line(
        self, line_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        return await self._payouts.line(line_reference, timeout_seconds=timeout_seconds)
