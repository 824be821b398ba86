"""Every settlement held against its lines, its transfers and the provider: what was changed behind
our back is named.
"""

from datetime import timedelta
from typing import Any

from paygate.domain.ledger import Account
from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.line import Candidate, LineMatch
from paygate.domain.settlements.outcome import Payout
from paygate.flows.ledger.check_settlements import SettlementChecks
from paygate.flows.ledger.report_mismatch import Findings
from paygate.flows.ledger.verify import read_balances, verify_ledger
from paygate.providers.absence import Absent
from paygate.storage.change import Change, Committed
from tests.flows.settlements.paying import C, changed, charged, line, paid, paying, pays
from tests.flows.settlements.stories import lines_of, settle, stands
from tests.flows.world import World
from tests.making import make_audit

EUR = Currency("eur")


async def checked(world: World) -> list[str]:
    """What a check of all settlements finds."""
    findings = Findings(world.ctx, world.caller)
    await SettlementChecks(world.ctx, findings, provider=True).check(lambda *_: None)
    return [mismatch.what for mismatch in findings.mismatches]


async def unguarded(world: World) -> None:
    """Take away what the schema refuses."""
    for table in ("settlement", "settlement_page", "account_transfer"):
        await world.connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")


async def settled(world: World, reference: str = "po_1") -> None:
    odd = line("txn_odd", -85, C.UNKNOWN, customer_amount=None)
    foreign = line(f"txn_foreign_{reference}", 500, payment_reference="pi_other")
    pays(world, reference, charged(await paid(world)), foreign, odd)
    await settle(world, reference)


async def test_what_is_settled_agrees_and_stands_in_the_balances(world: World) -> None:
    await settled(world)
    assert await checked(world) == []
    verified = await verify_ledger(world.ctx, world.caller, provider=False)
    assert (verified.settlements, verified.agrees) == (1, True)
    held = await read_balances(world.ctx, world.caller)
    of = await stands(world)
    accounts = {account: held.get(("default", EUR, account), 0) for account in Account}
    assert accounts[Account.PROVIDER] == 0
    assert accounts[Account.BANK] == of.amount == 1999 - 59 + 500 - 85
    assert accounts[Account.FEES] == 59
    assert accounts[Account.FOREIGN] == -500
    assert accounts[Account.UNEXPLAINED] == 85


async def test_a_transfer_that_is_gone_or_moves_something_else_is_named(world: World) -> None:
    await settled(world)
    await unguarded(world)
    await world.connection.execute(
        "DELETE FROM account_transfer WHERE id = (SELECT min(id) FROM account_transfer)"
    )
    (said,) = await checked(world)
    assert said.startswith("its transfers are not what its lines post: ")


async def test_a_page_that_is_gone_or_altered_is_named(world: World) -> None:
    await settled(world)
    await unguarded(world)
    await world.connection.execute("UPDATE settlement_page SET sealed = sealed || 'x'::bytea")
    (said,) = await checked(world)
    assert said.startswith("altered, or not to be opened: settlement_page")
    await world.connection.execute("DELETE FROM settlement_page")
    assert await checked(world) == ["its lines do not sum to its totals"]


async def test_a_settlement_that_cannot_be_read_is_named_and_the_others_go_on(
    world: World,
) -> None:
    await settled(world)
    await settled(world, "po_2")
    await unguarded(world)
    broken = (await stands(world)).id
    await world.connection.execute(
        "UPDATE settlement SET sealed = sealed || 'x'::bytea WHERE id = $1", broken
    )
    findings = Findings(world.ctx, world.caller)
    checks = SettlementChecks(world.ctx, findings, provider=True)
    await checks.check(lambda *_: None)
    assert [(m.intent, m.what) for m in findings.mismatches] == [
        (broken, "altered, or not to be opened: settlement")
    ]
    assert checks.settlements == 1


async def test_the_provider_says_otherwise(world: World) -> None:
    await settled(world)
    changed(world, "po_1", amount=5)
    (said,) = await checked(world)
    assert said.startswith("the provider paid out 5 eur, and we have ")
    paying(world).payouts.clear()
    assert await checked(world) == ["the provider has no payout po_1"]


async def test_a_provider_that_does_not_tell_is_no_mismatch_and_no_proof(
    world: World,
) -> None:
    for number in range(5):
        await settled(world, f"po_{number}")

    asked: list[str] = []

    async def silent(
        provider_reference: str, *, timeout_seconds: float
    ) -> Payout | Absent | Unknown:
        asked.append(provider_reference)
        return Unknown("timeout")

    world.provider.retrieve_payout = silent  # type: ignore[method-assign]
    findings = Findings(world.ctx, world.caller)
    checks = SettlementChecks(world.ctx, findings, provider=True)
    await checks.check(lambda *_: None)
    assert (findings.mismatches, checks.not_shown, len(asked)) == ([], 5, 3)


async def test_what_was_decided_since_is_summed_by_its_own_job_first(world: World) -> None:
    """A decision that no conclusion has seen yet is no mismatch of the conclusion before it."""
    nameless: dict[str, Any] = {"customer_amount": None, "customer_currency": None}
    intent = await paid(world)
    pays(world, "po_1", line("bank-1", intent.amount_received, **nameless))
    await settle(world)
    of = await stands(world)
    said = (await lines_of(world))[0]
    match = LineMatch(
        id=said.id,
        merchant=of.merchant,
        settlement=of.id,
        taken=Candidate(intent.merchant, intent.id),
        actor="ana",
        created_at=of.updated_at + timedelta(minutes=5),
    )
    change = Change(make_audit(), creates=(match,))
    assert await world.ctx.door.commit(change) == Committed()
    assert await checked(world) == []
    await settle(world)
    assert (await stands(world)).counts.matched == 1
    assert await checked(world) == []
