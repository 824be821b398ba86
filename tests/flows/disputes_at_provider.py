"""The disputes of `ScriptedProvider`: what a test has put there, and what becomes of orders."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

import msgspec

from paygate.domain.disputes.outcome import (
    DisputeAnswer,
    Disputed,
    DisputeKind,
    DisputeStatus,
    FileOutcome,
    FileUploaded,
    FraudWarning,
)
from paygate.domain.payments.outcome import Unknown
from paygate.providers.absence import Absent, ProviderSilent
from paygate.providers.dispute_orders import AcceptOrder, EvidenceOrder, UploadOrder


class ScriptedDisputes:
    """Shows what is in `disputes_shown`; takes every order, unless another answer was queued."""

    def __init__(self) -> None:
        super().__init__()
        self.disputes_shown: dict[str, DisputeAnswer] = {}
        """What is shown of disputes, by the provider's id."""
        self.disputes_silent = False
        """Whether the provider's lists of disputes cannot be read."""
        self.warnings_shown: dict[str, FraudWarning | Unknown] = {}
        self.uploaded: list[UploadOrder] = []
        self.uploads: list[FileOutcome] = []
        """What becomes of the next uploads; all others are taken."""
        self.submitted: list[EvidenceOrder] = []
        self.submitting: list[DisputeAnswer] = []
        """What becomes of the next submissions; all others are taken."""
        self.accepted: list[AcceptOrder] = []
        self.accepting: list[DisputeAnswer] = []
        """What becomes of the next that are accepted; all others are lost."""
        self.amid_dispute: Callable[[], Awaitable[None]] | None = None
        """What happens in the middle of an order."""
        self.amid_look: Callable[[], Awaitable[None]] | None = None
        """What happens while a look-up's answer, which shows the dispute as it was, is on its way;
        once."""

    async def retrieve_dispute(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> DisputeAnswer | Absent:
        shown = self.disputes_shown.get(provider_reference, Absent())
        amid, self.amid_look = self.amid_look, None
        if amid is not None:
            await amid()
        return shown

    async def list_disputes(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[DisputeAnswer]:
        if self.disputes_silent:
            raise ProviderSilent
        for shown in tuple(self.disputes_shown.values()):
            if shown.payment_reference == payment_reference:
                yield shown

    async def list_disputes_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[DisputeAnswer]:
        if self.disputes_silent:
            raise ProviderSilent
        for shown in tuple(self.disputes_shown.values()):
            outcome = shown.outcome
            if not isinstance(outcome, Disputed) or since <= outcome.created_at <= until:
                yield shown

    async def upload_file(self, order: UploadOrder, *, timeout_seconds: float) -> FileOutcome:
        self.uploaded.append(order)
        if self.amid_dispute is not None:
            await self.amid_dispute()
        return self.uploads.pop(0) if self.uploads else FileUploaded(f"file_{order.key}")

    async def submit_evidence(
        self, order: EvidenceOrder, *, timeout_seconds: float
    ) -> DisputeAnswer:
        self.submitted.append(order)
        if self.amid_dispute is not None:
            await self.amid_dispute()
        if self.submitting:
            return self.submitting.pop(0)
        shown = self.disputes_shown[order.provider_reference]
        assert isinstance(shown.outcome, Disputed)
        count = order.expected_submission_count + 1
        inquiry = shown.outcome.kind is DisputeKind.INQUIRY
        status = DisputeStatus.WARNING_UNDER_REVIEW if inquiry else DisputeStatus.UNDER_REVIEW
        return self._dispute_now(shown, status, count)

    async def accept_dispute(self, order: AcceptOrder, *, timeout_seconds: float) -> DisputeAnswer:
        self.accepted.append(order)
        if self.amid_dispute is not None:
            await self.amid_dispute()
        if self.accepting:
            return self.accepting.pop(0)
        shown = self.disputes_shown[order.provider_reference]
        assert isinstance(shown.outcome, Disputed)
        return self._dispute_now(shown, DisputeStatus.LOST, shown.outcome.submission_count)

    async def retrieve_fraud_warning(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> FraudWarning | Absent | Unknown:
        return self.warnings_shown.get(provider_reference, Absent())

    def _dispute_now(
        self, shown: DisputeAnswer, status: DisputeStatus, count: int
    ) -> DisputeAnswer:
        assert isinstance(shown.outcome, Disputed)
        outcome = msgspec.structs.replace(
            shown.outcome, status=status, submission_count=count, has_evidence=count > 0
        )
        after = msgspec.structs.replace(shown, outcome=outcome)
        self.disputes_shown[str(shown.provider_reference)] = after
        return after
