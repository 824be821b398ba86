"""F01 for settlements: whoever settles a payout, or decides on it, is killed at each step, also
between pages, and between a page and its conclusion; then somebody comes again, and each line,
discrepancy, transfer and event is there once.
"""

import asyncio
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paygate.crypto.keyring import generate_keyring
from paygate.crypto.kms import FileKms
from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.event import Event
from paygate.domain.ledger import Account
from paygate.domain.settlements.discrepancy import Discrepancy
from paygate.domain.settlements.line import LinePage
from paygate.domain.settlements.outcome import Line, LineCategory, Payout, PayoutStatus
from paygate.domain.settlements.settlement import Settlement
from paygate.flows.context import Context
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from tests.flows.world import INSTALLATION
from tests.races.durable_provider import AMOUNT, Steps
from tests.races.dying import CALLER, opened
from tests.races.dying import act as act_before
from tests.races.dying_settlements import SettleSetting, act, die_settling, settling
from tests.races.test_kill_every_step import NEVER, Connect, run_and_die
from tests.storage.stored import TABLE_OF, select

AT = datetime.now(UTC).replace(microsecond=0)
FEE = 59
ODD = -70
FEWEST = {"settle": 16, "resolve": 4}
"""Two steps for each commit and each page, and one for what the provider tells."""


def line(reference: str, gross: int, category: LineCategory, fee: int = 0, **more: Any) -> Line:
    return Line(
        provider_reference=reference,
        category=category,
        provider_category=str(category),
        gross=gross,
        fee=fee,
        net=gross - fee,
        currency="eur",
        available_on=AT.date(),
        created_at=AT,
        **more,
    )


async def prepared(setting: SettleSetting, number: int) -> SettleSetting:
    """A payout of two payments, of which one is wrong, a fee, and a line that nobody knows."""
    charges: list[Line] = []
    async with opened(setting, Steps(NEVER)) as ctx:
        for n in (1, 2):
            new = NewPaymentIntent(amount=AMOUNT, currency="eur")
            intent = (await create_payment_intent(ctx, CALLER, new)).intent.id
            await act_before(ctx, msgspec.structs.replace(setting, flow="confirm", intent=intent))
            paid = await ctx.read.payment_intent("default", intent)
            assert paid is not None
            charges.append(
                line(
                    f"txn_{number}_{n}",
                    AMOUNT - 5 * (n - 1),
                    LineCategory.CHARGE,
                    FEE,
                    payment_reference=paid.provider_reference,
                    source_reference=f"ch_{number}_{n}",
                )
            )
        monthly = line(f"txn_{number}_fee", 0, LineCategory.FEE, 100)
        odd = line(f"txn_{number}_odd", ODD, LineCategory.UNKNOWN)
        lines = (*charges, monthly, odd)
        amount = sum(each.net for each in lines)
        reference = f"po_{number}"
        own = line(f"txn_{number}_po", -amount, LineCategory.PAYOUT, source_reference=reference)
        payout = Payout(
            provider_reference=reference,
            amount=amount,
            currency="eur",
            status=PayoutStatus.PAID,
            automatic=True,
            itemised=True,
            lines_complete=True,
            arrival_date=date(2026, 11, 29),
            created_at=AT,
        )
        ready = msgspec.structs.replace(setting, payout=payout, lines=(*lines, own))
        if setting.flow == "settle":
            return ready
        settled = settling(ctx, ready, Steps(NEVER))
        await act(settled, msgspec.structs.replace(ready, flow="settle"))
        known: list[Discrepancy] = await every(ctx, Discrepancy)
        of = await settled.settlements.of_payout(reference)
        assert of is not None
        first, second = (each.id for each in known if each.settlement == of.id)
        await act(
            settled, msgspec.structs.replace(ready, intent=f"1 of {number}", discrepancy=first)
        )
        return msgspec.structs.replace(ready, intent=f"2 of {number}", discrepancy=second)


async def every(ctx: Context, kind: type[Any]) -> list[Any]:
    rows = await ctx.read._pool.fetch(f"{select(TABLE_OF[kind])} ORDER BY id")
    return [ctx.read._records.open(kind, tuple(row)) for row in rows]


async def finished(setting: SettleSetting) -> None:
    assert setting.payout is not None
    async with opened(setting, Steps(NEVER)) as whole:
        ctx = settling(whole, setting, Steps(NEVER))
        body = await act(ctx, setting)
        assert await act(ctx, setting) == body, "and once more: the same"
        of = await ctx.settlements.of_payout(setting.payout.provider_reference)
        assert of is not None
        pages: list[LinePage] = [
            page async for page in ctx.settlement_pages.every("default", of.id)
        ]
        there = Counter(each.said.provider_reference for page in pages for each in page.lines)
        assert there == Counter(each.provider_reference for each in setting.lines), "once"
        closed = setting.flow == "resolve"
        assert (of.counts.lines, of.residual, of.is_open) == (5, 0, not closed)
        assert of.open_discrepancies == (0 if closed else 2)
        found = [d for d in await every(ctx, Discrepancy) if d.settlement == of.id]
        kinds = sorted(each.kind for each in found)
        assert kinds == ["amount_mismatch", "unexpected_adjustment"]
        _money(of, [t for t in await every(ctx, AccountTransfer) if t.settlement == of.id])
        told = [e.type for e in await every(ctx, Event) if e.object_id == of.id]
        assert sorted(told) == sorted(
            ["settlement.created", "settlement.paid", *["settlement.balanced"] * closed]
        )
        about = {each.id for each in found}
        opened_ = [e for e in await every(ctx, Event) if e.object_id in about]
        resolved = ["discrepancy.resolved"] * (2 if closed else 0)
        assert sorted(e.type for e in opened_) == ["discrepancy.opened"] * 2 + resolved


def _money(of: Settlement, transfers: list[AccountTransfer]) -> None:
    """All that left the provider's balance is in the bank, or has a name."""
    moved = Counter[Account]()
    for transfer in transfers:
        for entry in transfer.entries:
            moved[entry.account] += entry.amount
    assert moved[Account.BANK] == of.amount
    assert moved[Account.FEES] == 2 * FEE + 100
    assert moved[Account.UNEXPLAINED] == -ODD
    assert sum(moved.values()) == 0


@pytest.mark.parametrize("flow", FEWEST)
async def test_killed_at_every_step_of_a_settlement(
    database: str, connect: Connect, tmp_path: Path, flow: str
) -> None:
    await (await connect()).execute("INSERT INTO merchant (id) VALUES ('default')")
    wrapped = generate_keyring(FileKms.create(tmp_path / "kek"), INSTALLATION)
    killed = 0
    for kill_at in range(1, NEVER):
        setting = SettleSetting(database, str(tmp_path), wrapped, flow)
        setting = await prepared(setting, kill_at)
        died = await asyncio.to_thread(run_and_die, setting, kill_at, die_settling)
        await finished(setting)
        if not died:
            break
        killed += 1
    assert killed >= FEWEST[flow]
