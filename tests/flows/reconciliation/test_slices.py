"""A round in slices: each stage goes on where it stood, after a slice and after a death, and what
it costs does not grow with what was found.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertStatus
from paygate.domain.payments.outcome import Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.domain.reconciliation.run import Place, RunStatus, Stage
from paygate.domain.refunds.outcome import RefundAnswer, Refunded, RefundPending
from paygate.flows.reconciliation.begin import order_reconciliation
from paygate.flows.reconciliation.work_on import reconcile_as_asked
from paygate.flows.refunds.create import NewRefund, refund_payment_intent
from paygate.jobs.messages import Reconcile
from paygate.storage.installation import DEFAULT_MERCHANT
from tests.flows.provider_events.test_replay_dead_letters import given_up
from tests.flows.reconciliation.books import QUARTER, Shop
from tests.flows.world import APPROVED, CARDLESS, THEIRS, notice


async def slices(shop: Shop) -> list[Place]:
    """The places of a round that was asked for, as each slice left it."""
    shop.world.clock.forward(1)  # an id sorts as its round began, to the millisecond
    run = await order_reconciliation(shop.world.ctx, shop.world.caller)
    message, places = Reconcile(run.merchant, run.id), []
    while await reconcile_as_asked(shop.world.ctx, message) is not None:
        now = await shop.world.ctx.reconciliations.reconciliation(run.merchant, run.id)
        assert now is not None
        places.append(now.place)
    ended = await shop.world.ctx.reconciliations.ended_last(DEFAULT_MERCHANT)
    assert ended is not None
    assert (ended.id, ended.status) == (run.id, RunStatus.COMPLETED)
    return places


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice is one step, whatever a machine makes of three seconds."""
    monkeypatch.setattr("paygate.flows.reconciliation.work_on.SLICE_SECONDS", 0.0)


async def refunded(shop: Shop, intent: PaymentIntent, number: int, **more: Any) -> None:
    """A refund of the provider's dashboard."""
    shop.provider.refunds_shown[f"re_{number}"] = RefundAnswer(
        Refunded(),
        provider_reference=f"re_{number}",
        payment_reference=intent.provider_reference,
        created_at=shop.world.clock(),
        amount=1,
        currency="eur",
        **more,
    )


@pytest.mark.usefixtures("hurried")
async def test_refunds_are_read_window_by_window_and_none_twice(shop: Shop) -> None:
    intent, _ = await shop.paid(APPROVED)
    await shop.round()
    for number in range(4):
        shop.world.clock.forward(5 * 3600)
        await refunded(shop, intent, number)
    shop.books.refund_windows.clear()
    places = await slices(shop)
    assert len([p for p in places if p.stage is Stage.REFUNDS and p.at is not None]) > 2
    windows = shop.books.refund_windows
    assert len(windows) == len(set(windows))
    joined = [after[0] - before[1] for before, after in pairwise(windows)]
    assert set(joined) == {timedelta(seconds=1)}
    assert (await shop.world.now(intent))[0].amount_refunded == 4


@pytest.mark.usefixtures("hurried")
async def test_open_refunds_and_open_payments_are_asked_for_one_by_one_and_none_twice(
    shop: Shop,
) -> None:
    for _ in range(3):
        await shop.waiting()
    intent, _ = await shop.paid(APPROVED)
    for _ in range(3):
        shop.provider.refunding.append(RefundAnswer(RefundPending()))
        await refund_payment_intent(shop.world.ctx, shop.world.caller, intent.id, NewRefund(1))
    await shop.round()
    shop.world.clock.forward(40 * 86_400)
    await shop.round()
    shop.provider.refunds_shown = {
        name: at_some_time(shop, shown) for name, shown in shop.provider.refunds_shown.items()
    }
    shop.books.calls.clear()
    places = await slices(shop)
    seen = Counter(place.stage for place in places if place.after is not None)
    assert seen[Stage.OPEN] >= 2
    assert seen[Stage.OPEN_REFUNDS] >= 2
    assert (shop.books.calls["retrieve"], shop.books.calls["retrieve_refund"]) == (3, 3)


def at_some_time(shop: Shop, shown: RefundAnswer) -> RefundAnswer:
    """A refund that no list of these days shows."""
    return msgspec.structs.replace(shown, created_at=shop.world.clock() - timedelta(days=39))


@pytest.mark.usefixtures("hurried")
async def test_alerts_are_looked_at_one_by_one_and_none_twice(shop: Shop) -> None:
    held = [await shop.paid(APPROVED) for _ in range(3)]
    for intent, attempt in held:
        shop.has(str(intent.provider_reference), APPROVED, attempt, disputed=True)
    await shop.round()
    for intent, attempt in held:
        shop.has(str(intent.provider_reference), APPROVED, attempt)
    shop.world.clock.forward(2 * 3600)
    shop.books.calls.clear()
    places = await slices(shop)
    assert sum(p.stage is Stage.ALERTS and p.after is not None for p in places) >= 2
    assert shop.books.calls["retrieve"] == 3
    alerts: list[Alert] = await shop.world.all(Alert)
    assert {a.status for a in alerts} == {AlertStatus.CLOSED}


async def test_findings_are_counted_once_a_round_whatever_its_length(shop: Shop) -> None:
    """Counted at each step, a round that finds a million would look at them a million times."""
    for number in range(60):
        shop.world.clock.forward(QUARTER)
        shop.has(f"theirs_{number}", APPROVED, marked=f"at_{number}", merchant="default")
    reading = shop.world.ctx.reconciliations

    class Counting:
        """The reader, and how often it looked at all findings of a round."""

        counted = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(reading, name)

        async def found(self, *of: str) -> Mapping[tuple[str, str], int]:
            self.counted += 1
            return await reading.found(*of)

    counting = Counting()
    shop.world.use(reconciliations=counting)
    run = await shop.by_hand(shop.world.clock() - timedelta(days=1))
    assert run.tally.orphans == 60
    assert run.version > 5
    assert counting.counted == 1


@pytest.mark.usefixtures("hurried")
async def test_dead_letters_are_tried_in_slices_and_none_twice(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paygate.flows.provider_events.replay_dead_letters.PAGE", 1)
    shop.books.silent.add("retrieve")
    _, attempt = await shop.world.confirming(Unknown("lost"))
    for number in range(3):
        await shop.world.receive(notice(attempt, CARDLESS, reference=f"evt_{number}"))
    for event in await shop.world.all(ProviderEvent):
        await given_up(shop.world, event)
    before = [e.attempts for e in await shop.world.all(ProviderEvent)]
    shop.books.silent.clear()
    shop.has(THEIRS, APPROVED, attempt)
    shop.world.clock.forward(QUARTER)
    places = await slices(shop)
    assert sum(p.stage is Stage.DEAD_LETTERS and p.after is not None for p in places) >= 2
    events: list[ProviderEvent] = await shop.world.all(ProviderEvent)
    tried = [e for e in events if e.attempts > 0 and e.provider_reference.startswith("evt_")]
    assert [e.attempts for e in tried[:3]] == [number + 1 for number in before]
    assert EventStatus.DEAD_LETTER not in {e.status for e in events}
