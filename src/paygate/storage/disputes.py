"""What flows read of disputes."""

from datetime import datetime

import msgspec

from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.outcome import DisputeStatus
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.storage.pages import Cut, Page, Place, Stretch
from paygate.storage.reader import Reader


class DisputeFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which disputes a list shows; None lets all pass."""

    payment_intent: str | None = None
    status: DisputeStatus | None = None


class DisputeReader(Reader):
    """Raises as `Reader` does."""

    async def dispute(self, merchant: str, dispute_id: str) -> Dispute | None:
        """The dispute, or None."""
        return await self._one(Dispute, "dispute", merchant, dispute_id)

    async def dispute_with_intent(
        self, merchant: str, dispute_id: str
    ) -> tuple[PaymentIntent, Dispute] | None:
        """A dispute's intent and the dispute, of one moment, or None."""
        row = await self._look_up("dispute_with_intent", merchant, dispute_id)
        return None if row is None else self._records.open_both(PaymentIntent, Dispute, row)

    async def dispute_by_provider_reference(self, reference: str) -> Dispute | None:
        """The dispute to which the provider gave this id, or None."""
        for index in self._records.dispute_indexes(reference):
            found = await self._one(Dispute, "dispute_by_provider_reference", index)
            if found is not None:
                return found
        return None

    async def disputes(self, merchant: str, cut: Cut, filters: DisputeFilters) -> Page[Dispute]:
        """A page of the merchant's disputes that pass the filters."""
        of, status = filters.payment_intent, filters.status
        return await self._page(
            Dispute, "disputes_older", "disputes_newer", cut, merchant, of, status
        )

    async def disputes_watched(self, after: Place | None, limit: int) -> Stretch[Dispute]:
        """Disputes of which the provider's word is still to come, in the order of merchant and
        id.
        """
        return await self._stretch(Dispute, "disputes_watched", ("merchant", "id"), after, limit)

    async def disputes_awaiting_evidence(
        self, until: datetime, after: Place | None, limit: int
    ) -> Stretch[Dispute]:
        """Disputes with a deadline up to a time for which nothing was submitted, the longest
        overdue first.
        """
        order = ("answer_due_at", "merchant", "id")
        return await self._stretch(
            Dispute, "disputes_awaiting_evidence", order, after, limit, until
        )

    async def disputes_pending(
        self, before: datetime, after: Place | None, limit: int
    ) -> Stretch[Dispute]:
        """Disputes with an order of ours under way that were last touched before a time, the
        oldest first.
        """
        order = ("updated_at", "merchant", "id")
        return await self._stretch(Dispute, "disputes_pending", order, after, limit, before)
