"""The provider's own list of events, through the same inbox as its deliveries: what was never
delivered is received now, and what was is known by its id.
"""

from typing import Final

from paygate.domain.reconciliation.finding import Finding, FindingKind
from paygate.domain.reconciliation.run import Stage
from paygate.flows.provider.lists import pages_of_events
from paygate.flows.provider_events.receive import name_of, receive_listed_events
from paygate.flows.reconciliation.hold import Item, or_held
from paygate.flows.reconciliation.read_list import ProviderList
from paygate.flows.reconciliation.report import ENDS_THE_TURN, Report
from paygate.flows.sweep import Faults


async def _compare(report: Report, page: list[bytes]) -> None:
    if report.dry:
        return
    bodies, faults = page[::-1], Faults()  # the oldest first, as they were delivered
    with faults:
        await _receive(report, bodies)
        return
    faults.tell(*ENDS_THE_TURN)
    # One of them cannot be stored: the others are, and it is found which it is.
    for body in bodies:
        name, made_at = name_of(report.ctx, body)
        item = Item(Stage.EVENTS, name, at=made_at)
        await or_held(report, item, _receive(report, [body]))


async def _receive(report: Report, bodies: list[bytes]) -> None:
    """Receive events, and tell of those that cannot be read: they are dead letters from now on."""
    listed = await receive_listed_events(report.ctx, report.caller(), bodies)
    report.met(events_received=listed.new)
    for name in listed.unreadable:
        await report.hold(
            FindingKind.STATUS,
            f"event:{name}",
            None,  # a dead letter has its alert
            provider_reference=name,
            reason="an event that the provider lists cannot be read; it is a dead letter",
        )


async def _ask(report: Report, finding: Finding) -> None:
    """Receive the event from the list of the second in which it was made."""
    assert finding.again is not None, "it could not be stored"
    made_at = finding.again.at
    if made_at is None or report.dry:
        return
    async for page in pages_of_events(report.ctx, made_at, made_at):
        wanted = [b for b in page if name_of(report.ctx, b).name == finding.provider_reference]
        await _receive(report, wanted)


EVENTS: Final = ProviderList(Stage.EVENTS, pages_of_events, _compare, _ask, shows_confirms=True)
