"""What flows read of refunds."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.refund import Refund, RefundState
from paygate.storage.pages import Cut, Page, Place, Stretch
from paygate.storage.reader import Reader


class RefundFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which refunds a list shows; None lets all pass."""

    payment_intent: str | None = None
    states: tuple[RefundState, ...] | None = None


class RefundReader(Reader):
    """Raises as `Reader` does."""

    async def refund(self, merchant: str, refund_id: str) -> Refund | None:
        """The refund, or None."""
        return await self._one(Refund, "refund", merchant, refund_id)

    async def refund_with_intent(
        self, merchant: str, refund_id: str
    ) -> tuple[PaymentIntent, Refund] | None:
        """A refund's intent and the refund, of one moment, or None."""
        row = await self._look_up("refund_with_intent", merchant, refund_id)
        return None if row is None else self._records.open_both(PaymentIntent, Refund, row)

    async def refund_by_provider_reference(self, reference: str) -> Refund | None:
        """The refund to which the provider gave this id, or None."""
        for index in self._records.refund_indexes(reference):
            found = await self._one(Refund, "refund_by_provider_reference", index)
            if found is not None:
                return found
        return None

    async def refunds(self, merchant: str, cut: Cut, filters: RefundFilters) -> Page[Refund]:
        """A page of the merchant's refunds that pass the filters."""
        states: Sequence[str] | None = filters.states
        return await self._page(
            Refund, "refunds_older", "refunds_newer", cut, merchant, filters.payment_intent, states
        )

    async def refunds_in_doubt(
        self, before: datetime, after: Place | None, limit: int
    ) -> Stretch[Refund]:
        """Refunds last sent before a time that the provider has not answered, the oldest first."""
        order = ("last_sent_at", "merchant", "id")
        return await self._stretch(Refund, "refunds_in_doubt", order, after, limit, before)

    async def refunds_unapproved(
        self, at: datetime, after: Place | None, limit: int
    ) -> Stretch[Refund]:
        """Refunds that nobody decided on in time, the longest overdue first."""
        order = ("approval_expires_at", "merchant", "id")
        return await self._stretch(Refund, "refunds_unapproved", order, after, limit, at)

    async def refunds_pending(self, after: Place | None, limit: int) -> Stretch[Refund]:
        """Refunds that the provider works on, in the order of merchant and id."""
        return await self._stretch(Refund, "refunds_pending", ("merchant", "id"), after, limit)
