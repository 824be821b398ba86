"""What is found again after it was over: a decision holds for what it was made of, and healing is
no decision.
"""

from msgspec.structs import replace

from paygate.domain.alert import Alert
from paygate.domain.settlements.discrepancy import DecisionAction, Discrepancy
from paygate.domain.settlements.outcome import PayoutStatus
from paygate.domain.settlements.settlement import Matching, Settlement
from paygate.flows.settlements.decide import resolve_discrepancy
from paygate.flows.settlements.open_discrepancy import is_healed
from paygate.flows.settlements.record_bank_amount import record_bank_amount
from tests.flows.settlements.paying import C, changed, charged, line, paid, paying, pays
from tests.flows.settlements.stories import kinds, run, settle, stands
from tests.flows.settlements.test_decide import work
from tests.flows.world import World

DAY = 86400.0


async def on_its_way(world: World) -> Settlement:
    """A payout in which nothing is wrong, and which is not paid yet."""
    pays(world, "po_1", charged(await paid(world)), status=PayoutStatus.IN_TRANSIT)
    await settle(world)
    return await stands(world)


async def bank_says(world: World, of: Settlement, amount: int) -> None:
    await record_bank_amount(world.ctx, world.caller, of.id, amount)
    await work(world)


async def test_what_healed_is_found_again(world: World) -> None:
    """A bank amount that was wrong, right, and wrong again: the payout does not close over it."""
    of = await on_its_way(world)
    for amount in (1800, 1940, 1800):
        await bank_says(world, of, amount)
    assert await kinds(world) == {"payout_total_mismatch": 1}
    changed(world, "po_1", status=PayoutStatus.PAID)
    await run(world)
    of = await stands(world)
    assert (of.matching, of.is_open) == (Matching.DISCREPANT, True)
    before = await world.counts()
    await run(world)
    assert await world.counts() == before
    await bank_says(world, of, 1940)
    assert (await stands(world)).is_open is False


async def test_what_was_explained_and_is_another_sum_by_now(world: World) -> None:
    """A person has explained fifty cents; that ten euros are missing nobody has explained."""
    of = await on_its_way(world)
    await bank_says(world, of, 1890)
    first: list[Discrepancy] = await world.all(Discrepancy)
    explain = DecisionAction.EXPLAIN
    await resolve_discrepancy(world.ctx, world.caller, first[0].id, explain, "the bank's fee")
    await work(world)
    await bank_says(world, of, 1890)
    assert (await stands(world)).matching is Matching.BALANCED
    await bank_says(world, of, 940)
    found: list[Discrepancy] = await world.all(Discrepancy)
    assert sorted(str(each.status) for each in found) == ["explained", "open"]
    assert (await stands(world)).matching is Matching.DISCREPANT


async def test_money_is_missing_then_late_then_missing(world: World) -> None:
    intent = await paid(world)
    world.clock.forward(20 * DAY)
    for balance, kind in (([], "missing_at_provider"), ([charged(intent)], "late")) * 2:
        paying(world).balance = list(balance)
        await run(world)
        assert await kinds(world) == {kind: 1}
        before = await world.counts()
        await run(world)
        assert await world.counts() == before
        world.clock.forward(2 * DAY)


async def test_people_are_told_of_another_where_as_many_healed(world: World) -> None:
    """The missing line comes, and is of a word that is not known: one healed, and one is open."""
    pays(world, "po_1", charged(await paid(world)), amount=1800)
    await settle(world)
    assert await kinds(world) == {"payout_total_mismatch": 1}
    odd = line("txn_odd", -140, C.UNKNOWN, provider_category="lunar_fee", customer_amount=None)
    paying(world).lines["po_1"].append(odd)
    await settle(world)
    assert await kinds(world) == {"unexpected_adjustment": 1}
    found: list[Alert] = await world.all(Alert)
    assert ["unexpected_adjustment" in each.problem.message for each in found].count(True) == 1


async def test_a_key_with_the_job_s_name_is_a_person(world: World) -> None:
    """What it decided stays decided: only what a run healed is found again."""
    of = await on_its_way(world)
    await bank_says(world, of, 1890)
    (found,) = await world.all(Discrepancy)
    namesake = replace(world.caller, actor=replace(world.caller.actor, name="settle-payouts"))
    await resolve_discrepancy(world.ctx, namesake, found.id, DecisionAction.RESOLVE, "known")
    await work(world)
    await run(world)
    every: list[Discrepancy] = await world.all(Discrepancy)
    assert [(each.status, each.decision and each.decision.by_job) for each in every] == [
        ("resolved", False)
    ]


async def test_what_a_run_healed_before_that_was_written_is_known_by_its_name(
    world: World,
) -> None:
    of = await on_its_way(world)
    for amount in (1890, 1940):
        await bank_says(world, of, amount)
    (healed,) = await world.all(Discrepancy)
    assert healed.decision is not None
    assert healed.decision.by_job
    assert is_healed(healed.decision)
    assert is_healed(replace(healed.decision, by_job=None))
    assert not is_healed(replace(healed.decision, by_job=False))
