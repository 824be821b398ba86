"""F01 for the erasure of a customer: whoever erases is killed, by SIGKILL, at each step and at
seeded moments with commits under way; then a worker comes, and nothing of the person is left.
"""

import asyncio
import multiprocessing
import random
from pathlib import Path

import pytest

from paygate.domain.access.roles import Action
from paygate.domain.audit import AuditEntry
from paygate.domain.customer import Payer
from paygate.domain.event import Event
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.customers.erase import erase_customer
from paygate.flows.housekeeping.late_events import go_on_erasing
from tests.flows.customers.test_erase import customer_of, filled, holding, paid
from tests.flows.world import World
from tests.races.durable_provider import Steps
from tests.races.dying import CALLER, opened
from tests.races.dying_erasure import ErasureSetting, die_erasing, erasing, setting_of
from tests.races.test_kill_every_step import NEVER, run_and_die

STEPS = 24
"""Two for each commit and each statement beside the door."""
PAYMENTS = 12
SEEDS = range(6)
Held = dict[str, int]


async def test_no_step_is_forgotten_here(world: World, database: str, tmp_path: Path) -> None:
    intent = await filled(world)
    setting = await setting_of(world, database, tmp_path, str(intent.customer))
    steps = Steps(NEVER)
    async with opened(setting, steps) as ctx:
        await erase_customer(erasing(ctx, steps), CALLER, setting.customer)
    assert steps.taken == STEPS


@pytest.mark.parametrize("step", range(1, STEPS + 1))
async def test_killed_at_every_step_of_an_erasure(
    world: World, database: str, tmp_path: Path, step: int
) -> None:
    intent = await filled(world)
    everything = await holding(world)
    setting = await setting_of(world, database, tmp_path, str(intent.customer))
    assert await asyncio.to_thread(run_and_die, setting, step, die_erasing)
    await nothing_is_told_before_it_is_so(world, intent, everything, {})
    if (await customer_of(world, intent)).erasure_began_at is None:
        await erase_customer(world.ctx, world.caller, setting.customer)
    await go_on_erasing(world.ctx, "run_1")
    await erased_wholly(world, intent)


@pytest.mark.parametrize("seed", SEEDS)
async def test_killed_at_seeded_moments_of_an_erasure(
    world: World, database: str, tmp_path: Path, seed: int
) -> None:
    """From outside, with statements under way, again and again until nothing is left to do."""
    rng = random.Random(seed)
    intent = await filled(world)
    for _ in range(PAYMENTS - 1):
        await paid(world, Payer(id=intent.customer))
    bystander = await paid(world, Payer(email="eve@shop.example", name="Eve"))
    everything, events = await holding(world), len(await world.all(Event))
    others = {"attempt": 1}  # the bystander's mandate
    setting = await setting_of(world, database, tmp_path, str(intent.customer))
    killed = 0
    while await killed_meanwhile(world, setting, rng.randint(1, 6)):
        killed += 1
        await nothing_is_told_before_it_is_so(world, intent, everything, others)
    assert killed
    await go_on_erasing(world.ctx, "run_1")
    assert (await customer_of(world, bystander)).name == "Eve"
    assert await holding(world) == others
    assert len(await world.all(Event)) == events
    assert (await customer_of(world, intent)).erased_at is not None


async def killed_meanwhile(world: World, setting: ErasureSetting, after: int) -> bool:
    """Whether a process that erases was killed when it had committed so often, or a little later;
    False when it had come to its end.
    """
    begun = await erasures(world)
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=die_erasing, args=(setting, NEVER))
    child.start()
    while child.is_alive() and await erasures(world) < begun + after:
        await asyncio.sleep(0)
    child.kill()
    await asyncio.to_thread(child.join, 60)
    assert child.exitcode in (0, -9), child.exitcode
    return child.exitcode == -9


async def erasures(world: World) -> int:
    """How many commits of erasures there are."""
    count: int = await world.connection.fetchval(
        "SELECT count(*) FROM audit_entry WHERE action = $1", Action.CUSTOMER_ERASE
    )
    return count


async def nothing_is_told_before_it_is_so(
    world: World, intent: PaymentIntent, before: Held, others: Held
) -> None:
    customer = await customer_of(world, intent)
    if customer.erasure_began_at is None:
        assert await holding(world) == before, "all of it, or nothing yet"
        return
    assert (customer.email, customer.name) == (None, None)
    if customer.erased_at is not None:
        assert await holding(world) == others


async def erased_wholly(world: World, intent: PaymentIntent) -> None:
    assert (await customer_of(world, intent)).erased_at is not None
    assert await holding(world) == {}
    entries: list[AuditEntry] = await world.all(AuditEntry)
    erased = [entry for entry in entries if entry.action == Action.CUSTOMER_ERASE]
    assert all(not entry.details for entry in erased), "never what was there"
