"""Every payment of ours that is not at its end, asked for by its id: whatever its age, at a falling
rate, and whatever became of its events.
"""

import zlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.reconciliation.run import Cause, Place, Reconciliation, Stage
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.reconciliation.examine import examine_asked
from paygate.flows.reconciliation.read_payments import OpenSeen
from paygate.flows.reconciliation.report import Report
from paygate.flows.sweep import Crew, Faults

AT_ONCE: Final = 25
"""At 100 ms a call 250 a second, above any pace."""
PAGE: Final = 200
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


async def ask_open(report: Report, seen: OpenSeen, late: Callable[[], bool]) -> bool:
    """Examine them, from where the round stands; False when there was no time for all.

    Raises:
        Exception: a payment tripped it up; the others were examined.
    """
    faults = Faults()
    place = report.run.place.after
    start = STATUSES.index(Status(place[0])) if place else 0
    for status in STATUSES[start:]:
        after = place[1:] if place and status == place[0] else None
        async for intents, last in _stretches(report, status, after):
            async with Crew(AT_ONCE, faults) as crew:
                for intent in intents:
                    known = intent.provider_reference
                    if known is None or known in seen or not is_due(intent, report.run):
                        continue
                    await crew.take(examine_asked(report, intent))
            await report.advance(Place(Stage.OPEN, after=(status.value, *last)))
            if late():
                return False
    faults.tell()
    return True


async def _stretches(
    report: Report, status: Status, after: tuple[str, ...] | None
) -> AsyncIterator[tuple[tuple[PaymentIntent, ...], tuple[str, str]]]:
    """The intents that stand so, and the key of the last one of each stretch."""
    read = partial(report.ctx.reconciliations.of_status, status)
    while True:
        stretch = await read(after, PAGE)
        for fault in stretch.unread:
            await report_unreadable(report.ctx, report.caller(), fault)
        if stretch.records:
            last = stretch.last or (stretch.records[-1].merchant, stretch.records[-1].id)
            yield stretch.records, (str(last[0]), str(last[1]))
        if stretch.last is None:
            return
        after = stretch.last


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
