"""Whose payment an object of the provider's is: ours by the id that we recorded, whatever its
metadata say, for people can edit those; and one payment pays for one intent.
"""

from datetime import timedelta
from typing import Any, Final

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertType
from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.outcome import (
    ActionRequired,
    Approved,
    Cancelled,
    Declined,
    Outcome,
    PaymentError,
    Pending,
    RedirectToUrl,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.providers.contract import Notice
from tests.flows.payments.test_holds import held, taken
from tests.flows.world import APPROVED, THEIRS, World, answer, notice
from tests.making import START

BARE: Final[dict[str, Any]] = {"installation": None, "merchant": None}
HELD = Approved(captured=False, amount_received=0, amount_capturable=1999)
DECLINED = Declined(PaymentError("card_declined", "no"))


def by_hand(outcome: Outcome, seconds: int = 5, **more: Any) -> Notice:
    """An event about a payment whose metadata somebody removed."""
    as_of = START + timedelta(seconds=seconds)
    return notice(None, outcome, as_of=as_of, **(BARE | more))


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(taken(), Status.SUCCEEDED), (Cancelled("expired"), Status.CANCELLED)],
)
async def test_a_hold_whose_metadata_were_removed_is_ours(
    world: World, outcome: Outcome, status: Status
) -> None:
    """Captured or cancelled in the provider's dashboard."""
    hold = await held(world)
    event = await world.applied(by_hand(outcome))
    assert (event.verdict, event.subject and event.subject.id) == ("applied", hold.id)
    assert (await world.now(hold))[0].status is status


@pytest.mark.parametrize("mark", ["in_other", None])
async def test_what_we_did_not_record_is_foreign(world: World, mark: str | None) -> None:
    await held(world)
    event = await world.applied(
        by_hand(APPROVED, provider_reference="ref_unknown", installation=mark)
    )
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "foreign")


async def two(world: World) -> tuple[tuple[PaymentIntent, Attempt], tuple[PaymentIntent, Attempt]]:
    return await world.confirming(Pending()), await world.confirming(Pending())


async def test_metadata_of_another_payment_of_ours_are_not_believed(world: World) -> None:
    """Copied in the dashboard from one payment to another."""
    (first, _), (second, other) = await two(world)
    said = notice(other, APPROVED, as_of=START + timedelta(seconds=5), provider_reference=THEIRS)
    event = await world.applied(said)
    assert event.subject is not None
    assert event.subject.id == first.id
    assert (await world.now(first))[0].status is Status.SUCCEEDED
    assert (await world.now(second))[0].status is Status.PROCESSING


async def test_a_payment_of_another_intent_is_nobody_elses_answer(world: World) -> None:
    """The provider answers with what it made for another intent of ours."""
    await world.confirming(APPROVED)
    world.provider.named = {}  # it gives the same id again
    intent, attempt = await world.confirming(APPROVED)
    assert (intent.status, intent.provider_reference) == (Status.PROCESSING, None)
    assert attempt.state is AttemptState.UNKNOWN
    assert len(await world.all(Transfer)) == 1
    (alert,) = await world.all(Alert)
    assert (alert.problem.type, alert.problem.subject.id) == (
        AlertType.RECONCILIATION_DRIFT,
        intent.id,
    )


async def another_captured(world: World, attempt: Attempt, outcome: Approved) -> str:
    said = notice(attempt, outcome, as_of=START + timedelta(seconds=5), provider_reference="ref_b")
    world.provider.answers.append(answer(Cancelled(), provider_reference="ref_b"))
    return str((await world.applied(said)).verdict)


@pytest.mark.parametrize("first", [APPROVED, HELD, Pending()])
async def test_a_second_payment_of_ours_is_told(world: World, first: Outcome) -> None:
    """Captured under an intent that is paid, held, or under way with another payment."""
    intent, attempt = await world.confirming(first)
    assert await another_captured(world, attempt, APPROVED) == "orphan_charge"
    after, _ = await world.now(intent)
    assert (after.status, after.provider_reference) == (intent.status, THEIRS)
    (alert,) = await world.all(Alert)
    assert (alert.problem.type, alert.problem.severity) == (AlertType.ORPHAN_CHARGE, "critical")
    assert "ref_b" in alert.problem.what_to_do


async def test_a_second_hold_of_ours_is_given_back(world: World) -> None:
    intent, attempt = await world.confirming(APPROVED)
    assert await another_captured(world, attempt, HELD) == "hold_voided"
    (order,) = world.provider.standing
    assert order.provider_reference == "ref_b"
    assert await world.all(Alert) == []
    assert (await world.now(intent))[0] == intent


async def test_a_second_payment_that_failed_ends_nothing(world: World) -> None:
    intent, attempt = await world.confirming(Pending())
    said = notice(attempt, DECLINED, as_of=START + timedelta(seconds=5), provider_reference="ref_b")
    assert (await world.applied(said)).verdict == "already_settled"
    assert (await world.now(intent))[0].status is Status.PROCESSING


async def test_an_event_from_tomorrow_orders_nothing(world: World) -> None:
    """How the payment stands is asked for, and today's events are heard all the same."""
    intent, attempt = await world.confirming(Pending())
    tomorrow = START + timedelta(days=1)
    challenge = ActionRequired(RedirectToUrl("https://bank.example"))
    world.provider.objects.append(answer(Pending(), as_of=START + timedelta(seconds=2)))
    await world.receive(notice(attempt, challenge, as_of=tomorrow))
    (event,) = [e for e in await world.all(ProviderEvent) if e.status is EventStatus.RECEIVED]
    await world.apply(event)
    assert world.provider.retrieved == [THEIRS]
    said = notice(attempt, APPROVED, reference="evt_2", as_of=START + timedelta(seconds=9))
    assert (await world.applied(said)).verdict == "applied"
    after, _ = await world.now(intent)
    assert after.status is Status.SUCCEEDED
    assert after.provider_as_of == START + timedelta(seconds=9)


async def test_a_time_from_tomorrow_that_stands_written_deafens_nobody(world: World) -> None:
    intent, attempt = await world.confirming(Pending())
    world.clock.forward(86_400)
    challenge = ActionRequired(RedirectToUrl("https://bank.example"))
    tomorrow = notice(attempt, challenge, as_of=START + timedelta(days=1))
    await world.applied(tomorrow)
    assert (await world.now(intent))[0].provider_as_of == START + timedelta(days=1)
    world.clock.forward(-86_400)
    world.provider.objects.append(answer(APPROVED, as_of=START + timedelta(seconds=9)))
    said = notice(attempt, APPROVED, reference="evt_2", as_of=START + timedelta(seconds=9))
    await world.receive(said)
    event = (await world.all(ProviderEvent))[-1]
    assert (await world.apply(event)).verdict == "applied"
    assert (await world.now(intent))[0].status is Status.SUCCEEDED


async def test_an_answer_of_another_amount_is_told(world: World) -> None:
    """Whichever way it comes: here as the call's own reply."""
    intent, attempt = await world.confirming(APPROVED, amount=5000)
    assert (intent.status, attempt.state) == (Status.PROCESSING, AttemptState.STARTED)
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.RECONCILIATION_DRIFT


async def test_no_payment_is_found_by_an_id_that_is_not_recorded(world: World) -> None:
    intent, _ = await world.confirming(Pending())
    found = await world.ctx.read.payment_intent_by_provider_reference(THEIRS)
    assert found is not None
    assert msgspec.structs.asdict(found)["id"] == intent.id
    assert await world.ctx.read.payment_intent_by_provider_reference("ref_unknown") is None
