"""What is wrong with a payout as a whole, how far it is accounted for, and whether it is closed.
Pure.
"""

from enum import Enum
from typing import Final

from paygate.domain.settlements.discrepancy import Amount, DiscrepancyKind, Found
from paygate.domain.settlements.outcome import LineCategory, PayoutStatus
from paygate.domain.settlements.returned import CAME_BACK
from paygate.domain.settlements.settlement import Matching, Settlement
from paygate.domain.settlements.totals import Sums

_ENDED: Final = CAME_BACK | {PayoutStatus.PAID}
_BANK: Final = "bank:"
"""What a discrepancy is about whose other side is the bank's own statement."""


class OwnRow(Enum):
    """Whether the row of a payout that nobody itemises is in the list of another payout."""

    TOLD = "told"
    AWAITED = "awaited"
    """It is not yet, and the next such list may have it."""
    NOWHERE = "nowhere"


def judge_payout(settlement: Settlement, sums: Sums, row: OwnRow = OwnRow.NOWHERE) -> list[Found]:
    """What is wrong with a settlement whose lines were read to their end."""
    found: list[Found] = []
    if settlement.status is PayoutStatus.FAILED:
        found.append(_found(DiscrepancyKind.PAYOUT_FAILED, settlement, settlement.amount, 0))
    found += rest_of(settlement, sums, row)
    bank = settlement.bank_amount
    if bank is not None and bank != settlement.amount:
        found.append(compared_with_bank(settlement, bank))
    return found


def rest_of(settlement: Settlement, sums: Sums, row: OwnRow = OwnRow.NOWHERE) -> list[Found]:
    """What the lines of a settlement are not that its payout is."""
    found: list[Found] = []
    amount, net = settlement.amount, sums.net(settlement.currency)
    own = _own_row(settlement, sums) if _is_itemised(settlement) else None
    differs = amount is not None and (net != amount or own not in (None, amount))
    may_come = row is OwnRow.AWAITED and settlement.counts.lines == 0
    if differs and not may_come and not _needs_nobody(settlement, row):
        total = own if net == amount and own is not None else net
        found.append(_found(DiscrepancyKind.PAYOUT_TOTAL_MISMATCH, settlement, amount, total))
    found += [
        Found(
            kind=DiscrepancyKind.CURRENCY_MISMATCH,
            about=f"{currency}:{settlement.provider_reference}",
            merchant=settlement.merchant,
            found=Amount(sums.net(currency), currency),
        )
        for currency in sums.other_currencies(settlement.currency)
    ]
    return found


def _is_itemised(settlement: Settlement) -> bool:
    return settlement.payout is None or settlement.payout.itemised


def _needs_nobody(settlement: Settlement, row: OwnRow) -> bool:
    """Whether nobody needs to see to what the lines leave of a payout that is not itemised: it
    never arrived; or nothing was guessed, since another payout's list has its row.
    """
    if _is_itemised(settlement):
        return False
    told = row is OwnRow.TOLD and settlement.counts.lines == 0
    return told or settlement.status in CAME_BACK


def compared_with_bank(settlement: Settlement, bank_amount: int) -> Found:
    """A payout held against what the bank received of it."""
    kind = DiscrepancyKind.PAYOUT_TOTAL_MISMATCH
    return _found(kind, settlement, settlement.amount, bank_amount, about=_BANK)


def _own_row(settlement: Settlement, sums: Sums) -> int | None:
    """What the payout's own row says that left the balance for the bank, without what that cost;
    None when there is none.
    """
    rows = [
        total.gross
        for total in sums.totals
        if total.category is LineCategory.PAYOUT and total.currency == settlement.currency
    ]
    return -sum(rows) if rows else None


def _found(
    kind: DiscrepancyKind, settlement: Settlement, expected: int | None, found: int, about: str = ""
) -> Found:
    currency = settlement.currency
    return Found(
        kind=kind,
        about=about + settlement.provider_reference,
        merchant=settlement.merchant,
        expected=None if expected is None else Amount(expected, currency),
        found=Amount(found, currency),
    )


def matching_of(settlement: Settlement) -> Matching:
    """How far a settlement is accounted for, by its own fields. Nothing balances that has no lines,
    or a line that nobody could read.
    """
    if settlement.concluded_at is None:
        return Matching.WAITING
    counts = settlement.counts
    whole = counts.lines > 0 and settlement.residual == 0 and settlement.lines_in_doubt == 0
    whole = whole and not settlement.has_two_sources
    own = all(total.currency == settlement.currency for total in settlement.totals)
    decided = counts.suggested == 0 and settlement.open_discrepancies == 0
    return Matching.BALANCED if whole and own and decided else Matching.DISCREPANT


def _is_told_by_provider(settlement: Settlement) -> bool:
    """Whether the provider itself has said what a settlement closes by: how its payout stands, and
    each of its lines where it lists them. Of a payout that reports with ids of their own tell, it
    was asked when the first came; where it has none, nobody else will ever tell of it.
    """
    if settlement.payout is None:
        return settlement.ids_of_report
    return settlement.is_listed or not settlement.payout.itemised


def may_post(settlement: Settlement, sums: Sums) -> bool:
    """Whether what lines move is posted: the provider's at once; a report's when the payout's
    amount is known and they make it, or a person has decided of all that is wrong.
    """
    if not sums.reported:
        return True
    if settlement.amount is None or settlement.lines_in_doubt or settlement.open_discrepancies:
        return False
    if settlement.has_two_sources:
        return False
    itemised = settlement.payout is None or settlement.payout.itemised
    return itemised or settlement.residual == 0


def may_close(
    settlement: Settlement,
    row: OwnRow = OwnRow.NOWHERE,
    *,
    rest_is_resolved: bool = False,
) -> bool:
    """Whether nothing more can become of it: its payout has come to its end, and it is balanced.

    With a rest it closes too where nobody needs to see to that, or where it `rest_is_resolved` by
    a person. It is not balanced then: the rest stays named.
    """
    if settlement.status not in _ENDED or settlement.concluded_at is None:
        return False
    if not _is_told_by_provider(settlement):
        return False
    if matching_of(settlement) is Matching.BALANCED:
        return True
    undecided = settlement.counts.suggested + settlement.open_discrepancies
    if settlement.residual is None or settlement.lines_in_doubt or undecided:
        return False
    if settlement.has_two_sources:
        return False
    return rest_is_resolved or _needs_nobody(settlement, row)
