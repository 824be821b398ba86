"""What flows read of settlements and discrepancies. Both belong to the provider's account, and so
to the merchant `default`.
"""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.settlements.discrepancy import (
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
)
from paygate.domain.settlements.line import LineMatch
from paygate.domain.settlements.outcome import PayoutStatus
from paygate.domain.settlements.settlement import Matching, Settlement
from paygate.storage.pages import Cut, Page, Place, Stretch
from paygate.storage.reading import Reading

_AT_ONCE: Final = 500


class SettlementFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which settlements a list shows; None lets all pass."""

    status: PayoutStatus | None = None
    matching: Matching | None = None


class DiscrepancyFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which discrepancies a list shows; None lets all pass."""

    kind: DiscrepancyKind | None = None
    status: DiscrepancyStatus | None = None
    settlement: str | None = None
    payment_intent: str | None = None


class SettlementReader(Reading):
    """Raises as `Reading` does."""

    async def settlement(self, merchant: str, settlement_id: str) -> Settlement | None:
        """The settlement, or None."""
        return await self._one(Settlement, "settlement", merchant, settlement_id)

    async def of_payout(self, provider_reference: str) -> Settlement | None:
        """The settlement of the payout to which the provider gave this id, or None."""
        for index in self._records.payout_indexes(provider_reference):
            found = await self._one(Settlement, "settlement_by_provider_reference", index)
            if found is not None:
                return found
        return None

    async def settlements(
        self, merchant: str, cut: Cut, filters: SettlementFilters
    ) -> Page[Settlement]:
        """A page of the settlements that pass the filters."""
        status, matching = filters.status, filters.matching
        return await self._page(
            Settlement, "settlements_older", "settlements_newer", cut, merchant, status, matching
        )

    async def settlements_open(self, after: Place | None, limit: int) -> Stretch[Settlement]:
        """Settlements that are not closed, in the order of merchant and id."""
        order = ("merchant", "id")
        return await self._stretch(Settlement, "settlements_open", order, after, limit)

    async def matched_by_hand(self, merchant: str, line_id: str) -> LineMatch | None:
        """What a person decided of a line, or None."""
        return await self._one(LineMatch, "settlement_match", merchant, line_id)

    async def decided(self, merchant: str, line_ids: Collection[str]) -> Mapping[str, LineMatch]:
        """What people decided of these lines, by the line's id; the others are left out."""
        if not line_ids:
            return {}
        rows = await self._fetch_all("settlement_matches_of_lines", merchant, list(line_ids))
        return {match.id: match for match in (self._open(LineMatch, row) for row in rows)}

    async def decided_of(self, merchant: str, settlement_id: str) -> Mapping[str, LineMatch]:
        """What people decided of the settlement's lines, by the line's id."""
        found: dict[str, LineMatch] = {}
        after = ""
        while True:
            rows = await self._search(
                "settlement_matches_of", merchant, after, _AT_ONCE, settlement_id
            )
            found |= {match.id: match for match in (self._open(LineMatch, row) for row in rows)}
            if len(rows) < _AT_ONCE:
                return found
            after = rows[-1]["id"]

    async def transfers_of(self, settlement_id: str) -> tuple[AccountTransfer, ...]:
        """What the ledger has posted for a settlement, whoever's it is."""
        rows = await self._search("account_transfers_of_settlement", settlement_id)
        return tuple(self._open(AccountTransfer, row) for row in rows)

    async def discrepancy(self, merchant: str, discrepancy_id: str) -> Discrepancy | None:
        """The discrepancy, or None."""
        return await self._one(Discrepancy, "discrepancy", merchant, discrepancy_id)

    async def discrepancies(
        self, merchant: str, cut: Cut, filters: DiscrepancyFilters
    ) -> Page[Discrepancy]:
        """A page of the discrepancies that pass the filters."""
        return await self._page(
            Discrepancy,
            "discrepancies_older",
            "discrepancies_newer",
            cut,
            merchant,
            filters.kind,
            filters.status,
            filters.settlement,
            filters.payment_intent,
        )

    async def discrepancies_open(self, after: Place | None, limit: int) -> Stretch[Discrepancy]:
        """Discrepancies that nobody has seen to, each merchant's oldest first."""
        order = ("created_at", "merchant", "id")
        return await self._stretch(Discrepancy, "discrepancies_open", order, after, limit)

    async def discrepancies_of(
        self, merchant: str, settlement_id: str, after: Place | None, limit: int
    ) -> Stretch[Discrepancy]:
        """The discrepancies of a settlement, the oldest first."""
        order = ("created_at", "id")
        return await self._stretch(
            Discrepancy,
            "discrepancies_of_settlement",
            order,
            after,
            limit,
            merchant,
            settlement_id,
        )

    async def discrepancies_counted(self, merchant: str, settlement_id: str) -> Mapping[str, int]:
        """How many discrepancies a settlement has of each status."""
        rows = await self._search("discrepancies_counted", merchant, settlement_id)
        return {row["status"]: row["found"] for row in rows}
