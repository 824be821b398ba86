"""Whole tables, all merchants', a stretch at a time by their keys: what exports and sums read."""

from typing import Final, TypeVar

import msgspec

from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.ledger import Transfer
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.refund import Refund
from paygate.domain.settlements.discrepancy import Discrepancy
from paygate.domain.settlements.line import LinePage
from paygate.domain.settlements.settlement import Settlement
from paygate.storage.pages import Place, Stretch
from paygate.storage.reading import Reading

R = TypeVar("R", bound=msgspec.Struct)
_QUERIES: Final[dict[type[msgspec.Struct], str]] = {
    PaymentIntent: "payment_intents_after",
    Refund: "refunds_after",
    Dispute: "disputes_after",
    Settlement: "settlements_after",
    Discrepancy: "discrepancies_after",
    Transfer: "ledger_transfers",
    AccountTransfer: "account_transfers_after",
}


class WholeTables(Reading):
    """Raises `Unavailable` when the database does not answer; each stretch tells of the rows that
    cannot be read.
    """

    async def after(self, record: type[R], after: Place | None, limit: int) -> Stretch[R]:
        """The next records of a kind, in the order of merchant and id."""
        return await self._stretch(record, _QUERIES[record], ("merchant", "id"), after, limit)

    async def settlements_after(self, after: Place | None, limit: int) -> Stretch[Settlement]:
        """The next settlements, closed ones too."""
        return await self.after(Settlement, after, limit)

    async def account_transfers_after(
        self, merchant: str, transfer_id: str, limit: int
    ) -> list[AccountTransfer]:
        """The next transfers that belong to no intent.

        Raises:
            Unreadable, Outdated: one cannot be read.
        """
        stretch = await self.after(AccountTransfer, (merchant, transfer_id), limit)
        if stretch.unread:
            raise stretch.unread[0]
        return list(stretch.records)

    async def pages_after(self, after: Place | None, limit: int) -> Stretch[LinePage]:
        """The next pages of settlements' lines, each settlement's in their order."""
        order, start = ("merchant", "id", "version"), ("", "", 0)
        return await self._stretch(
            LinePage, "settlement_pages_of_all", order, after or start, limit
        )
