"""The part of the port that tells what the provider pays out, and of which lines that is made."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.outcome import Line, Payout
from paygate.domain.settlements.report_import import ReportFormat
from paygate.domain.settlements.reports.layout import Layout
from paygate.providers.absence import Absent


class Payouts(Protocol):
    """What is paid out of a provider's account.

    In a list, `Unknown` is one object that could not be read: the others go on, and nothing that it
    is part of is complete. Its message names the object, and quotes nothing else of it.
    """

    def report_layout(self, report_format: ReportFormat) -> Layout | None:
        """How lines are read from a report of the provider's own; None: it is another's format."""

    async def retrieve_payout(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> Payout | Absent | Unknown:
        """The payout as it stands now; `Unknown` when the provider did not tell."""

    def list_payouts_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Payout | Unknown]:
        """Every payout made in [since, until], each once, in no order that means anything.

        Raises:
            ProviderSilent: the list could not be read to its end, so absence proves nothing.
        """

    def list_payout_lines(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[Line | Unknown]:
        """Every line of an itemised payout, the payout's own row among them, in no order that means
        anything, each once.

        Raises:
            ProviderSilent: the list could not be read to its end, so absence proves nothing.
        """

    def list_lines_created(
        self, currency: Currency, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Line | Unknown]:
        """Every line made in [since, until] on the balance of a currency that payouts are paid
        from, in whatever payout it is or is not; each once, in no order that means anything.

        Raises:
            ProviderSilent: the list could not be read to its end, so absence proves nothing.
        """

    async def line_of_payment(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        """The line that a captured payment made on the balance; `Absent` when it made none. Of a
        part of a hold it is the first of two, where the provider books the whole and takes back the
        rest.
        """

    async def line_of_refund(
        self, refund_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        """The line that a refund made on the balance; `Absent` when it made none."""

    async def retrieve_line(
        self, line_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        """The line of that id, in whatever payout it is or is not; `Absent` when there is none."""
