"""What is wrong with a payout as a whole, how far it is accounted for, and whether it is closed.
Pure.
"""

from typing import Final

from paygate.domain.settlements.discrepancy import Amount, DiscrepancyKind, Found
from paygate.domain.settlements.outcome import LineCategory, PayoutStatus
from paygate.domain.settlements.settlement import Matching, Settlement
from paygate.domain.settlements.totals import Sums

BANK: Final = "bank:"
"""What a discrepancy is about whose other side is the bank's own statement."""


def judge_payout(settlement: Settlement, sums: Sums) -> list[Found]:
    """What is wrong with a settlement whose lines were read to their end."""
    found: list[Found] = []
    if settlement.status is PayoutStatus.FAILED:
        found.append(_found(DiscrepancyKind.PAYOUT_FAILED, settlement, settlement.amount, 0))
    amount, net = settlement.amount, sums.net(settlement.currency)
    own = _own_row(settlement, sums)
    itemised = settlement.payout is None or settlement.payout.itemised
    # What a payout by hand is made of is a guess: what that leaves is named, and nobody is wrong.
    if amount is not None and itemised and (net != amount or own not in (None, amount)):
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
    bank = settlement.bank_amount
    if bank is not None and bank != amount:
        kind = DiscrepancyKind.PAYOUT_TOTAL_MISMATCH
        found.append(_found(kind, settlement, amount, bank, about=BANK))
    return found


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
    whole = counts.lines > 0 and settlement.residual == 0 and settlement.refused_lines == 0
    whole = whole and not settlement.has_two_sources
    own = all(total.currency == settlement.currency for total in settlement.totals)
    decided = counts.suggested == 0 and settlement.open_discrepancies == 0
    return Matching.BALANCED if whole and own and decided else Matching.DISCREPANT


def may_post(settlement: Settlement, sums: Sums) -> bool:
    """Whether what lines move is posted: the provider's at once; a report's when the payout's
    amount is known and they make it, or a person has decided of all that is wrong.
    """
    if not sums.reported:
        return True
    if settlement.amount is None or settlement.refused_lines or settlement.open_discrepancies:
        return False
    if settlement.has_two_sources:
        return False
    itemised = settlement.payout is None or settlement.payout.itemised
    return itemised or settlement.residual == 0


def may_close(settlement: Settlement) -> bool:
    """Whether nothing more can become of it: it is paid, and balanced."""
    return settlement.status is PayoutStatus.PAID and matching_of(settlement) is Matching.BALANCED
