"""Stripe's lists, read page by page to their end: read-after-write, unlike its search
(https://docs.stripe.com/search).
"""

import math
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final

from paygate.providers.absence import ProviderSilent
from paygate.providers.stripe.client import Fact, Reply, StripeWire
from paygate.providers.stripe.fields import identifier
from paygate.providers.stripe.listing import Listing

PAGE: Final = 100
"""Stripe's largest page."""
_MOST: Final = 2_000_000
"""Objects of a list of which each id is remembered: some 200 MB, and more than an account has in
one payout.
"""
_OK: Final = 200


async def items(
    wire: StripeWire,
    path: str,
    since: datetime,
    until: datetime,
    asked: Mapping[str, Any],
    *,
    timeout_seconds: float,
) -> AsyncIterator[tuple[Mapping[str, Any], datetime | None]]:
    """Every object that was created in [since, until], newest first, with the time of its page's
    answer. The deadline is each page's.

    Raises:
        ProviderSilent: the list could not be read to its end, so absence proves nothing.
    """
    window = {"created": _within(since, until), "limit": PAGE, **asked}
    async for item in all_items(wire, path, window, timeout_seconds=timeout_seconds):
        yield item


async def all_items(
    wire: StripeWire, path: str, asked: Mapping[str, Any], *, timeout_seconds: float
) -> AsyncIterator[tuple[Mapping[str, Any], datetime | None]]:
    """The same of all objects that a list has by its own filters.

    Raises:
        ProviderSilent: as `items`.
    """
    listing = Listing()
    async for page, as_of in _pages(wire, path, asked, timeout_seconds=timeout_seconds):
        for item in page:
            listing.next(item)
            yield item, as_of


async def each_once(
    wire: StripeWire,
    path: str,
    asked: Mapping[str, Any],
    *,
    created: tuple[datetime, datetime] | None = None,
    timeout_seconds: float,
) -> AsyncIterator[tuple[Mapping[str, Any], datetime | None]]:
    """The same, or those of a window, of objects in whatever order they come, each id once: for
    lists whose order is no promise.

    Raises:
        ProviderSilent: as `items`.
    """
    window = {} if created is None else {"created": _within(*created)}
    params = {**window, "limit": PAGE, **asked}
    seen: set[str] = set()
    async for page, as_of in _pages(wire, path, params, timeout_seconds=timeout_seconds):
        known = len(seen)
        for item in page:
            object_id = identifier(item.get("id"))
            if object_id is None:
                raise ProviderSilent("the provider's list names an object without its id")
            if object_id not in seen:
                seen.add(object_id)
                yield item, as_of
        if page and len(seen) == known:
            raise ProviderSilent("the provider's list begins anew, and has no end")
        if len(seen) > _MOST:
            raise ProviderSilent("the provider's list has no end")


async def _pages(
    wire: StripeWire, path: str, asked: Mapping[str, Any], *, timeout_seconds: float
) -> AsyncIterator[tuple[list[Mapping[str, Any]], datetime | None]]:
    """Every page, each asked for when the one before it was taken. A page that was promised and is
    empty is no end: a cursor inside a filter by time has been seen to skip a busy second.
    """
    after: str | None = None
    while True:
        params = {**asked} if after is None else {**asked, "starting_after": after}
        fact = await wire.call("get", path, params, timeout_seconds=timeout_seconds)
        page, has_more = _page(fact)
        assert isinstance(fact, Reply)
        if after is not None and not page:
            raise ProviderSilent("the provider's list breaks off")
        yield page, fact.as_of
        if not has_more:
            return
        after = identifier(page[-1].get("id"))
        if after is None:
            raise ProviderSilent("the provider's list names an object without its id")


def _within(since: datetime, until: datetime) -> dict[str, int]:
    """A window as Stripe filters by it: whole seconds, as its times are."""
    return {"gte": math.floor(since.timestamp()), "lte": math.ceil(until.timestamp())}


def _page(fact: Fact) -> tuple[list[Mapping[str, Any]], bool]:
    """A page's payments, and whether there are more.

    Raises:
        ProviderSilent: it is not a whole page.
    """
    if not isinstance(fact, Reply):
        raise ProviderSilent(fact.message)
    if fact.status != _OK:
        raise ProviderSilent(f"the provider answered HTTP {fact.status}")
    items, has_more = fact.body.get("data"), fact.body.get("has_more")
    if not isinstance(items, list) or not isinstance(has_more, bool) or (has_more and not items):
        raise ProviderSilent("the provider's list could not be read")
    if not all(isinstance(item, Mapping) for item in items):
        raise ProviderSilent("the provider's list could not be read")
    return items, has_more
