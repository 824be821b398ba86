"""All that is committed with a move of a payment, and one place that puts it together."""

import ast
from pathlib import Path

from paygate.domain.alert import AlertType, Occurrence
from paygate.domain.event import Event
from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import AttemptState, move
from paygate.domain.payments.confirmation import Moved
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.outcome import Answer
from paygate.domain.payments.payment_intent import Trigger, advance
from paygate.flows.payments.attempt.consequences import of_move
from paygate.flows.payments.attempt.correct import corrected
from paygate.jobs.messages import CloseFailedPayment, RaiseAlert
from tests.flows.world import APPROVED, World
from tests.making import START, make_attempt, make_intent

FLOWS = Path(__file__).parents[4] / "src" / "paygate" / "flows"


def test_no_other_file_of_payments_puts_a_move_together() -> None:
    """A verb that did would forget the event, the transfer or the alert; create has no move."""
    found = {
        path.name
        for path in (FLOWS / "payments").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Change"
        and len(node.args) + len(node.keywords) > 1
    }
    assert found == {"consequences.py", "create.py"}


async def test_a_new_attempt_is_created_and_a_later_one_advanced(world: World) -> None:
    intent = make_intent()
    attempt = make_attempt(intent)
    processing = advance(intent, Trigger.CONFIRM, START, attempt=attempt.id, attempts=1)
    begun = of_move(world.ctx, Moved(intent, processing, attempt), request_id="req_1")
    created, event = begun.creates
    assert created == attempt
    assert isinstance(event, Event)
    assert (event.type, event.request_id) == ("payment_intent.processing", "req_1")
    assert begun.advances == (processing,)
    after = advance(processing, Trigger.PROCEED, START)
    unknown = move(attempt, AttemptState.UNKNOWN, START)
    assert of_move(world.ctx, Moved(processing, after, unknown), request_id=None) == (
        (),
        (after, unknown),
        (),
    )


async def test_a_failed_payment_is_closed_at_the_provider_by_a_job(world: World) -> None:
    intent = advance(make_intent(), Trigger.CONFIRM, START, attempt="at_1", provider_reference="p")
    failed = advance(intent, Trigger.FAIL, START)
    (job,) = of_move(world.ctx, Moved(intent, failed), request_id=None).jobs
    assert job.message == CloseFailedPayment(intent.merchant, "at_1")


async def test_a_correction_has_its_record_its_money_its_event_and_its_alert(world: World) -> None:
    intent = advance(make_intent(), Trigger.CONFIRM, START, attempt="at_2")
    failed = advance(intent, Trigger.FAIL, START)
    answer = Answer(APPROVED, provider_reference="p", attempt="at_1")
    moved = corrected(failed, answer, START, proof="evt_1")
    done = of_move(world.ctx, moved, request_id=None, answer=answer)
    correction, event, transfer, alert = done.creates
    assert isinstance(correction, Correction)
    assert (correction.proof, correction.reason) == ("evt_1", "captured_after_the_end")
    assert isinstance(event, Event)
    assert (event.type, event.correction) == ("payment_intent.succeeded", True)
    assert isinstance(transfer, Transfer)
    assert transfer.attempt == "at_1"
    assert isinstance(alert, Occurrence)
    assert alert.problem.type is AlertType.STATE_CORRECTION
    assert done.advances == (moved.intent,)
    assert [type(job.message) for job in done.jobs] == [RaiseAlert]
