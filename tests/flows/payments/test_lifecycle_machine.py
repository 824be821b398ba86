"""The life of payments as any plan of steps plays it: requests, retries, deaths, races, events in
any order, jobs by the clock. A model beside it says what may be answered; after every step the
database, the log of commits and the provider's own books must agree (`life` has the rules).
"""

from dataclasses import dataclass, field
from typing import Protocol

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from paygate.domain.access.roles import Action
from paygate.flows.idempotency import keyed_door
from tests.flows.payments.expected import Body
from tests.flows.payments.life import ATTACH, CONFIRM, DETACH, REVIEWED, Life
from tests.flows.payments.stand_in_provider import CUT, LATER, Will
from tests.flows.payments.watched import Death
from tests.flows.world import World

# Numbers in steps are which one it shall be of those that there are, the likeliest to matter first.


class Step(Protocol):
    """Something that happens."""

    async def take(self, life: Life) -> None: ...


@dataclass(frozen=True)
class Create:
    keyed: bool
    death: Death | None = None
    more: Body = field(default_factory=dict)

    async def take(self, life: Life) -> None:
        body = {"amount": 1999, "currency": "eur", **self.more}
        await life.send(life.ask(Action.INTENT_CREATE, "", body, keyed=self.keyed), self.death)


@dataclass(frozen=True)
class Order:
    """A payment that is to be the only one of its order, asked for by several at once."""

    number: int

    async def take(self, life: Life) -> None:
        asked = of_order(self.number, unique=True)
        await life.order({"amount": 1999, "currency": "eur", **asked})


def of_order(number: int, *, unique: bool) -> Body:
    """What a create says of its order."""
    return {"reference": f"order-{number}"} | ({"unique_reference": True} if unique else {})


@dataclass(frozen=True)
class Attach:
    """Or detach."""

    intent: int
    will: Will
    keyed: bool
    death: Death | None = None
    body: Body = field(default_factory=lambda: ATTACH)

    async def take(self, life: Life) -> None:
        life.provider.will = self.will
        path = life.choose(self.intent)
        await life.send(
            life.ask(Action.INTENT_ATTACH, path, self.body, keyed=self.keyed), self.death
        )


@dataclass(frozen=True)
class Confirm:
    intent: int
    will: Will
    keyed: bool
    death: Death | None = None
    body: Body = field(default_factory=lambda: CONFIRM)

    async def take(self, life: Life) -> None:
        life.provider.will = self.will
        path = life.choose(self.intent)
        await life.send(
            life.ask(Action.INTENT_CONFIRM, path, self.body, keyed=self.keyed), self.death
        )


@dataclass(frozen=True)
class Cancel:
    intent: int
    keyed: bool
    death: Death | None = None

    async def take(self, life: Life) -> None:
        path = life.choose(self.intent)
        await life.send(
            life.ask(Action.INTENT_CANCEL, path, {"reason": "by hand"}, keyed=self.keyed),
            self.death,
        )


@dataclass(frozen=True)
class Capture:
    intent: int
    keyed: bool
    death: Death | None = None

    async def take(self, life: Life) -> None:
        path = life.choose_held(self.intent)
        await life.send(life.ask(Action.INTENT_CAPTURE, path, {}, keyed=self.keyed), self.death)


@dataclass(frozen=True)
class Again:
    """Any earlier request once more, as it was."""

    ask: int
    will: Will
    death: Death | None = None

    async def take(self, life: Life) -> None:
        life.provider.will = self.will
        await life.send(life.asks[-1 - self.ask % len(life.asks)], self.death)


@dataclass(frozen=True)
class Other:
    """The key of any earlier request, with other parameters."""

    ask: int

    async def take(self, life: Life) -> None:
        await life.other(life.asks[-1 - self.ask % len(life.asks)])


@dataclass(frozen=True)
class Race:
    """Two confirms with one key, one with another, a cancel, an attach and an expiry, at once."""

    intent: int
    will: Will

    async def take(self, life: Life) -> None:
        life.provider.will = self.will
        await life.race(life.choose(self.intent))


@dataclass(frozen=True)
class Freeze:
    """A holder stands still in the provider's call, and another takes over."""

    intent: int
    will: Will

    async def take(self, life: Life) -> None:
        life.provider.will = self.will
        await life.freeze(life.choose(self.intent))


@dataclass(frozen=True)
class Conclude:
    """The payer or the bank decides."""

    payment: int
    outcome: int

    async def take(self, life: Life) -> None:
        waiting = [p for p in life.payments() if p.waits]
        if waiting:
            outcome = LATER[self.outcome % len(LATER)]
            waiting[self.payment % len(waiting)].facts.append((outcome, life.world.clock()))


@dataclass(frozen=True)
class Deliver:
    """An event of something that a payment is, or was; it may be the second or the last time."""

    payment: int
    fact: int
    exact: bool

    async def take(self, life: Life) -> None:
        if payments := life.payments():
            payment = payments[-1 - self.payment % len(payments)]
            await life.deliver(payment, self.fact % len(payment.facts), exact=self.exact)


@dataclass(frozen=True)
class Pass:
    minutes: int

    async def take(self, life: Life) -> None:
        life.world.clock.forward(self.minutes * 60)


@dataclass(frozen=True)
class Expire:
    async def take(self, life: Life) -> None:
        await life.expire()


@dataclass(frozen=True)
class RunLate:
    """An hour passes in which nobody does anything, and then the job runs."""

    async def take(self, life: Life) -> None:
        await life.run_late()


@dataclass(frozen=True)
class Purge:
    async def take(self, life: Life) -> None:
        await life.purge()


_which = st.sampled_from([0, 0, 0, 0, 1, 2, 3])
_will = st.sampled_from([*Will, *CUT, *CUT, Will.NOT_SENT, Will.ASK_PAYER, Will.STAY_PENDING])
_again = st.sampled_from([*Will, Will.NOT_SENT, Will.NOT_SENT, Will.APPROVE])
_death = st.none() | st.none() | st.builds(Death, st.integers(1, 4), st.booleans())
_keyed = st.sampled_from([True, True, True, False])
_minutes = st.sampled_from([1, 50, 23 * 60 - 1, 23 * 60, 24 * 60, 3 * 24 * 60])
_order = st.builds(of_order, st.integers(1, 2), unique=st.sampled_from([True, True, False]))
_step: st.SearchStrategy[Step] = st.one_of(
    st.builds(Create, _keyed, _death),
    st.builds(Create, _keyed, _death, _order),
    st.builds(Create, _keyed, _death, _order),
    st.builds(Order, st.integers(1, 2)),
    st.builds(Confirm, _which, _will, _keyed, _death),
    st.builds(Confirm, _which, _will, _keyed),
    st.builds(Attach, _which, _will, _keyed, _death, st.sampled_from([ATTACH, ATTACH, DETACH])),
    st.builds(Attach, _which, st.just(Will.APPROVE), _keyed),
    st.builds(Confirm, _which, _will, _keyed, _death, st.just(REVIEWED)),
    st.builds(Cancel, _which, _keyed, _death),
    st.builds(Capture, _which, _keyed, _death),
    st.builds(Again, _which, _again, _death),
    st.builds(Again, _which, _again),
    st.builds(Again, st.integers(0, 9), _again),
    st.builds(Other, _which),
    st.builds(Race, _which, _will),
    st.builds(Freeze, _which, _will),
    st.builds(Conclude, _which, _which),
    st.builds(Deliver, _which, st.integers(0, 1), st.sampled_from([True, True, False])),
    st.builds(Deliver, _which, st.integers(0, 1), st.sampled_from([True, True, False])),
    st.builds(Pass, _minutes),
    st.builds(Expire),
    st.builds(RunLate),
    st.builds(RunLate),
    st.builds(Purge),
)
_FIRST = (Create(keyed=True), Create(keyed=False))


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No lease is renewed: a step takes no time, and who dies renews nothing."""
    monkeypatch.setattr(keyed_door, "RENEWALS_PER_LEASE", 1e-6)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("unhurried")
@settings(
    max_examples=240,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(_step, min_size=10, max_size=24))
@example(
    steps=[
        Confirm(0, Will.HOLD, keyed=True),
        Capture(0, keyed=True, death=Death(2, durable=False)),
        Cancel(1, keyed=True),
        Again(1, Will.APPROVE),
    ]
)
@example(steps=[Confirm(0, Will.ASK_PAYER, keyed=True), RunLate(), Again(0, Will.APPROVE)])
@example(steps=[Confirm(0, Will.CUT_AFTER, keyed=True), Again(0, Will.NOT_SENT)])
@example(
    steps=[
        Attach(0, Will.APPROVE, keyed=True, death=Death(1, durable=True)),
        Again(0, Will.REJECT),
        Confirm(0, Will.CUT_BEFORE, keyed=True, body=REVIEWED),
        Again(0, Will.NOT_SENT),
        Again(0, Will.DECLINE),
    ]
)
@example(
    steps=[
        Create(keyed=True, death=Death(1, durable=True), more=of_order(1, unique=True)),
        Order(1),
        Again(2, Will.APPROVE),
        Cancel(0, keyed=True),
        Order(1),
    ]
)
async def test_whatever_happens_the_books_agree(world: World, steps: list[Step]) -> None:
    await world.connection.execute(
        "INSERT INTO merchant (id) VALUES ($1)", (life := Life(world)).merchant
    )
    for step in (*_FIRST, *steps):
        await step.take(life)
        await life.check()
    await life.end()
