"""The provider's clock, as far as this process knows it. Payments are looked for in the provider's
time, so that a node whose own clock is wrong looks where the payment is.
"""

from datetime import datetime, timedelta
from typing import Final

from paygate.domain.payments.attempt import Attempt
from paygate.flows.context import Context
from paygate.providers.absence import ProviderSilent

SKEW_MOST: Final = timedelta(seconds=5)
"""The skew beyond which a node may find payments, and ends none. A clock that is kept in time is
off by milliseconds; one that is off by seconds drifts or was set by hand, and nobody knows what it
was a minute ago. The same bound raises the alert for the clock."""


AHEAD_MOST: Final = timedelta(minutes=1)
"""How far this machine's clock may be ahead of the database's where things are deleted by it: next
to nothing for their age, and more than a slow answer accounts for."""


def by_the_provider(ctx: Context, at: datetime) -> datetime | None:
    """A time of ours by the provider's clock; None while the skew is not known."""
    skew = ctx.provider.skew
    return None if skew is None else at + skew.ahead


def provider_now(ctx: Context) -> datetime:
    """Now, by the provider's clock; by ours while the skew is not known."""
    now = ctx.now()
    return by_the_provider(ctx, now) or now


def sent_at(attempt: Attempt) -> datetime:
    """When an attempt was first sent, by the provider's clock if it was known to the sender."""
    return attempt.first_sent_as_of or attempt.first_sent_at


def sent_again_at(attempt: Attempt) -> datetime | None:
    """When an attempt was last sent again, by the same clock; None when it was sent once."""
    return attempt.sent_again_as_of or attempt.sent_again_at


def is_in_step(ctx: Context) -> bool:
    """Whether this node's clock is known to agree with the provider's, whatever the error of
    measure.
    """
    skew = ctx.provider.skew
    return skew is not None and abs(skew.ahead) <= SKEW_MOST + skew.within


def is_out_of_step(ctx: Context) -> bool:
    """Whether this node's clock is known to disagree with the provider's."""
    return ctx.provider.skew is not None and not is_in_step(ctx)


async def clock_fault(ctx: Context) -> str | None:
    """The known fault of this machine's clock; None: no fault, or a command plays the time."""
    if await ctx.keys.clock_ahead() > AHEAD_MOST:
        return "clock_ahead_of_the_database"
    return "clock_out_of_step_with_the_provider" if is_out_of_step(ctx) else None


async def learn_the_time(ctx: Context) -> None:
    """Call the provider if it gave no answer lately: each answer bears the provider's time."""
    if ctx.provider.skew is not None:
        return
    now, timeout = ctx.now(), ctx.policy.provider_timeout_seconds
    await ctx.pace.turn()
    try:
        async for _ in ctx.provider.list_created(now, now, timeout_seconds=timeout):
            return
    except ProviderSilent:
        return
