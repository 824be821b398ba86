"""Settle a payout: ask how it stands, read its lines once the provider says that all are there, and
conclude. Safe at any time, by two workers at once, and after a crash at any step.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from paygate.domain.access.roles import Caller
from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.outcome import Line, Payout
from paygate.domain.settlements.settlement import Matching, Settlement, Source
from paygate.domain.settlements.totals import MOST_BROUGHT, moved_by
from paygate.flows.context import Context
from paygate.flows.settlements.by_hand import lines_by_hand
from paygate.flows.settlements.conclude import conclude
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.read_lines import PageRead, read_page
from paygate.flows.settlements.reported_payout import (
    returned_in,
    take_payouts_back,
    tell_lines_differ,
)
from paygate.flows.settlements.take import ask_for_payout, take_payout
from paygate.storage.settlements.pages import LINES_A_PAGE
from paygate.telemetry import log

CALL_LINES: Final = 100
"""Lines that cost the provider a call."""


class Outcome(StrEnum):
    """What became of a payout."""

    CLOSED = "closed"
    CONCLUDED = "concluded"
    """Its lines were read and judged; something of it is left for a person, or it is not paid."""
    WAITING = "waiting"
    """The provider does not say yet that all lines are there."""
    HELD = "held"
    """A line, or a record of ours that one names, could not be read."""
    ABSENT = "absent"
    """The provider has no such payout."""


class Settled(NamedTuple):
    """A settlement as it now stands, what became of it, and how many of its lines were new."""

    outcome: Outcome
    settlement: Settlement | None
    new_lines: int = 0


async def settle_payout(ctx: Context, caller: Caller, provider_reference: str) -> Settled:
    """Bring the settlement of a payout as far as it goes now.

    Raises:
        ProviderSilent: the provider did not tell of it, or of its lines to their end.
        Unreadable, Outdated: a record or a page cannot be read; nothing was concluded.
        StorageError: others kept changing it.
    """
    await ctx.pace.turn()
    payout = await ask_for_payout(ctx, provider_reference)
    if payout is None:
        return Settled(Outcome.ABSENT, None)
    return await settle_as_told(ctx, caller, payout)


async def settle_as_told(ctx: Context, caller: Caller, payout: Payout) -> Settled:
    """The same for a payout that the provider has just told of."""
    settlement = await take_payout(ctx, caller, payout)
    if not settlement.is_open:
        return Settled(Outcome.CLOSED, settlement)
    # One that was cancelled left the balance and came back, as one that failed: both are posted.
    if payout.itemised and not payout.lines_complete:
        return Settled(Outcome.WAITING, settlement)
    if settlement.ids_of_report:
        return await _as_reported(ctx, caller, settlement, payout)
    lines = _itemised(ctx, payout) if payout.itemised else lines_by_hand(ctx, payout)
    new = held = count = differ = known = 0
    came_back: set[str] = set()
    async for page, unknown in _pages(lines):
        read = await read_page(ctx, caller, settlement, page) if page else PageRead(0, 0, 0, 0)
        new, held = new + read.new, held + read.held + unknown
        count, differ = count + len(page), differ + len(read.not_taken)
        known += read.known
        came_back |= returned_in(page)
    if held:
        log.logger().warning("settlement_held", request_id=caller.request_id)
        return Settled(Outcome.HELD, settlement, new)
    if differ:
        log.logger().warning(
            "settlement_lines_differ", counted=differ, request_id=caller.request_id
        )
    await take_payouts_back(ctx, caller, came_back)
    await tell_lines_differ(ctx, caller, settlement.id, count, differ)
    listed = new + known + differ if payout.itemised else None
    return await settle_read(ctx, caller, settlement, new, listed=listed)


async def _as_reported(
    ctx: Context, caller: Caller, settlement: Settlement, payout: Payout
) -> Settled:
    """One whose lines are a report's, with ids of its own: the provider's are not added to them."""
    if payout.itemised or settlement.concluded_at is None:
        return Settled(Outcome.WAITING, settlement)
    return await settle_read(ctx, caller, settlement)


async def settle_read(
    ctx: Context,
    caller: Caller,
    settlement: Settlement,
    new: int = 0,
    *,
    listed: int | None = None,
) -> Settled:
    """Conclude a settlement whose lines are all there, however they came; `listed` is how many of
    them the provider's own list had.
    """
    concluded = await conclude(ctx, caller, settlement.id, listed=listed)
    outcome = Outcome.CONCLUDED if concluded.is_open else Outcome.CLOSED
    return Settled(outcome, concluded, new)


async def settle_again(ctx: Context, caller: Caller, settlement: Settlement) -> Settled:
    """Settle an open one once more: what a report alone has told of has no other lines, unless the
    provider has its payout by now.
    """
    told = settlement.source is not Source.REPORT or settlement.payout is not None
    if told or not settlement.ids_of_report:
        done = await settle_payout(ctx, caller, settlement.provider_reference)
        if told or done.outcome is not Outcome.ABSENT:
            return done
    if settlement.concluded_at is None:
        return Settled(Outcome.WAITING, settlement)  # the import of its report goes on
    if settlement.matching is Matching.BALANCED:  # it has nothing to see to, and waits to be told
        return Settled(Outcome.CONCLUDED, settlement)
    return await settle_read(ctx, caller, settlement)


async def current(ctx: Context, settlement_id: str) -> Settlement:
    """The settlement as it stands."""
    found = await ctx.settlements.settlement(ACCOUNT, settlement_id)
    assert found is not None, "settlements are never deleted"
    return found


async def _itemised(ctx: Context, payout: Payout) -> AsyncGenerator[Line | Unknown, None]:
    """The lines that the provider lists, at the pace of what nobody waits for."""
    timeout = ctx.policy.provider_timeout_seconds
    listed = ctx.provider.list_payout_lines(payout.provider_reference, timeout_seconds=timeout)
    async for line in paced(ctx, listed):
        yield line


async def paced(
    ctx: Context, listed: AsyncIterator[Line | Unknown]
) -> AsyncGenerator[Line | Unknown, None]:
    """A list of the provider's, each call of it in its turn."""
    number = 0
    await ctx.pace.turn()
    async for line in listed:
        number += 1
        if number % CALL_LINES == 0:
            await ctx.pace.turn()
        yield line


async def _pages(
    lines: AsyncIterator[Line | Unknown],
) -> AsyncGenerator[tuple[Sequence[Line], int], None]:
    """So many lines at a time, and how many others could not be read: those too with which the
    list comes to more than any payout can.
    """
    page: list[Line] = []
    unknown = moved = 0
    async for line in lines:
        if isinstance(line, Line):
            moved += moved_by(line)
        if isinstance(line, Unknown) or moved > MOST_BROUGHT:
            unknown += 1
            continue
        page.append(line)
        if len(page) == LINES_A_PAGE:
            yield page, unknown
            page, unknown = [], 0
    if page or unknown:
        yield page, unknown
