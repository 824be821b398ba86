"""Report a mismatch of the ledger: told by an alert as soon as it is certain, so that nothing that
happens to the rest of the run takes it back, and kept for the run's report.
"""

from typing import Final

from paygate.domain.access.roles import Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.ledger import Mismatch
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context, intent_subject
from paygate.storage.installation import DEFAULT_MERCHANT

MOST_NAMED: Final = 1000
"""Mismatches that a run looks into and names. More are one cause, which a thousand show well
enough: other books, or none. The rest are counted, in memory that does not grow with them."""


class Findings:
    """What a run has found so far."""

    def __init__(self, ctx: Context, caller: Caller) -> None:
        self._ctx = ctx
        self._caller = caller
        self._reported: set[Mismatch] = set()
        self.mismatches: list[Mismatch] = []
        self.subjects: set[tuple[str, str]] = set()
        """Whom an alert was raised for: merchant and intent."""
        self.more = 0
        """How many suspects were not looked into any more."""

    def full(self, suspects: int) -> bool:
        """Whether so many suspects are counted only, for the run has named enough."""
        if len(self.mismatches) < MOST_NAMED:
            return False
        self.more += suspects
        return True

    async def report(self, merchant: str, mismatch: Mismatch) -> None:
        """Raise its alert, once a run."""
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
        subject=intent_subject(mismatch.intent),
        severity="critical",
        message=mismatch.what,
        what_to_do="Compare the payment's audit log with the provider's dashboard. If a backup was"
        " restored, look at what happened since it was made.",
    )
