"""Conclude a settlement whose lines were read to their end: sum them, judge those that are not
exactly as recorded, open what is wrong and heal what is no more, post in the ledger, and close it
when nothing is left.

Every step may be done twice, and by two workers at once. While lines may still be written the
settlement is `waiting`; it is closed by a commit of its own, after its pages were counted once
more: so none is closed without a line that was written meanwhile.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from paygate.crypto.encoding import length_prefixed
from paygate.domain.access.roles import Action, Caller
from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.alert import Problem
from paygate.domain.ids import PREFIXES, id_from
from paygate.domain.postings import postings
from paygate.domain.settlements.close import (
    OwnRow,
    judge_payout,
    matching_of,
    may_close,
    rest_of,
)
from paygate.domain.settlements.discrepancy import (
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
    Found,
)
from paygate.domain.settlements.line import MatchState, SettlementLine
from paygate.domain.settlements.match import decided
from paygate.domain.settlements.settlement import Matching, Settlement, advanced
from paygate.domain.settlements.totals import SummedUp, Sums
from paygate.flows.alerts.raise_alert import occurrence, raise_alert, to_raise
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience
from paygate.flows.settlements.by_hand import own_row
from paygate.flows.settlements.find_match import find_matches
from paygate.flows.settlements.judge_lines import AT_ONCE, Judged, Placed, judge_lines
from paygate.flows.settlements.judge_returns import judge_returns
from paygate.flows.settlements.open_discrepancy import (
    discrepancy_id,
    heal_discrepancy,
    latest_discrepancy,
    open_discrepancy,
)
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.problems import (
    discrepant,
    elsewhere,
    payout_came_back,
    too_much,
)
from paygate.flows.settlements.read_lines import settlement_subject
from paygate.flows.settlements.take import settlement_event
from paygate.flows.sweep import Crew, Faults
from paygate.storage.change import Change, Committed, StorageError
from paygate.storage.settlements.pages import Count

OPENED_AT_ONCE: Final = 32
"""Discrepancies whose commits are under way together: they share a statement."""
TRANSFERS_A_COMMIT: Final = 200
"""More are of hundreds of merchants, and would hold up the payments of the batch."""
_PAGE: Final = 500
NOT_SO: Final = "it is not so any more"


class _Read(NamedTuple):
    """What the lines of a settlement come to, and what is wrong with them."""

    sums: Sums
    judged: Sequence[Judged]
    unmatched: Sequence[SettlementLine]
    pages: Count


async def conclude(
    ctx: Context, caller: Caller, settlement_id: str, *, listed: int | None = None
) -> Settlement:
    """The settlement as it now stands: concluded, or closed. One whose lines come to more than
    records can keep stays as it is, and people are told. `listed` is how many of its lines the
    provider's list had, which the caller has read to its end.

    Raises:
        Unreadable, Outdated: a page or a record cannot be read. Nothing is concluded.
        StorageError: others kept changing it.
    """
    patience = Patience("a settlement kept changing", end=StorageError, seconds=CONCLUDING_SECONDS)
    any_new = False
    while True:
        settlement = await ctx.settlements.settlement(ACCOUNT, settlement_id)
        assert settlement is not None, "settlements are never deleted"
        if not settlement.is_open:
            return settlement
        read = await _read(ctx, settlement)
        if read.sums.is_too_much:
            await raise_alert(ctx, caller, too_much(settlement))
            return settlement
        if await find_matches(ctx, caller, settlement, read.unmatched):
            continue
        any_new |= await _tell(ctx, caller, settlement, read)
        after = await _after(ctx, settlement, read.sums, listed)
        concluded = await _commit(ctx, caller, settlement, after, read, any_new=any_new)
        if concluded is not None:
            if await ctx.settlement_pages.count(ACCOUNT, settlement_id) == read.pages:
                return await _close(ctx, caller, concluded, read.sums)
            await _wait_again(ctx, caller, concluded)
        await patience.pause()


async def _read(ctx: Context, settlement: Settlement) -> _Read:
    """Sum every line, and judge those that need it with all others of the same facts."""
    matches = await ctx.settlements.decided_of(ACCOUNT, settlement.id)
    told_of = {d.what.settlement_line for d in await _discrepancies_of(ctx, settlement)}
    looked_at = told_of | matches.keys()
    summed = SummedUp(matches)
    suspects: list[Placed] = []
    judged: list[Judged] = []
    unmatched: list[SettlementLine] = []
    pages = last = 0
    async for page in ctx.settlement_pages.every(ACCOUNT, settlement.id):
        pages, last = pages + 1, page.version
        summed.add_page(page)
        facts = [line.fact for line in page.lines]
        several = await ctx.settlement_pages.several(ACCOUNT, [fact for fact in facts if fact])
        for line, fact in zip(page.lines, facts, strict=True):
            if line.suspect or fact in several or line.id in looked_at:
                now = decided(line, matches.get(line.id))
                suspects.append(Placed(settlement.id, now))
                is_unmatched = now.state is MatchState.UNMATCHED and line.id not in matches
                if is_unmatched and len(unmatched) < AT_ONCE:
                    unmatched.append(now)
        judged += await judge_returns(ctx, settlement.id, page.lines)
        if len(suspects) >= AT_ONCE:
            judged += await judge_lines(ctx, suspects)
            suspects = []
    judged += await judge_lines(ctx, suspects)
    return _Read(summed.result(), judged, unmatched, Count(pages, last))


async def _tell(ctx: Context, caller: Caller, settlement: Settlement, read: _Read) -> bool:
    """Open what is wrong, and heal what is open and no more so. Whether anything is wrong with this
    settlement that was not open before: as many may have healed.
    """
    summed = replace(settlement, counts=read.sums.counts, totals=read.sums.totals)
    row = await own_row(ctx, summed)
    of_payout = judge_payout(summed, read.sums, row)
    whole = [Judged(found, settlement.id) for found in of_payout]
    wrong = {discrepancy_id(ctx, each.found): each for each in (*read.judged, *whole)}
    before = await _discrepancies_of(ctx, settlement)
    faults = Faults()
    async with Crew(OPENED_AT_ONCE, faults) as crew:
        for found, where in wrong.values():
            problem = _problem(settlement, found, where)
            await crew.take(open_discrepancy(ctx, caller, found, where, problem))
        for standing in before:
            if discrepancy_id(ctx, standing.what) not in wrong:
                await crew.take(heal_discrepancy(ctx, caller, standing, NOT_SO))
    faults.tell()
    known = {each.id for each in before}
    return any(each.id not in known for each in await _discrepancies_of(ctx, settlement))


def _problem(settlement: Settlement, found: Found, where: str) -> Problem | None:
    """What people are told of a discrepancy that the conclusion does not tell of."""
    if where != settlement.id:
        return elsewhere(where, found)
    of_line = found.kind is DiscrepancyKind.PAYOUT_FAILED and found.settlement_line is not None
    return payout_came_back(where, found) if of_line else None


async def _after(
    ctx: Context, settlement: Settlement, sums: Sums, listed: int | None
) -> Settlement:
    """The settlement as its lines and what was decided make it."""
    counted = await ctx.settlements.discrepancies_counted(ACCOUNT, settlement.id)
    amount = settlement.amount
    after = replace(
        settlement,
        totals=sums.totals,
        counts=sums.counts,
        residual=None if amount is None else sums.residual(amount, settlement.currency),
        lines_listed=settlement.lines_listed if listed is None else listed,
        open_discrepancies=counted.get(DiscrepancyStatus.OPEN, 0),
        concluded_at=settlement.concluded_at or ctx.now(),
    )
    return replace(after, matching=matching_of(after))


async def _commit(
    ctx: Context,
    caller: Caller,
    settlement: Settlement,
    after: Settlement,
    read: _Read,
    *,
    any_new: bool,
) -> Settlement | None:
    """The settlement once it is concluded so; None when it has moved on meanwhile."""
    transfers = await _transfers(ctx, after, read.sums)
    while len(transfers) > TRANSFERS_A_COMMIT:
        some, transfers = transfers[:TRANSFERS_A_COMMIT], transfers[TRANSFERS_A_COMMIT:]
        posting = advanced(settlement, ctx.now())
        audit = ctx.audit(caller, Action.SETTLEMENT_CONCLUDE, settlement_subject(posting))
        change = Change(audit, creates=tuple(some), advances=(posting,))
        if not isinstance(await ctx.door.commit(change), Committed):
            return None
        settlement = posting
    after = replace(after, version=settlement.version, updated_at=settlement.updated_at)
    if after == settlement and not transfers and not any_new:
        return settlement  # as it was found before
    after = advanced(after, ctx.now())
    change = await _conclusion(ctx, caller, settlement, after, transfers, any_new=any_new)
    return after if isinstance(await ctx.door.commit(change), Committed) else None


async def _conclusion(
    ctx: Context,
    caller: Caller,
    settlement: Settlement,
    after: Settlement,
    transfers: Sequence[AccountTransfer],
    *,
    any_new: bool,
) -> Change:
    kinds = await _open_kinds(ctx, after)
    worse = kinds and (any_new or after.open_discrepancies > settlement.open_discrepancies)
    alerts = (occurrence(ctx, ACCOUNT, discrepant(after, kinds)),) if worse else ()
    balances = after.matching is Matching.BALANCED and settlement.matching is not Matching.BALANCED
    told = (settlement_event(ctx, caller, after, "settlement.balanced"),) if balances else ()
    audit = ctx.audit(
        caller,
        Action.SETTLEMENT_CONCLUDE,
        settlement_subject(after),
        details={
            "matching": after.matching,
            "lines": str(after.counts.lines),
            "residual": "" if after.residual is None else f"{after.residual} {after.currency}",
            "open_discrepancies": str(after.open_discrepancies),
        },
    )
    return Change(
        audit, creates=(*transfers, *told, *alerts), advances=(after,), jobs=to_raise(*alerts)
    )


async def _close(ctx: Context, caller: Caller, settlement: Settlement, sums: Sums) -> Settlement:
    """Close a settlement of which nothing is left to see to; else it stays as it is."""
    row = await own_row(ctx, settlement)
    resolved = await _rest_is_resolved(ctx, settlement, sums, row)
    if not may_close(settlement, row, rest_is_resolved=resolved):
        return settlement
    transfers = await _transfers(ctx, settlement, sums, closes=True)
    now = ctx.now()
    closed = advanced(settlement, now, closed_at=now)
    audit = ctx.audit(
        caller, Action.SETTLEMENT_CONCLUDE, settlement_subject(closed), details={"closed": "true"}
    )
    change = Change(audit, creates=tuple(transfers), advances=(closed,))
    return closed if isinstance(await ctx.door.commit(change), Committed) else settlement


async def _rest_is_resolved(ctx: Context, settlement: Settlement, sums: Sums, row: OwnRow) -> bool:
    """Whether a person has resolved what the lines leave of the amount, as large as it is now."""
    rest = [await latest_discrepancy(ctx, found) for found in rest_of(settlement, sums, row)]
    resolved = [found for found in rest if found and found.status is DiscrepancyStatus.RESOLVED]
    return bool(rest) and len(resolved) == len(rest)


async def _wait_again(ctx: Context, caller: Caller, settlement: Settlement) -> None:
    """Lines were written while they were summed: they are summed once more."""
    after = advanced(settlement, ctx.now(), matching=Matching.WAITING, concluded_at=None)
    audit = ctx.audit(caller, Action.SETTLEMENT_READ_LINES, settlement_subject(after))
    await ctx.door.commit(Change(audit, advances=(after,)))


async def _transfers(
    ctx: Context, settlement: Settlement, sums: Sums, *, closes: bool = False
) -> list[AccountTransfer]:
    def id_of(name: str) -> str:
        seed = length_prefixed("account_transfer", name)
        return id_from(PREFIXES["account_transfer"], ctx.index.name(seed))

    posted = await ctx.settlements.transfers_of(settlement.id)
    return postings(settlement, sums, posted, ctx.now(), id_of, closes=closes)


async def _discrepancies_of(ctx: Context, settlement: Settlement) -> list[Discrepancy]:
    """The open discrepancies of a settlement.

    Raises:
        Unreadable, Outdated: one cannot be read: nothing can be said of it.
    """
    found: list[Discrepancy] = []
    after = None
    while True:
        stretch = await ctx.settlements.discrepancies_of(ACCOUNT, settlement.id, after, _PAGE)
        if stretch.unread:
            raise stretch.unread[0]
        found += [each for each in stretch.records if each.status is DiscrepancyStatus.OPEN]
        if stretch.last is None:
            return found
        after = stretch.last


async def _open_kinds(ctx: Context, settlement: Settlement) -> Mapping[str, int]:
    """How many of each kind are open, but for the failed payout itself, which has its own alert."""
    kinds = Counter(str(each.kind) for each in await _discrepancies_of(ctx, settlement))
    kinds.pop(DiscrepancyKind.PAYOUT_FAILED, None)
    return kinds
