"""Read settlements, their lines and discrepancies. A read leaves its audit entry before it is
shown. They are the account's: keys of other merchants find nothing.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

import msgspec

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.settlements.close import compared_with_bank
from paygate.domain.settlements.discrepancy import Discrepancy, DiscrepancyKind, Found
from paygate.domain.settlements.line import MatchState, SettlementLine
from paygate.domain.settlements.match import decided
from paygate.domain.settlements.outcome import LineCategory, PayoutStatus
from paygate.domain.settlements.settlement import Settlement
from paygate.flows.audit_list import audit_list
from paygate.flows.context import Context
from paygate.flows.settlements.decide import find_discrepancy, find_settlement
from paygate.flows.settlements.judge_lines import read_placed
from paygate.flows.settlements.open_discrepancy import discrepancy_id, discrepancy_subject
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.read_lines import settlement_subject
from paygate.storage.change import Change
from paygate.storage.pages import Cut, Page
from paygate.storage.settlements.pages import LINES_A_PAGE, Spot
from paygate.storage.settlements.reader import DiscrepancyFilters, SettlementFilters

_FIRST: Spot = Spot("", "", 0, -1)


class LineFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of a settlement a list shows; None lets all pass."""

    state: MatchState | None = None
    category: LineCategory | None = None
    merchant: str | None = None
    payment_intent: str | None = None

    def let_pass(self, line: SettlementLine) -> bool:
        """Whether the line is shown."""
        return (
            self.state in (None, line.state)
            and self.category in (None, line.said.category)
            and self.merchant in (None, line.merchant)
            and self.payment_intent in (None, line.payment_intent)
        )


class Lines(NamedTuple):
    """Lines in the order in which they were read, and whether there are more."""

    items: Sequence[SettlementLine]
    has_more: bool


async def read_settlement(ctx: Context, caller: Caller, settlement_id: str) -> Settlement:
    """The settlement as it stands.

    Raises:
        Refusal: `resource_missing` for an id that is malformed or unknown, or for another merchant
            than the account's.
    """
    found = await find_settlement(ctx, caller, settlement_id)
    await ctx.door.commit(
        Change(ctx.audit(caller, Action.SETTLEMENT_READ, settlement_subject(found)))
    )
    return await shown(ctx, found)


async def list_settlements(
    ctx: Context, caller: Caller, cut: Cut, filters: SettlementFilters, query: str
) -> Page[Settlement]:
    """A page of the settlements. `query` is for the audit log."""
    page = await ctx.settlements.settlements(caller.merchant, cut, filters)
    ids = [each.id for each in page.items]
    await audit_list(ctx, caller, Action.SETTLEMENT_LIST, query, ids, page.unread)
    items = tuple([await shown(ctx, each) for each in page.items])
    return Page(items, page.has_more, page.unread)


async def list_lines(
    ctx: Context,
    caller: Caller,
    settlement_id: str,
    filters: LineFilters,
    limit: int,
    after: str | None,
    query: str,
) -> Lines:
    """Lines of a settlement behind one of them, as they were matched and decided.

    Raises:
        Refusal: as `read_settlement`; `parameter_invalid` when `after` is no line of it.
        Unreadable, Outdated: a page of it cannot be read.
    """
    settlement = await find_settlement(ctx, caller, settlement_id)
    start = await _place_of(ctx, settlement, after)
    found = await _lines(ctx, settlement, filters, start, limit + 1)
    items = found[:limit]
    ids = [line.id for line in items]
    await audit_list(ctx, caller, Action.SETTLEMENT_LINE_LIST, query, ids)
    return Lines(items, len(found) > limit)


async def read_discrepancy(ctx: Context, caller: Caller, discrepancy_id_: str) -> Discrepancy:
    """The discrepancy as it stands. Raises as `read_settlement` does."""
    found = await find_discrepancy(ctx, caller, discrepancy_id_)
    await ctx.door.commit(
        Change(ctx.audit(caller, Action.DISCREPANCY_READ, discrepancy_subject(found)))
    )
    return found


async def list_discrepancies(
    ctx: Context, caller: Caller, cut: Cut, filters: DiscrepancyFilters, query: str
) -> Page[Discrepancy]:
    """A page of the discrepancies. `query` is for the audit log."""
    page = await ctx.settlements.discrepancies(caller.merchant, cut, filters)
    ids = [each.id for each in page.items]
    await audit_list(ctx, caller, Action.DISCREPANCY_LIST, query, ids, page.unread)
    return page


async def shown(ctx: Context, settlement: Settlement) -> Settlement:
    """The settlement as people are to see it: one that is closed stays as it is, and since then the
    payout may have failed after all, and the bank may have told what it received.
    """
    if settlement.is_open:
        return settlement
    payout, reference = settlement.payout, settlement.provider_reference
    if payout is not None and payout.status is PayoutStatus.PAID:
        failed = Found(kind=DiscrepancyKind.PAYOUT_FAILED, about=reference, merchant=ACCOUNT)
        if await ctx.settlements.discrepancy(ACCOUNT, discrepancy_id(ctx, failed)) is not None:
            payout = msgspec.structs.replace(payout, status=PayoutStatus.FAILED)
    bank_amount = settlement.bank_amount
    if bank_amount is None:
        compared = discrepancy_id(ctx, compared_with_bank(settlement, 0))
        told = await ctx.settlements.discrepancy(ACCOUNT, compared)
        if told is not None and told.what.found is not None:
            bank_amount = told.what.found.amount
    return msgspec.structs.replace(settlement, payout=payout, bank_amount=bank_amount)


async def _place_of(ctx: Context, settlement: Settlement, after: str | None) -> Spot:
    if after is None:
        return _FIRST
    found = await ctx.settlement_pages.line(ACCOUNT, after)
    if found is None or found[0].settlement != settlement.id:
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            "starting_after must be the id of a line of this settlement",
            param="starting_after",
        )
    return found[0]


async def _lines(
    ctx: Context, settlement: Settlement, filters: LineFilters, start: Spot, wanted: int
) -> list[SettlementLine]:
    """So many lines that pass, from behind a place. A payment's are found by its id; of others each
    page is opened until there are enough.
    """
    if filters.payment_intent is not None:
        return await _lines_of_payment(ctx, settlement, filters, start, wanted)
    found: list[SettlementLine] = []
    async for page in ctx.settlement_pages.every(ACCOUNT, settlement.id, after=start.page - 1):
        matches = await ctx.settlements.decided(ACCOUNT, [line.id for line in page.lines])
        for place, line in enumerate(page.lines):
            behind = (page.version, place) > (start.page, start.place)
            now = decided(line, matches.get(line.id))
            if behind and filters.let_pass(now):
                found.append(now)
                if len(found) == wanted:
                    return found
    return found


async def _lines_of_payment(
    ctx: Context, settlement: Settlement, filters: LineFilters, start: Spot, wanted: int
) -> list[SettlementLine]:
    """Lines of a payment, its refunds and its disputes, and those that name it and are none of
    them: a refund on it that is unknown here, say.
    """
    facts = await ctx.settlement_facts.facts_of_payment(str(filters.payment_intent))
    of_facts = await ctx.settlement_pages.of_facts(ACCOUNT, facts)
    of_nothing = await ctx.settlement_pages.of_nothing(ACCOUNT, settlement.id)
    spots = sorted(
        {
            spot
            for spot in (*of_facts, *of_nothing)
            if spot.settlement == settlement.id and spot[2:] > start[2:]
        },
        key=itemgetter(2, 3),
    )
    found: list[SettlementLine] = []
    for first in range(0, len(spots), LINES_A_PAGE):
        placed = await read_placed(ctx, spots[first : first + LINES_A_PAGE])
        found += [each.line for each in placed if filters.let_pass(each.line)]
        if len(found) >= wanted:
            break
    return found[:wanted]
