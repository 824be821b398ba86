"""Disputes whose events never came: the round finds them, and how they ended."""

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertStatus
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.outcome import DisputeStatus, DisputeUnfamiliar
from paygate.domain.payments.outcome import Unknown
from paygate.domain.reconciliation.finding import FindingAction, FindingKind
from paygate.domain.reconciliation.run import RunStatus
from paygate.domain.refunds.outcome import RefundAnswer, RefundPending
from paygate.domain.refunds.refund import Refund, RefundState
from paygate.flows.reconciliation.run import rehearse
from paygate.flows.refunds.create import NewRefund, refund_payment_intent
from tests.domain.disputes.made import BACK, TAKEN
from tests.flows.disputes.stories import alerts, check_books, said, shown
from tests.flows.reconciliation.books import QUARTER, Shop
from tests.flows.reconciliation.test_held import a_round
from tests.flows.world import APPROVED, INSTALLATION, World

DAY = 86_400


async def test_one_whose_creation_nobody_told_is_recorded_by_the_round(shop: Shop) -> None:
    intent, _ = await shop.paid(APPROVED)
    shown(
        shop.world,
        said(shop.world, "needs_response", TAKEN),
        payment_reference=intent.provider_reference,
    )
    run = await shop.round()
    assert run.status is RunStatus.COMPLETED
    (dispute,) = await shop.world.all(Dispute)
    assert dispute.intent == intent.id
    assert (await check_books(shop.world, intent)).amount_refundable == 0
    (found,) = await shop.findings(run)
    assert (found.kind, found.action) == (FindingKind.DISPUTE, FindingAction.HEALED)
    assert found.theirs["status"] == "needs_response"


async def test_ends_that_nobody_told_are_found_and_credit_by_rows_alone(shop: Shop) -> None:
    """Three closing events are lost: won, lost, and won without the money's row."""
    world, references = shop.world, {}
    for name in ("won", "lost", "unpaid"):
        intent, _ = await shop.paid(APPROVED)
        references[name] = intent
        taken = msgspec.structs.replace(TAKEN, provider_reference=f"t_{name}")
        shown(
            world,
            said(world, "needs_response", taken),
            f"du_{name}",
            payment_reference=intent.provider_reference,
        )
    await shop.round()
    world.clock.forward(40 * DAY)  # no list shows them any more
    for name, intent in references.items():
        taken = msgspec.structs.replace(TAKEN, provider_reference=f"t_{name}")
        back = msgspec.structs.replace(BACK, provider_reference=f"b_{name}")
        rows = (taken, back) if name == "won" else (taken,)
        ended = said(world, "lost" if name == "lost" else "won", *rows)
        old = msgspec.structs.replace(ended, created_at=intent.created_at)
        shown(world, old, f"du_{name}", payment_reference=intent.provider_reference)
    run = await shop.round()
    assert run.status is RunStatus.COMPLETED
    left = {
        name: (await check_books(world, intent)).amount_refundable
        for name, intent in references.items()
    }
    assert left == {"won": 1999, "lost": 0, "unpaid": 0}
    assert ("reconciliation_drift", "money_missing") in await alerts(world)
    assert len([f for f in await shop.findings(run) if f.kind is FindingKind.DISPUTE]) == 3
    world.clock.forward(900)
    again = await shop.round()
    assert await shop.findings(again) == []
    (unpaid,) = [d for d in await world.all(Dispute) if d.is_watched]
    assert unpaid.provider_reference == "du_unpaid", "it is asked for until its money is back"


async def test_one_older_than_every_window_is_found_by_its_payment(shop: Shop) -> None:
    """The payment says that it is disputed: all its disputes are read."""
    intent, attempt = await shop.paid(APPROVED)
    world = shop.world
    reference = str(intent.provider_reference)
    shop.has(reference, APPROVED, attempt, disputed=True)
    old = said(world, "lost", TAKEN)
    old = msgspec.structs.replace(old, created_at=old.created_at.replace(year=2020))
    shown(world, old, payment_reference=reference)
    run = await shop.round()
    (dispute,) = await world.all(Dispute)
    assert dispute.status is DisputeStatus.LOST
    (found,) = await shop.findings(run)
    assert (found.action, found.reason) == (FindingAction.HEALED, "its disputes were read")


async def test_what_the_provider_does_not_tell_is_asked_for_again(shop: Shop) -> None:
    intent, _ = await shop.paid(APPROVED)
    world = shop.world
    whole = shown(
        world,
        said(world, "needs_response", TAKEN),
        payment_reference=intent.provider_reference,
    )
    await shop.round()
    world.clock.forward(40 * DAY)
    world.provider.disputes_shown["du_1"] = msgspec.structs.replace(whole, outcome=Unknown("no"))
    run = await shop.round()
    held = [f for f in await shop.findings(run) if f.action is FindingAction.HELD]
    assert [f.provider_reference for f in held] == ["du_1"]
    ended = msgspec.structs.replace(
        said(world, "lost", TAKEN), created_at=world.clock().replace(year=2020)
    )
    shown(world, ended, payment_reference=intent.provider_reference)
    await shop.round()
    (dispute,) = await world.all(Dispute)
    assert dispute.status is DisputeStatus.LOST


async def test_one_that_the_provider_has_no_more_is_for_a_person(shop: Shop) -> None:
    intent, _ = await shop.paid(APPROVED)
    told = said(shop.world, "needs_response", TAKEN)
    shown(shop.world, told, payment_reference=intent.provider_reference)
    await shop.round()
    shop.provider.disputes_shown.clear()
    run = await shop.round()
    held = [f for f in await shop.findings(run) if f.action is FindingAction.HELD]
    assert [f.reason for f in held] == ["the provider says that it has no such dispute"]
    assert ("reconciliation_drift", "missing") in await alerts(shop.world)
    (dispute,) = await shop.world.all(Dispute)
    assert dispute.is_open
    await shop.round()
    assert ("reconciliation_drift", "missing") in await standing(shop.world)
    shown(shop.world, told, payment_reference=intent.provider_reference)
    await shop.round()
    assert ("reconciliation_drift", "missing") not in await standing(shop.world)


async def test_a_refund_that_the_provider_has_no_more_is_told_until_it_has(shop: Shop) -> None:
    world = shop.world
    intent, _ = await shop.paid(APPROVED)
    shop.provider.refunding.append(RefundAnswer(RefundPending()))
    await refund_payment_intent(world.ctx, world.caller, intent.id, NewRefund(5))
    (refund,) = await world.all(Refund)
    had = dict(shop.provider.refunds_shown)
    shop.provider.refunds_shown.clear()
    for _ in range(2):
        await shop.round()
        assert await standing(world) == {("reconciliation_drift", "missing")}
    another = {name: msgspec.structs.replace(was, amount=4) for name, was in had.items()}
    shop.provider.refunds_shown = another
    await shop.round()
    assert ("reconciliation_drift", "missing") in await standing(world), "it is of another amount"
    shop.provider.refunds_shown = had
    await shop.round()
    assert await standing(world) == set()
    (after,) = await world.all(Refund)
    assert (after.id, after.state) == (refund.id, RefundState.PENDING)


async def standing(world: World) -> set[tuple[str, str | None]]:
    """Types and stages of the alerts that are not closed."""
    found = [alert for alert in await world.all(Alert) if alert.status is not AlertStatus.CLOSED]
    return {(alert.problem.type.value, alert.problem.stage) for alert in found}


async def test_a_list_that_breaks_off_keeps_its_cursor_and_no_other(shop: Shop) -> None:
    await shop.paid(APPROVED)
    shop.provider.disputes_silent = True
    run = await shop.round()
    assert run.status is RunStatus.FAILED
    assert run.cursors.disputes is None
    assert run.cursors.payments is not None


@pytest.mark.parametrize("mark", [True, False])
async def test_strangers_and_orphans(shop: Shop, *, mark: bool) -> None:
    told = said(shop.world, "needs_response", TAKEN)
    mine = INSTALLATION if mark else None
    shown(shop.world, told, payment_reference="ref_else", installation=mine)
    run = await shop.round()
    assert await shop.world.all(Dispute) == []
    assert await alerts(shop.world) == ([("orphan_charge", None)] if mark else [])
    assert run.tally.foreign == (0 if mark else 1)


async def test_a_new_one_that_is_not_understood_is_held(shop: Shop) -> None:
    intent, _ = await shop.paid(APPROVED)
    odd = DisputeUnfamiliar("arbitration")
    shown(shop.world, odd, payment_reference=intent.provider_reference)
    run = await shop.round()
    (found,) = await shop.findings(run)
    assert (found.action, found.theirs) == (FindingAction.HELD, {"status": "arbitration"})


async def test_a_rehearsal_records_nothing(shop: Shop) -> None:
    intent, _ = await shop.paid(APPROVED)
    told = said(shop.world, "needs_response", TAKEN)
    shown(shop.world, told, payment_reference=intent.provider_reference)
    shop.world.clock.forward(QUARTER)
    report = await rehearse(shop.world.ctx, a_round(shop), "run_1")
    assert [f.kind for f in report.kept] == [FindingKind.DISPUTE]
    assert await shop.world.all(Dispute) == []
