"""Read lines into a settlement: matched with our records page by page, and each stored once,
whoever brings it and however often. To go on after a crash is to read them again.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from paygate.crypto.encoding import length_prefixed
from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.ids import PREFIXES, id_from
from paygate.domain.settlements.line import LinePage, SettlementLine
from paygate.domain.settlements.match import match_page
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.settlement import Matching, Settlement, advanced
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience
from paygate.flows.settlements.offer import with_candidates
from paygate.flows.settlements.our_side import ACCOUNT, our_side, terms_of
from paygate.storage.change import Change, StorageError
from paygate.storage.settlements.pages import Written

KEPT_CHANGING: Final = "others kept writing lines of a settlement"


class PageRead(NamedTuple):
    """What became of a page's lines. All that it had are one of the four."""

    new: int
    known: int
    """They were written before, in this settlement."""
    elsewhere: int
    """They were written before, in another settlement: a line is in one."""
    held: int
    """A record of ours that they name cannot be read. They are left out, people are told, and the
    settlement is not concluded before they are read again."""


class SettlementClosed(Exception):
    """Lines are new to a settlement that is closed: it stays as it is."""

    def __init__(self, lines: Sequence[Line]) -> None:
        """`lines` are those that it does not have."""
        super().__init__(f"{len(lines)} lines are new to a settlement that is closed")
        self.lines = lines


def settlement_subject(settlement: Settlement) -> Subject:
    """A settlement, as the audit log names it."""
    return Subject("settlement", settlement.id)


def line_id(ctx: Context, provider_reference: str) -> str:
    """Our id of a line on the provider's balance: a keyed hash of the provider's own."""
    name = length_prefixed("settlement_line", ctx.provider.name, provider_reference)
    return id_from(PREFIXES["settlement_line"], ctx.index.name(name))


class Lane(NamedTuple):
    """Which numbers a writer gives to pages: every `lanes`-th, from `place` on. Writers that have
    lanes of their own are not in each other's way.
    """

    place: int = 0
    lanes: int = 1

    def after(self, last: int) -> int:
        """The next number of this lane."""
        first = last + 1
        return first + (self.place - first) % self.lanes


ALONE: Final = Lane()


async def read_page(
    ctx: Context,
    caller: Caller,
    settlement: Settlement,
    lines: Sequence[Line],
    lane: Lane = ALONE,
    *,
    likely_new: bool = False,
) -> PageRead:
    """Match lines of a settlement, `LINES_A_PAGE` at most, and write those that are new. Which of
    them are known is asked first, or only when writing has found one, where they are `likely_new`.

    Raises:
        SettlementClosed: some are new to it, and it is closed.
        StorageError: others kept writing lines of it.
    """
    patience = Patience(KEPT_CHANGING, end=StorageError, seconds=CONCLUDING_SECONDS)
    said = [_as_listed(settlement, line) for line in lines]
    named = {line_id(ctx, line.provider_reference): line for line in said}
    twice = len(lines) - len(named)
    while True:
        asked, likely_new = not likely_new, False
        written = await ctx.settlement_pages.known(ACCOUNT, list(named)) if asked else {}
        here = sum(1 for where in written.values() if where == settlement.id)
        fresh = {known: line for known, line in named.items() if known not in written}
        ours = await our_side(ctx, list(fresh.values()))
        for fault in ours.unread:
            await report_unreadable(ctx, caller, fault)
        kept = {
            known: line
            for place, (known, line) in enumerate(fresh.items())
            if place not in ours.held
        }
        read = PageRead(
            new=len(kept),
            known=here + twice,
            elsewhere=len(written) - here,
            held=len(fresh) - len(kept),
        )
        if not kept:
            return read
        ids = {line.provider_reference: known for known, line in kept.items()}
        by_id = match_page(list(kept.values()), ours.known, terms_of(ctx), ids.__getitem__)
        matched = await with_candidates(ctx, caller, by_id)
        match await _write(ctx, settlement, matched, lane):
            case Written.WRITTEN:
                return read
            case Written.NOT_WAITING if asked:
                await _reopen(ctx, caller, settlement, kept)
            case Written.NOT_WAITING | Written.TAKEN:
                pass
        await patience.pause()


def _as_listed(settlement: Settlement, line: Line) -> Line:
    """The line as it is in this settlement: a payout's row may be another payout's."""
    own = line.source_reference in (None, settlement.provider_reference)
    if line.category is not LineCategory.PAYOUT or own:
        return line
    return replace(line, category=LineCategory.OTHER_PAYOUT)


async def _write(
    ctx: Context, settlement: Settlement, matched: Sequence[SettlementLine], lane: Lane
) -> Written:
    count = await ctx.settlement_pages.count(ACCOUNT, settlement.id)
    page = LinePage(
        id=settlement.id,
        merchant=ACCOUNT,
        version=lane.after(count.last),
        created_at=ctx.now(),
        lines=tuple(matched),
    )
    return await ctx.settlement_pages.write(page)


async def _reopen(
    ctx: Context, caller: Caller, settlement: Settlement, fresh: Mapping[str, Line]
) -> None:
    """Have a settlement that was concluded wait for its lines once more; whoever comes first does.

    Raises:
        SettlementClosed: it is closed.
    """
    standing = await ctx.settlements.settlement(ACCOUNT, settlement.id)
    assert standing is not None, "settlements are never deleted"
    if not standing.is_open:
        raise SettlementClosed(tuple(fresh.values()))
    if standing.matching is Matching.WAITING:
        return
    waiting = advanced(standing, ctx.now(), matching=Matching.WAITING, concluded_at=None)
    audit = ctx.audit(caller, Action.SETTLEMENT_READ_LINES, settlement_subject(waiting))
    await ctx.door.commit(Change(audit, advances=(waiting,)))
