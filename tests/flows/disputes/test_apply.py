"""A dispute at the provider becomes a record of ours, once, with its money in the ledger."""

import asyncio

import msgspec
import pytest

from paygate.domain.alert import Alert
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.outcome import DisputeStatus, DisputeUnfamiliar
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.ledger import Transfer
from paygate.domain.payments.outcome import Unknown
from paygate.domain.payments.payment_intent import Status
from paygate.flows.alerts.close import close_alerts
from paygate.flows.context import CommitDoor
from paygate.flows.disputes.find import Finding, apply_dispute
from paygate.storage.change import Change, Verdict
from tests.domain.disputes.made import BACK, TAKEN, row
from tests.flows.disputes.stories import (
    BANK,
    alerts,
    check_books,
    disputed,
    events,
    look_up,
    paid,
    said,
    shown,
    stage,
)
from tests.flows.refunds.stories import refund
from tests.flows.world import World


async def test_a_dispute_becomes_a_record_with_its_money_event_audit_and_alert(
    world: World,
) -> None:
    intent = await paid(world)
    found = await look_up(world, shown(world, said(world, "needs_response", TAKEN)))
    dispute = found.dispute
    assert dispute is not None
    assert (found.finding, dispute.intent) == (Finding.RECORDED, intent.id)
    assert is_id(PREFIXES["dispute"], dispute.id)
    now = await check_books(world, intent)
    assert (now.disputes, now.amount_refundable, now.status) == (1, 0, Status.SUCCEEDED)
    assert await events(world, dispute) == ["dispute.created"]
    assert await alerts(world) == [("dispute_opened", None)]
    (alert,) = await world.all(Alert)
    assert "19.99 EUR: fraudulent; it is a chargeback" in alert.problem.message
    assert "cannot be refunded meanwhile; evidence is due by" in alert.problem.message
    audited = [e for e in await world.audited() if e.action == "dispute.record"]
    assert [(e.subject.id, e.details["row"]) for e in audited if e.subject and e.details] == [
        (dispute.id, "txn_1")
    ]


async def test_the_same_answer_again_finds_nothing_new(world: World) -> None:
    intent = await paid(world)
    answer = shown(world, said(world, "needs_response", TAKEN))
    await look_up(world, answer)
    before = await world.counts()
    assert (await look_up(world, answer)).finding is Finding.NOTHING_NEW
    assert await world.counts() == before
    await check_books(world, intent)


async def test_a_whole_story_of_a_dispute_that_is_won(world: World) -> None:
    intent = await paid(world)
    dispute = await disputed(world, "needs_response", TAKEN)
    await disputed(world, "under_review", TAKEN, submission_count=1)
    won = await disputed(world, "won", TAKEN, BACK, submission_count=1)
    assert (won.status, won.id) == (DisputeStatus.WON, dispute.id)
    assert won.closed_at is not None
    now = await check_books(world, intent)
    assert (now.amount_refundable, now.dispute_fees) == (1999, {"eur": 1500})
    told = await events(world, dispute)
    assert (told[0], told[-1], set(told[1:-1])) == (
        "dispute.created",
        "dispute.closed",
        {"dispute.updated"},
    )
    await world.count_occurrences()
    await close_alerts(world.ctx, "run")
    assert await alerts(world) == []


async def test_an_inquiry_moves_no_money_and_escalates(world: World) -> None:
    intent = await paid(world)
    dispute = await disputed(world, "warning_needs_response")
    now = await check_books(world, intent)
    assert (now.amount_refundable, now.inquiries_open) == (1999, 1)
    (alert,) = await world.all(Alert)
    assert "refund all that is left of the payment: that closes the inquiry" in (
        alert.problem.what_to_do
    )
    await disputed(world, "needs_response", TAKEN)
    now = await check_books(world, intent)
    assert (now.amount_refundable, now.disputes_blocking, now.inquiries_open) == (0, 1, 0)
    (alert,) = await world.all(Alert)
    assert (alert.count, "it was an inquiry" in alert.problem.message) == (2, True)
    assert "dispute.closed" not in await events(world, dispute)


async def test_several_disputes_on_one_payment(world: World) -> None:
    intent = await paid(world)
    for number, amount in (("1", -1000), ("2", -500)):
        told = said(world, "needs_response", row(f"t{number}", amount, 1500), amount=-amount)
        await look_up(world, shown(world, told, f"du_{number}"))
    now = await check_books(world, intent)
    assert (now.disputes, now.disputes_blocking, now.amount_refundable) == (2, 2, 499)
    assert now.dispute_fees == {"eur": 3000}


async def test_one_that_had_ended_when_we_heard_of_it_is_told_of_to_a_person(world: World) -> None:
    """A returned debit is lost at once, and nobody can respond."""
    intent = await paid(world)
    told = said(world, "lost", row("t", -1999, 750), evidence_due_by=None)
    dispute = (await look_up(world, shown(world, told))).dispute
    assert dispute is not None
    assert sorted(await events(world, dispute)) == ["dispute.closed", "dispute.created"]
    await world.count_occurrences()
    await close_alerts(world.ctx, "run")
    assert await alerts(world) == [("dispute_opened", "ended")]
    (alert,) = await world.all(Alert)
    assert alert.problem.severity == "critical"
    assert (await check_books(world, intent)).amount_refundable == 0


async def test_a_prevented_one_moves_no_money(world: World) -> None:
    intent = await paid(world)
    await disputed(world, "prevented", evidence_due_by=None)
    assert (await check_books(world, intent)).amount_refundable == 1999
    (alert,) = await world.all(Alert)
    assert alert.problem.severity == "info"


async def test_a_dispute_of_a_payment_that_is_not_ours_is_foreign(world: World) -> None:
    answer = shown(world, said(world), payment_reference="ref_else", installation=None)
    assert (await look_up(world, answer)).finding is Finding.FOREIGN
    answer = shown(world, said(world), payment_reference="ref_else", installation="in_other")
    assert (await look_up(world, answer)).finding is Finding.FOREIGN
    assert await world.all(Dispute) == []


async def test_one_that_bears_our_mark_and_is_not_known_is_an_orphan(world: World) -> None:
    answer = shown(world, said(world), payment_reference="ref_else")
    assert (await look_up(world, answer)).finding is Finding.ORPHAN
    assert await world.all(Dispute) == []


async def test_a_payment_that_is_not_concluded_comes_first(world: World) -> None:
    await world.confirming(Unknown("nobody knows"))
    answer = shown(world, said(world, "lost", TAKEN))
    assert (await look_up(world, answer)).finding in {Finding.PAYMENT_FIRST, Finding.ORPHAN}
    assert await world.all(Dispute) == []


async def test_it_is_recorded_once_by_many_at_the_same_moment(world: World) -> None:
    intent = await paid(world)
    answer = shown(world, said(world, "needs_response", TAKEN, row("t2", 0, 100)))
    found = await asyncio.gather(*(look_up(world, answer) for _ in range(8)))
    assert sum(each.finding is Finding.RECORDED for each in found) == 1
    assert len(await world.all(Dispute)) == 1
    assert (await check_books(world, intent)).dispute_fees == {"eur": 1600}


class Dying:
    """A door behind which the process ends after so many commits."""

    def __init__(self, door: CommitDoor, commits: int) -> None:
        self._door, self._left = door, commits

    async def commit(self, change: Change) -> Verdict:
        if not self._left:
            raise asyncio.CancelledError
        self._left -= 1
        return await self._door.commit(change)


@pytest.mark.parametrize("commits", range(5))
async def test_it_may_die_between_any_two_commits(world: World, commits: int) -> None:
    """An answer with three rows and an end: what was done stands, the rest is found again."""
    intent = await paid(world)
    await disputed(world, "needs_response")
    door = world.ctx.door
    answer = shown(world, said(world, "lost", TAKEN, row("f", 0, 700), row("g", 0, -700)))
    world.use(door=Dying(door, commits))
    if commits < 4:
        with pytest.raises(asyncio.CancelledError):
            await look_up(world, answer)
    else:
        await look_up(world, answer)
    world.use(door=door)
    await check_books(world, intent)
    await look_up(world, answer)
    now = await check_books(world, intent)
    assert (now.amount_disputed, now.dispute_fees) == (1999, {"eur": 1500})
    transfers: list[Transfer] = await world.all(Transfer)
    assert sum(t.kind == "dispute_lose" for t in transfers) == 1


async def test_a_win_without_its_money_alerts_until_the_row_comes(world: World) -> None:
    intent = await paid(world)
    await disputed(world, "needs_response", TAKEN)
    await disputed(world, "won", TAKEN)
    assert (await check_books(world, intent)).amount_refundable == 0
    await world.count_occurrences()
    await close_alerts(world.ctx, "run")
    assert await alerts(world) == [("reconciliation_drift", "money_missing")]
    await disputed(world, "won", TAKEN, BACK)
    assert (await check_books(world, intent)).amount_refundable == 1999
    await world.count_occurrences()
    await close_alerts(world.ctx, "run_2")
    assert await alerts(world) == []


async def test_a_word_that_means_nothing_keeps_the_status_and_alerts_once(world: World) -> None:
    await paid(world)
    dispute = await disputed(world, "needs_response", TAKEN)
    for _ in range(3):
        await look_up(world, shown(world, DisputeUnfamiliar("arbitration")))
    assert ("reconciliation_drift", "unfamiliar") in await alerts(world)
    now = await world.ctx.disputes.dispute("default", dispute.id)
    assert now is not None
    assert (now.status, now.unfamiliar_status) == (DisputeStatus.NEEDS_RESPONSE, "arbitration")
    counts = [a.count for a in await world.all(Alert) if a.problem.stage == "unfamiliar"]
    assert counts == [1]


async def test_a_new_one_in_a_word_that_means_nothing_is_not_guessed_at(world: World) -> None:
    await paid(world)
    found = await look_up(world, shown(world, DisputeUnfamiliar("arbitration")))
    assert found.finding is Finding.UNFAMILIAR
    assert await world.all(Dispute) == []


async def test_a_chargeback_called_an_inquiry_is_for_a_person(world: World) -> None:
    await paid(world)
    await disputed(world, "needs_response", TAKEN)
    found = await look_up(world, shown(world, said(world, "warning_needs_response", TAKEN)))
    assert found.finding is Finding.BACKWARDS
    assert ("reconciliation_drift", "backwards") in await alerts(world)


@pytest.mark.parametrize("staged", [True, False])
async def test_what_was_answered_elsewhere_is_told_to_whoever_staged_evidence_here(
    world: World, *, staged: bool
) -> None:
    await paid(world)
    dispute = await disputed(world, "needs_response", TAKEN)
    if staged:
        await stage(world, dispute, {"product_description": "a lamp"})
    await disputed(world, "under_review", TAKEN, submission_count=1)
    assert (("dispute_opened", "answered_elsewhere") in await alerts(world)) is staged


async def test_evidence_that_came_late_is_told(world: World) -> None:
    """`past_due` speaks of what was submitted, and of no deadline that passed."""
    await paid(world)
    await disputed(world, "needs_response", TAKEN, past_due=True)
    assert ("dispute_deadline", "late") not in await alerts(world)
    await disputed(world, "under_review", TAKEN, past_due=False, submission_count=1)
    await disputed(world, "under_review", TAKEN, past_due=True, submission_count=1)
    assert ("dispute_deadline", "late") in await alerts(world)


async def test_a_refunded_payment_that_is_disputed_too_is_told(world: World) -> None:
    intent = await paid(world)
    await refund(world, intent)
    await disputed(world, "needs_response", TAKEN)
    assert ("dispute_opened", "paid_twice") in await alerts(world)
    now = await check_books(world, intent)
    assert (now.status, now.amount_refundable) == (Status.REFUNDED, 0)


async def test_another_merchants_dispute_stays_theirs(world: World) -> None:
    await paid(world)
    dispute = await disputed(world, "needs_response", TAKEN)
    assert await world.ctx.disputes.dispute("other", dispute.id) is None


@pytest.mark.parametrize("silent", [True, False])
async def test_an_answer_of_no_time_is_fetched_before_it_moves_anything(
    world: World, *, silent: bool
) -> None:
    await paid(world)
    await disputed(world, "needs_response", TAKEN)
    newest = shown(world, said(world, "under_review", TAKEN))
    if silent:
        world.provider.disputes_shown.clear()
    timeless = msgspec.structs.replace(newest, as_of=None)
    found = await apply_dispute(world.ctx, BANK, timeless)
    assert found.finding is (Finding.UNRESOLVED if silent else Finding.APPLIED)


async def test_a_look_up_that_others_overtook_in_its_second_moves_nothing_back(
    world: World,
) -> None:
    """While a look-up's answer is on its way, another applies the end of the dispute, of the same
    second by the provider's clock: what the first was shown is older.
    """
    intent = await paid(world)
    await disputed(world, "needs_response", TAKEN)
    reviewed = said(world, "under_review", TAKEN, submission_count=1)
    asked = shown(world, reviewed)
    event = msgspec.structs.replace(asked, outcome=said(world, "needs_response", TAKEN))
    await apply_dispute(world.ctx, BANK, event)  # of that second, and the dispute differs by then

    async def end() -> None:
        lost = said(world, "lost", TAKEN, submission_count=1)
        await apply_dispute(world.ctx, BANK, shown(world, lost, as_of=asked.as_of))

    world.provider.amid_look = end
    await apply_dispute(world.ctx, BANK, asked)
    (dispute,) = await world.all(Dispute)
    assert dispute.status is DisputeStatus.LOST
    await check_books(world, intent)
