"""What the round before could not examine, asked for again by the provider's id: each round hands
on to the next what it holds, so that no list need be read again for it.
"""

from collections.abc import Coroutine
from functools import partial
from typing import Any

from paygate.domain.alert import AlertType
from paygate.domain.reconciliation.finding import Finding
from paygate.domain.reconciliation.run import Reconciliation, Stage
from paygate.flows.alerts.close import close_alert
from paygate.flows.reconciliation.go_through import Late, go_through
from paygate.flows.reconciliation.hold import Item, or_held
from paygate.flows.reconciliation.problems import UNEXAMINED
from paygate.flows.reconciliation.read_disputes import DISPUTES
from paygate.flows.reconciliation.read_events import EVENTS
from paygate.flows.reconciliation.read_payments import PAYMENTS
from paygate.flows.reconciliation.read_refunds import REFUNDS
from paygate.flows.reconciliation.report import Report, failed_in
from paygate.storage.pages import Cut
from paygate.storage.unreadable import Unreadable

LISTS = (EVENTS, PAYMENTS, REFUNDS, DISPUTES)
"""The provider's lists, in the order in which a round reads them."""
_BY_STAGE = {each.stage: each for each in LISTS}
_ROUNDS = 20


async def ask_held(report: Report, late: Late) -> bool:
    """Examine them, from where the round stands; False when there was no time for all."""
    rounds = await _rounds_before(report)
    place = report.run.place.after
    start = rounds.index(place[0]) if place and place[0] in rounds else 0
    for run_id in rounds[start:]:
        read = partial(report.ctx.reconciliations.held_by, report.run.merchant, run_id)
        one = partial(_one, report)
        if not await go_through(report, Stage.HELD, read, one, late, part=run_id):
            return False
    return True


async def _rounds_before(report: Report) -> list[str]:
    """The rounds whose findings no round has gone through: the last, and those before it as far as
    it had not gone through theirs. Of one that cannot be read nobody knows how far it came.
    """
    rounds: list[str] = []
    bound, more = report.run.id, True
    while more:
        page = await report.ctx.reconciliations.page(report.run.merchant, Cut(_ROUNDS, bound))
        unread = []
        for fault in page.unread:
            await report.unreadable(fault)
            unread += [fault.id] if isinstance(fault, Unreadable) else []
        for run in page.items:
            rounds += [each for each in unread if bound > each > run.id]
            rounds.append(run.id)
            if _went_through(run):
                return rounds
            bound = run.id
        more = page.has_more and bool(page.items)
    return rounds


def _went_through(run: Reconciliation) -> bool:
    """Whether a round came so far that it asked for what was held before it."""
    return run.since is not None and not failed_in(run, Stage.HELD)


def _one(report: Report, finding: Finding) -> Coroutine[Any, Any, object] | None:
    """The work on a finding; None when its object was examined."""
    return None if finding.again is None else _ask(report, finding)


async def _ask(report: Report, finding: Finding) -> None:
    again = finding.again
    assert again is not None, "it could not be examined"
    item = Item(
        again.of,
        str(finding.provider_reference),
        again.merchant,
        finding.payment_intent,
        again.at,
        asked_before=True,
    )
    if await or_held(report, item, _BY_STAGE[again.of].ask(report, finding)) and not report.dry:
        caller = report.caller(item.merchant)
        kind = AlertType.RECONCILIATION_DRIFT
        await close_alert(report.ctx, caller, kind, item.subject, UNEXAMINED)
