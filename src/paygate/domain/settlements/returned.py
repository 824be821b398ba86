"""The money of a payout that came back, as a line of another payout tells it: held against what is
known of the payout that it names. Pure.
"""

from typing import Final

from paygate.domain.settlements.discrepancy import Amount, DiscrepancyKind, Found
from paygate.domain.settlements.line import MatchState, SettlementLine
from paygate.domain.settlements.outcome import LineCategory, PayoutStatus
from paygate.domain.settlements.settlement import Settlement

CAME_BACK: Final = frozenset({PayoutStatus.FAILED, PayoutStatus.CANCELLED})


def tells_return(line: SettlementLine) -> bool:
    """Whether a line says that a payout's money came back to the balance."""
    own = line.state is MatchState.PROVIDER_ONLY
    return own and line.said.category is LineCategory.PAYOUT_FAILURE


def judge_return(line: SettlementLine, of: Settlement | None) -> Found | None:
    """What is wrong with such a line, `of` being the settlement of the payout that it names, as
    people are shown it; None where that payout came back by the provider's own word.

    Of a payout that the provider does not have, nobody else tells that it failed. One that it has
    as paid, or on its way, gives nothing back.
    """
    said = line.said
    payout = None if of is None else of.payout
    back = Amount(said.gross, said.currency)
    if payout is None:
        return Found(
            kind=DiscrepancyKind.PAYOUT_FAILED,
            about=said.source_reference or said.provider_reference,
            merchant=line.merchant,
            settlement_line=line.id,
            expected=back,
            found=Amount(0, said.currency),
        )
    if payout.status in CAME_BACK or payout.reversed_by is not None:
        return None
    return Found(
        kind=DiscrepancyKind.STATUS_MISMATCH,
        about=said.provider_reference,
        merchant=line.merchant,
        settlement_line=line.id,
        expected=Amount(0, said.currency),
        found=back,
    )
