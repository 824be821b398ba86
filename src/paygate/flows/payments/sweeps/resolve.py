"""Resolve attempts whose outcome nobody knows: a reply was lost, a process died, an event too.

A confirm is sent again for `PAYGATE_RESEND_WINDOW` after its first sending; later the confirm is
only looked up, for a charge that begins when the payer has left is a wrong charge. A capture or a
cancel is an order that stands, and is sent again while the provider knows its key.

Young attempts come first, and again and again while the run lasts: they can be sent again for two
minutes only. Older attempts are looked up one by one where the provider's id is known, and all
together in the provider's list where the id is not known (`look_up.py`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple

from paygate.domain.access.roles import Action, Caller
from paygate.domain.payments.attempt import Attempt, Operation
from paygate.domain.payments.outcome import Answer
from paygate.flows.context import Context
from paygate.flows.payments.attempt.conclude import conclude_attempt, fail_unsent
from paygate.flows.payments.attempt.work import take_up
from paygate.flows.payments.sweeps.ask_provider import MARGIN
from paygate.flows.payments.sweeps.look_up import Sought, look_up, sought
from paygate.flows.payments.sweeps.resolve_one import (
    MISSES_APART,
    NEVER_ARRIVED,
    Doubted,
    End,
    alert_unresolved,
    payer_is_there,
    resolve_as_found,
    resolve_as_missed,
    resolve_by_call,
)
from paygate.flows.provider.clock import (
    is_in_step,
    learn_the_time,
    provider_now,
    sent_again_at,
    sent_at,
)
from paygate.flows.restores.after_restore import windows_of
from paygate.flows.sweep import Crew, Sweep
from paygate.storage.restores import Restore

SENT_AT_ONCE: Final = 100
"""Attempts sent at once. While the provider hangs for 30 seconds a call, so many hang with it;
once it answers again, so many are sent in the time of one call."""
ASKED_AT_ONCE: Final = 25
"""Attempts looked up at once: a quarter, so that the young have most of the pace (250 a second at
100 ms a call)."""
PAGE: Final = 500
FOREVER: Final = datetime.max.replace(tzinfo=UTC)
"""The end of an open time: a sender's clock may be ahead of ours."""
SOUGHT_MOST: Final = 20_000
"""Attempts looked for in one reading of the list: some twenty megabytes of names and times."""
YOUNG_AGAIN_SECONDS: Final = 15.0
"""How often a run reads the young attempts again, so that even a long run meets each while it can
be sent again: from 35 seconds after its sending to two minutes."""
RUN_SECONDS: Final = 600.0
"""The time of a run. An attempt not begun by then is left to the next, which begins elsewhere."""


class Resolved(NamedTuple):
    """The count of a run's attempts, by what became of them."""

    resolved: int
    unresolved: int


async def resolve_attempts(ctx: Context, run_id: str) -> Resolved:
    """Find out what became of every attempt in doubt. Returns the counts of this run."""
    await learn_the_time(ctx)
    run = _Run(ctx, run_id)
    older = asyncio.create_task(run.older())
    try:
        ended = False
        while not ended:
            await run.young()
            ended = bool((await asyncio.wait({older}, timeout=YOUNG_AGAIN_SECONDS))[0])
        await older
    finally:
        older.cancel()
        await asyncio.gather(older, return_exceptions=True)
    await run.faults.end()
    return run.done()


class _Way(StrEnum):
    """How an attempt in doubt is resolved."""

    LATER = "later"
    """The attempt is in its sender's hands, or was looked for a short while ago."""
    BY_CALL = "by_call"
    BY_LIST = "by_list"


class _Run:
    """A run's place in time, and what it has done."""

    def __init__(self, ctx: Context, run_id: str) -> None:
        self._ctx = ctx
        self._until = asyncio.get_running_loop().time() + RUN_SECONDS
        self._patience = timedelta(seconds=ctx.policy.provider_timeout_seconds) + MARGIN
        """How long a sender may still wait for its answer."""
        self._called: set[str] = set()
        # By id: both halves of a run may meet the same attempt, which is counted by its end.
        self._resolved: set[str] = set()
        self._unresolved: set[str] = set()
        self._restored: Sequence[Restore] = ()
        self.faults = Sweep(ctx, "resolve-attempts", run_id)

    def done(self) -> Resolved:
        """The counts: each attempt once, by what became of it."""
        return Resolved(len(self._resolved), len(self._unresolved - self._resolved))

    async def young(self) -> None:
        """Resolve the attempts that can be sent again, each once in a run."""
        since = provider_now(self._ctx) - self._ctx.policy.resend_window
        async with Crew(SENT_AT_ONCE, self.faults) as crew:
            async for attempt in self._in_doubt(since, FOREVER):
                if self._way(attempt) is _Way.BY_CALL:
                    await self._call(attempt, crew)

    async def older(self) -> None:
        """Resolve all other attempts: those in doubt for days must not hide the younger."""
        self._restored = await self._ctx.restores.all()
        await self._fail_unsent()
        wanted: list[Sought] = []
        async with Crew(ASKED_AT_ONCE, self.faults) as crew:
            async for attempt in self._all_in_doubt():
                match self._way(attempt):
                    case _Way.LATER:
                        if not self._is_in_flight(attempt):
                            self._unresolved.add(attempt.id)
                    case _Way.BY_CALL:
                        await self._call(attempt, crew)
                    case _Way.BY_LIST:
                        wanted.append(self._sought(attempt))
                if len(wanted) == SOUGHT_MOST:
                    await self._look_up(wanted)
                    wanted = []
            await self._look_up(wanted)

    async def _all_in_doubt(self) -> AsyncIterator[Attempt]:
        """All attempts in doubt, from a random one on when there may be too many for a run, so that
        each has its turn.
        """
        start = None
        first = await self._ctx.read.attempts_in_doubt(FOREVER, None, PAGE)
        if first.last is not None and first.records:
            share = int.from_bytes(self._ctx.random_bytes(2), "big") / 2**16
            oldest = first.records[0].first_sent_at
            start = oldest + max(self._ctx.now() - oldest, timedelta(0)) * share
        async for attempt in self._in_doubt(start, FOREVER):
            yield attempt
        if start is not None:
            async for attempt in self._in_doubt(None, start):
                yield attempt

    async def _in_doubt(self, since: datetime | None, until: datetime) -> AsyncIterator[Attempt]:
        """Attempts first sent in that time, the oldest first, while there is time for more."""
        read = partial(self._ctx.read.attempts_in_doubt, until)
        start = None if since is None else (since, "", "")
        async for page in self.faults.stretches(read, PAGE, start):
            for attempt in page:
                if asyncio.get_running_loop().time() > self._until:
                    return
                yield attempt

    def _way(self, attempt: Attempt) -> _Way:
        """How to resolve an attempt, by what is known of it here."""
        now, again, missed = self._ctx.now(), sent_again_at(attempt), attempt.missed_at
        repeated = again is not None and provider_now(self._ctx) < again + self._patience
        if repeated or self._is_in_flight(attempt):
            return _Way.LATER
        confirms = attempt.operation is Operation.CONFIRM and not attempt.cancelling
        if not confirms or attempt.provider_reference or payer_is_there(self._ctx, attempt):
            return _Way.BY_CALL
        if missed is not None and now < missed + MISSES_APART:
            return _Way.LATER
        return _Way.BY_LIST

    def _is_in_flight(self, attempt: Attempt) -> bool:
        """Whether the first sender may still wait for an answer: there is no doubt yet."""
        return provider_now(self._ctx) <= sent_at(attempt) + self._patience

    async def _call(self, attempt: Attempt, crew: Crew) -> None:
        if attempt.id not in self._called:
            self._called.add(attempt.id)
            await crew.take(self._resolve(attempt))

    async def _resolve(self, attempt: Attempt) -> None:
        caller = self.faults.caller(attempt.merchant)
        doubted = Doubted(attempt.intent, attempt.id, attempt.operation, sent_at(attempt))
        await self._count(caller, doubted, resolve_by_call(self._ctx, caller, attempt))

    async def _look_up(self, wanted: list[Sought]) -> None:
        async def found(each: Sought, answer: Answer) -> None:
            caller = self.faults.caller(each.merchant)
            await self._count(
                caller, _doubted(each), resolve_as_found(self._ctx, caller, each, answer)
            )
            concluded.add(each.attempt)

        async def missing(each: Sought) -> None:
            caller = self.faults.caller(each.merchant)
            await self._count(caller, _doubted(each), resolve_as_missed(self._ctx, caller, each))

        concluded: set[str] = set()
        missed = await look_up(self._ctx, wanted, found, self.faults, self._until)
        async with Crew(SENT_AT_ONCE, self.faults) as crew:
            for each in wanted:
                if each.attempt in missed:
                    await crew.take(missing(each))
                elif each.attempt not in concluded:
                    # A part of the list could not be read: nothing is known of its attempts.
                    await crew.take(
                        self._count(self.faults.caller(each.merchant), _doubted(each), None)
                    )

    async def _count(
        self, caller: Caller, doubted: Doubted, resolving: Awaitable[End] | None
    ) -> None:
        """Count what becomes of an attempt, and raise an alert about one that stays in doubt."""
        end = End.IN_DOUBT
        with self.faults:
            if resolving is not None:
                end = await resolving
        met = self._resolved if end is End.RESOLVED else self._unresolved
        met.add(doubted.attempt)
        if end is End.IN_DOUBT:
            await alert_unresolved(self._ctx, caller, doubted)

    async def _fail_unsent(self) -> None:
        """Fail intents whose attempt was not sent and that nobody tries again. Where the sending is
        uncertain, the payment is looked for first.
        """
        before = self._ctx.now() - self._ctx.policy.resend_window
        read = partial(self._ctx.read.attempts_never_sent, before)
        doubtful: dict[str, Attempt] = {}
        with self.faults:
            async for page in self.faults.stretches(read, PAGE):
                uncertain = [each for each in page if self._is_uncertain(each)]
                doubtful |= {each.id: each for each in uncertain}
                await asyncio.gather(*map(self._fail, set(page) - set(uncertain)))
        if doubtful and is_in_step(self._ctx):
            await self._look_for_unsent(doubtful)

    def _is_uncertain(self, attempt: Attempt) -> bool:
        """Whether an attempt marked not sent may have been sent: by a proxy, before a restore."""
        return attempt.answered or bool(windows_of(self._restored, attempt))

    async def _look_for_unsent(self, doubtful: Mapping[str, Attempt]) -> None:
        async def found(each: Sought, answer: Answer) -> None:
            caller = self.faults.caller(each.merchant)
            with self.faults:
                action = Action.ATTEMPT_RESOLVE
                work = await take_up(self._ctx, caller, action, each.merchant, each.attempt)
                await conclude_attempt(self._ctx, work, answer)
                self._resolved.add(each.attempt)

        wanted = [self._sought(attempt) for attempt in doubtful.values()]
        missed = await look_up(self._ctx, wanted, found, self.faults, self._until)
        await asyncio.gather(*(self._fail(doubtful[name]) for name in missed))

    def _sought(self, attempt: Attempt) -> Sought:
        window, now = self._ctx.policy.resend_window, provider_now(self._ctx)
        return sought(attempt, window, now, windows_of(self._restored, attempt))

    async def _fail(self, attempt: Attempt) -> None:
        caller, action = self.faults.caller(attempt.merchant), Action.ATTEMPT_RESOLVE
        with self.faults:
            if await fail_unsent(self._ctx, caller, action, attempt, NEVER_ARRIVED):
                self._resolved.add(attempt.id)


def _doubted(each: Sought) -> Doubted:
    return Doubted(each.intent, each.attempt, Operation.CONFIRM, each.sent_at)
