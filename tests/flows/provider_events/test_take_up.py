"""What an earlier version ignored, for it knew nothing to make of it, is applied by the version
that does: once, by an index, and a type that nothing is made of yet is left alone.
"""

from datetime import timedelta

import msgspec
import pytest

from paygate.domain import provider_event
from paygate.domain.alert import Alert, AlertType
from paygate.domain.audit import AuditEntry, Subject
from paygate.domain.ledger import Transfer
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.provider_event import NO_HANDLER, EventStatus, ProviderEvent, apart
from paygate.domain.refunds.refund import Refund
from paygate.flows.provider_events import take_up
from paygate.flows.provider_events.apply_waiting import WAITED, apply_waiting_events
from paygate.flows.provider_events.take_up import take_up_events
from paygate.providers.contract import Notice
from tests.flows.refunds.stories import of_the_dashboard, paid
from tests.flows.spoilt import mend, spoil
from tests.flows.world import World
from tests.making import START

ROUND = 900.0
REFUND, DISPUTE = "refund.created", "charge.dispute.created"


def news(world: World, number: int = 1, kind: str = REFUND) -> Notice:
    """A refund that somebody made at the provider, as this version reads it."""
    said = of_the_dashboard(world, 100, provider_reference=f"re_{number}")
    world.provider.refunds_shown[f"re_{number}"] = said
    return Notice(
        provider_reference=f"evt_{number}",
        type=kind,
        created_at=START,
        livemode=False,
        refund=said,
    )


async def ignored(world: World, intent: PaymentIntent, said: Notice) -> ProviderEvent:
    """The event as an earlier version stored and ended it in one commit."""
    event = ProviderEvent(
        id=world.ctx.new_id("provider_event"),
        merchant="default",
        provider_reference=said.provider_reference,
        type=said.type,
        status=EventStatus.RECEIVED,
        provider_created_at=START,
        received_at=world.clock(),
        updated_at=world.clock(),
        body=msgspec.json.encode(said),
    )
    subject = Subject("payment_intent", intent.id)
    ended = provider_event.ended(
        event, EventStatus.IGNORED, world.clock(), verdict=NO_HANDLER, subject=subject
    )
    kept = apart(msgspec.structs.replace(ended, version=1))
    await world.store(*kept)
    return kept[0]


async def now(world: World, event: ProviderEvent) -> tuple[EventStatus, str | None, int]:
    found = await world.ctx.read.provider_event("default", event.id)
    assert found is not None
    return found.status, found.verdict, found.version


async def round_of(world: World) -> int:
    world.clock.forward(ROUND)
    return await take_up_events(world.ctx, world.caller)


async def test_it_is_applied_once_something_is_made_of_its_type(world: World) -> None:
    intent = await paid(world)
    event = await ignored(world, intent, news(world))
    assert await round_of(world) == 0, "this version makes nothing of it either"
    assert await now(world, event) == (EventStatus.IGNORED, NO_HANDLER, 1)
    world.provider.acts_upon = (REFUND,)
    assert await round_of(world) == 1
    assert await now(world, event) == (EventStatus.PROCESSED, "adopted", 3)
    (refund,) = await world.all(Refund)
    assert (refund.intent, refund.amount) == (intent.id, 100)
    moved = [t for t in await world.all(Transfer) if t.intent == intent.id]
    assert len(moved) == 2, "it was paid, and given back once"
    assert await round_of(world) == 0
    assert await now(world, event) == (EventStatus.PROCESSED, "adopted", 3)
    acts = [e.action for e in await world.all(AuditEntry) if e.subject and e.subject.id == event.id]
    assert acts == ["provider_event.replay", "provider_event.apply"]


async def test_of_a_type_without_handler_no_row_is_touched(world: World) -> None:
    intent = await paid(world)
    refund = await ignored(world, intent, news(world))
    dispute = await ignored(world, intent, news(world, 2, DISPUTE))
    world.provider.acts_upon = (REFUND,)
    assert await round_of(world) == 1
    assert (await now(world, refund))[0] is EventStatus.PROCESSED
    assert await now(world, dispute) == (EventStatus.IGNORED, NO_HANDLER, 1)
    world.provider.acts_upon = (REFUND, DISPUTE)
    assert await round_of(world) == 1
    assert (await now(world, dispute))[0] is EventStatus.PROCESSED


async def test_what_ends_in_the_same_way_again_is_tried_once_a_round(world: World) -> None:
    intent = await paid(world)
    said = msgspec.structs.replace(news(world), refund=None, handled=False)
    event = await ignored(world, intent, said)
    world.provider.acts_upon = (REFUND,)
    assert [await round_of(world) for _ in range(2)] == [1, 1]
    assert await now(world, event) == (EventStatus.IGNORED, NO_HANDLER, 5)


@pytest.mark.parametrize("most", [3, 5])
async def test_a_round_is_bounded_and_the_next_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(take_up, "PAGE", 2)
    monkeypatch.setattr(take_up, "MOST", most)
    intent = await paid(world)
    for number in range(7):
        await ignored(world, intent, news(world, number))
    world.provider.acts_upon = (REFUND,)
    taken = [await round_of(world) for _ in range(4)]
    assert sum(taken) == 7
    assert taken[0] < 7
    assert taken[-1] == 0
    assert len(await world.all(Refund)) == 7


async def test_one_that_cannot_be_opened_holds_up_no_other(world: World) -> None:
    intent = await paid(world)
    events = [await ignored(world, intent, news(world, number)) for number in range(3)]
    world.provider.acts_upon = (REFUND,)
    await spoil(world, "provider_event", events[0].id)
    assert await round_of(world) == 2
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.RECORD_UNREADABLE
    await mend(world, "provider_event", events[0].id)
    assert await round_of(world) == 1


async def test_who_dies_in_between_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken up and not yet applied, it is a received event as any other."""
    intent = await paid(world)
    event = await ignored(world, intent, news(world))
    world.provider.acts_upon = (REFUND,)

    async def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(take_up, "apply_received_event", dies)
    with pytest.raises(KeyboardInterrupt):
        await round_of(world)
    assert await now(world, event) == (EventStatus.RECEIVED, None, 2)
    world.clock.forward(WAITED.total_seconds() + 1)
    await apply_waiting_events(world.ctx)
    assert (await now(world, event))[0] is EventStatus.PROCESSED


async def test_what_is_older_than_its_body_is_kept_is_left_alone(world: World) -> None:
    intent = await paid(world)
    event = await ignored(world, intent, news(world))
    world.provider.acts_upon = (REFUND,)
    world.clock.forward((world.ctx.policy.events_kept + timedelta(days=1)).total_seconds())
    assert await round_of(world) == 0
    assert await now(world, event) == (EventStatus.IGNORED, NO_HANDLER, 1)


async def test_who_has_no_time_left_leaves_the_rest_to_the_next_round(world: World) -> None:
    intent = await paid(world)
    for number in range(3):
        await ignored(world, intent, news(world, number))
    world.provider.acts_upon = (REFUND,)
    world.clock.forward(ROUND)
    times = iter([False, False, True])
    taken = await take_up_events(world.ctx, world.caller, late=lambda: next(times))
    assert taken == 2
    assert await round_of(world) == 1
