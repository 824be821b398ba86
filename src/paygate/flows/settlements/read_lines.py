"""Read lines into a settlement: matched with our records page by page, and each stored once,
whoever brings it and however often. To go on after a crash is to read them again.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec.structs import replace

from paygate.crypto.encoding import length_prefixed
from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.ids import PREFIXES, id_from
from paygate.domain.settlements.known_line import differences
from paygate.domain.settlements.line import LinePage, SettlementLine
from paygate.domain.settlements.match import match_page
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.report_import import LineRefusal
from paygate.domain.settlements.settlement import Matching, Settlement, advanced
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience
from paygate.flows.settlements.offer import with_candidates
from paygate.flows.settlements.our_side import ACCOUNT, our_side, terms_of
from paygate.storage.change import Change, StorageError
from paygate.storage.settlements.pages import Spot, Written

ELSEWHERE: Final = "a line of another payout's settlement is known by this reference"
OTHER_SOURCE: Final = (
    "its payout has its lines from elsewhere, and from one source alone: the provider, or reports"
    " with ids of their own"
)
_PREFIX: Final = PREFIXES["settlement_line"]
KEPT_CHANGING: Final = "others kept writing lines of a settlement"


class NotTaken(NamedTuple):
    """A line that is not taken, by its place among those that were brought, and why."""

    place: int
    code: LineRefusal
    message: str


class PageRead(NamedTuple):
    """What became of a page's lines. All that it had are one of the four, or not taken."""

    new: int
    known: int
    """They were written before, in this settlement, and are the same."""
    elsewhere: int
    """They were written before, in another settlement: a line is in one."""
    held: int
    """A record of ours that they name cannot be read. They are left out, people are told, and the
    settlement is not concluded before they are read again."""
    not_taken: tuple[NotTaken, ...] = ()
    """Those that are known otherwise, and of a report those of another payout or source."""


class SettlementClosed(Exception):
    """Lines are new to a settlement that is closed: it stays as it is."""

    def __init__(self, lines: Sequence[Line], read: PageRead) -> None:
        """`lines` are those that it does not have, `read` is what became of the others."""
        super().__init__(f"{len(lines)} lines are new to a settlement that is closed")
        self.lines = lines
        self.read = read


def settlement_subject(settlement: Settlement) -> Subject:
    """A settlement, as the audit log names it."""
    return Subject("settlement", settlement.id)


def line_id(ctx: Context, provider_reference: str, occurrence: int = 1) -> str:
    """Our id of a line on the provider's balance: a keyed hash of the provider's own. One that was
    withdrawn with its report, and is brought again, is another occurrence.
    """
    again = () if occurrence == 1 else (str(occurrence),)
    name = _line_head(ctx.provider.name) + length_prefixed(provider_reference, *again)
    return id_from(_PREFIX, ctx.index.name(name))


@cache
def _line_head(provider: str) -> bytes:
    return length_prefixed("settlement_line", provider)


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


class Bringer(NamedTuple):
    """Who brings lines."""

    settlement_import: str | None = None
    """The report; None: the provider tells them."""
    lane: Lane = Lane()
    adds: bool = True
    """Whether lines that are new are taken; else the others are compared, and that is all."""


PROVIDER: Final = Bringer()


async def read_page(
    ctx: Context,
    caller: Caller,
    settlement: Settlement,
    lines: Sequence[Line],
    bringer: Bringer = PROVIDER,
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
    brought = _brought(ctx, settlement, lines)
    while True:
        asked, likely_new = not (likely_new and bringer.adds), False
        if asked:
            brought, written = await _as_written(ctx, brought)
            found = await _compared(ctx, settlement, brought, written, bringer)
        else:
            found = _Compared()
        fresh = {known: line for known, line in brought.named.items() if known not in found.written}
        if not bringer.adds:
            return _page_read(brought, found, not_taken=list(fresh))
        ours = await our_side(ctx, list(fresh.values()))
        for fault in ours.unread:
            await report_unreadable(ctx, caller, fault)
        kept = {
            known: line
            for place, (known, line) in enumerate(fresh.items())
            if place not in ours.held
        }
        read = _page_read(brought, found, new=len(kept), held=len(fresh) - len(kept))
        if not kept:
            return read
        ids = {line.provider_reference: known for known, line in kept.items()}
        by_id = match_page(list(kept.values()), ours.known, terms_of(ctx), ids.__getitem__)
        matched = await with_candidates(ctx, caller, by_id)
        match await _write(ctx, settlement, matched, bringer):
            case Written.WRITTEN:
                return read
            case Written.NOT_WAITING if asked:
                if not await _reopen(ctx, caller, settlement):
                    raise SettlementClosed(tuple(kept.values()), read._replace(new=0))
            case Written.NOT_WAITING | Written.TAKEN:
                pass
        await patience.pause()


class _Brought(NamedTuple):
    """Lines as they were brought, each of them once."""

    named: Mapping[str, Line]
    """By our ids."""
    places: Mapping[str, int]
    repeated: int
    unlike: tuple[NotTaken, ...]
    """Those that were brought twice, the second time otherwise."""


class _Compared(NamedTuple):
    """What is known of lines that were brought."""

    written: Mapping[str, Spot] = MappingProxyType({})
    elsewhere: int = 0
    not_taken: tuple[NotTaken, ...] = ()


def _brought(ctx: Context, settlement: Settlement, lines: Sequence[Line]) -> _Brought:
    named: dict[str, Line] = {}
    places: dict[str, int] = {}
    unlike: list[NotTaken] = []
    for place, told in enumerate(lines):
        line = _as_listed(settlement, told)
        known = line_id(ctx, line.provider_reference)
        if known not in named:
            named[known], places[known] = line, place
        elif names := differences(named[known], line):
            unlike.append(_unlike(place, names))
    return _Brought(named, places, len(lines) - len(named) - len(unlike), tuple(unlike))


async def _as_written(ctx: Context, brought: _Brought) -> tuple[_Brought, Mapping[str, Spot]]:
    """The lines by the ids that stand or are free, and where those that stand do."""
    written: dict[str, Spot] = {}
    named, places = dict(brought.named), dict(brought.places)
    asked, occurrence = list(named), 1
    while asked:
        occurrence += 1
        placed = await ctx.settlement_pages.placed(ACCOUNT, asked)
        written |= {known: spot for known, spot in placed.items() if spot is not None}
        asked = []
        for withdrawn in (known for known, spot in placed.items() if spot is None):
            line, place = named.pop(withdrawn), places.pop(withdrawn)
            again = line_id(ctx, line.provider_reference, occurrence)
            named[again], places[again] = line, place
            asked.append(again)
    return brought._replace(named=named, places=places), written


async def _compared(
    ctx: Context,
    settlement: Settlement,
    brought: _Brought,
    written: Mapping[str, Spot],
    bringer: Bringer,
) -> _Compared:
    """Which lines are known, and which of those otherwise than they were brought."""
    elsewhere = [spot.id for spot in written.values() if spot.settlement != settlement.id]
    here = sorted(
        (spot for spot in written.values() if spot.settlement == settlement.id),
        key=lambda spot: spot[2:],
    )
    not_taken = [
        _unlike(brought.places[known.id], names)
        async for known in ctx.settlement_pages.at(ACCOUNT, here)
        if (names := differences(known.said, brought.named[known.id]))
    ]
    if bringer.settlement_import is not None:
        not_taken += [
            NotTaken(brought.places[known], LineRefusal.ELSEWHERE, ELSEWHERE) for known in elsewhere
        ]
    return _Compared(written, len(elsewhere), tuple(not_taken))


def _page_read(
    brought: _Brought,
    found: _Compared,
    *,
    new: int = 0,
    held: int = 0,
    not_taken: Sequence[str] = (),
) -> PageRead:
    """What became of lines; `not_taken` are those that are new where none is added."""
    unlike = sum(1 for each in found.not_taken if each.code is LineRefusal.DIFFERS)
    alien = [
        NotTaken(brought.places[known], LineRefusal.OTHER_SOURCE, OTHER_SOURCE)
        for known in not_taken
    ]
    return PageRead(
        new=new,
        known=len(found.written) - found.elsewhere - unlike + brought.repeated,
        elsewhere=found.elsewhere,
        held=held,
        not_taken=(*brought.unlike, *found.not_taken, *alien),
    )


def _unlike(place: int, names: Sequence[str]) -> NotTaken:
    return NotTaken(place, LineRefusal.DIFFERS, f"known with another {' and '.join(names)}")


def _as_listed(settlement: Settlement, line: Line) -> Line:
    """The line as it is in this settlement: a payout's row may be another payout's."""
    own = line.source_reference in (None, settlement.provider_reference)
    if line.category is not LineCategory.PAYOUT or own:
        return line
    return replace(line, category=LineCategory.OTHER_PAYOUT)


async def _write(
    ctx: Context, settlement: Settlement, matched: Sequence[SettlementLine], bringer: Bringer
) -> Written:
    last = await ctx.settlement_pages.last(ACCOUNT, settlement.id)
    page = LinePage(
        id=settlement.id,
        merchant=ACCOUNT,
        version=bringer.lane.after(last),
        created_at=ctx.now(),
        lines=tuple(matched),
        settlement_import=bringer.settlement_import,
    )
    return await ctx.settlement_pages.write(page)


async def _reopen(ctx: Context, caller: Caller, settlement: Settlement) -> bool:
    """Have a settlement that was concluded wait for its lines once more; whoever comes first does.
    False when it is closed.
    """
    standing = await ctx.settlements.settlement(ACCOUNT, settlement.id)
    assert standing is not None, "settlements are never deleted"
    if not standing.is_open:
        return False
    if standing.matching is Matching.WAITING:
        return True
    waiting = advanced(standing, ctx.now(), matching=Matching.WAITING, concluded_at=None)
    audit = ctx.audit(caller, Action.SETTLEMENT_READ_LINES, settlement_subject(waiting))
    await ctx.door.commit(Change(audit, advances=(waiting,)))
    return True
