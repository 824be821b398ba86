"""The part of the port that tells what the provider pays out, and of which lines that is made."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.outcome import Line, Payout

if TYPE_CHECKING:
    from paygate.providers.contract import Absent


class Payouts(Protocol):
    """What is paid out of a provider's account."""

    async def retrieve_payout(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> "Payout | Absent | Unknown":
        """The payout as it stands now; `Unknown` when the provider did not tell."""

    def list_payouts_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Payout]:
        """Every payout made in [since, until], newest first.

        Raises:
            ProviderSilent: the list could not be read to its end, so absence proves nothing.
        """

    def list_payout_lines(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[Line]:
        """Every line of an itemised payout, the payout's own row among them, in no order that means
        anything, each once.

        Raises:
            ProviderSilent: the list could not be read to its end, so absence proves nothing.
        """

    def list_lines_created(
        self, currency: Currency, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Line]:
        """Every line on the balance of a currency made in [since, until], newest first, in whatever
        payout it is or is not.

        Raises:
            ProviderSilent: the list could not be read to its end, so absence proves nothing.
        """

    async def line_of_payment(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> "Line | Absent | Unknown":
        """The line that a captured payment made on the balance; `Absent` when it made none."""

    async def line_of_refund(
        self, refund_reference: str, *, timeout_seconds: float
    ) -> "Line | Absent | Unknown":
        """The line that a refund made on the balance; `Absent` when it made none."""
