"""What we recorded and no payout has: asked for at the provider once its time is over. Late, or
missing there, it is a discrepancy, which heals by itself when its line comes.
"""

from collections.abc import AsyncGenerator, Mapping
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
from paygate.domain.settlements.fact import Fact, of_payment, of_refund
from paygate.domain.settlements.line import FactKind
from paygate.domain.settlements.outcome import Line
from paygate.domain.settlements.unsettled import is_asked_for, judge_unsettled
from paygate.flows.context import Context
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
    """Ask for the lines of payments and refunds whose time is over and that no settlement has."""
    terms = terms_of(ctx)
    healed = await _heal(ctx, sweep)
    asked = silent = 0
    found = dict.fromkeys(_OF_FACTS, 0)
    async for fact in _without_lines(ctx, sweep):
        if asked == ASKED_MOST or silent == SILENT_MOST:
            break
        if not is_asked_for(fact, terms) or fact.provider_reference is None:
            continue
        with sweep:
            standing = await _standing(ctx, fact)
            if any(_is_told(ctx, each) for each in standing):
                continue
            asked, silent = asked + 1, silent + 1
            wrong = judge_unsettled(fact, await _line_of(ctx, fact), terms)
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


async def _standing(ctx: Context, fact: Fact) -> list[Discrepancy]:
    """What is known to be wrong with a fact."""
    found = []
    for kind in _OF_FACTS:
        of = Found(kind=kind, about=fact.id, merchant=fact.merchant)
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


async def _without_lines(ctx: Context, sweep: Sweep) -> AsyncGenerator[Fact, None]:
    """Payments and refunds that no settlement has a line of, the oldest of each merchant first."""
    until = ctx.now()
    since = until - LOOK_BACK
    facts = ctx.settlement_facts
    payments = partial(facts.payments_unsettled, ACCOUNT, since, until)
    async for intent in sweep.every(payments, PAGE):
        yield of_payment(intent)
    refunds = partial(facts.refunds_unsettled, ACCOUNT, since, until)
    async for refund in sweep.every(refunds, PAGE):
        yield of_refund(refund)


async def _line_of(ctx: Context, fact: Fact) -> Line | None:
    """The line that the provider shows for a fact; None when its balance never had one.

    Raises:
        ProviderSilent: it did not tell.
    """
    assert fact.provider_reference is not None, "what the provider has no name for is not asked for"
    ask = (
        ctx.provider.line_of_refund
        if fact.kind is FactKind.REFUND
        else ctx.provider.line_of_payment
    )
    await ctx.pace.turn()
    said = await ask(fact.provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds)
    if isinstance(said, Unknown):
        raise ProviderSilent(said.message)
    return None if isinstance(said, Absent) else said


async def _heal(ctx: Context, sweep: Sweep) -> int:
    """Resolve what was late or missing and has a line by now. How many."""
    healed = 0
    async for stretch in sweep.stretches(ctx.settlements.discrepancies_open, PAGE):
        facts = [each.what.about for each in stretch if each.kind in _OF_FACTS]
        with_lines: Mapping[str, list[str]] = await ctx.settlement_pages.lines_of(ACCOUNT, facts)
        for each in stretch:
            if each.kind in _OF_FACTS and each.what.about in with_lines:
                with sweep:
                    caller = sweep.caller(ACCOUNT)
                    healed += await heal_discrepancy(ctx, caller, each, HEALED)
    return healed
