"""Final here is final there: what failed is closed at the provider, and what it took is true."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import pytest

from paygate.api.event_object import event_body
from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertType
from paygate.domain.event import Event
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Cancelled,
    Declined,
    NotSent,
    Outcome,
    PaymentError,
    Pending,
    RedirectToUrl,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.payments.sweeps.close_failed import GIVE_UP_AFTER, close_failed_payment
from paygate.flows.payments.sweeps.close_overdue import close_overdue_attempts
from paygate.flows.payments.sweeps.resolve import resolve_attempts
from paygate.jobs.messages import CloseFailedPayment
from paygate.jobs.queue import again_after
from paygate.providers.absence import Absent
from paygate.providers.contract import CancelOrder
from paygate.storage.change import Change, Verdict
from paygate.storage.connections.session import Connection
from paygate.worker.main import work
from tests.flows.payments.test_holds import HELD, capture, ledger
from tests.flows.payments.transfers import at, cancel, jobs, notice_at
from tests.flows.world import APPROVED, THEIRS, World, answer

DECLINED = Declined(PaymentError("card_declined", "no"))
CHALLENGE = ActionRequired(RedirectToUrl("https://bank.example/3ds"))
CLOSED = Cancelled("requested_by_customer")
HOUR = 3600
IN_DOUBT = [
    Answer(Unknown("timeout")),
    Answer(NotSent("429")),
    Answer(Rejected("provider_configuration", "401")),
    # It stands open there: another card, or the same, is being tried.
    at(60, DECLINED),
    at(60, CHALLENGE),
    at(60, Pending()),
    at(60, HELD),
]


def closing(attempt: Attempt) -> CloseFailedPayment:
    return CloseFailedPayment(attempt.merchant, attempt.id)


async def failed(world: World) -> tuple[PaymentIntent, CloseFailedPayment]:
    intent, attempt = await world.confirming(DECLINED)
    assert intent.status is Status.FAILED
    return intent, closing(attempt)


async def close(world: World, job: CloseFailedPayment) -> bool:
    return await close_failed_payment(world.ctx, job)


class Commits:
    """The door, and what went through it."""

    def __init__(self, world: World) -> None:
        self._door = world.ctx.door
        self.seen: list[Change] = []
        world.use(door=self)

    async def commit(self, change: Change) -> Verdict:
        self.seen.append(change)
        return await self._door.commit(change)


@pytest.mark.parametrize("refused", [DECLINED, Rejected("payment_method_rejected", "no")])
@pytest.mark.parametrize("by", ["reply", "event", "sweep"])
async def test_the_job_is_in_the_commit_of_the_failure(
    world: World, by: str, refused: Outcome
) -> None:
    commits = Commits(world)
    if by == "reply":
        intent, attempt = await world.confirming(refused)
    else:
        intent, attempt = await world.confirming(Unknown("timeout"))
    if by == "event":
        await world.applied(notice_at(attempt, refused, 1))
        await world.applied(notice_at(attempt, refused, 2, "evt_again"))
    if by == "sweep":
        world.clock.forward(60)
        world.provider.answers.append(at(60, refused))
        assert await resolve_attempts(world.ctx, "run_1") == (1, 0)
    assert (await world.now(intent))[0].status is Status.FAILED
    assert await jobs(world, CloseFailedPayment) == [closing(attempt)]
    (change,) = [c for c in commits.seen if any(j.message == closing(attempt) for j in c.jobs)]
    assert [r.status for r in change.advances if isinstance(r, PaymentIntent)] == [Status.FAILED]
    assert world.provider.standing == [], "the payer waits for none of it"


@pytest.mark.parametrize("outcome", [APPROVED, HELD, CHALLENGE, CLOSED, Unknown("timeout")])
async def test_what_has_not_failed_is_not_to_be_closed(world: World, outcome: Outcome) -> None:
    await world.confirming(outcome)
    assert await jobs(world, CloseFailedPayment) == []


async def test_what_the_provider_never_made_is_not_to_be_closed(world: World) -> None:
    world.provider.answers.append(Answer(Rejected("provider_configuration", "401")))
    intent = await world.confirm(await world.create())
    assert (intent.status, intent.provider_reference) == (Status.FAILED, None)
    assert await jobs(world, CloseFailedPayment) == []


async def test_what_was_never_sent_is_not_to_be_closed(world: World) -> None:
    world.provider.answers.append(Answer(NotSent("refused")))
    intent = await world.create()
    with pytest.raises(Exception, match="could not be reached"):
        await world.confirm_once(intent, "k")
    world.clock.forward(HOUR)
    assert await resolve_attempts(world.ctx, "run_1") == (1, 0)
    assert (await world.now(intent))[0].status is Status.FAILED
    assert await jobs(world, CloseFailedPayment) == []


async def test_an_abandoned_challenge_is_closed_already(world: World) -> None:
    intent, _ = await world.confirming(CHALLENGE)
    world.clock.forward(HOUR)
    world.provider.answers.append(at(HOUR, CLOSED))
    assert await close_overdue_attempts(world.ctx, "run_1") == 1
    assert (await world.now(intent))[0].status is Status.FAILED
    assert await jobs(world, CloseFailedPayment) == []


@pytest.mark.parametrize("by", ["reply", "event"])
async def test_a_challenge_given_up_that_the_bank_declined_is_open_there(
    world: World, by: str
) -> None:
    """It failed before the provider heard of a cancel: another card could still pay it there."""
    intent, attempt = await world.confirming(CHALLENGE)
    world.clock.forward(HOUR)
    world.provider.answers.append(Answer(Unknown("reset")) if by == "event" else at(HOUR, DECLINED))
    await close_overdue_attempts(world.ctx, "run_1")
    if by == "event":
        await world.applied(notice_at(attempt, DECLINED, HOUR))
    after, (declined,) = await world.now(intent)
    assert (after.status, declined.state) == (Status.FAILED, AttemptState.DECLINED)
    assert declined.given_up
    assert await jobs(world, CloseFailedPayment) == [closing(attempt)]


async def test_a_cancel_that_the_bank_declined_first_is_closed_too(world: World) -> None:
    intent, attempt = await world.confirming(CHALLENGE)
    world.provider.answers.append(Answer(Unknown("reset")))
    await cancel(world, intent)
    await world.applied(notice_at(attempt, DECLINED, 5))
    assert await jobs(world, CloseFailedPayment) == [closing(attempt)]


async def test_a_hold_that_failed_is_closed_by_its_latest_attempt(world: World) -> None:
    world.provider.answers.append(answer(HELD))
    intent = await world.confirm(await world.create(capture_method="manual"))
    world.provider.answers.append(at(1, DECLINED))
    assert (await capture(world, intent)).status is Status.FAILED
    _, (_, captures) = await world.now(intent)
    assert await jobs(world, CloseFailedPayment) == [closing(captures)]


async def test_it_is_closed_and_nothing_changes_here(world: World) -> None:
    intent, job = await failed(world)
    before = await world.counts()
    world.provider.answers.append(at(60, CLOSED))
    assert await close(world, job)
    (order,) = world.provider.standing
    assert isinstance(order, CancelOrder)
    assert (order.provider_reference, job.attempt in order.key) == (THEIRS, True)
    assert (await world.now(intent))[0] == intent
    assert await world.counts() == before


@pytest.mark.parametrize("said", IN_DOUBT)
async def test_it_is_asked_of_for_three_days(world: World, said: Answer) -> None:
    intent, job = await failed(world)
    world.provider.answers += [said] * 3
    assert not await close(world, job)
    world.clock.forward(GIVE_UP_AFTER.total_seconds())
    assert not await close(world, job)
    world.clock.forward(1)
    assert await close(world, job)
    assert (await world.now(intent))[0] == intent
    (alert,) = await world.all(Alert)
    assert (alert.problem.type, alert.count) == (AlertType.ATTEMPT_UNRESOLVED, 1)
    assert THEIRS in alert.problem.what_to_do, "a person must close it now"


async def test_a_cancel_that_tells_nothing_is_looked_up_at_once(world: World) -> None:
    """The provider keeps a 500 of its own with a key; the payment itself says that it is closed."""
    _, job = await failed(world)
    world.provider.answers.append(Answer(Unknown("500")))
    world.provider.objects.append(at(60, CLOSED))
    assert await close(world, job)
    assert world.provider.retrieved == [THEIRS]


async def test_money_that_only_the_look_up_shows_is_a_correction(world: World) -> None:
    intent, job = await failed(world)
    world.provider.answers.append(Answer(Unknown("500")))
    world.provider.objects.append(at(60, APPROVED))
    assert await close(world, job)
    assert (await world.now(intent))[0].status is Status.SUCCEEDED
    assert await ledger(world) == [(1, 1999)]


async def test_one_that_the_provider_does_not_know_is_told_and_tried_again(world: World) -> None:
    """Another account's key is set: the payment may still be open where it is."""
    intent, job = await failed(world)
    for times in (1, 2):
        world.provider.answers.append(Answer(Unknown("404")))
        world.provider.objects.append(Absent())
        assert not await close(world, job)
        (alert,) = await world.all(Alert)
        assert (alert.problem.type, alert.count) == (AlertType.ATTEMPT_UNRESOLVED, times)
        assert (alert.problem.severity, alert.problem.subject.id) == ("critical", intent.id)
        world.clock.forward(HOUR)


async def test_it_is_given_up_three_days_after_the_failure_not_the_beginning(
    world: World,
) -> None:
    """A debit may fail a week after it was confirmed."""
    _, attempt = await world.confirming(CHALLENGE)
    world.clock.forward(7 * 24 * HOUR)
    await world.applied(notice_at(attempt, DECLINED, 7 * 24 * HOUR))
    world.provider.answers.append(IN_DOUBT[0])
    assert not await close(world, closing(attempt))


async def test_money_that_was_taken_is_a_correction(world: World) -> None:
    intent, job = await failed(world)
    world.provider.answers.append(at(60, APPROVED))
    assert await close(world, job)
    after, (attempt,) = await world.now(intent)
    assert (after.status, after.amount_received, after.money_seq) == (Status.SUCCEEDED, 1999, 1)
    assert (after.version, attempt.state) == (intent.version + 1, AttemptState.DECLINED)
    (correction,) = await world.all(Correction)
    assert (correction.from_status, correction.to_status) == (Status.FAILED, Status.SUCCEEDED)
    assert (correction.reason, correction.proof) == ("captured_after_the_end", THEIRS)
    assert await ledger(world) == [(1, 1999)]
    (alert,) = await world.all(Alert)
    assert (alert.problem.type, alert.count) == (AlertType.STATE_CORRECTION, 1)
    assert alert.problem.subject.id == intent.id
    corrections = [e for e in await world.all(Event) if e.correction]
    assert [(e.type, e.object_version) for e in corrections] == [
        ("payment_intent.succeeded", after.version)
    ]
    resolved = [e for e in await world.audited() if e.action is Action.ATTEMPT_RESOLVE]
    assert [e.actor.name for e in resolved] == ["close-failed-payment"]
    # The job may come again, and so may the event.
    assert await close(world, job)
    event = await world.applied(notice_at(attempt, APPROVED, 61))
    assert event.verdict == "already_settled"
    assert await ledger(world) == [(1, 1999)]
    assert len(world.provider.standing) == 1


async def test_money_of_another_amount_is_a_persons_to_decide(world: World) -> None:
    intent, job = await failed(world)
    more = msgspec.structs.replace(APPROVED, amount_received=5000)
    world.provider.answers.append(at(60, more))
    assert await close(world, job)
    assert (await world.now(intent))[0].status is Status.FAILED
    assert (await ledger(world), await world.all(Correction)) == ([], [])
    (alert,) = await world.all(Alert)
    assert "another amount" in alert.problem.message


async def test_what_was_corrected_meanwhile_is_not_closed(world: World) -> None:
    intent, job = await failed(world)
    (attempt,) = (await world.now(intent))[1]
    await world.applied(notice_at(attempt, APPROVED, 5))
    assert await close(world, job)
    assert world.provider.standing == []
    assert (await world.now(intent))[0].status is Status.SUCCEEDED


async def test_an_event_that_corrects_it_during_the_call_counts_once(world: World) -> None:
    intent, job = await failed(world)
    (attempt,) = (await world.now(intent))[1]

    async def deliver() -> None:
        world.provider.amid = None
        assert (await world.applied(notice_at(attempt, APPROVED, 5))).verdict == "corrected"

    world.provider.amid = deliver
    world.provider.answers.append(at(60, APPROVED))
    assert await close(world, job)
    assert await ledger(world) == [(1, 1999)]
    assert len(await world.all(Correction)) == 1
    assert (await world.event_types(intent)).count("payment_intent.succeeded") == 1


async def test_the_same_job_at_once_corrects_once(world: World) -> None:
    intent, job = await failed(world)
    world.provider.answers += [at(60, APPROVED)] * 4
    done = await asyncio.gather(*(close(world, job) for _ in range(4)))
    assert done == [True] * 4
    asked = len(world.provider.standing)
    assert 1 <= asked <= 4
    assert await close(world, job)
    assert len(world.provider.standing) == asked, "nothing is left to ask"
    assert await ledger(world) == [(1, 1999)]
    assert len(await world.all(Correction)) == 1
    (alert,) = await world.all(Alert)
    assert alert.problem.subject.id == intent.id


async def test_a_crash_before_the_call_leaves_the_job(world: World) -> None:
    intent, job = await failed(world)

    async def die() -> None:
        world.provider.amid = None
        raise ConnectionAbortedError

    world.provider.amid = die
    with pytest.raises(ConnectionAbortedError):
        await close(world, job)
    assert (await world.now(intent))[0] == intent
    world.provider.answers.append(at(60, CLOSED))
    assert await close(world, job)
    first, second = world.provider.standing
    assert first == second


@pytest.mark.parametrize(
    ("said", "waits"),
    [(IN_DOUBT[0], True), (at(60, CLOSED), False)],
)
async def test_the_worker_keeps_the_job_until_it_is_done(
    world: World, connect: Callable[[], Awaitable[Connection]], said: Answer, waits: bool
) -> None:
    """Kept by the queue, for a minute, and not as one that failed."""
    _, job = await failed(world)
    stop = asyncio.Event()

    async def then_stop() -> None:
        stop.set()

    world.provider.amid = then_stop
    world.provider.answers.append(said)
    async with asyncio.timeout(60):
        await work(world.ctx, connect, stop, event_body)
    rows = await world.connection.fetch(
        "SELECT status::text, execute_after - updated AS wait FROM pgqueuer"
    )
    assert await jobs(world, CloseFailedPayment) == ([job] if waits else [])
    assert [r["status"] for r in rows] == (["queued"] if waits else [])
    assert all(timedelta(seconds=50) < r["wait"] < timedelta(seconds=70) for r in rows)


async def test_a_job_that_fails_is_kept_too(
    world: World, connect: Callable[[], Awaitable[Connection]]
) -> None:
    """Whatever the fault: a commit has promised it."""
    _, job = await failed(world)
    stop = asyncio.Event()

    async def fail() -> None:
        stop.set()
        raise ConnectionAbortedError("a secret")

    world.provider.amid = fail
    async with asyncio.timeout(60):
        await work(world.ctx, connect, stop, event_body)
    assert await jobs(world, CloseFailedPayment) == [job]
    (row,) = await world.connection.fetch(
        "SELECT status::text, attempts, execute_after - updated AS wait FROM pgqueuer"
    )
    assert (row["status"], row["attempts"]) == ("queued", 1)
    assert timedelta(seconds=1) < row["wait"] < timedelta(seconds=3)
    notice_at = await world.connection.fetch("SELECT pgqueuer_log::text AS line FROM pgqueuer_log")
    assert "a secret" not in str(notice_at)


def test_a_job_waits_ever_longer() -> None:
    waits = [again_after(attempts).total_seconds() for attempts in (0, 1, 2, 6, 7, 8, 10**9)]
    assert waits == [2, 4, 8, 128, 256, 300, 300]
