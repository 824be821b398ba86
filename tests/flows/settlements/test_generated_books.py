"""Months of books with discrepancies of all thirteen kinds: each is found, and nothing else is."""

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from paygate.domain.settlements.discrepancy import (
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
)
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
    (tmp_path / "brought").mkdir()
    end = world.clock.time
    late = {each.about for each in merchant_side.labels(tmp_path) if each.kind == "late"}
    every_line = list(merchant_side.lines(tmp_path))
    payout_of = {each.provider_reference: each.payout_reference for each in every_line}
    moments = sorted(paying(world).payouts[str(payout_of[each])].created_at for each in late)
    for moment in moments:  # a minute before the payout of a line that is late
        await settled_until(world, tmp_path, moment - timedelta(minutes=1))
    await settled_until(world, tmp_path, end)
    ours = {each.id: str(each.provider_reference) for each in merchant_side.payments(tmp_path)}
    every: list[Discrepancy] = await world.all(Discrepancy)
    found = {Label(str(d.kind), ours.get(d.what.about, d.what.about)) for d in every}
    payment_of = {each.provider_reference: str(each.payment_reference) for each in every_line}
    injected = {
        # What is late is told of the payment: its line has not come.
        label._replace(about=payment_of[label.about]) if label.kind == "late" else label
        for label in merchant_side.labels(tmp_path)
    }
    assert found - injected == set(), "falsely flagged"
    assert injected - found == set(), "missed"
    counted = Counter(label.kind for label in found)
    assert counted == dict.fromkeys(DiscrepancyKind, OF_EACH)
    # Late lines have come by now, and that has healed by itself.
    standing = {str(each.kind) for each in every if each.status is not DiscrepancyStatus.RESOLVED}
    assert standing == set(KINDS) - {"late"}


async def settled_until(world: World, folder: Path, until: datetime) -> None:
    """What the provider had paid out by then is brought as a report, and a run looks for the rest;
    the balance has the lines of all payouts that come later.
    """
    world.clock.time = until
    there = {name for name, each in paying(world).payouts.items() if each.created_at <= until}
    lines = merchant_side.lines(folder)
    paying(world).balance = [each for each in lines if each.payout_reference not in there]
    head, *rows = (folder / "report.csv").read_text().splitlines(keepends=True)
    at = next(csv.reader([head])).index("automatic_payout_id")
    brought = [row for row in rows if next(csv.reader([row]))[at] in there]
    done = await bring(world, folder / "brought", "".join([head, *brought]).encode())
    assert done.refused_count == 0
    sweep = Sweep(world.ctx, "settle-payouts", world.ctx.new_id("run"))
    await find_unsettled(world.ctx, sweep)
    await sweep.end()
