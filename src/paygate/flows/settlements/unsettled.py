"""What we recorded and no payout has: asked for at the provider once its time is over. Late, or
missing there, it is a discrepancy, which heals by itself when its line comes.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple

from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.discrepancy import (
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
    Found,
)
from paygate.domain.settlements.fact import Fact, of_dispute, of_payment, of_refund
from paygate.domain.settlements.judge import rows_without_line
from paygate.domain.settlements.line import FactKind, SettlementLine
from paygate.domain.settlements.outcome import Line
from paygate.domain.settlements.unsettled import (
    Owed,
    about_row,
    dispute_of,
    is_asked_for,
    judge_unsettled,
)
from paygate.flows.context import Context
from paygate.flows.settlements.judge_lines import read_placed
from paygate.flows.settlements.open_discrepancy import (
    SEEN_AGAIN,
    heal_discrepancy,
    is_healed,
    latest_discrepancy,
    open_discrepancy,
)
from paygate.flows.settlements.our_side import ACCOUNT, terms_of
from paygate.flows.settlements.problems import unsettled
from paygate.flows.sweep import Sweep
from paygate.providers.absence import Absent, ProviderSilent

LOOK_BACK: Final = timedelta(days=120)
"""How long ago a payment was made, or a refund, that is looked at: what is older was found long
since, and has its discrepancy."""
DISPUTED_FOR: Final = timedelta(days=180)
"""How long before its last row a dispute may have been opened: until the bank has decided."""
ASKED_MOST: Final = 500
"""Records that a run asks the provider for."""
PAGE: Final = 200
SILENT_MOST: Final = 3
"""Calls in a row that the provider does not answer, after which a run asks no more."""
HEALED: Final = "its line has come"
CHANGED: Final = "the provider shows it otherwise now"
_OF_FACTS: Final = frozenset({DiscrepancyKind.LATE, DiscrepancyKind.MISSING_AT_PROVIDER})


class Unsettled(NamedTuple):
    """The counts of a run."""

    asked: int
    late: int
    missing: int
    healed: int


async def find_unsettled(ctx: Context, sweep: Sweep) -> Unsettled:
    """Ask for the lines of what was recorded that no settlement has, once its time is over."""
    terms = terms_of(ctx)
    healed = await _heal(ctx, sweep)
    asked = silent = 0
    found = dict.fromkeys(_OF_FACTS, 0)
    async for owed in _without_lines(ctx, sweep):
        if asked == ASKED_MOST or silent == SILENT_MOST:
            break
        if not is_asked_for(owed, terms) or owed.line_reference is None:
            continue
        with sweep:
            standing = await _standing(ctx, owed)
            if any(_is_told(ctx, each) for each in standing):
                continue
            asked, silent = asked + 1, silent + 1
            wrong = judge_unsettled(owed, await _line_of(ctx, owed), terms)
            silent = 0
            caller = sweep.caller(ACCOUNT)
            for each in standing:
                if wrong is None or each.kind is not wrong.kind:
                    healed += await heal_discrepancy(ctx, caller, each, CHANGED)
            if wrong is not None:
                found[wrong.kind] += 1
                await open_discrepancy(ctx, caller, wrong, None, unsettled(wrong))
    kinds = DiscrepancyKind
    return Unsettled(asked, found[kinds.LATE], found[kinds.MISSING_AT_PROVIDER], healed)


async def _standing(ctx: Context, owed: Owed) -> list[Discrepancy]:
    """What is known to be wrong with it."""
    found = []
    for kind in _OF_FACTS:
        of = Found(kind=kind, about=owed.about, merchant=owed.fact.merchant)
        standing = await latest_discrepancy(ctx, of)
        if standing is not None:
            found.append(standing)
    return found


def _is_told(ctx: Context, standing: Discrepancy) -> bool:
    """Whether nobody need be asked about it now: a person has seen to it, or it was found within
    the day.
    """
    if standing.status is DiscrepancyStatus.OPEN:
        return ctx.now() - standing.last_seen_at < SEEN_AGAIN
    return standing.decision is not None and not is_healed(standing.decision)


async def _without_lines(ctx: Context, sweep: Sweep) -> AsyncGenerator[Owed, None]:
    """Payments, refunds and rows of disputes that no settlement has a line of, the oldest of each
    merchant first.
    """
    until = ctx.now()
    since = until - LOOK_BACK
    facts = ctx.settlement_facts
    payments = partial(facts.payments_unsettled, ACCOUNT, since, until)
    async for intent in sweep.every(payments, PAGE):
        yield Owed(of_payment(intent))
    refunds = partial(facts.refunds_unsettled, ACCOUNT, since, until)
    async for refund in sweep.every(refunds, PAGE):
        yield Owed(of_refund(refund))
    disputes = partial(facts.disputes_created, since - DISPUTED_FOR, until)
    async for stretch in sweep.stretches(disputes, PAGE):
        for owed in await rows_left(ctx, [of_dispute(each) for each in stretch]):
            if owed.recorded_on >= since.date():
                yield owed


async def rows_left(ctx: Context, disputes: Sequence[Fact]) -> list[Owed]:
    """The rows of disputes that no settlement has a line of.

    Raises:
        Unreadable, Outdated: a page cannot be read.
    """
    counted = await ctx.settlement_pages.lines_of(ACCOUNT, [each.id for each in disputes])
    short = [each for each in disputes if len(counted.get(each.id, ())) < len(each.rows)]
    spots = await ctx.settlement_pages.of_facts(ACCOUNT, [each.id for each in short])
    lines: dict[str | None, list[SettlementLine]] = defaultdict(list)
    for placed in await read_placed(ctx, spots):
        lines[placed.line.fact].append(placed.line)
    return [Owed(each, row) for each in short for row in rows_without_line(each, lines[each.id])]


async def _line_of(ctx: Context, owed: Owed) -> Line | None:
    """The line that the provider shows for it; None when its balance never had one.

    Raises:
        ProviderSilent: it did not tell.
    """
    assert owed.line_reference is not None, "what the provider has no name for is not asked for"
    provider = ctx.provider
    ask = {
        FactKind.PAYMENT: provider.line_of_payment,
        FactKind.REFUND: provider.line_of_refund,
        FactKind.DISPUTE: provider.retrieve_line,
    }[owed.fact.kind]
    await ctx.pace.turn()
    said = await ask(owed.line_reference, timeout_seconds=ctx.policy.provider_timeout_seconds)
    if isinstance(said, Unknown):
        raise ProviderSilent(said.message)
    return None if isinstance(said, Absent) else said


async def _heal(ctx: Context, sweep: Sweep) -> int:
    """Resolve what was late or missing and has a line by now. How many."""
    healed = 0
    async for stretch in sweep.stretches(ctx.settlements.discrepancies_open, PAGE):
        ours = [each for each in stretch if each.kind in _OF_FACTS]
        facts = [each.what.about for each in ours]
        settled = set(await ctx.settlement_pages.lines_of(ACCOUNT, facts))
        settled |= await _rows_settled(ctx, [each.what for each in ours])
        for each in ours:
            if each.what.about in settled:
                with sweep:
                    caller = sweep.caller(ACCOUNT)
                    healed += await heal_discrepancy(ctx, caller, each, HEALED)
    return healed


async def _rows_settled(ctx: Context, of: Sequence[Found]) -> set[str]:
    """What is about a row of a dispute that has a line by now."""
    disputes = {each.about: dispute_of(each.about) for each in of}
    keys = {(each.merchant, str(disputes[each.about])) for each in of if disputes[each.about]}
    known, _ = await ctx.settlement_facts.disputes_by_id(keys)
    left = {owed.about for owed in await rows_left(ctx, [of_dispute(d) for d in known.values()])}
    booked = {about_row(dispute.id, row) for dispute in known.values() for row in dispute.rows}
    return {about for about in disputes if about in booked and about not in left}
