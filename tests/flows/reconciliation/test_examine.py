"""What a round makes of one payment: in step, healed, or held for a person with the reason."""

from typing import Any

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertStatus, AlertType
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.outcome import (
    Cancelled,
    Declined,
    Outcome,
    PaymentError,
    Pending,
    Unknown,
)
from paygate.domain.payments.payment_intent import Status
from paygate.domain.reconciliation.finding import FindingAction, FindingKind
from paygate.domain.reconciliation.run import RunStatus
from paygate.providers.contract import ConfirmOrder
from tests.flows.payments.sweeps.test_resolve_attempts import lost
from tests.flows.payments.test_holds import HELD, cancel, later, ledger, taken
from tests.flows.reconciliation.books import CHALLENGE, Shop
from tests.flows.world import APPROVED, answer

DECLINED = Declined(PaymentError("card_declined", "no"))
SECOND = "theirs_again"


async def alerts(shop: Shop, kind: AlertType | None = None) -> list[Alert]:
    found: list[Alert] = await shop.world.all(Alert)
    return [a for a in found if kind is None or a.problem.type is kind]


async def test_what_is_in_step_is_counted_and_left_alone(shop: Shop) -> None:
    paid, _ = await shop.paid(APPROVED)
    waits, _ = await shop.waiting()
    before = [(await shop.world.now(i))[0].version for i in (paid, waits)]
    run = await shop.round()
    assert (run.status, run.tally.in_step, run.tally.ours) == (RunStatus.COMPLETED, 2, 2)
    assert [(await shop.world.now(i))[0].version for i in (paid, waits)] == before
    assert await shop.findings() == []
    assert await alerts(shop) == []


@pytest.mark.parametrize(
    ("became", "status"),
    [
        (APPROVED, Status.SUCCEEDED),
        (DECLINED, Status.FAILED),
        (Cancelled("abandoned"), Status.CANCELLED),
    ],
)
async def test_a_payment_that_waited_for_its_payer_is_found_within_one_round(
    shop: Shop, became: Outcome, status: Status
) -> None:
    """Its event was lost, and the list of events shows none either."""
    intent, attempt = await shop.waiting()
    shop.has(str(intent.provider_reference), became, attempt)
    run = await shop.round()
    assert await shop.status(intent) is status
    assert (run.tally.healed, run.tally.held) == (1, 0)
    (found,) = await shop.findings(run)
    assert (found.kind, found.action) == (FindingKind.STATUS, FindingAction.HEALED)
    assert found.ours == {"status": "requires_action"}
    assert (found.payment_intent, found.reason) == (intent.id, "applied")
    assert (await shop.world.event_types(intent))[-1] == f"payment_intent.{status}"
    again = await shop.round()
    assert (again.tally.healed, await shop.findings(again)) == (0, [])


@pytest.mark.parametrize(
    ("became", "status", "money"),
    [
        (taken(), Status.SUCCEEDED, [(1, 1999)]),
        (taken(700), Status.SUCCEEDED, [(1, 700)]),
        (Cancelled("expired"), Status.CANCELLED, []),
    ],
)
async def test_an_old_hold_that_was_ended_in_the_dashboard_is_found(
    shop: Shop, became: Outcome, status: Status, money: list[tuple[int, int]]
) -> None:
    """Made long before every window: it is asked for because it is not at its end."""
    intent, attempt = await shop.paid(HELD, capture_method="manual")
    await shop.round(after_seconds=5 * 86_400)
    shop.has(str(intent.provider_reference), became, attempt)
    for _ in range(7 * 4):
        await shop.round()
    assert await shop.status(intent) is status
    assert await ledger(shop.world) == money
    (found,) = await shop.findings()
    assert found.action is FindingAction.HEALED


@pytest.mark.parametrize(
    ("became", "status"), [(APPROVED, Status.SUCCEEDED), (DECLINED, Status.FAILED)]
)
async def test_a_debit_that_the_bank_answered_days_later_is_found(
    shop: Shop, became: Outcome, status: Status
) -> None:
    """Made long before every window, and its event was lost."""
    intent, attempt = await shop.paid(Pending())
    assert intent.status is Status.PROCESSING
    reference = str((await shop.world.now(intent))[0].provider_reference)
    shop.has(reference, Pending(), attempt)
    await shop.round(after_seconds=5 * 86_400)
    shop.has(reference, became, attempt)
    for _ in range(6 * 4):
        await shop.round()
    assert await shop.status(intent) is status
    (found,) = await shop.findings()
    assert (found.action, found.ours) == (FindingAction.HEALED, {"status": "processing"})


async def test_a_payment_whose_answer_and_event_were_lost_is_found_in_the_list(shop: Shop) -> None:
    intent, attempt = await lost(shop.world)
    assert intent.provider_reference is None
    shop.world.clock.forward(60)
    shop.has("theirs_lost", APPROVED, attempt)
    run = await shop.round()
    after, _ = await shop.world.now(intent)
    assert (after.status, after.provider_reference) == (Status.SUCCEEDED, "theirs_lost")
    assert await ledger(shop.world) == [(1, 1999)]
    assert (run.tally.healed, run.tally.orphans) == (1, 0)


async def test_a_charge_that_bears_our_mark_and_is_unknown_is_an_orphan(shop: Shop) -> None:
    shop.has("theirs_orphan", APPROVED, marked="at_unknown", merchant="default")
    run = await shop.round()
    assert (run.tally.orphans, run.tally.theirs, run.tally.ours) == (1, 1, 0)
    (found,) = await shop.findings()
    assert (found.kind, found.action) == (FindingKind.ORPHAN, FindingAction.HELD)
    assert (found.provider_reference, found.payment_intent) == ("theirs_orphan", None)
    assert found.theirs["amount_received"] == 1999
    (alert,) = await alerts(shop)
    assert alert.problem.type is AlertType.ORPHAN_CHARGE
    assert alert.problem.subject.id == "theirs_orphan"
    await shop.round()
    (again,) = await alerts(shop)
    assert again.count == 1, "it is the same, and was said a quarter of an hour ago"


async def test_a_mark_that_names_nobody_is_told_to_the_account(shop: Shop) -> None:
    shop.has("theirs_orphan", CHALLENGE, marked="at_unknown", merchant="nobody")
    await shop.round()
    (alert,) = await alerts(shop)
    assert (alert.merchant, alert.problem.severity) == ("default", "warning")


async def test_what_is_foreign_is_counted_and_nobody_is_told(shop: Shop) -> None:
    shop.has("not_ours", APPROVED, installation="in_other")
    shop.has("nor_this", APPROVED, installation=None)
    run = await shop.round()
    assert (run.tally.foreign, run.tally.theirs, run.tally.orphans) == (2, 2, 0)
    assert await alerts(shop) == []


async def test_a_stranger_on_an_account_that_is_ours_alone_is_an_orphan(shop: Shop) -> None:
    policy = msgspec.structs.replace(shop.world.ctx.policy, exclusive_account=True)
    shop.world.use(policy=policy)
    shop.has("not_ours", APPROVED, installation="in_other")
    shop.has("no_money", DECLINED, installation="in_other")
    run = await shop.round()
    assert (run.tally.foreign, run.tally.orphans) == (1, 1)
    (alert,) = await alerts(shop, AlertType.ORPHAN_CHARGE)
    assert "ours alone" in alert.problem.message


async def test_two_charges_for_one_intent_are_an_orphan_that_names_it(shop: Shop) -> None:
    intent, attempt = await shop.paid(APPROVED)
    shop.has(SECOND, APPROVED, attempt)
    run = await shop.round()
    assert (run.tally.orphans, run.tally.in_step) == (1, 1)
    (found,) = await shop.findings()
    assert (found.payment_intent, found.provider_reference) == (intent.id, SECOND)
    (alert,) = await alerts(shop, AlertType.ORPHAN_CHARGE)
    assert alert.problem.subject.id == intent.id
    assert await ledger(shop.world) == [(1, 1999)]


async def test_a_second_hold_is_given_back(shop: Shop) -> None:
    _, attempt = await shop.paid(APPROVED)
    shop.has(SECOND, HELD, attempt)
    shop.provider.answers.append(answer(Cancelled(), provider_reference=SECOND))
    run = await shop.round()
    assert (run.tally.healed, run.tally.held, run.tally.orphans) == (1, 0, 0)
    (found,) = await shop.findings()
    assert found.reason == "hold_voided"
    assert len(shop.provider.standing) == 1


@pytest.mark.parametrize(
    ("more", "differs"),
    [
        ({"amount": 2000}, {"amount": 2000}),
        ({"currency": "usd"}, {"currency": "usd"}),
        ({"amount": 5, "currency": "jpy"}, {"amount": 5, "currency": "jpy"}),
    ],
)
@pytest.mark.parametrize("ours", [APPROVED, CHALLENGE])
async def test_another_amount_or_currency_is_held_and_moves_nothing(
    shop: Shop, ours: Outcome, more: dict[str, Any], differs: dict[str, Any]
) -> None:
    intent, attempt = await shop.paid(ours)
    shop.has(str(intent.provider_reference), APPROVED, attempt, **more)
    for _ in range(2):
        run = await shop.round()
        assert (run.tally.held, run.tally.healed, run.tally.in_step) == (1, 0, 0)
        (found,) = await shop.findings(run)
        assert (found.kind, found.action) == (FindingKind.AMOUNT, FindingAction.HELD)
        assert differs.items() <= found.theirs.items()
    assert (await shop.world.now(intent))[0] == intent
    (alert,) = await alerts(shop)
    assert (alert.problem.type, alert.count) == (AlertType.RECONCILIATION_DRIFT, 1)


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ({"refunded": 500}, FindingKind.REFUNDED, {"amount_refunded": 500}),
        ({"disputed": True}, FindingKind.DISPUTE, {"disputed": True}),
        (
            {"refunded": 1, "disputed": True},
            FindingKind.REFUNDED,
            {"amount_refunded": 1, "disputed": True},
        ),
    ],
)
async def test_a_refund_or_a_dispute_that_we_know_nothing_of_is_held(
    shop: Shop, more: dict[str, Any], kind: FindingKind, said: dict[str, Any]
) -> None:
    intent, attempt = await shop.paid(APPROVED)
    shop.has(str(intent.provider_reference), APPROVED, attempt, **more)
    run = await shop.round()
    (found,) = await shop.findings(run)
    assert (found.kind, found.action, found.theirs) == (kind, FindingAction.HELD, said)
    (alert,) = await alerts(shop)
    assert (alert.problem.stage, alert.problem.subject.id) == (kind, intent.id)


async def test_an_alert_closes_when_the_two_agree(shop: Shop) -> None:
    intent, attempt = await shop.paid(APPROVED)
    shop.has(str(intent.provider_reference), APPROVED, attempt, disputed=True)
    await shop.round()
    (alert,) = await alerts(shop)
    assert alert.status is AlertStatus.OPEN
    shop.has(str(intent.provider_reference), APPROVED, attempt)
    await shop.round()
    (alert,) = await alerts(shop)
    assert alert.status is AlertStatus.CLOSED


async def test_money_under_a_cancelled_intent_is_a_correction(shop: Shop) -> None:
    intent, attempt = await shop.paid(HELD, capture_method="manual")
    shop.provider.answers.append(later(Cancelled()))
    shop.world.clock.forward(1)
    assert (await cancel(shop.world, intent)).status is Status.CANCELLED
    shop.has(str(intent.provider_reference), taken(), attempt)
    run = await shop.round()
    assert await shop.status(intent) is Status.SUCCEEDED
    assert run.tally.healed == 1
    assert len(await shop.world.all(Correction)) == 1
    (found,) = await shop.findings()
    assert (found.ours, found.reason) == ({"status": "cancelled"}, "corrected")


async def test_a_state_that_does_not_follow_is_held(shop: Shop) -> None:
    """Paid here, and still waiting there: nothing here goes backwards."""
    intent, attempt = await shop.paid(APPROVED)
    shop.has(str(intent.provider_reference), CHALLENGE, attempt)
    run = await shop.round()
    assert await shop.status(intent) is Status.SUCCEEDED
    assert (run.tally.held, run.tally.healed) == (1, 0)
    (found,) = await shop.findings()
    assert (found.kind, found.action) == (FindingKind.STATUS, FindingAction.HELD)
    assert found.theirs == {"status": "requires_action"}


async def test_a_payment_that_the_provider_has_not_is_a_finding_and_the_rest_goes_on(
    shop: Shop,
) -> None:
    """B14."""
    gone, _ = await shop.waiting()
    stays, attempt = await shop.waiting()
    del shop.books.payments[str(gone.provider_reference)]
    shop.has(str(stays.provider_reference), APPROVED, attempt)
    run = await shop.round()
    assert run.status is RunStatus.COMPLETED
    assert (run.tally.held, run.tally.healed) == (1, 1)
    held = next(f for f in await shop.findings() if f.action is FindingAction.HELD)
    assert (held.payment_intent, held.theirs) == (gone.id, {"status": None})
    (alert,) = await alerts(shop, AlertType.ATTEMPT_UNRESOLVED)
    assert alert.problem.stage == "missing"


async def test_what_the_provider_does_not_tell_is_neither_in_step_nor_held(shop: Shop) -> None:
    intent, attempt = await shop.waiting()
    shop.has(str(intent.provider_reference), Unknown("a status of tomorrow"), attempt)
    run = await shop.round()
    assert (run.tally.ours, await shop.findings()) == (0, [])
    assert await shop.status(intent) is Status.REQUIRES_ACTION


async def test_another_amount_is_held_whatever_the_state(shop: Shop) -> None:
    """In the dashboard it was changed, and so begun anew: nobody goes on with it."""
    intent, attempt = await shop.waiting()
    shop.has(str(intent.provider_reference), Unknown("idle", idle=True), attempt, amount=2500)
    run = await shop.round()
    (found,) = await shop.findings(run)
    assert (found.kind, found.action, found.theirs) == ("amount", "held", {"amount": 2500})


async def test_an_answer_under_way_is_left_to_tell(shop: Shop) -> None:
    """The confirm's own call is out while the round looks."""
    run_during = []

    async def look(_: ConfirmOrder) -> None:
        (attempt,) = await shop.world.all(Attempt)
        shop.has("theirs_now", APPROVED, attempt)
        run_during.append(await shop.by_hand())

    shop.provider.during = look
    shop.provider.answers.append(answer(APPROVED, provider_reference="theirs_now"))
    intent = await shop.world.confirm(await shop.world.create())
    assert intent.status is Status.SUCCEEDED
    assert (run_during[0].tally.healed, run_during[0].tally.orphans) == (0, 0)


async def test_a_bank_that_works_on_is_in_step(shop: Shop) -> None:
    intent, attempt = await shop.waiting()
    shop.has(str(intent.provider_reference), Pending(), attempt)
    run = await shop.round()
    assert (run.tally.in_step, run.tally.healed) == (1, 0)


async def test_what_failed_is_being_closed_for_three_days_and_then_held(shop: Shop) -> None:
    intent, attempt = await shop.paid(DECLINED)
    assert intent.status is Status.FAILED
    shop.has(str(intent.provider_reference), CHALLENGE, attempt)
    assert (await shop.round()).tally.in_step == 1
    run = await shop.round(after_seconds=4 * 86_400)
    assert (run.tally.held, run.tally.in_step) == (1, 0)
