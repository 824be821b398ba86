"""Take a report back that was brought: one that was read by a wrong mapping, say. Its lines stay
where they are, and stand for nothing in every settlement that is open; what was posted of them is
reversed when the settlement is concluded anew. What is closed stays as it is.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.settlements.report_import import ImportStatus, SettlementImport, advanced
from paygate.domain.settlements.settlement import Settlement, without_report
from paygate.domain.settlements.settlement import advanced as settlement_advanced
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience
from paygate.flows.settlements.conclude import conclude
from paygate.flows.settlements.import_report import import_subject, released
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.read_lines import settlement_subject
from paygate.flows.settlements.upload_report import find_import
from paygate.jobs.messages import Job, SettlePayout
from paygate.storage.change import Change, Committed

_PAGE: Final = 100
_CHANGES: Final = "a settlement kept changing while a report was withdrawn"


async def withdraw_import(ctx: Context, caller: Caller, import_id: str) -> SettlementImport:
    """The import, withdrawn; the same when it was before. Safe after a crash at any step.

    Raises:
        Refusal: `resource_missing`; `state_conflict` while it is read, or when nothing of it is in
            an open settlement.
    """
    done = await find_import(ctx, caller, import_id)
    # An idempotency key is claimed with the first commit.
    asked = ctx.audit(caller, Action.SETTLEMENT_IMPORT_WITHDRAW, import_subject(done))
    if done.withdrawn_at is not None:
        await ctx.door.commit(Change(asked, response=done))
        return done
    if done.status is ImportStatus.RUNNING:
        raise Refusal(ErrorCode.STATE_CONFLICT, "this report is being read")
    still_open = await _still_open(ctx, done)
    if not still_open:
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            "nothing of this report is in an open settlement: what is closed stays as it is",
        )
    if not await _names_its_pages(ctx, done, still_open):
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            "this report was brought before it was written down which lines are whose, so that they"
            " cannot be told from others: explain or resolve the discrepancies of its settlements,"
            " and correct what is posted by an entry in your own books",
        )
    named = tuple(sorted(each.id for each in still_open))
    if done.settlements:
        await ctx.door.commit(Change(asked))
    else:  # named before any page goes, for by its pages they would not be found again
        done = advanced(done, ctx.now(), settlements=named)
        if not isinstance(await ctx.door.commit(Change(asked, advances=(done,))), Committed):
            return await withdraw_import(ctx, caller, import_id)  # somebody else has named them
    jobs = [await _withdraw(ctx, caller, done, each.id) for each in still_open]
    return await _withdrawn(ctx, caller, done, tuple(job for job in jobs if job is not None))


async def _still_open(ctx: Context, done: SettlementImport) -> list[Settlement]:
    """The open settlements that the report is in. An import that failed as it was read names none,
    though its lines are there: they are looked for in all that are open.

    Raises:
        Unreadable, Outdated: a settlement or a page cannot be read.
    """
    if done.settlements or done.status is not ImportStatus.FAILED:
        standing = [await ctx.settlements.settlement(ACCOUNT, each) for each in done.settlements]
        return [each for each in standing if each is not None and each.is_open]
    found: list[Settlement] = []
    after = None
    while True:
        stretch = await ctx.settlements.settlements_open(after, _PAGE)
        if stretch.unread:
            raise stretch.unread[0]
        found += [each for each in stretch.records if await _has_lines(ctx, each, done)]
        if (after := stretch.last) is None:
            return found


async def _names_its_pages(
    ctx: Context, done: SettlementImport, still_open: Sequence[Settlement]
) -> bool:
    """Whether the lines that the report brought can be told from others. Those of a version that
    did not write it down (before migration 0033) are on pages that name nobody, as the provider's
    are; they were written while it was read.
    """
    until = done.finished_at or done.updated_at
    nameless = False
    for each in still_open:
        async for page in ctx.settlement_pages.every(ACCOUNT, each.id, withdrawn=True):
            if page.settlement_import == done.id:
                return True
            is_its_time = done.created_at < page.created_at <= until
            nameless |= is_its_time and page.settlement_import is None
    return not nameless


async def _has_lines(ctx: Context, settlement: Settlement, done: SettlementImport) -> bool:
    pages = ctx.settlement_pages.every(ACCOUNT, settlement.id)
    async for page in pages:
        if page.settlement_import == done.id:
            return True
    return False


async def _withdraw(
    ctx: Context, caller: Caller, done: SettlementImport, settlement_id: str
) -> Job | None:
    """Withdraw the report's lines of a settlement, and conclude it anew; a worker does where the
    provider tells the lines.
    """
    patience = Patience(_CHANGES, seconds=CONCLUDING_SECONDS)
    while True:
        settlement = await ctx.settlements.settlement(ACCOUNT, settlement_id)
        assert settlement is not None, "settlements are never deleted"
        if not settlement.is_open:
            return None
        pages = ctx.settlement_pages.every(ACCOUNT, settlement_id)
        by_report = [(page.version, page.settlement_import == done.id) async for page in pages]
        left = any(not its for _, its in by_report)
        after = settlement_advanced(
            settlement, ctx.now(), **without_report(settlement, done.id, lines_left=left)
        )
        audit = ctx.audit(
            caller,
            Action.SETTLEMENT_IMPORT_WITHDRAW,
            settlement_subject(after),
            details={"settlement_import": done.id},
        )
        if isinstance(await ctx.door.commit(Change(audit, advances=(after,))), Committed):
            its = [version for version, its in by_report if its]
            await ctx.settlement_pages.withdraw(ACCOUNT, settlement_id, its)
            return await _again(ctx, caller, after)
        await patience.pause()


async def _again(ctx: Context, caller: Caller, settlement: Settlement) -> Job | None:
    if settlement.payout is not None and settlement.payout.itemised:
        return Job(SettlePayout(ACCOUNT, settlement.id))
    await conclude(ctx, caller, settlement.id)
    return None


async def _withdrawn(
    ctx: Context, caller: Caller, done: SettlementImport, jobs: tuple[Job, ...]
) -> SettlementImport:
    """The import as withdrawn, so that the same file may be brought again."""
    patience = Patience("an import kept changing", seconds=CONCLUDING_SECONDS)
    while True:
        now = ctx.now()
        after = advanced(done, now, withdrawn_at=now)
        after = msgspec.structs.replace(after, content_hash=released(ctx, after))
        audit = ctx.audit(caller, Action.SETTLEMENT_IMPORT_WITHDRAW, import_subject(after))
        change = Change(audit, advances=(after,), jobs=jobs, response=after)
        if isinstance(await ctx.door.commit(change), Committed):
            return after
        await patience.pause()
        done = await find_import(ctx, caller, done.id)
        if done.withdrawn_at is not None:
            return done
