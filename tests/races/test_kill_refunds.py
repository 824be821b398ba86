"""F01 for refunds: whoever decides on one, hears of one or looks after one is killed at each step;
then somebody comes again, and it is done once, here and at the provider.
"""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paygate.crypto.keyring import generate_keyring
from paygate.crypto.kms import FileKms
from paygate.domain.ledger import check_intent
from paygate.flows.context import Context
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from tests.flows.world import INSTALLATION
from tests.races.durable_provider import AMOUNT, Books, Steps
from tests.races.dying import CALLER, REFUNDED, opened
from tests.races.dying import act as act_before
from tests.races.dying_refunds import (
    DASHBOARD,
    WEEK,
    RefundSetting,
    act,
    ask,
    die_refunding,
    of_a_person,
)
from tests.races.test_kill_every_step import NEVER, Connect, run_and_die

SWEPT = timedelta(seconds=40)
"""So long after a call it must be over, and its refund is asked for again."""
FEWEST = {"approve": 6, "reject": 2, "dashboard": 2, "sweep": 6, "expire": 2}
"""Two steps for each commit, and the provider's."""
ENDS = {
    "approve": ("succeeded", [REFUNDED], REFUNDED),
    "reject": ("failed", [], 0),
    "dashboard": ("succeeded", [], DASHBOARD),
    "sweep": ("succeeded", [REFUNDED], REFUNDED),
    "expire": ("failed", [], 0),
}
"""The refund's status, what the provider gave at our word, and what is back."""


async def prepared(setting: RefundSetting) -> RefundSetting:
    """A paid intent, and the refund that the flow is about."""
    async with opened(setting, Steps(NEVER)) as ctx:
        new = NewPaymentIntent(amount=AMOUNT, currency="eur")
        intent = (await create_payment_intent(ctx, CALLER, new)).intent.id
        ready = msgspec.structs.replace(setting, intent=intent)
        await act_before(ctx, msgspec.structs.replace(ready, flow="confirm"))
        if setting.flow == "dashboard":
            paid = await ctx.read.payment_intent("default", intent)
            assert paid is not None
            return msgspec.structs.replace(ready, refund=str(paid.provider_reference))
        if setting.flow != "sweep":
            waits = await ask(of_a_person(ctx, setting), intent)
            return msgspec.structs.replace(ready, refund=waits)
    # One whose sender died when the provider had just made it.
    asked = msgspec.structs.replace(ready, flow="refund")
    assert await asyncio.to_thread(run_and_die, asked, 4)
    return ready


def later(setting: RefundSetting) -> RefundSetting:
    """The same, when it is due; each try as long after the one before."""
    due = {"sweep": SWEPT, "expire": WEEK}.get(setting.flow, timedelta(0))
    return msgspec.structs.replace(setting, late=setting.late + due)


async def finished(setting: RefundSetting) -> None:
    async with opened(setting, Steps(NEVER)) as opened_ctx:
        ctx = of_a_person(opened_ctx, setting)
        body = await act(ctx, setting)
        assert await act(ctx, setting) == body, "and once more: the same"
        refunds = await refunds_of(ctx, setting.intent)
        intent = await ctx.read.payment_intent("default", setting.intent)
        assert intent is not None
        status, given, back = ENDS[setting.flow]
        assert [refund.status for refund in refunds] == [status]
        books = Books(Path(setting.folder))
        assert books.refunds(str(intent.provider_reference)) == given, "once"
        assert (intent.amount_refunded, intent.amount_refund_pending) == (back, 0)
        assert intent.pending_operation is None
        async with ctx.ledger.session() as session:
            kept = await session.of("default", setting.intent)
        assert check_intent(intent, kept.transfers) == []
        if setting.flow != "sweep":  # whose clients died, and never came again
            unfinished = "SELECT count(*) FROM idempotency_key WHERE state <> 'finished'"
            assert [row["count"] for row in await ctx.read._pool.fetch(unfinished)] == [0]


async def refunds_of(ctx: Context, intent_id: str) -> list[Any]:
    rows = await ctx.read._pool.fetch("SELECT id FROM refund WHERE intent = $1", intent_id)
    return [await ctx.refunds.refund("default", row["id"]) for row in rows]


@pytest.mark.parametrize("flow", FEWEST)
async def test_killed_at_every_step_of_a_refund(
    database: str, connect: Connect, tmp_path: Path, flow: str
) -> None:
    await (await connect()).execute("INSERT INTO merchant (id) VALUES ('default')")
    wrapped = generate_keyring(FileKms.create(tmp_path / "kek"), INSTALLATION)
    killed = 0
    for kill_at in range(1, NEVER):
        setting = RefundSetting(database, str(tmp_path), wrapped, flow)
        setting = later(await prepared(setting))
        died = await asyncio.to_thread(run_and_die, setting, kill_at, die_refunding)
        await finished(later(setting))
        if not died:
            break
        killed += 1
    assert killed >= FEWEST[flow]
