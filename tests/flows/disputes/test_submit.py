"""Evidence is submitted once, before its deadline; whoever hears nothing looks before it sends."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertStatus, AlertType
from paygate.domain.audit import AuditEntry
from paygate.domain.disputes.conclusion import ESCALATED
from paygate.domain.disputes.dispute import Dispute, DisputeOperation
from paygate.domain.disputes.outcome import (
    Compliance,
    ComplianceNetwork,
    DisputeAnswer,
    Disputed,
    DisputeKind,
    DisputeRejected,
    DisputeStatus,
    EvidenceRefusal,
    RejectionCode,
)
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.event import Event
from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.flows.alerts.close import close_alerts
from paygate.flows.disputes.find import apply_dispute
from paygate.flows.disputes.resolve import resolve_dispute_orders
from paygate.flows.disputes.stage_evidence import SentFile, stage_files, stage_texts
from paygate.flows.disputes.submit import NOT_READ, TOO_LATE
from paygate.providers.contract import ClockSkew
from tests.documents.made import png
from tests.flows.disputes.answering import (
    DAYS,
    RECEIPT,
    REFERENCE,
    disputed,
    now,
    shown,
    staged,
    submit,
    submit_once,
)
from tests.flows.world import World

SUBMIT = DisputeOperation.SUBMIT


def said(outcome: Any) -> DisputeAnswer:
    return DisputeAnswer(outcome=outcome)


async def swept(world: World, seconds: float = 31) -> tuple[int, int]:
    """What a later run of the sweep came to: resolved, unresolved."""
    world.clock.forward(seconds)
    return await resolve_dispute_orders(world.ctx, "run_1")


def stands(world: World, **changes: Any) -> None:
    """The provider shows the dispute so from now on."""
    before = world.provider.disputes_shown[REFERENCE]
    assert isinstance(before.outcome, Disputed)
    outcome = msgspec.structs.replace(before.outcome, **changes)
    after = msgspec.structs.replace(before, outcome=outcome, as_of=world.clock())
    world.provider.disputes_shown[REFERENCE] = after


def answered(world: World, **changes: Any) -> None:
    stands(world, status=DisputeStatus.UNDER_REVIEW, submission_count=1, **changes)


async def test_files_go_up_and_the_evidence_after_them(world: World) -> None:
    dispute = await staged(world)
    sent = SentFile("customer_signature", png(), "s.png")
    dispute = await stage_files(world.ctx, world.caller, dispute.id, [sent])
    after = await submit(world, dispute)
    assert after == await now(world, dispute)
    assert (after.status, after.submission_count) == (DisputeStatus.UNDER_REVIEW, 1)
    assert (after.submitted_at, after.pending_operation) == (world.clock(), None)
    uploads = world.provider.uploaded
    assert [(u.name, u.content_type, u.content) for u in uploads] == [
        ("Quittung.pdf", "application/pdf", RECEIPT.content),
        ("s.png", "image/png", png()),
    ]
    (order,) = world.provider.submitted
    assert order.texts == dispute.texts
    assert order.texts["product_description"] == "A hat."
    assert order.files == {
        "receipt": f"file_{uploads[0].key}",
        "customer_signature": f"file_{uploads[1].key}",
    }
    assert order.expected_submission_count == 0
    actions = [entry.action for entry in await world.all(AuditEntry)]
    assert actions.count("dispute.submit") == 4  # begun, two files, sent
    types = [event.type for event in await world.all(Event) if event.object_id == dispute.id]
    assert types == ["dispute.created", "dispute.updated"]


async def test_nothing_is_submitted_twice(world: World) -> None:
    dispute = await staged(world)
    await submit(world, dispute)
    with pytest.raises(Refusal) as refused:
        await submit(world, dispute)
    assert refused.value.code is ErrorCode.DISPUTE_ANSWERED
    with pytest.raises(Refusal) as refused:
        await stage_texts(world.ctx, world.caller, dispute.id, {"customer_name": "Ada"})
    assert refused.value.code is ErrorCode.DISPUTE_ANSWERED
    assert len(world.provider.submitted) == 1


async def test_of_two_at_once_one_submits(world: World) -> None:
    dispute = await staged(world)
    outcomes = await asyncio.gather(
        *(submit(world, dispute) for _ in range(4)), return_exceptions=True
    )
    refused = [each for each in outcomes if isinstance(each, Refusal)]
    assert {each.code for each in refused} <= {
        ErrorCode.OPERATION_PENDING,
        ErrorCode.DISPUTE_ANSWERED,
    }
    assert len(refused) == 3
    assert len({order.key for order in world.provider.submitted}) == 1
    assert len(world.provider.submitted) == 1


async def test_nothing_is_submitted_that_was_not_staged(world: World) -> None:
    dispute = await disputed(world)
    with pytest.raises(Refusal) as refused:
        await submit(world, dispute)
    assert refused.value.code is ErrorCode.STATE_CONFLICT
    assert not world.provider.submitted


async def test_after_the_deadline_nothing_is_sent(world: World) -> None:
    dispute = await staged(world)
    world.clock.forward(DAYS.total_seconds())
    with pytest.raises(Refusal) as refused:
        await submit(world, dispute)
    assert refused.value.code is ErrorCode.EVIDENCE_DEADLINE_PASSED
    assert refused.value.subject == dispute
    assert not world.provider.uploaded


async def test_the_providers_clock_counts(world: World) -> None:
    dispute = await staged(world)
    world.provider.skew = ClockSkew(ahead=DAYS, within=timedelta(seconds=1))
    with pytest.raises(Refusal) as refused:
        await submit(world, dispute)
    assert refused.value.code is ErrorCode.EVIDENCE_DEADLINE_PASSED


async def test_a_deadline_that_passes_while_files_go_up_ends_the_order(world: World) -> None:
    dispute = await staged(world)

    async def slow() -> None:
        world.clock.forward(DAYS.total_seconds())

    world.provider.amid_dispute = slow
    after = await submit(world, dispute)
    assert after.refusals == (EvidenceRefusal(None, TOO_LATE),)
    assert (after.pending_operation, after.submitted_at) == (None, None)
    assert not world.provider.submitted


async def test_an_unknown_outcome_is_looked_up_and_not_sent_again(world: World) -> None:
    dispute = await staged(world)
    world.provider.submitting.append(said(Unknown("no answer")))
    after = await submit(world, dispute)
    assert (after.pending_operation, after.submitted_at) == (SUBMIT, None)
    with pytest.raises(Refusal) as refused:
        await stage_texts(world.ctx, world.caller, dispute.id, {"customer_name": "Ada"})
    assert refused.value.code is ErrorCode.OPERATION_PENDING
    world.clock.forward(1)
    answered(world)
    assert await swept(world) == (1, 0)
    after = await now(world, dispute)
    assert (after.pending_operation, after.submission_count) == (None, 1)
    assert after.submitted_at == world.clock()
    assert len(world.provider.submitted) == 1
    assert not [a for a in await world.all(Alert) if a.problem.stage == "answered_elsewhere"]


async def test_what_did_not_come_through_is_sent_again_by_the_same_key(world: World) -> None:
    dispute = await staged(world)
    world.provider.submitting.append(said(Unknown("no answer")))
    await submit(world, dispute)
    assert await swept(world) == (1, 0)
    first, second = world.provider.submitted
    assert first == second, "an equal order under the same key"
    assert len(world.provider.uploaded) == 1, "the file is there already"
    assert (await now(world, dispute)).submission_count == 1


async def test_a_key_that_is_spent_on_a_fault_is_left_after_long(world: World) -> None:
    """The provider repeats a fault under a key for a day; the deadline may be nearer."""
    dispute = await staged(world)
    world.provider.submitting += [said(Unknown("HTTP 500"))] * 3
    await submit(world, dispute)
    assert await swept(world) == (0, 1)
    assert await swept(world, 601) == (0, 1)
    assert await swept(world) == (1, 0)
    keys = [order.key for order in world.provider.submitted]
    assert keys[0] == keys[1] != keys[2] == keys[3]
    assert len(set(keys)) == 2


async def test_while_the_provider_does_not_tell_nothing_is_sent(world: World) -> None:
    dispute = await staged(world)
    world.provider.submitting.append(said(Unknown("no answer")))
    await submit(world, dispute)
    world.provider.disputes_shown.clear()
    assert await swept(world) == (0, 1)
    assert await swept(world, 3600) == (0, 1)
    assert len(world.provider.submitted) == 1
    (alert,) = [a for a in await world.all(Alert) if a.problem.type is AlertType.ATTEMPT_UNRESOLVED]
    assert alert.problem.subject.id == dispute.id
    await close_alerts(world.ctx, "run_2")
    (alert,) = [a for a in await world.all(Alert) if a.problem.type is AlertType.ATTEMPT_UNRESOLVED]
    assert alert.status is AlertStatus.OPEN
    answered_since = shown(world, status=DisputeStatus.UNDER_REVIEW, submission_count=1)
    world.provider.disputes_shown[REFERENCE] = answered_since
    assert await swept(world) == (1, 0)
    await close_alerts(world.ctx, "run_3")
    unresolved = [
        a for a in await world.all(Alert) if a.problem.type is AlertType.ATTEMPT_UNRESOLVED
    ]
    assert [a.status for a in unresolved] == [AlertStatus.CLOSED]


async def test_what_was_certainly_not_sent_stands_and_is_sent_by_the_sweep(world: World) -> None:
    dispute = await staged(world)
    world.provider.submitting.append(said(NotSent("refused", retry_after_seconds=7)))
    with pytest.raises(Refusal) as refused:
        await submit(world, dispute)
    assert refused.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert refused.value.retry_after_seconds == 7
    assert (await now(world, dispute)).pending_operation is SUBMIT
    assert await swept(world) == (1, 0)
    assert (await now(world, dispute)).submission_count == 1


@pytest.mark.parametrize("outcome", [NotSent("refused"), Unknown("no answer")])
async def test_an_upload_that_is_not_known_is_tried_again_by_its_key(
    world: World, outcome: NotSent | Unknown
) -> None:
    dispute = await staged(world)
    world.provider.uploads.append(outcome)
    if isinstance(outcome, NotSent):
        with pytest.raises(Refusal):
            await submit(world, dispute)
    else:
        assert (await submit(world, dispute)).pending_operation is SUBMIT
    assert not world.provider.submitted
    assert await swept(world) == (1, 0)
    first, second = world.provider.uploaded
    assert first == second
    assert (await now(world, dispute)).submission_count == 1


async def test_an_uploads_key_that_is_spent_on_a_fault_is_left_after_long(world: World) -> None:
    dispute = await staged(world)
    world.provider.uploads += [Unknown("HTTP 500")] * 3
    await submit(world, dispute)
    assert await swept(world) == (0, 1)
    assert await swept(world, 601) == (1, 0)
    keys = [order.key for order in world.provider.uploaded]
    (file,) = dispute.files
    assert keys == [file.id, file.id, file.id, f"{file.id}-1"]
    assert (await now(world, dispute)).submission_count == 1


async def test_a_sweep_after_the_deadline_sends_nothing(world: World) -> None:
    dispute = await staged(world)
    world.provider.submitting.append(said(Unknown("no answer")))
    await submit(world, dispute)
    assert await swept(world, DAYS.total_seconds()) == (1, 0)
    after = await now(world, dispute)
    assert after.refusals == (EvidenceRefusal(None, TOO_LATE),)
    assert len(world.provider.submitted) == 1


async def test_what_the_provider_does_not_take_is_shown_field_by_field(world: World) -> None:
    dispute = await staged(world)
    refusals = (EvidenceRefusal("product_description", "Too vague."),)
    rejected = DisputeRejected(RejectionCode.EVIDENCE_REFUSED, "refused", refusals)
    world.provider.submitting.append(said(rejected))
    after = await submit(world, dispute)
    assert (after.refusals, after.pending_operation) == (refusals, None)
    assert after.submitted_at is None
    await stage_texts(world.ctx, world.caller, dispute.id, {"product_description": "A red hat."})
    assert (await now(world, dispute)).refusals == ()
    assert (await submit(world, dispute)).submission_count == 1
    first, second = world.provider.submitted
    assert first.key != second.key
    assert len(world.provider.uploaded) == 1, "the file is there already"


async def test_a_file_that_the_provider_does_not_take_is_named(world: World) -> None:
    dispute = await staged(world)
    world.provider.uploads.append(DisputeRejected(RejectionCode.FILE_REFUSED, "Unreadable."))
    after = await submit(world, dispute)
    assert after.refusals == (EvidenceRefusal("receipt", "Unreadable."),)
    assert after.pending_operation is None
    assert not world.provider.submitted


@pytest.mark.parametrize("uploading", [True, False])
async def test_our_own_key_refused_is_alerted_and_the_order_stands(
    world: World, *, uploading: bool
) -> None:
    dispute = await staged(world)
    rejected = DisputeRejected(RejectionCode.PROVIDER_CONFIGURATION, "No permission.")
    if uploading:
        world.provider.uploads.append(rejected)
    else:
        world.provider.submitting.append(said(rejected))
    assert (await submit(world, dispute)).pending_operation is SUBMIT
    types = {alert.problem.type for alert in await world.all(Alert)}
    assert AlertType.PROVIDER_MISCONFIGURED in types
    assert await swept(world) == (1, 0), "the key was mended"


async def test_answered_elsewhere_before_we_heard_of_it(world: World) -> None:
    """Staff used the dashboard, or the provider answered by itself: nothing goes over that."""
    dispute = await staged(world)
    world.clock.forward(1)
    answered(world)
    stood = world.provider.disputes_shown[REFERENCE]
    assert isinstance(stood.outcome, Disputed)
    rejected = DisputeRejected(
        RejectionCode.ALREADY_SUBMITTED, "It was answered.", stands=stood.outcome
    )
    world.provider.submitting.append(msgspec.structs.replace(stood, outcome=rejected))
    with pytest.raises(Refusal) as refused:
        await submit(world, dispute)
    assert refused.value.code is ErrorCode.DISPUTE_ANSWERED
    after = await now(world, dispute)
    assert (after.submission_count, after.pending_operation) == (1, None)
    assert refused.value.subject == after
    stages = [alert.problem.stage for alert in await world.all(Alert)]
    assert "answered_elsewhere" in stages


async def test_answered_elsewhere_by_an_event(world: World) -> None:
    dispute = await staged(world)
    world.clock.forward(1)
    await apply_dispute(world.ctx, world.caller, shown(world, submission_count=1))
    with pytest.raises(Refusal) as refused:
        await submit(world, dispute)
    assert refused.value.code is ErrorCode.DISPUTE_ANSWERED
    assert not world.provider.submitted
    stages = [alert.problem.stage for alert in await world.all(Alert)]
    assert "answered_elsewhere" in stages


async def test_the_event_of_our_own_submission_may_come_first(world: World) -> None:
    dispute = await staged(world)

    async def heard() -> None:
        if world.provider.submitted:
            world.clock.forward(1)
            answered(world)
            await apply_dispute(world.ctx, world.caller, world.provider.disputes_shown[REFERENCE])

    world.provider.amid_dispute = heard
    after = await submit(world, dispute)
    assert (after.submission_count, after.pending_operation) == (1, None)
    stages = [alert.problem.stage for alert in await world.all(Alert)]
    assert "answered_elsewhere" not in stages


async def test_a_dispute_that_is_decided_meanwhile_ends_the_order(world: World) -> None:
    dispute = await staged(world)

    async def decided() -> None:
        world.clock.forward(1)
        stands(world, status=DisputeStatus.WON)
        await apply_dispute(world.ctx, world.caller, world.provider.disputes_shown[REFERENCE])

    world.provider.amid_dispute = decided
    after = await submit(world, dispute)
    assert (after.status, after.pending_operation) == (DisputeStatus.WON, None)
    assert not world.provider.submitted, "it was decided while the file went up"
    assert await swept(world) == (0, 0)


async def test_decided_at_the_provider_and_not_heard_of(world: World) -> None:
    dispute = await staged(world)
    world.clock.forward(1)
    stands(world, status=DisputeStatus.WON)
    stood = world.provider.disputes_shown[REFERENCE]
    assert isinstance(stood.outcome, Disputed)
    rejected = DisputeRejected(RejectionCode.DISPUTE_CLOSED, "Decided.", stands=stood.outcome)
    world.provider.submitting.append(msgspec.structs.replace(stood, outcome=rejected))
    with pytest.raises(Refusal) as refused:
        await submit(world, dispute)
    assert refused.value.code is ErrorCode.STATE_CONFLICT
    assert (await now(world, dispute)).status is DisputeStatus.WON


async def test_a_compliance_case_is_answered_once_its_fee_is_agreed_to(world: World) -> None:
    """The reason alone does not tell: a case of fraud may be one."""
    visa = ComplianceNetwork.VISA
    dispute = await staged(world, compliance=(Compliance(visa, fee_acknowledged=False),))
    for fees in ((), (ComplianceNetwork.MASTERCARD,)):
        with pytest.raises(Refusal) as refused:
            await submit(world, dispute, *fees)
        assert refused.value.code is ErrorCode.FEE_NOT_ACKNOWLEDGED
        assert refused.value.param == "fees_acknowledged"
    assert not world.provider.uploaded
    assert (await submit(world, dispute, visa)).submission_count == 1
    assert world.provider.submitted[0].fees_acknowledged == (visa,)


async def test_an_inquiry_that_escalates_is_answered_anew(world: World) -> None:
    inquiry = {"kind": DisputeKind.INQUIRY, "status": DisputeStatus.WARNING_NEEDS_RESPONSE}
    dispute = await staged(world, **inquiry)
    warned = shown(world, **inquiry, submission_count=1)
    assert isinstance(warned.outcome, Disputed)
    outcome = msgspec.structs.replace(warned.outcome, status=DisputeStatus.WARNING_UNDER_REVIEW)
    world.provider.submitting.append(msgspec.structs.replace(warned, outcome=outcome))
    assert (await submit(world, dispute)).status is DisputeStatus.WARNING_UNDER_REVIEW
    world.clock.forward(1)
    escalated = shown(world, submission_count=1)
    world.provider.disputes_shown[REFERENCE] = escalated
    await apply_dispute(world.ctx, world.caller, escalated)
    after = await now(world, dispute)
    assert (after.is_answered, after.submitted_at) == (False, None)
    assert after.answer_due_at == after.evidence_due_by
    assert (await submit(world, dispute)).submission_count == 2
    assert world.provider.submitted[-1].expected_submission_count == 1


async def test_evidence_for_an_inquiry_is_not_sent_for_the_chargeback_that_it_becomes(
    world: World,
) -> None:
    inquiry = {"kind": DisputeKind.INQUIRY, "status": DisputeStatus.WARNING_NEEDS_RESPONSE}
    dispute = await staged(world, **inquiry)

    async def escalates() -> None:
        world.provider.amid_dispute = None
        world.clock.forward(1)
        world.provider.disputes_shown[REFERENCE] = shown(world)
        await apply_dispute(world.ctx, world.caller, shown(world))

    world.provider.amid_dispute = escalates
    after = await submit(world, dispute)
    assert (after.kind, after.pending_operation) == (DisputeKind.CHARGEBACK, None)
    assert after.refusals == (EvidenceRefusal(None, ESCALATED),)
    assert await swept(world) == (0, 0)
    assert not world.provider.submitted
    assert (await submit(world, dispute)).submission_count == 1


async def test_one_key_submits_once_and_is_answered_alike(world: World) -> None:
    dispute = await staged(world)
    first = await submit_once(world, dispute, "k")
    again = await submit_once(world, dispute, "k")
    assert (first.body, first.replayed, again.replayed) == (again.body, False, True)
    assert len(world.provider.submitted) == 1


async def test_a_key_whose_first_try_was_not_sent_goes_on_with_the_order(world: World) -> None:
    dispute = await staged(world)
    world.provider.submitting.append(said(NotSent("refused")))
    with pytest.raises(Refusal):
        await submit_once(world, dispute, "k")
    done = msgspec.json.decode((await submit_once(world, dispute, "k")).body, type=Dispute)
    assert (done.submission_count, done.pending_operation) == (1, None)
    first, second = world.provider.submitted
    assert first.key == second.key


@pytest.mark.parametrize("swept_up", [False, True])
async def test_a_file_that_is_not_as_it_was_is_not_sent_and_holds_up_no_other(
    world: World, *, swept_up: bool
) -> None:
    """The order would stand until the deadline had passed, and nothing else could be staged."""
    dispute = await staged(world)
    if swept_up:
        world.provider.uploads.append(Unknown("no answer"))
        await submit(world, dispute)
    await world.connection.execute("DELETE FROM dispute_file")
    if swept_up:
        assert await swept(world) == (1, 0)
    else:
        await submit(world, dispute)
    after = await now(world, dispute)
    assert after.refusals == (EvidenceRefusal("receipt", NOT_READ),)
    assert (after.pending_operation, after.submitted_at) == (None, None)
    assert not world.provider.submitted
    types = [alert.problem.type for alert in await world.all(Alert)]
    assert AlertType.RECORD_UNREADABLE in types
    await stage_files(world.ctx, world.caller, dispute.id, [RECEIPT])
    assert (await submit(world, dispute)).submission_count == 1
    assert world.provider.uploaded[-1].content == RECEIPT.content


async def test_a_sender_that_stood_still_sends_nothing(world: World) -> None:
    """Between the commit and the call this process slept: others may have ended the order."""
    dispute = await staged(world)
    door = world.ctx.door

    class Sleeps:
        async def commit(self, change: Any) -> Any:
            verdict = await door.commit(change)
            if any(isinstance(r, Dispute) and r.order and r.order.tries for r in change.advances):
                world.clock.forward(3600)
            return verdict

    world.use(door=Sleeps())
    after = await submit(world, dispute)
    assert after.pending_operation is SUBMIT
    assert not world.provider.submitted
    world.use(door=door)
    assert await swept(world) == (1, 0)


async def test_a_key_whose_order_the_sweep_has_ended_sends_nothing_more(world: World) -> None:
    dispute = await staged(world)
    world.provider.submitting.append(said(NotSent("refused")))
    with pytest.raises(Refusal):
        await submit_once(world, dispute, "k")
    assert await swept(world) == (1, 0)
    done = msgspec.json.decode((await submit_once(world, dispute, "k")).body, type=Dispute)
    assert done == await now(world, dispute)
    assert done.submission_count == 1
    assert len(world.provider.submitted) == 2, "the one that was not sent, and the sweep's"
