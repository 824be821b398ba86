"""Payments in bulk are payments: every record opens, and gateway and sandbox agree on each."""

import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from paygate.crypto.secret import Secret
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.ledger.verify import Verified, verify_ledger
from paygate.providers.stripe.adapter import StripeProvider
from paygate.providers.stripe.settings import StripeSettings
from paygate.storage.whole_ledger import RANGE
from paygate_sandbox.server import Sandbox, SandboxOptions
from tests.flows.world import INSTALLATION, World
from tools.bench import long_rows
from tools.bench.seed import Seeded, seed

KEY: Final = "sk_test_seed"


@pytest.fixture
async def sandbox(world: World, tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A running sandbox, and the world's provider is the real adapter to it."""
    options = SandboxOptions(
        host="127.0.0.1",
        port=0,
        data_dir=tmp_path / "sandbox",
        secret_key=KEY,
        publishable_key="pk_test_seed",
    )
    running = Sandbox(options)
    settings = StripeSettings(
        api_base=await running.start(),
        api_key=Secret(KEY),
        webhook_secrets=(Secret("whsec_seed"),),
        installation=INSTALLATION,
    )
    provider = StripeProvider(settings)
    world.use(provider=provider)
    yield running
    await provider.close()
    await running.stop()


async def fill(world: World, folder: Path, payments: int, in_doubt: int = 0) -> None:
    await seed(world.ctx, folder / "sandbox", Seeded(payments, in_doubt))


async def test_both_sides_agree(world: World, sandbox: Sandbox, tmp_path: Path) -> None:
    await fill(world, tmp_path, payments=60, in_doubt=10)
    counts = await world.counts()
    assert (counts[PaymentIntent], counts[Attempt], counts[Transfer]) == (70, 70, 60)
    assert counts[IdempotencyKey] == 70
    intents: list[PaymentIntent] = await world.all(PaymentIntent)
    assert Counter(i.status for i in intents) == {Status.SUCCEEDED: 60, Status.PROCESSING: 10}
    states = Counter(attempt.state for attempt in await world.all(Attempt))
    assert states == {AttemptState.APPROVED: 60, AttemptState.UNKNOWN: 10}
    charged = [record.body for batch in sandbox.parts.objects.all("charge") for record in batch]
    paid = sum(intent.amount_received for intent in intents)
    doubtful = {i.id: i.amount for i in intents if i.status is Status.PROCESSING}
    assert len(charged) == 65, "every second one in doubt was charged"
    in_doubt = [c for c in charged if c["metadata"]["paygate_intent"] in doubtful]
    assert sum(c["amount_captured"] for c in charged if c not in in_doubt) == paid
    assert await verify_ledger(world.ctx, world.caller) == Verified(60, 70, 65, ())


async def test_many_payments_in_the_memory_of_few(
    world: World, sandbox: Sandbox, tmp_path: Path
) -> None:
    peaks, found = [], []
    for payments in (2 * RANGE + 10, 3 * RANGE + 20):  # two ranges are in memory at the most
        await fill(world, tmp_path, payments)
        runs = []
        for _ in range(5):  # what else happens meanwhile costs memory too; the least run had least
            gc.collect()
            tracemalloc.start()
            found.append(await verify_ledger(world.ctx, world.caller))
            runs.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        peaks.append(min(runs))
    assert all(verified.agrees for verified in found)
    few, many = 2 * RANGE + 10, 5 * RANGE + 30
    assert [verified.provider_payments for verified in found] == [few] * 5 + [many] * 5
    more = 3 * RANGE + 20
    assert peaks[1] - peaks[0] < 200 * more, "less than the smallest record for each payment more"


async def test_the_benchmark_makes_the_sandbox_slow_and_quick_again(sandbox: Sandbox) -> None:
    ready = {"sandbox_url": sandbox.parts.base_url}
    await asyncio.to_thread(long_rows.order_slowness, ready)
    (fault,) = sandbox.parts.faults.report()["faults"]
    assert (fault["kind"], fault["seconds"]) == ("slow", long_rows.SLOW_SECONDS)
    await asyncio.to_thread(long_rows.clear_faults, ready)
    assert sandbox.parts.faults.report()["faults"] == []
