"""A run over all payouts: those that the provider lists, those that are open here, what no payout
has, and what grows old. What trips one up holds up none of the others.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.outcome import Payout
from paygate.domain.settlements.settlement import Settlement
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.flows.settlements.open_discrepancy import JOB
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.problems import no_progress
from paygate.flows.settlements.settle import Settled, settle_again, settle_as_told
from paygate.flows.settlements.unsettled import Unsettled, find_unsettled
from paygate.flows.settlements.watch import tell_of_waiting, watch_discrepancies
from paygate.flows.sweep import Sweep
from paygate.providers.absence import ProviderSilent
from paygate.storage.pages import newest
from paygate.storage.settlements.reader import SettlementFilters

OVERLAP: Final = timedelta(days=35)
"""How far behind the newest payout that is known others are looked for once more: a payout may fail
weeks after it was paid, with no news of it, and a list may show one late."""
FIRST: Final = timedelta(days=3)
"""How long before the first payment of ours the first run begins."""
ASKED_FOR: Final = timedelta(days=60)
"""How long an open settlement is asked for again; older ones go on when a person decides."""
PAGE: Final = 100

Progress = Callable[[Settled], None]


def unheard(_: Settled) -> None:
    """For a run that nobody watches."""


class Ran(NamedTuple):
    """The counts of a run."""

    settled: int
    closed: int
    failed: int
    discrepancies: int
    unsettled: Unsettled


async def settle_payouts(ctx: Context, run_id: str, progress: Progress = unheard) -> Ran:
    """Bring every settlement as far as it goes now.

    Raises:
        Exception: the first fault that no record of ours explains, once all else is done.
    """
    run = _Run(ctx, run_id, progress)
    with run.sweep:
        await run.listed()
    with run.sweep:
        await run.open()
    unsettled = Unsettled(0, 0, 0, 0)
    with run.sweep:
        unsettled = await find_unsettled(ctx, run.sweep)
    discrepancies = 0
    with run.sweep:
        discrepancies = await watch_discrepancies(ctx, run.sweep)
    await run.tell()
    await run.sweep.end()
    return Ran(run.settled, run.closed, run.failed, discrepancies, unsettled)


class _Run:
    """What a run has done so far."""

    def __init__(self, ctx: Context, run_id: str, progress: Progress) -> None:
        self.sweep = Sweep(ctx, JOB, run_id)
        self.settled = self.closed = self.failed = 0
        self._ctx = ctx
        self._progress = progress
        self._seen: set[str] = set()
        self._why = ""

    async def listed(self) -> None:
        """The payouts that the provider lists: new ones, and those that stand otherwise."""
        ctx, now = self._ctx, self._ctx.now()
        since = await _since(ctx)
        if since is None:
            return
        payouts: list[Payout] = []
        timeout = ctx.policy.provider_timeout_seconds
        listed = ctx.provider.list_payouts_created(since, now + FIRST, timeout_seconds=timeout)
        try:
            await ctx.pace.turn()
            async for payout in listed:
                if isinstance(payout, Unknown):
                    self._has_failed(payout.message)
                    continue
                payouts.append(payout)
        except ProviderSilent:
            self._has_failed("the provider did not list its payouts")
            raise
        # What is told comes before what is guessed, and the older before the newer.
        for payout in sorted(payouts, key=lambda each: (not each.itemised, each.created_at)):
            if payout.livemode not in (None, ctx.provider.livemode):
                continue
            self._seen.add(payout.provider_reference)
            await self._settle(payout)

    async def open(self) -> None:
        """The settlements that are open here, and that the list did not show."""
        async for settlement in self.sweep.every(self._ctx.settlements.settlements_open, PAGE):
            if settlement.provider_reference not in self._seen and _is_young(self._ctx, settlement):
                await self._settle(settlement)

    async def _settle(self, of: Payout | Settlement) -> None:
        """Settle one; what trips it up is told, and the others go on."""
        ctx = self._ctx
        caller = self.sweep.caller(ACCOUNT)
        with self.sweep:
            try:
                if isinstance(of, Payout):
                    done = await settle_as_told(ctx, caller, of)
                else:
                    done = await settle_again(ctx, caller, of)
            except Exception as error:
                silent = isinstance(error, ProviderSilent)
                self._has_failed("the provider did not tell" if silent else type(error).__name__)
                await self._tell_of(of.provider_reference)
                raise
            self.settled += 1
            self.closed += done.settlement is not None and not done.settlement.is_open
            self._progress(done)
            if done.settlement is not None:
                await tell_of_waiting(ctx, self.sweep, done.settlement)

    async def _tell_of(self, provider_reference: str) -> None:
        settlement = await self._ctx.settlements.of_payout(provider_reference)
        if settlement is not None:
            await tell_of_waiting(self._ctx, self.sweep, settlement)

    def _has_failed(self, why: str) -> None:
        self.failed += 1
        self._why = self._why or why

    async def tell(self) -> None:
        """Tell people when there was work, and none of it could be done."""
        if self.failed and not self.settled:
            ctx, problem = self._ctx, no_progress(self._ctx.provider.name, self.failed, self._why)
            await raise_alert(ctx, self.sweep.caller(ACCOUNT), problem)


async def _since(ctx: Context) -> datetime | None:
    """From when on the provider's payouts are looked for; None while it has no payment of ours."""
    page = await ctx.settlements.settlements(ACCOUNT, newest("settlement", 1), SettlementFilters())
    made = [each.payout.created_at for each in page.items if each.payout is not None]
    if made:
        return min(made[0], ctx.now()) - OVERLAP
    first = await ctx.settlement_facts.first_confirmed()
    return None if first is None else first - FIRST


def _is_young(ctx: Context, settlement: Settlement) -> bool:
    return ctx.now() - settlement.created_at < ASKED_FOR
