"""Money that pays for nothing is a person's to decide: told once for each payer, whatever comes."""

import asyncio

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertType
from paygate.domain.audit import Subject
from paygate.domain.customer import Payer
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.outcome import Cancelled, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.provider_events.apply import apply_provider_event
from paygate.jobs.messages import ApplyProviderEvent
from paygate.providers.absence import Absent
from paygate.providers.contract import MoneyLeft, Notice
from tests.flows.payments.transfers import alerts, at, cancel, funded, notice_at, paying
from tests.flows.world import INSTALLATION, World
from tests.making import START

ADA = Payer(name="Ada")


def came(reference: str = "evt_left") -> Notice:
    """An event: money lies on this customer's account."""
    return Notice(
        provider_reference=reference,
        type="cash_balance.funds_available",
        created_at=START,
        livemode=False,
        answer=None,
        exact=True,
        money_left_with="cus_1",
    )


def left(payer: str | None, **amounts: int) -> MoneyLeft:
    return MoneyLeft(amounts=amounts, customer=payer, merchant="default", installation=INSTALLATION)


async def payer_of(world: World, customer: Payer | None = None) -> str:
    intent, _ = await paying(world, funded(), customer=customer)
    return intent.customer or intent.id


async def excess(world: World) -> list[Alert]:
    return await alerts(world, AlertType.TRANSFER_EXCESS)


@pytest.mark.parametrize(("customer", "kind"), [(ADA, "customer"), (None, "payment_intent")])
async def test_it_is_alerted_once_and_counted(
    world: World, customer: Payer | None, kind: str
) -> None:
    payer = await payer_of(world, customer)
    for count, amounts in enumerate(({"eur": 501}, {"eur": 501, "usd": 7}), start=1):
        world.provider.left.append(left(payer, **amounts))
        event = await world.applied(came(f"evt_{count}"))
        assert (event.status, event.verdict) == (EventStatus.PROCESSED, "money_left")
        (alert,) = await excess(world)
        assert (alert.count, alert.merchant) == (count, "default")
        assert alert.problem.subject == Subject(kind, payer)
    (alert,) = await excess(world)
    assert "501 eur, 7 usd" in alert.problem.message
    assert world.provider.left_with == ["cus_1", "cus_1"]
    # A delivery that comes twice is one event, and nobody is asked.
    await world.receive(came("evt_1"))
    assert len(await world.all(ProviderEvent)) == 2


async def test_each_payer_has_an_alert_of_their_own(world: World) -> None:
    payers = [await payer_of(world, ADA) for _ in range(2)]
    for number, payer in enumerate(payers):
        world.provider.left.append(left(payer, eur=1))
        await world.applied(came(f"evt_{number}"))
    assert sorted(a.problem.subject.id for a in await excess(world)) == sorted(payers)


@pytest.mark.parametrize(
    "change",
    [
        {"installation": "in_other"},
        {"installation": None},
        {"customer": None},
        {"merchant": None},
        None,
    ],
)
async def test_a_foreign_customers_money_is_no_concern_of_ours(
    world: World, change: dict[str, str | None] | None
) -> None:
    mine = left(await payer_of(world), eur=501)
    changed = None if change is None else msgspec.structs.replace(mine, **change)
    world.provider.left.append(changed or Absent())
    event = await world.applied(came())
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "foreign")
    assert await world.all(Alert) == []


async def test_the_other_modes_money_is_not_asked_for(world: World) -> None:
    event = await world.applied(msgspec.structs.replace(came(), livemode=True))
    assert (event.verdict, world.provider.left_with) == ("other_mode", [])


async def test_money_that_was_used_meanwhile_is_nothing_new(world: World) -> None:
    world.provider.left.append(left(await payer_of(world, ADA)))
    event = await world.applied(came())
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "nothing_new")
    assert await world.all(Alert) == []


async def test_a_silent_provider_is_asked_again(world: World) -> None:
    payer = await payer_of(world)
    world.provider.left += [Unknown("timeout"), left(payer, eur=501)]
    event = await world.applied(came())
    assert (event.status, event.last_error) == (EventStatus.RECEIVED, "provider_unreachable")
    assert await world.delays() == [0, 2]
    assert await world.all(Alert) == []
    event = await world.apply(event)
    assert (event.status, event.attempts) == (EventStatus.PROCESSED, 2)
    assert len(await excess(world)) == 1


async def test_a_provider_that_stays_silent_leaves_a_dead_letter(world: World) -> None:
    world.provider.left += [Unknown("timeout")] * 6
    event = await world.applied(came())
    for _ in range(5):
        event = await world.apply(event)
    assert (event.status, event.verdict) == (EventStatus.DEAD_LETTER, "retries_exhausted")


async def test_jobs_at_once_raise_one_alert(world: World) -> None:
    payer = await payer_of(world)
    for number in range(4):
        await world.receive(came(f"evt_{number}"))
    world.provider.left = [left(payer, eur=501)] * 100
    events = await world.all(ProviderEvent)
    messages = [ApplyProviderEvent(e.merchant, e.id) for e in events]
    await asyncio.gather(*(apply_provider_event(world.ctx, m) for m in messages * 2))
    (alert,) = await excess(world)
    assert alert.count >= len(messages)
    assert {e.verdict for e in await world.all(ProviderEvent)} == {"money_left"}


async def test_an_intent_is_never_moved_by_it(world: World) -> None:
    """The whole sum may lie there: only the provider says when it pays for something."""
    intent, attempt = await paying(world, funded())
    world.provider.left.append(left(intent.id, eur=1999))
    await world.applied(came())
    assert await world.now(intent) == (intent, [attempt])


async def partly(world: World) -> tuple[PaymentIntent, Attempt]:
    intent, attempt = await paying(world, funded())
    await world.applied(notice_at(attempt, funded(1500), 5))
    return intent, attempt


@pytest.mark.parametrize("by", ["merchant", "provider"])
async def test_what_had_come_when_it_was_closed_is_alerted(world: World, by: str) -> None:
    intent, attempt = await partly(world)
    if by == "merchant":
        world.provider.answers.append(at(9, Cancelled(None)))
        await cancel(world, intent)
    else:
        await world.applied(notice_at(attempt, Cancelled("automatic"), 9, "evt_closed"))
    assert (await world.now(intent))[0].status is Status.CANCELLED
    (alert,) = await excess(world)
    assert alert.problem.subject == Subject("payment_intent", intent.id)
    assert "1500 of 1999 eur" in alert.problem.message
    # What comes later is counted there.
    world.provider.left.append(left(intent.id, eur=1999))
    await world.applied(came())
    (alert,) = await excess(world)
    assert (alert.count, "1999 eur" in alert.problem.message) == (2, True)


async def test_where_nothing_had_come_nothing_is_alerted(world: World) -> None:
    intent, _ = await paying(world, funded())
    world.provider.answers.append(at(9, Cancelled(None)))
    await cancel(world, intent)
    assert await world.all(Alert) == []


@pytest.mark.parametrize("change", [{"merchant": "nobody"}, {"customer": "cus_" + "0" * 26}])
async def test_a_payer_whom_we_do_not_have_is_looked_for_again(
    world: World, change: dict[str, str]
) -> None:
    """It bears our mark, so it is no stranger's; an alert would reach nobody."""
    payer = await payer_of(world, ADA)
    world.provider.left.append(msgspec.structs.replace(left(payer, eur=501), **change))
    event = await world.applied(came())
    assert (event.status, event.last_error) == (EventStatus.PARKED, "object_unknown")
    assert await world.all(Alert) == []
