"""Months of books with discrepancies of every kind in them: all are found, and nothing else is."""

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from paygate.domain.settlements.discrepancy import Discrepancy, DiscrepancyKind
from paygate.domain.settlements.fees import parse_fee_rules
from paygate.domain.settlements.outcome import PayoutStatus
from paygate.flows.settlements.unsettled import find_unsettled
from paygate.flows.sweep import Sweep
from paygate_sandbox.generator.files import write_books
from paygate_sandbox.generator.plan import KINDS, Plan
from tests.flows.settlements.paying import paying, payout
from tests.flows.settlements.reporting import bring
from tests.flows.world import INSTALLATION, World
from tools.bench import merchant_side
from tools.bench.merchant_side import Label
from tools.bench.settlement import copy_records

OF_EACH = 2
FEES = "".join(
    f'[[rule]]\ncurrency = "{currency}"\npercent = "2.9"\nfixed = {fixed}\ntolerance = 1\n'
    for currency, fixed in (("eur", 25), ("usd", 30), ("gbp", 20), ("jpy", 0))
)


async def made(world: World, folder: Path, seed: int) -> None:
    """Books, with the merchant's side here and the payouts at the provider."""
    plan = Plan(
        seed,
        500,
        2,
        discrepancies=dict.fromkeys(KINDS, OF_EACH),
        attempt_key="paygate_attempt",
        marks={"paygate_installation": INSTALLATION, "paygate_merchant": "default"},
    )
    write_books(plan, folder)
    await copy_records(world.connection, world.records, merchant_side.payments(folder))
    await copy_records(world.connection, world.records, merchant_side.refunds(folder))
    await copy_records(world.connection, world.records, merchant_side.disputes(folder))
    with (folder / "payouts.csv").open(newline="") as content:
        for row in csv.DictReader(content):
            paying(world).payouts[row["payout"]] = payout(
                int(row["amount"]),
                row["payout"],
                currency=row["currency"],
                status=PayoutStatus(row["status"]),
                created_at=datetime.fromtimestamp(int(row["created_at"]), UTC),
                as_of=None,
            )
    last = max(each.created_at for each in paying(world).payouts.values())
    world.clock.time = last + timedelta(days=7)


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_discrepancy_is_found_and_nothing_is_falsely_flagged(
    world: World, tmp_path: Path, seed: int
) -> None:
    rules = replace(world.ctx.policy, fee_rules=parse_fee_rules(FEES))
    world.use(policy=rules)
    await made(world, tmp_path, seed)
    done = await bring(world, tmp_path, (tmp_path / "report.csv").read_bytes())
    assert done.refused_count == 0
    sweep = Sweep(world.ctx, "settle-payouts", world.ctx.new_id("run"))
    await find_unsettled(world.ctx, sweep)
    await sweep.end()
    ours = {each.id: str(each.provider_reference) for each in merchant_side.payments(tmp_path)}
    every: list[Discrepancy] = await world.all(Discrepancy)
    found = {Label(str(d.kind), ours.get(d.what.about, d.what.about)) for d in every}
    # A line that was late has come by now: it was a discrepancy while it had not.
    injected = {
        label for label in merchant_side.labels(tmp_path) if label.kind != DiscrepancyKind.LATE
    }
    assert found - injected == set(), "falsely flagged"
    assert injected - found == set(), "missed"
    counted = Counter(label.kind for label in found)
    assert counted == dict.fromkeys(set(KINDS) - {"late"}, OF_EACH)
