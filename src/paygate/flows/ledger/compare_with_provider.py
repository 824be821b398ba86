"""Compare the payments that we recorded with the provider's own list, in both directions: whatever
the provider took or holds must be recorded, and whatever is recorded must be at the provider.

A payment is ours by its recorded id first, whatever its metadata say by now, and by its metadata
second. The list is read in windows of time, and a difference is a suspect: both sides are read
again, by id, before it counts, because payments go on while the list is read.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from paygate.domain.ledger import (
    NO_MONEY,
    Mismatch,
    Money,
    check_payment,
    money_at_provider,
    money_recorded,
    needs_payment,
)
from paygate.domain.payments.outcome import Answer, Unknown
from paygate.flows.context import Context, Patience
from paygate.flows.ledger.report_mismatch import MOST_NAMED, Findings, Progress
from paygate.flows.payments.attempt.begin import IN_DOUBT
from paygate.flows.provider.lists import FIRST_WINDOW, next_length, pages_created
from paygate.providers.absence import Absent, ProviderSilent
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.whole_ledger import IntentBooks, LedgerSession, Recorded

PAGE: Final = 100
AT_ONCE: Final = 10
"""Suspects looked at side by side."""
SILENT_IN_A_ROW: Final = 3
"""Unanswered windows, or rounds of suspects, after which the provider is taken to be down."""
LOOKS_AGAIN_AFTER_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between looks at what differs and may have moved just now: half a minute in all, for all
of it together. An event that is on its way is applied here by then, on a machine that is busy too.
"""

_Span = tuple[datetime, datetime]


class NotCompared(msgspec.Struct, frozen=True):
    """A part that was not compared: a span of the provider's time, or some of our payments or
    payouts.
    """

    why: str
    since: datetime | None = None
    until: datetime | None = None
    payments: int | None = None
    payouts: int | None = None


class _Suspect(NamedTuple):
    """A payment that both sides are to be read again for. `owners` are the intents that record it;
    `marks` are the merchant and the attempt that its metadata name, and `listed` is what the list
    said of it.
    """

    reference: str | None
    owners: tuple[tuple[str, str], ...]
    marks: tuple[str, str] | None = None
    listed: Money | None = None


class _Verdict(NamedTuple):
    """A mismatch that a second look found; `passes` when it may be gone in a moment."""

    merchant: str
    mismatch: Mismatch
    passes: bool


class _NotShown(Exception):
    """The provider did not say how a payment stands."""


def recorded_payments(ctx: Context, books: IntentBooks) -> Iterator[Recorded]:
    """The provider's payments that an intent and its attempts record, to be remembered."""
    intent = books.intent
    if intent is None:
        return
    references = {a.provider_reference for a in books.attempts} | {intent.provider_reference}
    for reference in references - {None}:
        assert reference is not None
        pays = reference == intent.provider_reference
        yield Recorded(
            reference_index=_index(ctx, reference),
            merchant=intent.merchant,
            intent=intent.id,
            agrees_as=_agreement(ctx, reference, money_recorded(intent, reference)),
            paid_by=pays and bool(intent.amount_received),
            expected=pays and needs_payment(intent),
            created_at=intent.created_at,
            updated_at=intent.updated_at,
        )


class Comparison:
    """One comparison of all that `books` remember with the provider."""

    def __init__(
        self, ctx: Context, books: LedgerSession, findings: Findings, progress: Progress
    ) -> None:
        self._ctx = ctx
        self._books = books
        self._findings = findings
        self._progress = progress
        self._payments = 0
        self._gaps: list[_Span] = []
        self._not_shown = 0
        self._silent_rounds = 0
        self._moving: list[_Suspect] = []
        """Those that differ, and may agree in a moment."""

    async def compare(
        self, since: datetime, until: datetime, clocks: timedelta
    ) -> tuple[int, list[NotCompared]]:
        """How many payments of ours the provider listed, and what could not be compared."""
        broken_off = await self._compare_windows(since, until, since, until)
        # Once more, after all else: an outage has had time to pass.
        self._gaps = [
            gap for span in broken_off for gap in await self._compare_windows(*span, since, until)
        ]
        await self._ask_for_what_was_not_listed(clocks)
        await self._look_at_what_moves()
        why = "the provider's list could not be read"
        not_compared = [NotCompared(why, since=s, until=u) for s, u in sorted(self._gaps)]
        if self._not_shown:
            why = "the provider did not say how these payments stand"
            not_compared.append(NotCompared(why, payments=self._not_shown))
        return self._payments, not_compared

    async def _compare_windows(
        self, since: datetime, until: datetime, first: datetime, last: datetime
    ) -> list[_Span]:
        """Read the list from `since` to `until`, and return the spans that could not be read."""
        gaps: list[_Span] = []
        length, at, silent = FIRST_WINDOW, since, 0
        while at <= until:
            end = min(at + length, until)
            try:
                listed = await self._compare_window(at, end)
            except ProviderSilent:
                silent += 1
                if silent == SILENT_IN_A_ROW:
                    return _joined([*gaps, (at, until)])
                gaps.append((at, end))
            else:
                silent = 0
                length = next_length(length, listed)
            at = end + timedelta(seconds=1)
            self._progress("provider's payments", (end - first) / (last - first), 1.0)
        return _joined(gaps)

    async def _compare_window(self, since: datetime, until: datetime) -> int:
        """Compare one window; returns how many payments were listed."""
        listed = ours = 0
        async with aclosing(pages_created(self._ctx, since, until)) as pages:
            async for page in pages:
                listed += len(page)
                ours += await self._compare_page(page)
        self._payments += ours
        return listed

    async def _compare_page(self, page: Sequence[Answer]) -> int:
        """Hold a page of the list against what is remembered; returns how many are ours."""
        by_index = {
            _index(self._ctx, answer.provider_reference): answer
            for answer in page
            if answer.provider_reference is not None
        }
        recorded: dict[bytes, list[Recorded]] = defaultdict(list)
        for one in await self._books.recorded_under(list(by_index)):
            recorded[one.reference_index].append(one)
        suspects, ours = [], 0
        for index, answer in by_index.items():
            owners = recorded.get(index, [])
            if not owners and answer.installation != self._ctx.installation:
                continue  # of somebody else who uses the same account
            ours += 1
            if not self._agrees(answer, owners):
                suspects.append(_suspect(answer, owners))
        await self._look_into(suspects)
        await self._books.note_listed(list(recorded))
        return ours

    def _agrees(self, answer: Answer, owners: Sequence[Recorded]) -> bool:
        theirs = money_at_provider(answer)
        if not owners:
            return theirs == NO_MONEY
        if sum(owner.paid_by for owner in owners) > 1:
            return False
        assert answer.provider_reference is not None
        agreed = _agreement(self._ctx, answer.provider_reference, theirs)
        return all(owner.agrees_as == agreed for owner in owners)

    async def _ask_for_what_was_not_listed(self, clocks: timedelta) -> None:
        """The other direction: look into payments that the provider must have, and did not list."""
        suspects: list[_Suspect] = []
        async for one in self._books.not_listed():
            made = (one.created_at - clocks, one.updated_at + clocks)
            if any(since <= made[1] and made[0] <= until for since, until in self._gaps):
                continue  # it may be in the part that could not be read
            suspects.append(_Suspect(None, ((one.merchant, one.intent),)))
            if len(suspects) == PAGE:
                await self._look_into(suspects)
                suspects = []
        await self._look_into(suspects)

    async def _look_at_what_moves(self) -> None:
        """Look at what may agree in a moment until it does, or had time to, and report the rest."""
        for number, seconds in enumerate(LOOKS_AGAIN_AFTER_SECONDS, start=1):
            if not self._moving:
                return
            self._progress("payments that moved just now", number, len(LOOKS_AGAIN_AFTER_SECONDS))
            await asyncio.sleep(seconds)
            moving, self._moving = self._moving, []
            last = number == len(LOOKS_AGAIN_AFTER_SECONDS)
            await self._look_into(moving, may_move=not last)

    async def _look_into(self, suspects: Sequence[_Suspect], *, may_move: bool = True) -> None:
        """Read both sides of each suspect again, and report what still differs; what may agree in
        a moment is set aside, if it may move still.
        """
        for at in range(0, len(suspects), AT_ONCE):
            several = suspects[at : at + AT_ONCE]
            if self._findings.full(len(several)):
                continue
            if self._silent_rounds == SILENT_IN_A_ROW:
                self._not_shown += len(several)
                continue
            looks = await asyncio.gather(*map(self._look, several))
            unclear = sum(isinstance(look, _NotShown) for look in looks)
            self._not_shown += unclear
            self._silent_rounds = self._silent_rounds + 1 if unclear == len(several) else 0
            for suspect, look in zip(several, looks, strict=True):
                if not isinstance(look, _Verdict):
                    continue
                if look.passes and may_move and len(self._moving) < MOST_NAMED:
                    self._moving.append(suspect)
                else:
                    await self._findings.report(look.merchant, look.mismatch)

    async def _look(self, suspect: _Suspect) -> _Verdict | _NotShown | None:
        try:
            return await self._second_look(suspect)
        except _NotShown as not_shown:
            return not_shown

    async def _second_look(self, suspect: _Suspect) -> _Verdict | None:
        """The mismatch that is left after both sides were read again. Raises `_NotShown`."""
        owners = await self._owners(suspect)
        if owners and _agrees_by_now(suspect, owners):
            return None
        patience = Patience("a payment kept changing while it was compared")
        while True:
            reference = suspect.reference or _reference(owners)
            if reference is None:
                return None
            answer = await self._ask(reference)
            before, owners = owners, await self._owners(suspect)
            if before == owners:
                return _judge(reference, answer, owners, suspect.marks)
            if not await patience.lasts():
                return None  # it is in somebody's hands, and the next run sees how it ended

    async def _owners(self, suspect: _Suspect) -> list[IntentBooks]:
        """The intents that the payment belongs to, as they stand now: those that record it, or the
        one whose attempt it names.
        """
        if suspect.owners:
            return [await self._books.of(*owner) for owner in suspect.owners]
        named = None
        if suspect.marks is not None:
            named = await self._books.of_attempt(*suspect.marks)
        return [] if named is None else [named]

    async def _ask(self, reference: str) -> Money | None:
        """What the provider has of a payment; None when it has no such payment.

        Raises `_NotShown`.
        """
        await self._ctx.pace.turn()
        timeout = self._ctx.policy.provider_timeout_seconds
        answer = await self._ctx.provider.retrieve(reference, timeout_seconds=timeout)
        if isinstance(answer, Absent):
            return None
        if isinstance(answer.outcome, Unknown):
            raise _NotShown
        return money_at_provider(answer)


def _agrees_by_now(suspect: _Suspect, owners: Sequence[IntentBooks]) -> bool:
    """Whether what was listed is what we have by now: most suspects were only made, or moved, after
    our own records were read, and cost no call.
    """
    if suspect.reference is None or suspect.listed is None:
        return False
    return _judge(suspect.reference, suspect.listed, owners, suspect.marks) is None


def _judge(
    reference: str,
    theirs: Money | None,
    owners: Sequence[IntentBooks],
    marks: tuple[str, str] | None,
) -> _Verdict | None:
    """The mismatch of a payment, if any, after both sides were read again."""
    if not owners:
        return _of_nobody(reference, theirs or NO_MONEY, marks)
    intents = [books.intent for books in owners if books.intent is not None]
    paid_by = [i for i in intents if i.provider_reference == reference and i.amount_received]
    if len(paid_by) > 1:
        said = f"{reference} pays for another payment intent as well: {paid_by[1].id}"
        return _Verdict(paid_by[0].merchant, Mismatch(paid_by[0].id, said), passes=False)
    for books in owners:
        in_doubt = any(attempt.state in IN_DOUBT for attempt in books.attempts)
        if books.intent is None or books.unreadable or in_doubt:
            continue  # told already, or the sweep asks what became of it
        mismatch = check_payment(books.intent, reference, theirs)
        if mismatch is not None:
            # An event is on the way of what was just taken, or just given back.
            passes = theirs is not None and (
                not books.intent.amount_received or theirs.taken == books.intent.amount_received
            )
            return _Verdict(books.merchant, mismatch, passes)
    return None


def _of_nobody(reference: str, theirs: Money, marks: tuple[str, str] | None) -> _Verdict | None:
    """The mismatch of a payment that we have no record of, though its metadata say it is ours."""
    if theirs == NO_MONEY:
        return None
    merchant, attempt = marks or (DEFAULT_MERCHANT, reference)
    did = f"took {theirs.taken}" if theirs.taken else f"holds {theirs.held}"
    said = f"the provider {did} for a payment that we do not know: {reference}"
    return _Verdict(merchant, Mismatch(attempt, said), passes=False)


def _suspect(answer: Answer, owners: Sequence[Recorded]) -> _Suspect:
    recorded = tuple((owner.merchant, owner.intent) for owner in owners)
    marks = None
    if answer.attempt is not None:
        marks = (answer.merchant or DEFAULT_MERCHANT, answer.attempt)
    listed = None if isinstance(answer.outcome, Unknown) else money_at_provider(answer)
    return _Suspect(answer.provider_reference, recorded, marks, listed)


def _reference(owners: Sequence[IntentBooks]) -> str | None:
    """The payment of an intent that was found without one."""
    intent = owners[0].intent if owners else None
    return None if intent is None else intent.provider_reference


def _joined(spans: Sequence[_Span]) -> list[_Span]:
    """The same spans, neighbours made one."""
    joined: list[_Span] = []
    for since, until in spans:
        if joined and since - joined[-1][1] <= timedelta(seconds=1):
            joined[-1] = (joined[-1][0], until)
        else:
            joined.append((since, until))
    return joined


def _index(ctx: Context, reference: str) -> bytes:
    """The keyed hash that a run remembers a provider's payment by, whoever's it is."""
    return ctx.index.name_of("", "ledger_reference", reference)


def _agreement(ctx: Context, reference: str, money: Money) -> bytes:
    """A keyed hash that two sides share when they say the same of a payment."""
    text = f"ledger:{money.taken}:{money.held}:{money.given_back}:{reference}"
    return ctx.index.name(text.encode())
