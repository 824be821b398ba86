"""Open alerts leave by every channel: at least once, at most once a minute, whatever fails."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.alert import Alert, AlertNotice, AlertStatus, AlertType, Problem, Severity
from paygate.domain.audit import Subject
from paygate.flows.alerts.acknowledge import acknowledge_alert
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.alerts.send import ALONE, PAGE, SOME, channels_failing, send_alerts
from paygate.storage.change import Change, StorageError, Verdict
from tests.flows.world import World

MINUTE = 60


class Pager:
    """A channel that keeps what it took."""

    def __init__(self, name: str = "1-pager") -> None:
        self.name = name
        self.works = True
        self.taken: list[tuple[Severity, str, str]] = []
        self.tried = 0
        self.never: str | None = None
        """What is in a message that it does not take."""

    async def send(self, severity: Severity, title: str, text: str) -> bool:
        self.tried += 1
        takes = self.works and (self.never is None or self.never not in text)
        if takes:
            self.taken.append((severity, title, text))
        return takes

    def got(self, what: str) -> int:
        """How many messages it took with this in them."""
        return sum(what in text for _, _, text in self.taken)


@pytest.fixture
def pager(world: World) -> Pager:
    pager = Pager()
    world.use(alert_channels=(pager,))
    return pager


def problem(
    number: int = 1,
    *,
    kind: AlertType = AlertType.CARD_DATA_REFUSED,
    severity: Severity = "warning",
    message: str = "something came up",
) -> Problem:
    return Problem(
        type=kind,
        subject=Subject("api_key", f"key_{number:04}"),
        severity=severity,
        message=message,
        what_to_do="look at it",
    )


async def up(world: World, told: Problem) -> None:
    await raise_alert(world.ctx, world.caller, told)


async def test_an_alert_leaves_once_and_says_what_it_is_about(world: World, pager: Pager) -> None:
    await up(world, problem(severity="critical"))
    (alert,) = await world.all(Alert)
    assert await send_alerts(world.ctx, "run") == (1, 0)
    ((severity, title, text),) = pager.taken
    assert (severity, title) == ("critical", "paygate (test mode): critical: card_data_refused")
    for fact in ("something came up", "look at it", "api_key key_0001", "merchant default"):
        assert fact in text
    assert alert.id in text
    (entry,) = [e for e in await world.audited() if e.action is Action.ALERT_SEND]
    assert (entry.subject, entry.details) == (Subject("alert", alert.id), {"channel": "1-pager"})
    for _ in range(3):
        world.clock.forward(MINUTE)
        assert await send_alerts(world.ctx, "run") == (0, 0)
    assert len(pager.taken) == 1


async def test_one_that_keeps_coming_up_leaves_once_a_minute(world: World, pager: Pager) -> None:
    await up(world, problem())
    for _ in range(12):
        await send_alerts(world.ctx, "run")
        await up(world, problem())
        world.clock.forward(10)
    await send_alerts(world.ctx, "run")
    assert len(pager.taken) == 3  # at 0, 60 and 120 seconds
    assert "13 times" in pager.taken[-1][2]


async def test_what_somebody_has_seen_is_not_sent_until_it_comes_up_again(
    world: World, pager: Pager
) -> None:
    await up(world, problem())
    (alert,) = await world.all(Alert)
    await acknowledge_alert(world.ctx, world.caller, alert.id)
    assert await send_alerts(world.ctx, "run") == (0, 0)
    await up(world, problem())
    assert await send_alerts(world.ctx, "run") == (1, 0)


async def test_each_channel_is_sent_what_it_has_not_taken(world: World, pager: Pager) -> None:
    chat = Pager("2-chat")
    world.use(alert_channels=(pager, chat))
    chat.works = False
    await up(world, problem())
    assert await send_alerts(world.ctx, "run") == (1, 1)
    chat.works = True
    world.clock.forward(MINUTE)
    await send_alerts(world.ctx, "run")
    assert [title for _, title, _ in pager.taken] == [
        "paygate (test mode): warning: card_data_refused",
        "paygate (test mode): critical: alert_channel_failing",
    ]
    assert "paygate (test mode): warning: card_data_refused" in [t for _, t, _ in chat.taken]


async def test_a_dead_channel_is_an_alert_and_a_warning_until_it_answers(
    world: World, pager: Pager
) -> None:
    pager.works = False
    for number in range(1, 4):
        await up(world, problem(number))
    assert await channels_failing(world.ctx) == ()
    assert await send_alerts(world.ctx, "run") == (0, 1)
    assert pager.tried == 2  # a third would have waited as long
    (failing,) = [a for a in await world.all(Alert) if a.problem.subject.id == "1-pager"]
    assert failing.problem.type is AlertType.ALERT_CHANNEL_FAILING
    assert await channels_failing(world.ctx) == ("1-pager",)
    for _ in range(3):  # said once, while it lasts
        world.clock.forward(MINUTE)
        await send_alerts(world.ctx, "run")
    pager.works = True
    world.clock.forward(MINUTE)
    assert (await send_alerts(world.ctx, "run")).failed == 0
    assert len({text for _, _, text in pager.taken if "api_key" in text}) == 3
    (failing,) = [a for a in await world.all(Alert) if a.problem.subject.id == "1-pager"]
    assert (failing.status, failing.count) == (AlertStatus.CLOSED, 1)
    assert await channels_failing(world.ctx) == ()


async def test_a_dead_channel_that_somebody_has_seen_is_tried_until_it_answers(
    world: World, pager: Pager
) -> None:
    """Though nothing waits for it any more; until then it is a warning."""
    pager.works = False
    await up(world, problem())
    await send_alerts(world.ctx, "run")
    for each in await world.all(Alert):
        await acknowledge_alert(world.ctx, world.caller, each.id)
    before = pager.tried
    for _ in range(120):
        world.clock.forward(MINUTE)
        await send_alerts(world.ctx, "run")
        assert await channels_failing(world.ctx) == ("1-pager",)
    tried = pager.tried - before
    assert 5 <= tried <= 8, "after 1, 2, 4, ... 60 minutes"
    (failing,) = [a for a in await world.all(Alert) if a.problem.subject.id == "1-pager"]
    assert failing.status is AlertStatus.ACKNOWLEDGED
    pager.works = True
    world.clock.forward(60 * MINUTE)
    await send_alerts(world.ctx, "run")
    assert await channels_failing(world.ctx) == ()
    (failing,) = [a for a in await world.all(Alert) if a.problem.subject.id == "1-pager"]
    assert failing.status is AlertStatus.CLOSED
    assert pager.got("key_0001") == 0, "what somebody has seen leaves no more"
    assert pager.got("alerts do not leave") == 1


async def test_one_that_a_channel_never_takes_blocks_none_behind_it(
    world: World, pager: Pager
) -> None:
    """It is the worst of them, so it comes first; it is tried again, ever more seldom."""
    chat = Pager("2-chat")
    world.use(alert_channels=(pager, chat))
    pager.never = "key_0001"
    await up(world, problem(severity="critical"))
    for number in range(2, 5):
        await up(world, problem(number))
    assert await send_alerts(world.ctx, "run") == (7, 0)
    assert [pager.got(f"key_000{number}") for number in range(1, 5)] == [0, 1, 1, 1]
    assert await channels_failing(world.ctx) == ()
    before = pager.tried
    for number in range(60):
        await up(world, problem(100 + number))
        world.clock.forward(MINUTE)
        await send_alerts(world.ctx, "run")
    assert pager.tried - before == 60 + 5 + 1, "after 1, 2, 4, 8, 16 minutes; and of itself once"
    assert pager.got("key_01") == 60
    (some,) = [a for a in await world.all(Alert) if a.problem.stage == SOME]
    assert (some.problem.subject.id, some.status) == ("1-pager", AlertStatus.OPEN)
    assert chat.got("takes alerts, but not all") == 1
    pager.never = None
    world.clock.forward(60 * MINUTE)
    await send_alerts(world.ctx, "run")
    assert pager.got("key_0001") == 1
    (some,) = [a for a in await world.all(Alert) if a.problem.stage == SOME]
    assert some.status is AlertStatus.CLOSED


async def test_what_a_dead_channel_missed_is_sent_the_minute_it_answers(
    world: World, pager: Pager
) -> None:
    """However long it was dead: what pauses for its own sake would pause for an hour."""
    for number in range(5):
        await up(world, problem(number))
    pager.works = False
    for _ in range(300):
        await send_alerts(world.ctx, "run")
        world.clock.forward(MINUTE)
    assert await channels_failing(world.ctx) == ("1-pager",)
    pager.works = True
    await send_alerts(world.ctx, "run")
    assert [pager.got(f"key_000{number}") for number in range(5)] == [1] * 5
    assert await channels_failing(world.ctx) == ()


@pytest.mark.parametrize("works", [True, False])
async def test_a_notice_of_a_clock_that_was_ahead_silences_nothing(
    world: World, pager: Pager, works: bool
) -> None:
    await up(world, problem())
    pager.works = works
    world.clock.forward(30 * 86_400)
    await send_alerts(world.ctx, "run")
    world.clock.forward(-30 * 86_400)
    pager.works = True
    await up(world, problem())
    assert (await send_alerts(world.ctx, "run")).sent >= 1
    assert "2 times" in next(text for _, _, text in pager.taken if "2 times" in text)
    taken = len(pager.taken)
    for _ in range(5):
        world.clock.forward(MINUTE)
        await send_alerts(world.ctx, "run")
    assert len(pager.taken) <= taken + 1


async def test_many_at_once_are_the_worst_and_a_count_of_the_rest(
    world: World, pager: Pager
) -> None:
    for number in range(30):
        await up(world, problem(number))
    await up(world, problem(99, severity="critical"))
    assert await send_alerts(world.ctx, "run") == (31, 0)
    assert len(pager.taken) == ALONE
    assert pager.taken[0][0] == "critical"
    _, title, text = pager.taken[-1]
    assert title == "paygate: warning: 22 more alerts are open"
    assert "22 of card_data_refused (warning)" in text
    world.clock.forward(MINUTE)
    assert await send_alerts(world.ctx, "run") == (0, 0)


async def test_a_page_that_cannot_be_read_hides_no_other_alert(world: World, pager: Pager) -> None:
    for number in range(3):
        await up(world, problem(number))
    first = (await world.all(Alert))[0]
    await world.connection.execute("ALTER TABLE alert DISABLE TRIGGER USER")
    await world.connection.execute(
        "UPDATE alert SET sealed = sealed || 'x' WHERE id = $1", first.id
    )
    await world.connection.execute("ALTER TABLE alert ENABLE TRIGGER USER")
    assert (await send_alerts(world.ctx, "run")).sent == 2
    assert PAGE > 3


async def test_a_crash_after_the_sending_sends_it_once_more(world: World, pager: Pager) -> None:
    door = world.ctx.door

    class Dying:
        async def commit(self, change: Change) -> Verdict:
            if any(isinstance(record, AlertNotice) for record in change.creates):
                raise StorageError("the process died")
            return await door.commit(change)

    await up(world, problem())
    world.use(door=Dying())
    with pytest.raises(StorageError):
        await send_alerts(world.ctx, "run")
    world.use(door=door)
    assert await send_alerts(world.ctx, "run_2") == (1, 0)
    assert len(pager.taken) == 2


async def test_two_runs_at_once_write_one_notice(world: World, pager: Pager) -> None:
    await up(world, problem())
    await asyncio.gather(send_alerts(world.ctx, "run"), send_alerts(world.ctx, "run_2"))
    (notice,) = await world.all(AlertNotice)
    assert (notice.channel, notice.alert_version) == ("1-pager", 1)
    assert len(pager.taken) in (1, 2)


async def test_every_merchants_alerts_leave(world: World, pager: Pager) -> None:
    await world.connection.execute("INSERT INTO merchant (id) VALUES ('other')")
    caller = Caller(Actor("job", name="a job"), "other", "run")
    await raise_alert(world.ctx, caller, problem())
    assert await send_alerts(world.ctx, "run") == (1, 0)
    assert "merchant other" in pager.taken[0][2]


async def test_an_alert_that_is_due_says_when(world: World, pager: Pager) -> None:
    due = world.clock.time + timedelta(hours=3)
    await up(world, msgspec.structs.replace(problem(), due_at=due))
    await send_alerts(world.ctx, "run")
    assert f"due at {due:%Y-%m-%d %H:%M:%S} UTC" in pager.taken[0][2]


async def test_without_a_channel_nothing_is_read(world: World) -> None:
    await up(world, problem())
    assert await send_alerts(world.ctx, "run") == (0, 0)
    assert await world.all(AlertNotice) == []
