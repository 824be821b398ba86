"""Every payment of ours that is not at its end, asked for by its id: whatever its age, at a falling
rate, and whatever became of its events.
"""

import zlib
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.reconciliation.run import Cause, Reconciliation, Stage
from paygate.flows.reconciliation.examine import examine_asked
from paygate.flows.reconciliation.go_through import Late, go_through
from paygate.flows.reconciliation.hold import NotTold, or_held
from paygate.flows.reconciliation.read_payments import item_of
from paygate.flows.reconciliation.report import Report

STATUSES: Final = (Status.REQUIRES_ACTION, Status.PROCESSING, Status.REQUIRES_CAPTURE)
"""Those under way; who waits comes first. What is only created is not at the provider."""
_RATES: Final = (
    (timedelta(days=1), timedelta(0)),
    (timedelta(days=7), timedelta(hours=1)),
    (timedelta.max, timedelta(hours=6)),
)
"""How often a payment is asked for that has not moved for less than so long: in every round for a
day, hourly for a week, and never less than four times a day."""
_EPOCH: Final = 2**32


async def ask_open(report: Report, late: Late) -> bool:
    """Examine them, from where the round stands; False when there was no time for all."""
    place = report.run.place.after
    start = STATUSES.index(Status(place[0])) if place else 0
    for status in STATUSES[start:]:
        read = partial(report.ctx.reconciliations.of_status, status)
        one = partial(_one, report)
        if not await go_through(report, Stage.OPEN, read, one, late, part=status.value):
            return False
    return True


def _one(report: Report, intent: PaymentIntent) -> Coroutine[Any, Any, object] | None:
    """The work on a payment; None when the round does not ask for it."""
    known = intent.provider_reference
    if known is None or known in report.seen or not is_due(intent, report.run):
        return None
    return or_held(report, item_of(intent), _ask(report, intent))


async def _ask(report: Report, intent: PaymentIntent) -> None:
    with suppress(NotTold):  # it is asked for again because it is open
        await examine_asked(report, intent)


def is_due(intent: PaymentIntent, run: Reconciliation) -> bool:
    """Whether the round asks for a payment. Each has a time of its own within the hours, so that
    those of one day are not all asked for at once; a round that was left out is made up for.
    """
    if run.cause is Cause.PERSON or run.before is None:
        return True
    still = run.started_at - intent.updated_at
    every = next(every for age, every in _RATES if still < age)
    if not every:
        return True
    phase = every * (zlib.crc32(intent.id.encode()) / _EPOCH)
    return _turns(run.started_at, phase, every) > _turns(run.before, phase, every)


def _turns(at: datetime, phase: timedelta, every: timedelta) -> int:
    return int((at.timestamp() - phase.total_seconds()) // every.total_seconds())
