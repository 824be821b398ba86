"""A store that the release before left is taken on, with its balance."""

import sqlite3
from pathlib import Path

from paygate_sandbox.server import Sandbox, SandboxOptions
from tests.sandbox.caller import Caller, card_payment
from tests.sandbox.test_payouts import cut, lines_of, paid

_BACK_TO_1 = """
DROP TABLE balance_rows;
DROP INDEX objects_by_payout;
ALTER TABLE objects DROP COLUMN payout;
PRAGMA user_version = 1;
"""


async def test_a_store_without_payouts_has_them_from_now_on(
    options: SandboxOptions, tmp_path: Path, stripe: Caller, sandbox: Sandbox
) -> None:
    await paid(stripe, 1_000)
    await stripe.post("/v1/payment_intents", card_payment(capture_method="automatic"))
    before = await stripe.get("/v1/balance")
    await sandbox.stop()
    store = sqlite3.connect(tmp_path / "sandbox" / "sandbox.sqlite3")
    store.executescript(_BACK_TO_1)
    store.close()
    again = Sandbox(options)
    upgraded = Caller(await again.start(), stripe.session)
    try:
        assert await upgraded.get("/v1/balance") == before
        [payout] = await cut(upgraded)
        [line] = await lines_of(upgraded, payout["id"])
        assert payout["amount"] == line["net"] == 946
    finally:
        await again.stop()
        await sandbox.start()  # for its fixture to stop
