"""Send open alerts to the channels that `PAYGATE_ALERT_URLS` names, from what is stored alone.

A channel is sent what it has not taken yet: an alert that was raised, opened anew or counted since.
A notice is written after it took an alert, so a crash between the two sends the alert once more and
loses none. An alert that a channel does not take pauses there, and others pass. A channel that
takes none is an alert itself, and the other channels go on.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

from paygate.domain import alert
from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertNotice, AlertStatus, AlertType, Problem, Severity
from paygate.domain.audit import Subject
from paygate.flows.alerts.close import close_alert
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import AlertChannel, Context
from paygate.flows.sweep import Crew, Sweep
from paygate.storage.change import Change
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.telemetry import log

AT_MOST_EVERY: Final = timedelta(minutes=1)
"""How often one alert leaves on one channel."""
PAGE: Final = 500
ALONE: Final = 10
"""Of more alerts at once these many, the worst, are messages of their own; a last one counts the
rest. Nobody reads five hundred."""
AT_ONCE: Final = 20
IN_A_ROW: Final = 2
"""Messages that a channel does not take, after which the others wait for its answer: each may take
half a minute. One alone may be a message that it never takes."""
STUBBORN: Final = 3
"""How often a channel has not taken an alert, though it takes others, until people are told."""
SOME: Final = "some"
_WORST_FIRST: Final[tuple[Severity, ...]] = ("critical", "warning", "info")


class Sent(NamedTuple):
    """What a run did: alerts that channels took, and channels that failed."""

    sent: int
    failed: int


async def send_alerts(ctx: Context, run_id: str) -> Sent:
    """Send every channel the open alerts that it has not taken, a page at most."""
    sweep = Sweep(ctx, "send-alerts", run_id)
    done = await asyncio.gather(*(_send_to(ctx, sweep, each) for each in ctx.alert_channels))
    await sweep.end()
    return Sent(sum(each.sent for each in done), sum(each.failed for each in done))


async def channels_failing(ctx: Context) -> tuple[str, ...]:
    """The names of the channels that did not take what they were last sent."""
    names = [channel.name for channel in ctx.alert_channels]
    standing = await asyncio.gather(
        *(ctx.read.alert_standing(DEFAULT_MERCHANT, _failing(name).name) for name in names)
    )
    return tuple(n for n, found in zip(names, standing, strict=True) if found is not None)


async def _send_to(ctx: Context, sweep: Sweep, channel: AlertChannel) -> Sent:
    done = _Done()
    with sweep:
        stands = await ctx.read.alert_standing(DEFAULT_MERCHANT, _failing(channel.name).name)
        misses = IN_A_ROW if stands is None else 1
        waiting = await _waiting(ctx, sweep, channel)
        if stands is not None and not waiting:
            waiting = await _to_try(ctx, channel, stands)
        done = await _send(ctx, sweep, channel, waiting, misses)
        if stands is not None and not done.missed:
            # The channel answers again, or nothing of what it misses was due: nothing pauses now.
            waiting = await _waiting(ctx, sweep, channel, pausing=True)
            more = await _send(ctx, sweep, channel, waiting, misses)
            done = _Done(done.sent + more.sent, more.missed, more.in_a_row)
        await _judge(ctx, sweep, channel, done)
    return Sent(done.sent, int(done.missed > 0 and not done.sent))


class _Done(NamedTuple):
    sent: int = 0
    missed: int = 0
    """How many messages the channel did not take."""
    in_a_row: int = 0
    """The longest that it has not taken one of them."""


async def _send(
    ctx: Context, sweep: Sweep, channel: AlertChannel, waiting: Sequence[Alert], misses: int
) -> _Done:
    """Send these until the channel has not taken so many in a row: then it takes none."""
    alone = waiting if len(waiting) <= ALONE else waiting[: ALONE - 1]
    rest = waiting[len(alone) :]
    sent = missed = in_a_row = lately = 0
    for each in alone:
        if await channel.send(each.problem.severity, _title(each), _text(each)):
            sent += await _note(ctx, sweep, channel, [each])
            lately = 0
            continue
        in_a_row = max(in_a_row, await _miss(ctx, sweep, channel, each))
        missed, lately = missed + 1, lately + 1
        if lately == misses:
            return _Done(sent, missed, in_a_row)
    if rest:
        if await channel.send(rest[0].problem.severity, *_digest(rest)):
            sent += await _note(ctx, sweep, channel, rest)
        else:
            missed += 1
    return _Done(sent, missed, in_a_row)


async def _judge(ctx: Context, sweep: Sweep, channel: AlertChannel, done: _Done) -> None:
    """Say whether the channel takes alerts, all of them or some."""
    caller = sweep.caller(DEFAULT_MERCHANT)
    failing, some = _failing(channel.name), _takes_some(channel.name)
    if done.sent:
        await close_alert(ctx, caller, failing.type, failing.subject)
    elif done.missed:
        log.logger().warning("alert_channel_failing", channel=channel.name)
        await raise_alert(ctx, caller, failing)
    if done.sent and done.in_a_row >= STUBBORN:
        await raise_alert(ctx, caller, some)
    elif not done.missed and not await _waiting(ctx, sweep, channel, pausing=True):
        await close_alert(ctx, caller, some.type, some.subject, some.stage)


async def _waiting(
    ctx: Context, sweep: Sweep, channel: AlertChannel, *, pausing: bool = False
) -> list[Alert]:
    """The next alerts for the channel, the worst first, with those that pause when these are
    wanted; unreadable ones hide no others.
    """
    now = ctx.now()
    taken = (now - AT_MOST_EVERY, now + AT_MOST_EVERY)
    pauses = (now, now if pausing else now + alert.LONGEST_PAUSE)
    read = partial(ctx.read.alerts_to_send, channel.name, taken, pauses)
    async for page in sweep.stretches(read, PAGE):
        return sorted(page, key=lambda each: _WORST_FIRST.index(each.problem.severity))
    return []


async def _to_try(ctx: Context, channel: AlertChannel, failing: Alert) -> list[Alert]:
    """The alert of a channel that fails, when somebody has seen it and its pause is over: nothing
    else need be sent for days, and whether the channel takes alerts again only a message shows.
    """
    if failing.status is not AlertStatus.ACKNOWLEDGED:
        return []
    last = await ctx.read.alert_notice(failing.merchant, alert.notice_id(failing, channel.name))
    now = ctx.now()
    if last is None or last.next_at is None:
        return [failing]
    # Beyond the longest pause a wrong clock wrote it.
    return [] if now < last.next_at <= now + alert.LONGEST_PAUSE else [failing]


async def _note(ctx: Context, sweep: Sweep, channel: AlertChannel, taken: Sequence[Alert]) -> int:
    """Write down that the channel took these; how many they are."""
    async with Crew(AT_ONCE, sweep) as crew:
        for each in taken:
            await crew.take(_write(ctx, sweep, channel, each, alert.noticed))
    return len(taken)


async def _miss(ctx: Context, sweep: Sweep, channel: AlertChannel, missed: Alert) -> int:
    """Write down that the channel did not take it, so that it pauses; how often in a row by now."""
    return (await _write(ctx, sweep, channel, missed, alert.not_taken)).failures


async def _write(
    ctx: Context,
    sweep: Sweep,
    channel: AlertChannel,
    told: Alert,
    says: Callable[[Alert, str, datetime, AlertNotice | None], AlertNotice],
) -> AlertNotice:
    before = await ctx.read.alert_notice(told.merchant, alert.notice_id(told, channel.name))
    notice = says(told, channel.name, ctx.now(), before)
    audit = ctx.audit(
        sweep.caller(told.merchant),
        Action.ALERT_SEND,
        Subject("alert", told.id),
        details={"channel": channel.name, **({"taken": "false"} if notice.failures else {})},
    )
    # Refused: another run, which stood still until now, has sent the alert as well.
    if before is None:
        await ctx.door.commit(Change(audit, creates=(notice,)))
    else:
        await ctx.door.commit(Change(audit, advances=(notice,)))
    return notice


def _failing(name: str) -> Problem:
    return Problem(
        type=AlertType.ALERT_CHANNEL_FAILING,
        subject=Subject("alert_channel", name),
        severity="critical",
        message=f"alerts do not leave: channel {name} of PAYGATE_ALERT_URLS did not take one",
        what_to_do="See whether its address and its token still hold, and whether this machine"
        " reaches it. What it has not taken is sent when it answers again; until then read"
        " `GET /alerts`.",
    )


def _takes_some(name: str) -> Problem:
    return Problem(
        type=AlertType.ALERT_CHANNEL_FAILING,
        subject=Subject("alert_channel", name),
        stage=SOME,
        severity="warning",
        message=f"channel {name} of PAYGATE_ALERT_URLS takes alerts, but not all: one was refused"
        f" {STUBBORN} times and is tried at most once an hour by now",
        what_to_do="Read `GET /alerts?status=open`, and see what the channel has against what"
        " has not come.",
    )


def _title(told: Alert) -> str:
    mode = "" if told.livemode else " (test mode)"
    return f"paygate{mode}: {told.problem.severity}: {told.problem.type}"


def _text(told: Alert) -> str:
    problem = told.problem
    facts = [
        f"{problem.subject.object} {problem.subject.id}",
        f"merchant {told.merchant}",
        f"alert {told.id}",
        f"since {told.created_at:%Y-%m-%d %H:%M:%S} UTC",
    ]
    if told.count > 1:
        facts.append(f"{told.count} times, last at {told.last_at:%Y-%m-%d %H:%M:%S} UTC")
    if problem.due_at is not None:
        facts.append(f"due at {problem.due_at:%Y-%m-%d %H:%M:%S} UTC")
    return "\n".join((problem.message, problem.what_to_do, "", *facts))


def _digest(rest: Sequence[Alert]) -> tuple[str, str]:
    """Title and text that stand for many alerts."""
    kinds = Counter((each.problem.severity, each.problem.type) for each in rest)
    lines = [f"{count} of {kind} ({severity})" for (severity, kind), count in kinds.most_common()]
    title = f"paygate: {rest[0].problem.severity}: {len(rest)} more alerts are open"
    return title, "\n".join((*lines, "", "`GET /alerts?status=open` lists them."))
