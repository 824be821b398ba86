"""Send open alerts to the channels that `PAYGATE_ALERT_URLS` names, from what is stored alone.

A channel is sent what it has not taken yet: an alert that was raised, opened anew or counted since.
A notice is written after it took an alert, so a crash between the two sends the alert once more and
loses none. A channel that fails is an alert itself, and the others go on.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple

from paygate.domain import alert
from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertType, Problem, Severity
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
    waiting = await _waiting(ctx, sweep, channel)
    alone = waiting if len(waiting) <= ALONE else waiting[: ALONE - 1]
    rest = waiting[len(alone) :]
    sent = 0
    with sweep:
        for each in alone:
            if not await channel.send(each.problem.severity, _title(each), _text(each)):
                return await _failed(ctx, sweep, channel, sent)
            sent += await _note(ctx, sweep, channel, [each])
        if rest:
            if not await channel.send(rest[0].problem.severity, *_digest(rest)):
                return await _failed(ctx, sweep, channel, sent)
            sent += await _note(ctx, sweep, channel, rest)
        if sent:
            failing = _failing(channel.name)
            await close_alert(ctx, sweep.caller(DEFAULT_MERCHANT), failing.type, failing.subject)
    return Sent(sent, 0)


async def _waiting(ctx: Context, sweep: Sweep, channel: AlertChannel) -> list[Alert]:
    """The next alerts for the channel, the worst first; unreadable ones hide no others."""
    read = partial(ctx.read.alerts_to_send, channel.name, ctx.now() - AT_MOST_EVERY)
    async for page in sweep.stretches(read, PAGE):
        return sorted(page, key=lambda each: _WORST_FIRST.index(each.problem.severity))
    return []


async def _note(ctx: Context, sweep: Sweep, channel: AlertChannel, taken: Sequence[Alert]) -> int:
    """Write down that the channel took these; how many they are."""

    async def write(taken: Alert) -> None:
        before = await ctx.read.alert_notice(taken.merchant, alert.notice_id(taken, channel.name))
        notice = alert.noticed(taken, channel.name, ctx.now(), before)
        audit = ctx.audit(
            sweep.caller(taken.merchant),
            Action.ALERT_SEND,
            Subject("alert", taken.id),
            details={"channel": channel.name},
        )
        # Refused: another run, which stood still until now, has sent the alert as well.
        if before is None:
            await ctx.door.commit(Change(audit, creates=(notice,)))
        else:
            await ctx.door.commit(Change(audit, advances=(notice,)))

    async with Crew(AT_ONCE, sweep) as crew:
        for each in taken:
            await crew.take(write(each))
    return len(taken)


async def _failed(ctx: Context, sweep: Sweep, channel: AlertChannel, sent: int) -> Sent:
    log.logger().warning("alert_channel_failing", channel=channel.name)
    await raise_alert(ctx, sweep.caller(DEFAULT_MERCHANT), _failing(channel.name))
    return Sent(sent, 1)


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
