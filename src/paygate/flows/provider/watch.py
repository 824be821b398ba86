"""Watch the provider itself: is it the account that our payments are at, and does its clock agree
with ours?

The account is pinned at the first answer that names an account; an older installation without a
pin adopts the account that it finds. A provider that cannot be reached stops nothing.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.payments.outcome import Rejected, Unknown
from paygate.domain.provider_account import ProviderAccount
from paygate.domain.warning import Warned, WarningCode
from paygate.flows.alerts.close import close_alert
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.storage.change import Change, Committed
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.unreadable import UNREAD

ASK_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 1.0
"""The deadline of the call: shorter than a probe waits."""
FRESH: Final = timedelta(minutes=1)
ASK_AGAIN: Final = timedelta(seconds=10)
"""How often a provider in trouble is called again."""
TOLERATED: Final = timedelta(seconds=5)
"""Clocks that are kept by NTP agree to a fraction of a second."""
_MARKS: Final = (
    (timedelta(days=1), "a day"),
    (timedelta(hours=1), "an hour"),
    (timedelta(minutes=10), "10 minutes"),
    (timedelta(minutes=1), "a minute"),
    (TOLERATED, "5 seconds"),
)
"""The sizes of a skew in coarse words, so that the same skew, measured again, has the same
words."""


WATCHED: Final = (
    WarningCode.UNREACHABLE,
    WarningCode.ACCOUNT_UNREADABLE,
    WarningCode.ACCOUNT_CHANGED,
    WarningCode.PIN_UNREADABLE,
    WarningCode.CLOCK_SKEW,
)
"""What a look at the provider may warn of."""


class Standing(NamedTuple):
    """How the provider stands. None: nothing is wrong; without `clock_known` that is no proof."""

    account: Warned | None
    clock: Warned | None
    clock_known: bool

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """The warnings there are, the account's first."""
        return tuple(each for each in (self.account, self.clock) if each is not None)


def watcher(run_id: str) -> Caller:
    """The caller of a run, as the audit log names it."""
    return Caller(Actor("job", name="watch-provider"), DEFAULT_MERCHANT, run_id)


async def look_at_provider(
    ctx: Context, caller: Caller, *, timeout_seconds: float = ASK_SECONDS
) -> Standing:
    """How the provider stands, by one call, whose answer tells the provider's time too."""
    account = await _account(ctx, caller, timeout_seconds)
    clock = _clock(ctx)
    return Standing(account, clock, clock_known=ctx.provider.skew is not None)


async def watch_provider(ctx: Context, run_id: str, *, node: str) -> tuple[Warned, ...]:
    """Call the provider, raise the alerts for what is wrong, and close those whose cause is gone.

    A clock is a machine's, so each `node` has an alert of its own.
    """
    caller = watcher(run_id)
    standing = await look_at_provider(ctx, caller)
    account = _account_changed(ctx)
    if standing.account is None:
        await close_alert(ctx, caller, account.type, account.subject)
    elif standing.account.code is WarningCode.ACCOUNT_CHANGED:
        await raise_alert(ctx, caller, account)
    if standing.clock is not None:
        await raise_alert(ctx, caller, _clock_skewed(node, standing.clock.message))
    elif standing.clock_known:
        skewed = _clock_skewed(node, "")
        await close_alert(ctx, caller, skewed.type, skewed.subject, skewed.stage)
    return standing.warnings


class ProviderLook:
    """What a process last saw of its provider; looked at again when that is old."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._seen: tuple[Warned, ...] = ()
        self._seen_at: datetime | None = None
        self._asking = asyncio.Lock()

    async def warnings(self) -> tuple[Warned, ...]:
        """The warnings, if any; the clock's is of now."""
        async with self._asking:
            if self._is_old():
                standing = await look_at_provider(
                    self._ctx, watcher("readiness"), timeout_seconds=LOOK_SECONDS
                )
                self._seen = () if standing.account is None else (standing.account,)
                self._seen_at = self._ctx.now()
        clock = _clock(self._ctx)
        return self._seen if clock is None else (*self._seen, clock)

    def _is_old(self) -> bool:
        if self._seen_at is None:
            return True
        age = self._ctx.now() - self._seen_at
        return not timedelta(0) <= age < (ASK_AGAIN if self._seen else FRESH)


async def _account(ctx: Context, caller: Caller, timeout_seconds: float) -> Warned | None:
    said = await ctx.provider.account(timeout_seconds=timeout_seconds)
    match said:
        case Unknown():
            return Warned(WarningCode.UNREACHABLE, said.message)
        case Rejected():
            return Warned(WarningCode.ACCOUNT_UNREADABLE, said.message)
        case str():
            try:
                pinned = await _pinned(ctx, caller, said)
            except UNREAD as fault:
                await report_unreadable(ctx, caller, fault)
                return Warned(
                    WarningCode.PIN_UNREADABLE,
                    "the record of the provider's account cannot be read, so that nobody knows"
                    " whether the key is of that one",
                )
            if pinned == said:
                return None
            return Warned(
                WarningCode.ACCOUNT_CHANGED,
                "the provider's key is of another account than the one that this installation's"
                " payments are at",
            )


async def _pinned(ctx: Context, caller: Caller, account: str) -> str:
    """The account that is pinned; pins `account` when there is no pin yet."""
    known = await ctx.read.provider_account(caller.merchant, ctx.provider.name)
    if known is not None:
        return known.account
    new = ProviderAccount(
        id=ctx.provider.name, merchant=caller.merchant, account=account, created_at=ctx.now()
    )
    subject = Subject("provider_account", new.id)
    audit = ctx.audit(caller, Action.PROVIDER_ACCOUNT_PIN, subject)
    if isinstance(await ctx.door.commit(Change(audit, creates=(new,))), Committed):
        return account
    known = await ctx.read.provider_account(caller.merchant, ctx.provider.name)
    # When another process pins an account just now, the next look sees that account.
    return account if known is None else known.account


def _clock(ctx: Context) -> Warned | None:
    skew = ctx.provider.skew
    if skew is None:
        return None
    proven = abs(skew.ahead) - skew.within
    for mark, words in _MARKS:
        if proven > mark:
            side = "behind" if skew.ahead > timedelta(0) else "ahead of"
            message = f"our clock is more than {words} {side} the provider's"
            return Warned(WarningCode.CLOCK_SKEW, message)
    return None


def _account_changed(ctx: Context) -> Problem:
    return Problem(
        type=AlertType.PROVIDER_ACCOUNT_CHANGED,
        subject=Subject("provider", ctx.provider.name),
        severity="critical",
        message="the provider's key is of another account than our payments are at",
        what_to_do=(
            "Set the key of the account that this installation began with. Another account needs"
            " an installation, and a database, of its own."
        ),
    )


def _clock_skewed(node: str, message: str) -> Problem:
    return Problem(
        type=AlertType.CLOCK_SKEW,
        subject=Subject("node", node),
        severity="warning",
        message=message,
        what_to_do="See that the machine's clock is kept right, by NTP say.",
    )
