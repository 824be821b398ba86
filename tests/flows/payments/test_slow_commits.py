"""Commits that take long, to a far standby or a busy disk: reply and event lose against each other,
and both come to their end.
"""

from dataclasses import replace

import msgspec

from paygate.domain.ledger import Transfer
from paygate.domain.payments.outcome import Pending
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.context import CommitDoor
from paygate.storage.change import Change, Conflict, Reason, Verdict
from paygate.storage.tables import PAYMENT_INTENT
from tests.flows.world import APPROVED, World, answer, notice

COLLISIONS = 6
"""With pauses that double from 10 ms these are 630 ms: eight tries at 10 ms would be over."""


class Contended:
    """The door, where another's slow commit holds an intent for so many tries."""

    def __init__(self, door: CommitDoor) -> None:
        self._door = door
        self.left = 0

    async def commit(self, change: Change) -> Verdict:
        concludes = any(isinstance(record, PaymentIntent) for record in change.advances)
        if concludes and self.left:
            self.left -= 1
            return Conflict(Reason.STALE, PAYMENT_INTENT.name)
        return await self._door.commit(change)


async def test_an_answer_is_applied_though_others_hold_its_intent(world: World) -> None:
    intent = await world.create()
    door = Contended(world.ctx.door)

    async def contend(_: object) -> None:
        door.left = COLLISIONS

    world.provider.during = contend
    world.provider.answers.append(answer(APPROVED))
    after = await replace(world, ctx=msgspec.structs.replace(world.ctx, door=door)).confirm(intent)
    assert (after.status, door.left) == (Status.SUCCEEDED, 0)
    assert len(await world.all(Transfer)) == 1


async def test_an_event_is_applied_though_others_hold_its_intent(world: World) -> None:
    intent, attempt = await world.confirming(Pending())
    await world.receive(notice(attempt, APPROVED))
    (event,) = await world.all(ProviderEvent)
    door = Contended(world.ctx.door)
    door.left = COLLISIONS
    applied = await replace(world, ctx=msgspec.structs.replace(world.ctx, door=door)).apply(event)
    assert (applied.status, door.left) == (EventStatus.PROCESSED, 0)
    assert (await world.now(intent))[0].status is Status.SUCCEEDED
