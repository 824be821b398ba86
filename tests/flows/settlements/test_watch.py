"""What grows old is told of, what heals is told of no more, and what cannot be read holds up
nothing else.
"""

import pytest
from msgspec.structs import replace

from paygate.domain.audit import AuditEntry
from paygate.domain.provider_event import EventStatus
from paygate.domain.settlements.discrepancy import DecisionAction, Discrepancy
from paygate.domain.settlements.settlement import Matching
from paygate.flows.alerts.close import close_alerts
from paygate.flows.refunds.create import NewRefund, refund_payment_intent
from paygate.flows.settlements.decide import resolve_discrepancy
from paygate.flows.settlements.work_on import settle_as_asked
from paygate.jobs.messages import SettlePayout, decode
from paygate.providers.absence import ProviderSilent
from paygate.providers.contract import Notice
from tests.flows.settlements.paying import C, charged, line, paid, paying, pays
from tests.flows.settlements.stories import alerts, kinds, lines_of, run, settle, stands, told
from tests.flows.spoilt import mend, spoil
from tests.flows.world import World
from tests.making import START

DAY = 86400.0


async def test_late_money_heals_when_its_line_comes(world: World) -> None:
    """Nothing is said before its time; then once; and no more when it is in a payout."""
    intent = await paid(world)
    paying(world).balance = [charged(intent)]
    await run(world)
    assert paying(world).asked_lines == [], "its time is not over"
    world.clock.forward(9 * DAY)
    await run(world)
    assert await kinds(world) == {"late": 1}
    asked = len(paying(world).asked_lines)
    await run(world)
    assert len(paying(world).asked_lines) == asked, "what was found within the day is not asked for"
    assert await alerts(world) == [("settlement_discrepancy", "late")]
    paying(world).balance = []
    pays(world, "po_1", charged(intent), created_at=world.clock())
    await run(world)
    await run(world)
    assert await kinds(world) == {}
    await close_alerts(world.ctx, "run_1")
    assert await alerts(world) == []
    assert (await told(world))[-1] == "discrepancy.resolved"


async def test_missing_money_that_turns_up_late(world: World) -> None:
    """A refund that the balance never had, and then has, beyond the window: late, not missing."""
    intent = await paid(world)
    refund = await refund_payment_intent(world.ctx, world.caller, intent.id, NewRefund(700, None))
    pays(world, "po_1", charged(intent))
    world.clock.forward(9 * DAY)
    await run(world)
    assert await kinds(world) == {"missing_at_provider": 1}
    back = line("txn_back", -700, C.REFUND, source_reference=refund.provider_reference)
    paying(world).balance = [back]
    world.clock.forward(2 * DAY)
    await run(world)
    assert await kinds(world) == {"late": 1}


async def test_a_silent_provider_says_nothing_of_what_is_missing(world: World) -> None:
    for _ in range(5):
        await paid(world)
    paying(world).lines_silent = True
    world.clock.forward(9 * DAY)
    with pytest.raises(ProviderSilent):
        await run(world)
    assert await kinds(world) == {}
    assert len(paying(world).asked_lines) == 3, "after three in a row nobody is asked any more"


async def test_a_discrepancy_grows_old(world: World) -> None:
    """Told of at each stage, once, until somebody has seen to it."""
    adjusted = line("txn_odd", -70, C.UNKNOWN, customer_amount=None)
    pays(world, "po_1", charged(await paid(world)), adjusted)
    await settle(world)
    (found,) = await world.all(Discrepancy)
    stages = []
    for days in (1, 4, 5, 5, 20):
        world.clock.forward(days * DAY)
        await run(world)
        await run(world)
        await close_alerts(world.ctx, "run_1")
        stages.append([stage for _, stage in await alerts(world) if stage is not None])
    assert stages == [[], ["4-7"], ["8-30"], ["8-30"], ["31+"]]
    await resolve_discrepancy(
        world.ctx, world.caller, found.id, DecisionAction.EXPLAIN, "the provider looks into it"
    )
    await close_alerts(world.ctx, "run_1")
    assert await alerts(world) == []


async def test_a_page_that_cannot_be_read_holds_up_its_payout_alone(world: World) -> None:
    first, second = await paid(world), await paid(world)
    adjusted = line("txn_odd", -70, C.UNKNOWN, customer_amount=None)
    pays(world, "po_1", charged(first), adjusted)
    await settle(world)
    po_1 = await stands(world)
    await spoil(world, "settlement_page", po_1.id)
    pays(world, "po_2", charged(second))
    await run(world)
    assert (await stands(world, "po_2")).matching is Matching.BALANCED
    assert (await stands(world)).version == po_1.version
    assert ("record_unreadable", None) in await alerts(world)
    await mend(world, "settlement_page", po_1.id)
    await run(world)
    assert len(await lines_of(world)) == 3


async def test_news_of_a_payout_takes_it_and_asks_a_worker(world: World) -> None:
    """Told twice, and before the provider answers: it is put off, and then taken once."""
    pays(world, "po_1", charged(await paid(world)))
    payout = paying(world).payouts.pop("po_1")
    news = Notice(
        provider_reference="evt_po",
        type="payout.paid",
        created_at=START,
        livemode=False,
        answer=None,
        payout="po_1",
    )
    event = await world.apply(await world.stored_only(news))
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "no_such_payout")
    paying(world).payouts["po_1"] = payout
    for reference in ("evt_1", "evt_2"):
        told_of = replace(news, provider_reference=reference)
        event = await world.apply(await world.stored_only(told_of))
        assert (event.status, event.verdict) == (EventStatus.PROCESSED, "taken")
        assert event.subject is not None
        assert event.subject.id == (await stands(world)).id
    rows = await world.connection.fetch(
        "SELECT payload FROM pgqueuer WHERE entrypoint = 'settle_payout'"
    )
    for row in rows:
        message = decode(row["payload"])
        assert isinstance(message, SettlePayout)
        assert await settle_as_asked(world.ctx, message) is None
    assert not (await stands(world)).is_open
    other = replace(news, provider_reference="evt_3", of_another_account=True)
    event = await world.apply(await world.stored_only(other))
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "other_account")
    actors = {e.actor.type for e in await _audited(world) if e.action == "settlement.take"}
    assert actors == {"provider"}


async def _audited(world: World) -> list[AuditEntry]:
    return await world.audited()
