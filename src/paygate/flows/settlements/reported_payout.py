"""The settlement of a payout that a report tells of: what it may add to it, and what it says of it
as a whole.

A payout has one source of lines. Those of reports with ids of their own (`generic`) cannot be told
from the provider's, so where the provider itemises a payout they are not added, whichever came
first; what has the provider's ids is compared, line by line.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import AuditEntry
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.report_import import ReportFormat, SettlementImport
from paygate.domain.settlements.returned import CAME_BACK
from paygate.domain.settlements.settlement import (
    PROVIDER,
    Settlement,
    Source,
    advanced,
    refused_by,
)
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.read_lines import settlement_subject
from paygate.flows.settlements.take import ask_for_payout, settlement_event, take_payout
from paygate.jobs.messages import Job, SettlePayout
from paygate.providers.absence import ProviderSilent
from paygate.storage.change import Change, Committed, StorageError

MOST_BACK: Final = 200
"""Payouts that came back by one report, and are asked for at once; of more the next run hears."""
MOST_LISTED: Final = 200
"""Payouts of one report whose lists are read at once."""
_CHANGING: Final = "a settlement kept changing"
TOLD_AT_ONCE: Final = 16


class ReportedPayout(NamedTuple):
    """A payout's settlement, and whether the report's lines are added to it."""

    settlement: Settlement
    adds: bool


class Told(msgspec.Struct):
    """What a report says of a payout as a whole."""

    settlement: str
    amount: int | None
    """By the payout's own row."""
    taken: int
    """Lines that are there by it: new, or known and the same."""
    refused: int
    """Lines that keep the payout from balancing."""
    unascribed: int
    """Of those, lines that name no payout."""


async def reported_payout(
    ctx: Context, caller: Caller, done: SettlementImport, payout: str, currency: str
) -> ReportedPayout:
    """The settlement of a payout, made when nobody has told of it before.

    Raises:
        ProviderSilent: whether the provider itemises it was not told.
        StorageError: others kept changing it.
    """
    patience = Patience(_CHANGING, end=StorageError, seconds=CONCLUDING_SECONDS)
    own_ids = done.format is ReportFormat.GENERIC
    standing = await ctx.settlements.of_payout(payout)
    if own_ids and (standing is None or (standing.is_open and standing.payout is None)):
        await ctx.pace.turn()
        told = await ask_for_payout(ctx, payout)
        if told is not None:
            standing = await take_payout(ctx, caller, told)
    while True:
        if standing is None:
            after = _new(ctx, payout, currency, ids_of_report=own_ids)
            told_of = (settlement_event(ctx, caller, after, "settlement.created"),)
            change = Change(_audit(ctx, caller, after), creates=(after, *told_of))
        else:
            adds = _adds(standing, own_ids=own_ids)
            if adds is None:
                count = await ctx.settlement_pages.count(ACCOUNT, standing.id)
                adds = False if count.pages else None
            if adds is not None:
                return ReportedPayout(standing, adds)
            after = advanced(standing, ctx.now(), ids_of_report=True)
            change = Change(_audit(ctx, caller, after), advances=(after,))
        if isinstance(await ctx.door.commit(change), Committed):
            return ReportedPayout(after, adds=True)
        await patience.pause()
        standing = await ctx.settlements.of_payout(payout)


def _adds(standing: Settlement, *, own_ids: bool) -> bool | None:
    """Whether a report's lines are added; None when it depends on whether there are others."""
    if not own_ids:
        return not standing.ids_of_report
    if standing.payout is not None and standing.payout.itemised:
        return False
    return True if standing.ids_of_report or not standing.is_open else None


def _new(ctx: Context, payout: str, currency: str, *, ids_of_report: bool) -> Settlement:
    now = ctx.now()
    return Settlement(
        id=ctx.new_id("settlement", now),
        merchant=ACCOUNT,
        livemode=ctx.provider.livemode,
        provider_reference=payout,
        source=Source.REPORT,
        currency=currency,
        created_at=now,
        updated_at=now,
        ids_of_report=ids_of_report,
    )


def _audit(ctx: Context, caller: Caller, settlement: Settlement) -> AuditEntry:
    subject = settlement_subject(settlement)
    details = {"source": str(Source.REPORT)}
    return ctx.audit(caller, Action.SETTLEMENT_TAKE, subject, details=details)


async def tell_settlements(
    ctx: Context, caller: Caller, done: SettlementImport, every: Sequence[Told]
) -> None:
    """Have settlements know of their payouts as a whole, some at once; none after the first fault,
    for a provider that was silent is so for the next one.

    Raises:
        ProviderSilent: the report does not say an amount, and the provider did not tell.
        StorageError: others kept changing a settlement.
    """
    for first in range(0, len(every), TOLD_AT_ONCE):
        try:
            async with asyncio.TaskGroup() as group:
                for told in every[first : first + TOLD_AT_ONCE]:
                    group.create_task(_tell_settlement(ctx, caller, done, told))
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None


async def _tell_settlement(
    ctx: Context, caller: Caller, done: SettlementImport, told: Told
) -> None:
    """Have a settlement know of its payout as a whole: how it stands by the provider, else its
    amount by the payout's own row; and which of its lines were refused.

    Raises:
        ProviderSilent: the report does not say the amount, and the provider did not tell.
        StorageError: others kept changing it.
    """
    patience = Patience(_CHANGING, end=StorageError, seconds=CONCLUDING_SECONDS)
    if done.format is not ReportFormat.GENERIC:  # of the others it was asked before they were read
        await _ask_of(ctx, caller, told)
    while True:
        settlement = await _current(ctx, told.settlement)
        if not settlement.is_open:
            return
        amount = settlement.amount
        if settlement.payout is None and told.amount is not None:
            amount = told.amount
        refusals = refused_by(
            settlement,
            done.id,
            lines=told.taken + told.refused - told.unascribed,
            refused=told.refused,
            covers=await _covers(ctx, settlement, told),
        )
        if await _told(ctx, caller, settlement, amount=amount, refusals=refusals):
            return
        await patience.pause()


async def _ask_of(ctx: Context, caller: Caller, told: Told) -> None:
    """Ask the provider how a payout stands that it has not told of. Where the report says the
    amount, a provider that is silent is asked by the next run.
    """
    settlement = await _current(ctx, told.settlement)
    if settlement.payout is not None or not settlement.is_open:
        return
    await ctx.pace.turn()
    try:
        said = await ask_for_payout(ctx, settlement.provider_reference)
    except ProviderSilent:
        if settlement.amount is None and told.amount is None:
            raise
        return
    if said is not None:
        await take_payout(ctx, caller, said)


def returned_in(lines: Iterable[Line]) -> set[str]:
    """The payouts of which lines say that their money came back."""
    return {
        line.source_reference
        for line in lines
        if line.category is LineCategory.PAYOUT_FAILURE and line.source_reference is not None
    }


async def take_payouts_back(ctx: Context, caller: Caller, references: Collection[str]) -> None:
    """Take payouts of which lines say that their money came back, as the provider says that they
    stand: they may have failed, or were cancelled. One that failed is then a discrepancy and an
    alert, as when news of it comes. Of the others the conclusion tells (`judge_returns.py`).

    Raises:
        ProviderSilent: it did not tell.
        StorageError: others kept changing one.
    """
    for reference in sorted(references)[:MOST_BACK]:
        standing = await ctx.settlements.of_payout(reference)
        if standing is not None and standing.status in CAME_BACK:
            continue
        await ctx.pace.turn()
        said = await ask_for_payout(ctx, reference)
        if said is not None:
            await take_payout(ctx, caller, said)


async def to_be_listed(ctx: Context, settlement_ids: Sequence[str]) -> tuple[Job, ...]:
    """What has the provider's own lists read of the first of these settlements, that are open: none
    closes before. The run reads the others'.
    """
    standing = [await _current(ctx, each) for each in settlement_ids[:MOST_LISTED]]
    return tuple(
        Job(SettlePayout(ACCOUNT, each.id))
        for each in standing
        if each.is_open and each.payout is not None and each.payout.itemised
    )


async def tell_lines_differ(
    ctx: Context, caller: Caller, settlement_id: str, lines: int, differ: int
) -> Settlement:
    """The settlement once it is known how many lines the provider tells otherwise than a report
    had them: while there are any, it never balances.

    Raises:
        StorageError: others kept changing it.
    """
    patience = Patience(_CHANGING, end=StorageError, seconds=CONCLUDING_SECONDS)
    while True:
        settlement = await _current(ctx, settlement_id)
        if not settlement.is_open:
            return settlement
        refusals = refused_by(settlement, PROVIDER, lines, differ)
        if await _told(ctx, caller, settlement, amount=settlement.amount, refusals=refusals):
            return await _current(ctx, settlement_id)
        await patience.pause()


async def _told(ctx: Context, caller: Caller, settlement: Settlement, **changes: object) -> bool:
    """Whether the settlement says so now."""
    after = msgspec.structs.replace(settlement, **changes)
    refused = sum(each.refused for each in after.refusals)
    after = msgspec.structs.replace(after, refused_lines=refused)
    if after == settlement:
        return True
    after = advanced(after, ctx.now())
    audit = ctx.audit(caller, Action.SETTLEMENT_READ_LINES, settlement_subject(after))
    return isinstance(await ctx.door.commit(Change(audit, advances=(after,))), Committed)


async def _covers(ctx: Context, settlement: Settlement, told: Told) -> bool:
    """Whether a report had every line of the payout that there is."""
    if told.refused or not settlement.refused_lines:
        return False
    lines = 0
    async for page in ctx.settlement_pages.every(ACCOUNT, settlement.id):
        lines += len(page.lines)
    return lines == told.taken


async def _current(ctx: Context, settlement_id: str) -> Settlement:
    settlement = await ctx.settlements.settlement(ACCOUNT, settlement_id)
    assert settlement is not None, "settlements are never deleted"
    return settlement
