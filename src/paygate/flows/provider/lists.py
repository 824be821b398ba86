"""The provider's lists, read in windows of time whose length follows the traffic, a page at a time
and at the pace of what nobody waits for.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime, timedelta
from typing import Final, TypeVar

from paygate.domain.disputes.outcome import DisputeAnswer
from paygate.domain.payments.outcome import Answer
from paygate.domain.refunds.outcome import RefundAnswer
from paygate.flows.context import Context

FIRST_WINDOW: Final = timedelta(hours=1)
SHORTEST_WINDOW: Final = timedelta(minutes=1)
LONGEST_WINDOW: Final = timedelta(days=32)
MANY: Final = 20_000
"""Objects of a window after which the next one is shorter: one that breaks off is read again."""
FEW: Final = 2_000
"""Objects of a window below which the next one is longer: an idle year is a few calls."""
PAGE: Final = 100
"""How many objects cost the provider a call."""

T = TypeVar("T")


def next_length(length: timedelta, listed: int) -> timedelta:
    """How long the next window is, when one of this length had so many objects."""
    if listed > MANY:
        return max(timedelta(seconds=length.total_seconds() // 2), SHORTEST_WINDOW)
    return min(length * 2, LONGEST_WINDOW) if listed < FEW else length


def pages_created(
    ctx: Context, since: datetime, until: datetime
) -> AsyncGenerator[list[Answer], None]:
    """The payments made at the provider in a window, so many at a time.

    Raises:
        ProviderSilent: the list could not be read to its end.
    """
    timeout = ctx.policy.provider_timeout_seconds
    return _pages(ctx, ctx.provider.list_created(since, until, timeout_seconds=timeout))


def pages_of_events(
    ctx: Context, since: datetime, until: datetime
) -> AsyncGenerator[list[bytes], None]:
    """The same of the provider's events."""
    timeout = ctx.policy.provider_timeout_seconds
    return _pages(ctx, ctx.provider.list_events(since, until, timeout_seconds=timeout))


def pages_of_refunds(
    ctx: Context, since: datetime, until: datetime
) -> AsyncGenerator[list[RefundAnswer], None]:
    """The same of the refunds made there, of payments of any age."""
    timeout = ctx.policy.provider_timeout_seconds
    return _pages(ctx, ctx.provider.list_refunds_created(since, until, timeout_seconds=timeout))


def pages_of_disputes(
    ctx: Context, since: datetime, until: datetime
) -> AsyncGenerator[list[DisputeAnswer], None]:
    """The same of the disputes made there, of payments of any age."""
    timeout = ctx.policy.provider_timeout_seconds
    return _pages(ctx, ctx.provider.list_disputes_created(since, until, timeout_seconds=timeout))


async def _pages(ctx: Context, listed: AsyncIterator[T]) -> AsyncGenerator[list[T], None]:
    page: list[T] = []
    await ctx.pace.turn()
    async for item in listed:
        page.append(item)
        if len(page) == PAGE:
            yield page
            page = []
            await ctx.pace.turn()
    if page:
        yield page
