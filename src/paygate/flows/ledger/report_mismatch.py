"""Report a mismatch of the ledger: by an alert as soon as the mismatch is certain, so that no later
fault of the run takes it back, and in the run's report.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from paygate.domain.access.roles import Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.ids import kind_of
from paygate.domain.ledger import Mismatch
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.storage.installation import DEFAULT_MERCHANT

MOST_NAMED: Final = 1000
"""Mismatches that a run looks into and names. More are one cause, which a thousand show well
enough: other books, or none. The rest are counted, in memory that does not grow with them."""


Progress: TypeAlias = Callable[[str, float, float | None], None]
"""Called now and then with what is read, how far, and of how much when that is known."""


class Findings:
    """The mismatches that a run has found so far."""

    def __init__(self, ctx: Context, caller: Caller) -> None:
        self._ctx = ctx
        self._caller = caller
        self._reported: set[Mismatch] = set()
        self.mismatches: list[Mismatch] = []
        self.subjects: set[tuple[str, str]] = set()
        """The merchants and intents that an alert was raised for."""
        self.more = 0
        """The count of suspects that were not looked into any more."""

    def full(self, suspects: int) -> bool:
        """Whether so many suspects are counted only, for the run has named enough."""
        if len(self.mismatches) < MOST_NAMED:
            return False
        self.more += suspects
        return True

    async def report(self, merchant: str, mismatch: Mismatch) -> None:
        """Raise the alert of a mismatch, once a run, and keep the mismatch for the report."""
        if mismatch in self._reported:
            return
        self._reported.add(mismatch)
        if await self._ctx.merchants.get(merchant) is None:
            merchant = DEFAULT_MERCHANT  # the provider's metadata name nobody whom we know
        caller = Caller(self._caller.actor, merchant, self._caller.request_id)
        await raise_alert(self._ctx, caller, _problem(mismatch))
        self.mismatches.append(mismatch)
        self.subjects.add((merchant, mismatch.intent))


def _problem(mismatch: Mismatch) -> Problem:
    return Problem(
        type=AlertType.LEDGER_MISMATCH,
        subject=Subject(kind_of(mismatch.intent) or "payment_intent", mismatch.intent),
        severity="critical",
        message=mismatch.what,
        what_to_do="Compare its audit log with the provider's dashboard. If a backup was restored,"
        " look at what happened since it was made.",
    )
