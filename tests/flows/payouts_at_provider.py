"""The payouts of `ScriptedProvider`: what a test has put there."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.outcome import Line, Payout
from paygate.domain.settlements.report_import import ReportFormat
from paygate.domain.settlements.reports.layout import Layout
from paygate.providers.absence import Absent, ProviderSilent
from paygate.providers.stripe.itemized_report import LAYOUT


class ScriptedPayouts:
    """Shows what is in `payouts_shown` and `lines_shown`."""

    def __init__(self) -> None:
        super().__init__()
        self.payouts_shown: dict[str, Payout | Unknown] = {}
        """What is shown of payouts, by the provider's id."""
        self.lines_shown: list[Line | Unknown] = []
        """Every line on the balance; `payout_reference` says whose list a line is in, and one that
        cannot be read is in every list.
        """
        self.payouts_silent = False
        """Whether nothing of payouts or lines can be read."""

    def report_layout(self, report_format: ReportFormat) -> Layout | None:
        return LAYOUT if report_format is ReportFormat.STRIPE_ITEMIZED else None

    async def retrieve_payout(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> Payout | Absent | Unknown:
        if self.payouts_silent:
            return Unknown("not told")
        return self.payouts_shown.get(provider_reference, Absent())

    async def list_payouts_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Payout | Unknown]:
        self._listed()
        for shown in tuple(self.payouts_shown.values()):
            if isinstance(shown, Unknown) or since <= shown.created_at <= until:
                yield shown

    async def list_payout_lines(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[Line | Unknown]:
        self._listed()
        for shown in tuple(self.lines_shown):
            if isinstance(shown, Unknown) or shown.payout_reference == provider_reference:
                yield shown

    async def list_lines_created(
        self, currency: Currency, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Line | Unknown]:
        self._listed()
        for shown in tuple(self.lines_shown):
            if isinstance(shown, Unknown) or (
                shown.currency == currency and since <= shown.created_at <= until
            ):
                yield shown

    async def line_of_payment(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        return self._line(lambda line: line.payment_reference == payment_reference)

    async def line_of_refund(
        self, refund_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        return self._line(lambda line: line.source_reference == refund_reference)

    async def retrieve_line(
        self, line_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        return self._line(lambda line: line.provider_reference == line_reference)

    def _listed(self) -> None:
        if self.payouts_silent:
            raise ProviderSilent

    def _line(self, wanted: Callable[[Line], bool]) -> Line | Absent | Unknown:
        if self.payouts_silent:
            return Unknown("not told")
        lines = (line for line in self.lines_shown if isinstance(line, Line))
        return next((line for line in lines if wanted(line)), Absent())
