"""Go through records of ours, from where the round stands, until there is no time for more."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from paygate.domain.reconciliation.run import Place, Stage
from paygate.flows.reconciliation.report import Report
from paygate.flows.sweep import Crew, Faults
from paygate.storage.pages import Place as Key
from paygate.storage.pages import Stretch

AT_ONCE: Final = 25
"""At 100 ms a call 250 a second, above any pace."""
PAGE: Final = 200

Late = Callable[[], bool]
"""Whether there is no time for more."""


One = Callable[[Any], Coroutine[Any, Any, object] | None]
"""The work on a record; None when there is none."""


async def go_through(
    report: Report,
    stage: Stage,
    read: Callable[[Key | None, int], Awaitable[Stretch[Any]]],
    one: One,
    late: Late,
    *,
    part: str = "",
) -> bool:
    """Work on the records that `read` gives in the order of merchant and id; False when there was
    no time for all. `part` names them among others of the stage. Work that fails is told as a fault
    of the stage, and holds up no other.
    """
    stands = report.run.place.after
    after: Key | None = stands[1:] if stands is not None and stands[0] == part else None
    while True:
        stretch = await read(after, PAGE)
        for fault in stretch.unread:
            await report.unreadable(fault)
        done = await _work_on(report, stage, stretch.records, one, late)
        whole = done == len(stretch.records)
        if whole and stretch.last is not None:
            after = stretch.last
        elif done:
            after = (stretch.records[done - 1].merchant, stretch.records[done - 1].id)
        if after is not None:
            merchant, record_id = after
            await report.advance(Place(stage, after=(part, merchant, record_id)))
        if whole and stretch.last is None:
            return True
        if late():
            return False


async def _work_on(
    report: Report, stage: Stage, records: Sequence[Any], one: One, late: Late
) -> int:
    """How many of the records were worked on until it was late: one at least."""
    done, faults = 0, Faults()
    async with Crew(AT_ONCE, faults) as crew:
        for record in records:
            if done and late():
                break
            done += 1
            report.looked_at(stage)
            if (work := one(record)) is not None:
                await crew.take(work)
    await report.told(stage, faults)
    return done
