"""Which lines a payout is made of that the provider does not itemise: one that was made by hand, or
at once. Pure.

Nobody knows it, so the oldest are taken, and what they leave of the amount is named. Such a payout
balances only when that is nothing.
"""

from collections.abc import Iterable
from itertools import accumulate

from paygate.domain.settlements.outcome import Line, LineCategory, Payout


def oldest_that_fit(payout: Payout, lines: Iterable[Line]) -> list[Line]:
    """The lines that are taken for a payout's: of `lines` that are in none, those that were
    available when it was made, oldest first, as many as come to no more than its amount.
    """
    made_on = payout.created_at.date()
    ordered = sorted(
        (
            line
            for line in lines
            if line.currency == payout.currency
            and line.available_on <= made_on
            and line.created_at <= payout.created_at
            and line.category is not LineCategory.PAYOUT
        ),
        key=lambda line: (line.available_on, line.created_at, line.provider_reference),
    )
    sums = accumulate(line.net for line in ordered)
    fitting = [count for count, total in enumerate(sums, start=1) if total <= payout.amount]
    return ordered[: max(fitting, default=0)]
