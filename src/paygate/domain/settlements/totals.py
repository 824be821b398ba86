"""The lines of a settlement summed by merchant and category, never across currencies; and that
every line is counted once. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from paygate.domain.settlements.line import LineMatch, LinePage, MatchState, SettlementLine
from paygate.domain.settlements.match import decided
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.principal import is_converted
from paygate.domain.settlements.settlement import Conversion, Counts, Total

NOBODY: Final[Mapping[str, LineMatch]] = {}
MOST_MOVED: Final = 10**18
"""What all lines of a settlement may move together, each taken without its sign. Whatever is summed
of them stays within the 64 bits that records keep."""
MOST_BROUGHT: Final = MOST_MOVED // 10
"""The same for the lines of a payout that one reader brings, of a list of the provider's or of a
report, which eight read at most: a quadrillion of a currency with cents, in one payout."""
TOO_MUCH: Final = "the lines of its payout come to more than any payout can"


def moved_by(line: Line) -> int:
    """What a line moves, without signs: more than it adds to any sum."""
    return abs(line.gross) + abs(line.fee) + abs(line.customer_amount or 0)


class Sums(NamedTuple):
    """What lines come to."""

    totals: tuple[Total, ...]
    counts: Counts
    reported: bool = False
    """Whether some are of a report that somebody brought."""
    moved: int = 0
    """What they move together, each taken without its sign."""

    @property
    def is_too_much(self) -> bool:
        """Whether no record could keep what they come to."""
        return self.moved > MOST_MOVED

    def net(self, currency: str) -> int:
        """What all lines of a currency move, but for the payout's own row."""
        return sum(
            total.net
            for total in self.totals
            if total.currency == currency and total.category is not LineCategory.PAYOUT
        )

    def other_currencies(self, currency: str) -> tuple[str, ...]:
        """Currencies of lines that a payout of `currency` cannot be made of."""
        return tuple(sorted({total.currency for total in self.totals} - {currency}))

    def residual(self, amount: int, currency: str) -> int:
        """What the lines leave unexplained of a payout's amount."""
        return amount - self.net(currency)


class SummedUp:
    """Sums that grow page by page."""

    def __init__(self, matches: Mapping[str, LineMatch] = NOBODY) -> None:
        """`matches` is what a person has decided, by the line's id."""
        self._matches = matches
        self._sums: dict[_Key, list[int]] = {}
        self._conversions: dict[_Key, dict[str, list[int]]] = {}
        self._states = dict.fromkeys(MatchState, 0)
        self._reported = False
        self._moved = 0

    def add_page(self, page: LinePage) -> None:
        """Count and sum the lines of one more page."""
        self._reported |= page.settlement_import is not None
        self.add(page.lines)

    def add(self, lines: Iterable[SettlementLine]) -> None:
        """Count and sum more lines, each once."""
        matches, states, moved = self._matches, self._states, 0
        for line in lines:
            if matches:
                line = decided(line, matches.get(line.id))  # noqa: PLW2901 -- the same line, decided
            said, state = line.said, line.state
            moved += moved_by(said)
            states[state] += 1
            key = (line.merchant, said.category, state, said.currency)
            sums = self._sums.get(key)
            if sums is None:
                sums = self._sums[key] = [0, 0, 0, 0]
            sums[0] += 1
            sums[1] += said.gross
            sums[2] += said.fee
            sums[3] += said.net
            if state is MatchState.MATCHED and is_converted(said):
                self._convert(key, said)
        self._moved += moved

    def _convert(self, key: "_Key", line: Line) -> None:
        assert line.customer_currency is not None
        assert line.customer_amount is not None
        of = self._conversions.setdefault(key, {}).setdefault(line.customer_currency, [0, 0])
        of[0] += line.customer_amount
        of[1] += line.gross

    def result(self) -> Sums:
        """What has been added so far: the same, whatever the order in which it was."""
        totals = tuple(
            Total(
                merchant=merchant,
                category=category,
                state=state,
                currency=currency,
                count=count,
                gross=gross,
                fee=fee,
                net=net,
                conversions=tuple(
                    Conversion(customer_currency, *sums)
                    for customer_currency, sums in sorted(
                        self._conversions.get((merchant, category, state, currency), {}).items()
                    )
                ),
            )
            for (merchant, category, state, currency), (count, gross, fee, net) in sorted(
                self._sums.items()
            )
        )
        counts = Counts(lines=sum(self._states.values()), **self._states)
        assert sum(total.count for total in totals) == counts.lines, "a line is counted once"
        return Sums(totals, counts, self._reported, self._moved)


_Key = tuple[str, LineCategory, MatchState, str]


def sum_up(lines: Iterable[SettlementLine], matches: Mapping[str, LineMatch] = NOBODY) -> Sums:
    """What the lines come to."""
    summed = SummedUp(matches)
    summed.add(lines)
    return summed.result()
