"""Judge lines together with all others of what they are for, in whatever settlements those are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from paygate.domain.settlements.discrepancy import Found
from paygate.domain.settlements.fact import Fact, of_dispute, of_payment, of_refund
from paygate.domain.settlements.judge import judge
from paygate.domain.settlements.line import SettlementLine
from paygate.domain.settlements.match import decided
from paygate.flows.context import Context
from paygate.flows.settlements.our_side import ACCOUNT, terms_of
from paygate.storage.settlements.facts import Key
from paygate.storage.settlements.pages import Spot

AT_ONCE: Final = 20_000
"""Lines that are judged at once: each time their facts' other lines are looked for on all pages."""


class Placed(NamedTuple):
    """A line, as it was decided, and the settlement that it is in."""

    settlement: str
    line: SettlementLine


class Judged(NamedTuple):
    """What is wrong, and in which settlement the line is that it is about."""

    found: Found
    settlement: str


async def judge_lines(ctx: Context, suspects: Sequence[Placed]) -> list[Judged]:
    """What is wrong with these lines, and with all others of the same facts.

    Raises:
        Unreadable, Outdated: a record or a page cannot be read, so that nothing can be said.
    """
    terms = terms_of(ctx)
    judged: list[Judged] = []
    keys: set[Key] = set()
    for suspect in suspects:
        if suspect.line.fact is None:
            alone = judge(None, [suspect.line], terms)
            judged += [Judged(found, suspect.settlement) for found in alone]
        else:
            keys.add((suspect.line.merchant, suspect.line.fact))
    facts = await _facts(ctx, suspects, keys)
    lines = await _lines_of(ctx, suspects, [fact for _, fact in keys])
    for (_, fact_id), fact in facts.items():
        placed = lines[fact_id]
        where = {each.line.id: each.settlement for each in placed}
        found = judge(fact, [each.line for each in placed], terms)
        judged += [Judged(each, where[str(each.settlement_line)]) for each in found]
    return judged


async def _facts(
    ctx: Context, suspects: Iterable[Placed], keys: Iterable[Key]
) -> Mapping[Key, Fact]:
    """The records that lines are for.

    Raises:
        Unreadable, Outdated: one cannot be read.
    """
    refunds = {(s.line.merchant, s.line.refund) for s in suspects if s.line.refund is not None}
    disputes = {(s.line.merchant, s.line.dispute) for s in suspects if s.line.dispute is not None}
    wanted = set(keys)
    read = ctx.settlement_facts
    payments, no_payments = await read.payments_by_id(wanted - refunds - disputes)
    of_refunds, no_refunds = await read.refunds_by_id(wanted & refunds)
    of_disputes, no_disputes = await read.disputes_by_id(wanted & disputes)
    for fault in (*no_payments, *no_refunds, *no_disputes):
        raise fault
    return {
        **{key: of_payment(intent) for key, intent in payments.items()},
        **{key: of_refund(refund) for key, refund in of_refunds.items()},
        **{key: of_dispute(dispute) for key, dispute in of_disputes.items()},
    }


async def _lines_of(
    ctx: Context, suspects: Sequence[Placed], facts: Sequence[str]
) -> Mapping[str, list[Placed]]:
    """All lines of facts, as they were decided, by the fact; those at hand are not read again."""
    lines: dict[str, list[Placed]] = {fact: [] for fact in facts}
    at_hand = set()
    for suspect in suspects:
        if suspect.line.fact is not None:
            lines[suspect.line.fact].append(suspect)
            at_hand.add(suspect.line.id)
    spots = [
        spot
        for spot in await ctx.settlement_pages.of_facts(ACCOUNT, facts)
        if spot.id not in at_hand
    ]
    for placed in await read_placed(ctx, spots):
        if placed.line.fact in lines:
            lines[str(placed.line.fact)].append(placed)
    return lines


async def read_placed(ctx: Context, spots: Sequence[Spot]) -> list[Placed]:
    """The lines that stand there, as they were decided."""
    matches = await ctx.settlements.decided(ACCOUNT, [spot.id for spot in spots])
    where = {spot.id: spot.settlement for spot in spots}
    return [
        Placed(where[line.id], decided(line, matches.get(line.id)))
        async for line in ctx.settlement_pages.at(ACCOUNT, spots)
    ]
