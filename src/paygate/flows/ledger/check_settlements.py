"""Hold every settlement against its own lines, against what the ledger posted for it, and against
the provider's payout.

A settlement that is read or decided on meanwhile moves on, so a suspect is read again: what stood
still in between and differs twice is a mismatch.
"""

from collections.abc import Sequence
from typing import Final

from paygate.domain.ledger import Mismatch
from paygate.domain.postings import postings
from paygate.domain.settlements.outcome import Payout
from paygate.domain.settlements.settlement import Settlement, Source
from paygate.domain.settlements.totals import SummedUp, Sums
from paygate.flows.context import Context
from paygate.flows.ledger.report_mismatch import Findings, Progress
from paygate.providers.absence import Absent
from paygate.storage.pages import Place
from paygate.storage.unreadable import Unreadable

_AT_ONCE: Final = 100
_SILENT_IN_A_ROW: Final = 3
"""Unanswered look-ups after which the provider is taken to be down."""
_ALTERED: Final = "altered, or not to be opened: "


class SettlementChecks:
    """One check of all settlements."""

    def __init__(self, ctx: Context, findings: Findings, *, provider: bool) -> None:
        self._ctx = ctx
        self._findings = findings
        self._provider = provider
        self._silent = 0
        self.settlements = 0
        self.not_shown = 0
        """Payouts that the provider did not tell of."""

    async def check(self, progress: Progress) -> None:
        """Check all settlements, and report each that disagrees.

        Raises:
            Outdated: a newer version wrote one.
        """
        last: Place | None = None
        while True:
            stretch = await self._ctx.whole_tables.settlements_after(last, _AT_ONCE)
            for fault in stretch.unread:
                if not isinstance(fault, Unreadable):
                    raise fault
                await self._report(fault.merchant, fault.id, f"{_ALTERED}{fault.table}")
            for settlement in stretch.records:
                self.settlements += 1
                await self._check(settlement)
                progress("settlements", self.settlements, None)
            if stretch.last is None:
                return
            last = stretch.last

    async def _check(self, settlement: Settlement) -> None:
        if self._findings.full(0):
            self._findings.more += bool(await self._differs(settlement))
            return
        said = await self._differs(settlement)
        if said is not None:
            again = await self._ctx.settlements.settlement(settlement.merchant, settlement.id)
            said = None if again is None else await self._differs(again)
        if said is not None:
            await self._report(settlement.merchant, settlement.id, said)

    async def _report(self, merchant: str, settlement_id: str, said: str) -> None:
        await self._findings.report(merchant, Mismatch(settlement_id, said))

    async def _differs(self, settlement: Settlement) -> str | None:
        """In what a settlement disagrees; None when it agrees, or is at work."""
        try:
            said = await self._differs_here(settlement)
        except Unreadable as fault:
            return f"{_ALTERED}{fault}"
        if said is None and self._provider:
            return await self._differs_there(settlement)
        return said

    async def _differs_here(self, settlement: Settlement) -> str | None:
        if settlement.concluded_at is None:
            return None
        matches = await self._ctx.settlements.decided_of(settlement.merchant, settlement.id)
        if any(match.created_at > settlement.updated_at for match in matches.values()):
            return None  # it is about to be summed anew
        summed = SummedUp(matches)
        async for page in self._ctx.settlement_pages.every(settlement.merchant, settlement.id):
            summed.add_page(page)
        sums = summed.result()
        return _of_sums(settlement, sums) or await self._of_transfers(settlement, sums)

    async def _of_transfers(self, settlement: Settlement, sums: Sums) -> str | None:
        posted = await self._ctx.settlements.transfers_of(settlement.id)
        left = postings(
            settlement, sums, posted, self._ctx.now(), str, closes=not settlement.is_open
        )
        if not left:
            return None
        names = ", ".join(f"{each.kind} of {each.category}" for each in left)
        return f"its transfers are not what its lines post: {names}"

    async def _differs_there(self, settlement: Settlement) -> str | None:
        """Against the payout as the provider shows it now."""
        if self._silent == _SILENT_IN_A_ROW:
            self.not_shown += 1
            return None
        await self._ctx.pace.turn()
        timeout = self._ctx.policy.provider_timeout_seconds
        payout = await self._ctx.provider.retrieve_payout(
            settlement.provider_reference, timeout_seconds=timeout
        )
        if isinstance(payout, Absent):
            self._silent = 0
            if settlement.source is Source.REPORT:
                return None  # a bank's report, of payouts that only the bank names so
            return f"the provider has no payout {settlement.provider_reference}"
        if not isinstance(payout, Payout):
            self._silent += 1
            self.not_shown += 1
            return None
        self._silent = 0
        return _of_payout(settlement, payout)


def _of_sums(settlement: Settlement, sums: Sums) -> str | None:
    if (sums.totals, sums.counts) != (settlement.totals, settlement.counts):
        return "its lines do not sum to its totals"
    amount = settlement.amount
    residual = None if amount is None else sums.residual(amount, settlement.currency)
    if residual != settlement.residual:
        return f"its lines leave {residual} of its amount, and it says {settlement.residual}"
    return None


def _of_payout(settlement: Settlement, payout: Payout) -> str | None:
    ours: Sequence[object] = (settlement.amount, settlement.currency)
    if ours == (payout.amount, payout.currency):
        return None
    paid = f"{payout.amount} {payout.currency}"
    return f"the provider paid out {paid}, and we have {settlement.amount} {settlement.currency}"
