"""What tests of settlement ask of the world."""

from collections import Counter

from paygate.domain.alert import Alert
from paygate.domain.event import Event
from paygate.domain.settlements.discrepancy import Discrepancy
from paygate.domain.settlements.line import LinePage, SettlementLine
from paygate.domain.settlements.settlement import Settlement
from paygate.flows.settlements.run import Ran, settle_payouts
from paygate.flows.settlements.settle import Settled, settle_payout
from tests.flows.world import World


async def settle(world: World, reference: str = "po_1") -> Settled:
    """Settle one payout."""
    return await settle_payout(world.ctx, world.caller, reference)


async def run(world: World) -> Ran:
    """A run of the job."""
    return await settle_payouts(world.ctx, world.ctx.new_id("run"))


async def stands(world: World, reference: str = "po_1") -> Settlement:
    """The settlement of a payout as it stands."""
    found = await world.ctx.settlements.of_payout(reference)
    assert found is not None
    return found


async def kinds(world: World) -> Counter[str]:
    """How many discrepancies are not resolved, by kind."""
    every: list[Discrepancy] = await world.all(Discrepancy)
    return Counter(str(each.kind) for each in every if each.status != "resolved")


async def told(world: World) -> list[str]:
    """What the account's merchant was told of settlements and discrepancies, in order."""
    every: list[Event] = await world.all(Event)
    return [e.type for e in every if e.object in ("settlement", "discrepancy")]


async def alerts(world: World) -> list[tuple[str, str | None]]:
    """The type and stage of each alert that stands."""
    every: list[Alert] = await world.all(Alert)
    found = [(str(a.problem.type), a.problem.stage) for a in every if a.status != "closed"]
    return sorted(found, key=str)


async def lines_of(world: World, reference: str = "po_1") -> list[SettlementLine]:
    """The lines of a settlement, as they were read."""
    of = await stands(world, reference)
    pages: list[LinePage] = await world.all(LinePage)
    return [line for page in pages if page.id == of.id for line in page.lines]
