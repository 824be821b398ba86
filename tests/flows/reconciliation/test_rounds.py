"""One round at a time, which outlives whoever works on it (pitfalls B10, B13; F26)."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.alert import Alert, AlertStatus
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.event import Event
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.reconciliation.finding import Finding
from paygate.domain.reconciliation.run import Cause, Reconciliation, RunStatus
from paygate.flows.context import CommitDoor
from paygate.flows.reconciliation.begin import begin_reconciliation, order_reconciliation
from paygate.flows.reconciliation.report import JOB
from paygate.flows.reconciliation.run import reconcile, reconcile_by_the_clock, rehearse
from paygate.flows.reconciliation.work_on import BESIDE, reconcile_as_asked
from paygate.jobs.messages import Reconcile
from paygate.storage.change import Change, OutcomeUnknown, StorageError, Unavailable, Verdict
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.worker.scheduled import AT_WORK_ALREADY, run_scheduled
from tests.flows.reconciliation.books import QUARTER, Shop
from tests.flows.world import APPROVED
from tests.storage.stored import TABLE_OF


async def ready(shop: Shop) -> list[PaymentIntent]:
    """Something to heal, something to hold, an orphan, and something in step."""
    healed, attempt = await shop.waiting()
    shop.has(str(healed.provider_reference), APPROVED, attempt)
    held, attempt = await shop.paid(APPROVED)
    shop.has(str(held.provider_reference), APPROVED, attempt, disputed=True)
    shop.has("theirs_orphan", APPROVED, marked="at_unknown", merchant="default")
    same, _ = await shop.paid(APPROVED)
    return [healed, held, same]


async def judge(shop: Shop, intents: list[PaymentIntent]) -> None:
    """What must be so, however often and by however many it was done."""
    healed, held, same = intents
    assert await shop.status(healed) is Status.SUCCEEDED
    assert (await shop.world.event_types(healed)).count("payment_intent.succeeded") == 1
    for intent in (held, same):
        assert (await shop.world.now(intent))[0] == intent
    findings: list[Finding] = await shop.world.all(Finding)
    assert len(findings) == len({f.id for f in findings})
    said = {(f.reconciliation, f.kind, f.payment_intent, f.provider_reference) for f in findings}
    assert len(said) == len(findings), "a round says nothing twice"
    assert sum(f.payment_intent == healed.id for f in findings) == 1
    alerts: list[Alert] = await shop.world.all(Alert)
    assert [a.count for a in alerts] == [1] * len(alerts)
    assert len(alerts) == 2


async def test_that_a_round_holds_very_much_is_over_with_one_that_does_not(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paygate.flows.reconciliation.problems.TOLD_MOST", 0)

    async def standing() -> list[AlertStatus]:
        return [a.status for a in await shop.world.all(Alert) if a.problem.stage == "many"]

    held, attempt = await shop.paid(APPROVED)
    shop.has(str(held.provider_reference), APPROVED, attempt, disputed=True)
    await shop.round()
    assert await standing() == [AlertStatus.OPEN]
    shop.has(str(held.provider_reference), APPROVED, attempt)
    await shop.round(after_seconds=7 * 3600)
    assert await standing() == [AlertStatus.CLOSED]


@dataclass
class Mortal:
    """The way to the door of a worker who dies at one commit, before or behind it."""

    door: CommitDoor
    at: int
    durable: bool
    commits: int = 0

    async def commit(self, change: Change) -> Verdict:
        self.commits += 1
        if self.commits > self.at or (self.commits == self.at and not self.durable):
            raise Unavailable("the worker is dead")
        verdict = await self.door.commit(change)
        if self.commits == self.at:
            raise OutcomeUnknown("the worker heard nothing of its commit")
        return verdict


@pytest.mark.parametrize("durable", [False, True])
async def test_a_round_goes_on_wherever_its_worker_died(shop: Shop, durable: bool) -> None:
    """F26: before and behind each commit, in the middle of a page; each time another goes on."""
    intents = await ready(shop)
    shop.world.clock.forward(QUARTER)
    door, deaths = shop.world.ctx.door, 0
    while True:
        mortal = Mortal(door, at=deaths % 6 + 1, durable=durable)
        shop.world.use(door=mortal)
        try:
            await reconcile_by_the_clock(shop.world.ctx, f"run_{deaths}")
        except StorageError:
            deaths += 1
            assert deaths < 100
        finally:
            shop.world.use(door=door)
        ended = await shop.world.ctx.reconciliations.ended_last(DEFAULT_MERCHANT)
        if ended is not None:  # which the worker who died at that commit may not have heard
            break
    assert deaths > 5
    (run,) = await shop.world.all(Reconciliation)
    assert run == ended
    assert run.status is RunStatus.COMPLETED
    assert (run.tally.healed, run.tally.held, run.tally.orphans) == (1, 1, 1)
    await judge(shop, intents)


async def test_two_at_work_on_one_round_do_nothing_twice(shop: Shop) -> None:
    """B10: a lease is not a lock. Both work; who is second writes no report."""
    intents = await ready(shop)
    shop.world.clock.forward(QUARTER)
    caller = Caller(Actor("job", name=JOB), "default", "run_1")
    run = await begin_reconciliation(shop.world.ctx, caller, Cause.SCHEDULE)
    both = await asyncio.gather(*(reconcile(shop.world.ctx, run, f"run_{n}") for n in range(2)))
    if all(each.status is RunStatus.RUNNING for each in both):
        left = await shop.world.ctx.reconciliations.running("default")
        assert left is not None
        await reconcile(shop.world.ctx, left, "run_3")
    (stored,) = await shop.world.all(Reconciliation)
    assert stored.status is RunStatus.COMPLETED
    await judge(shop, intents)


async def test_who_stood_still_sets_no_cursor_back(shop: Shop) -> None:
    """B10: SIGSTOP past the lease. The second worker ends the round, another round is done, and
    then the first wakes up in the middle of its list.
    """
    intents = await ready(shop)
    shop.world.clock.forward(QUARTER)
    stopped, woken = asyncio.Event(), asyncio.Event()
    listing = shop.provider.list_created

    async def stand_still(*args: Any, **more: Any) -> Any:
        async for shown in listing(*args, **more):
            if not stopped.is_set():
                stopped.set()
                await woken.wait()
            yield shown

    shop.provider.list_created = stand_still  # type: ignore[method-assign]
    first = asyncio.create_task(reconcile_by_the_clock(shop.world.ctx, "run_1"))
    await stopped.wait()
    second = await reconcile_by_the_clock(shop.world.ctx, "run_2")
    assert second.status is RunStatus.COMPLETED
    third = await shop.round()
    assert third.cursors.payments is not None
    before = await shop.world.counts()
    woken.set()
    assert await first == second, "it learns that the round has ended without it"
    after = await shop.world.counts()
    changed = {kind for kind in TABLE_OF if before[kind] != after[kind]}
    assert not changed & {Reconciliation, Finding, Event, Alert}
    runs: list[Reconciliation] = await shop.world.all(Reconciliation)
    assert max(runs, key=lambda run: run.id) == third
    assert {run.id: run for run in runs}[second.id] == second
    await judge(shop, intents)


async def test_one_round_runs_at_a_time(shop: Shop) -> None:
    await order_reconciliation(shop.world.ctx, shop.world.caller)
    with pytest.raises(Refusal) as refused:
        await order_reconciliation(shop.world.ctx, shop.world.caller)
    assert refused.value.code is ErrorCode.RECONCILIATION_RUNNING
    run = await shop.round()
    assert run.cause is Cause.PERSON, "the clock goes on with what was asked for"
    assert run.status is RunStatus.COMPLETED
    assert (await shop.round()).cause is Cause.SCHEDULE


async def test_of_two_nodes_one_is_at_work(shop: Shop) -> None:
    async with shop.world.ctx.sole_runs.alone(JOB) as alone:
        assert alone
        assert await run_scheduled(shop.world.ctx, JOB) == {AT_WORK_ALREADY: 1}
        with pytest.raises(Refusal) as refused:
            await shop.by_hand()
        assert refused.value.code is ErrorCode.RECONCILIATION_RUNNING
    report = await run_scheduled(shop.world.ctx, JOB)
    assert report["failed"] == 0


async def test_a_round_that_was_asked_for_is_worked_on_in_slices(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paygate.flows.reconciliation.work_on.SLICE_SECONDS", 0.0)
    intents = await ready(shop)
    shop.world.clock.forward(QUARTER)
    run = await order_reconciliation(shop.world.ctx, shop.world.caller)
    message = Reconcile(run.merchant, run.id)
    async with shop.world.ctx.sole_runs.alone(JOB):
        assert await reconcile_as_asked(shop.world.ctx, message) == BESIDE
    slices = 1
    while await reconcile_as_asked(shop.world.ctx, message):
        slices += 1
    assert slices > 4
    after = await shop.world.ctx.reconciliations.reconciliation(run.merchant, run.id)
    assert after is not None
    assert after.status is RunStatus.COMPLETED
    assert (after.tally.healed, after.tally.held, after.tally.orphans) == (1, 1, 1)
    await judge(shop, intents)
    assert await reconcile_as_asked(shop.world.ctx, message) is None


async def test_a_round_that_is_late_says_so_and_goes_on(shop: Shop) -> None:
    intents = await ready(shop)
    shop.world.clock.forward(QUARTER)
    await order_reconciliation(shop.world.ctx, shop.world.caller)
    run = await shop.round(after_seconds=16 * 60)
    assert run.status is RunStatus.COMPLETED
    alerts: list[Alert] = await shop.world.all(Alert)
    assert [a.count for a in alerts if a.problem.stage == "late"] == [1]
    assert await shop.status(intents[0]) is Status.SUCCEEDED
    await shop.round()
    alerts = await shop.world.all(Alert)
    assert [a.status for a in alerts if a.problem.stage == "late"] == ["closed"]


async def test_a_provider_that_tells_no_time_ends_a_round_that_knows_nothing(shop: Shop) -> None:
    """Cursors are the provider's times; ours may be off by anything."""
    before = await shop.round()
    shop.provider.skew = None
    run = await shop.round()
    assert run.status is RunStatus.FAILED
    assert run.cursors == before.cursors


async def test_a_dry_run_changes_nothing(shop: Shop) -> None:
    intents = await ready(shop)
    shop.world.clock.forward(QUARTER)
    shop.books.told.clear()
    before = await shop.world.counts()
    run = Reconciliation(
        id=shop.world.ctx.new_id("reconciliation"),
        merchant="default",
        livemode=False,
        cause=Cause.PERSON,
        status=RunStatus.RUNNING,
        started_at=shop.world.clock(),
        created_at=shop.world.clock(),
        updated_at=shop.world.clock(),
    )
    report = await rehearse(shop.world.ctx, run, "run_1")
    assert await shop.world.counts() == before
    assert {i.id: (await shop.world.now(i))[0] for i in intents} == {i.id: i for i in intents}
    assert shop.provider.standing == []
    tally = report.run.tally
    assert (tally.healed, tally.held, tally.orphans, tally.in_step) == (2, 0, 1, 1)
    assert sorted((f.kind, f.action) for f in report.kept) == [
        ("dispute", "healed"),
        ("orphan", "held"),
        ("status", "healed"),
    ]


async def test_calls_are_bounded_by_pages_not_by_payments(shop: Shop) -> None:
    """What is in step costs its page: 300 payments, three pages."""
    for number in range(300):
        shop.has(f"not_ours_{number}", APPROVED, installation="in_other")
    run = await shop.round()
    assert run.tally.foreign == 300
    assert shop.books.calls["retrieve"] == 0
    assert run.tally.provider_calls <= sum(shop.books.calls.values()) + 30


async def test_every_call_of_a_round_takes_a_turn(shop: Shop) -> None:
    """So that all of them together keep to a quarter of the provider's rate."""
    await ready(shop)
    await shop.round(after_seconds=40 * 86_400)
    for intent, attempt in [await shop.waiting() for _ in range(3)]:
        shop.has(str(intent.provider_reference), APPROVED, attempt)
    shop.books.calls.clear()
    run = await shop.round(after_seconds=7 * 3600)
    assert {"payments", "events", "refunds", "retrieve"} <= set(shop.books.calls)
    assert run.tally.provider_calls >= sum(shop.books.calls.values())


async def test_since_that_is_to_come_is_refused(shop: Shop) -> None:
    for ask in (shop.by_hand, _ordered(shop)):
        with pytest.raises(Refusal) as refused:
            await ask(shop.world.clock() + timedelta(days=1))
        assert refused.value.code is ErrorCode.PARAMETER_INVALID
    assert await shop.world.all(Reconciliation) == []


async def test_another_merchants_key_begins_none(shop: Shop) -> None:
    caller = Caller(shop.world.caller.actor, "shop", "req_1")
    with pytest.raises(Refusal) as refused:
        await order_reconciliation(shop.world.ctx, caller)
    assert refused.value.code is ErrorCode.RESOURCE_MISSING


def _ordered(shop: Shop) -> Any:
    async def order(since: Any) -> Reconciliation:
        return await order_reconciliation(shop.world.ctx, shop.world.caller, since=since)

    return order
