"""Read the whole ledger: what every account holds, and whether it agrees with each payment intent
and with the provider's own list of payments.

A row put back from an old backup does open, but its sum no longer fits, which is found here.
Payments go on meanwhile, so a suspect is read again before any alert.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from paygate.domain import ledger
from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import AlertType
from paygate.domain.ledger import Balances, Mismatch
from paygate.domain.money import Currency
from paygate.flows.alerts.close import close_cleared
from paygate.flows.context import Context
from paygate.flows.ledger.check_settlements import SettlementChecks
from paygate.flows.ledger.compare_with_provider import (
    Comparison,
    NotCompared,
    recorded_payments,
)
from paygate.flows.ledger.report_mismatch import Findings, Progress
from paygate.flows.sweep import Sweep, every
from paygate.storage.change import Change
from paygate.storage.whole_ledger import IntentBooks, LedgerSession

PAGE: Final = 1000
CLOCKS: Final = timedelta(minutes=5)
"""The most that the provider's clock may be off ours."""


class Verified(NamedTuple):
    """The counts of a run, and what does not agree. `more` counts suspects beyond those that a run
    looks into; `not_compared` says of which part nothing is known.
    """

    transfers: int
    intents: int
    provider_payments: int
    mismatches: tuple[Mismatch, ...]
    more: int = 0
    not_compared: tuple[NotCompared, ...] = ()
    settlements: int = 0

    @property
    def agrees(self) -> bool:
        """Whether all was compared, and nothing differs."""
        return not (self.mismatches or self.more or self.not_compared)


def _unheard(_stage: str, _done: float, _total: float | None) -> None:
    return None


async def read_balances(ctx: Context, caller: Caller, *, progress: Progress = _unheard) -> Balances:
    """What every account of every merchant holds, by the transfers of payments and of payouts. What
    is posted meanwhile may be in it or not, each transfer whole.
    """
    await ctx.door.commit(Change(ctx.audit(caller, Action.LEDGER_READ)))
    totals: dict[tuple[str, Currency, ledger.Account], int] = {}
    read = 0
    async for transfer in every(ctx.read.transfers_after, PAGE):
        ledger.post(totals, transfer)
        read += 1
        if read % PAGE == 0:
            progress("transfers", read, None)
    async for posted in every(ctx.whole_tables.account_transfers_after, PAGE):
        ledger.post(totals, posted)
    return totals


async def verify_ledger(
    ctx: Context, caller: Caller, *, provider: bool = True, progress: Progress = _unheard
) -> Verified:
    """Compare intents, settlements, transfers and the provider, and raise an alert for each that
    disagrees.

    An outage of the provider ends nothing: what was found stays found, and `not_compared` says
    which part was not.
    """
    await ctx.door.commit(Change(ctx.audit(caller, Action.LEDGER_READ)))
    began = ctx.now()
    findings = Findings(ctx, caller)
    async with ctx.ledger.session() as books:
        own = _OwnBooks(ctx, books, findings)
        await own.read(progress, remember=provider)
        payments, not_compared = 0, list[NotCompared]()
        since = _earliest(own.first, await books.installed_at())
        if provider and since is not None:
            comparison = Comparison(ctx, books, findings, progress)
            # Bounds are whole seconds, as the provider's times are.
            since, until = since.replace(microsecond=0) - CLOCKS, ctx.now() + CLOCKS
            payments, not_compared = await comparison.compare(since, until, CLOCKS)
    checks = SettlementChecks(ctx, findings, provider=provider)
    await checks.check(progress)
    if checks.not_shown:
        why = "the provider did not tell of these payouts"
        not_compared = [*not_compared, NotCompared(why, payouts=checks.not_shown)]
    if provider and not not_compared and not findings.more:
        sweep = Sweep(ctx, "verify-ledger", caller.request_id)
        await close_cleared(ctx, sweep, AlertType.LEDGER_MISMATCH, findings.subjects, began)
    return Verified(
        own.transfers,
        own.intents,
        payments,
        tuple(findings.mismatches),
        findings.more,
        tuple(not_compared),
        checks.settlements,
    )


class _OwnBooks:
    """Our own records, each intent held against its transfers."""

    def __init__(self, ctx: Context, books: LedgerSession, findings: Findings) -> None:
        self._ctx = ctx
        self._books = books
        self._findings = findings
        self.intents = 0
        self.transfers = 0
        self.first: datetime | None = None

    async def read(self, progress: Progress, *, remember: bool) -> None:
        """Read and check all intents; `remember` which payments of the provider's they record."""
        async for found in self._books.ranges():
            for one in found:
                self.transfers += len(one.transfers)
                if one.intent is not None:
                    self.intents += 1
                    self.first = _earliest(self.first, one.intent.created_at)
                if _check(one) and not self._findings.full(1):
                    await self._look_again(one)
            if remember:
                await self._books.note_recorded(
                    recorded for one in found for recorded in recorded_payments(self._ctx, one)
                )
            progress("payment intents", self.intents, None)

    async def _look_again(self, suspect: IntentBooks) -> None:
        for mismatch in _check(await self._books.of(suspect.merchant, suspect.id)):
            await self._findings.report(suspect.merchant, mismatch)


def _check(books: IntentBooks) -> list[Mismatch]:
    """The mismatches of an intent with its own transfers."""
    if books.unreadable:
        unreadable = ", ".join(books.unreadable)
        return [Mismatch(books.id, f"altered, or not to be opened: {unreadable}")]
    if books.intent is not None:
        return ledger.check_intent(books.intent, books.transfers)
    whose = "transfers" if books.transfers else "attempts"
    return [Mismatch(books.id, f"its {whose} have no payment intent")]


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(filter(None, (one, other)), default=None)
