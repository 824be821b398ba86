"""Stripe's lists, read page by page to their end: read-after-write, unlike its search
(https://docs.stripe.com/search).
"""

import math
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final

from paygate.providers.contract import ProviderSilent
from paygate.providers.stripe.client import Fact, Reply, StripeWire
from paygate.providers.stripe.listing import Listing

PAGE: Final = 100
"""Stripe's largest page."""
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
    # Whole seconds, as Stripe's times are.
    created = {"gte": math.floor(since.timestamp()), "lte": math.ceil(until.timestamp())}
    async for item in all_items(
        wire, path, {"created": created, "limit": PAGE, **asked}, timeout_seconds=timeout_seconds
    ):
        yield item


async def all_items(
    wire: StripeWire, path: str, asked: Mapping[str, Any], *, timeout_seconds: float
) -> AsyncIterator[tuple[Mapping[str, Any], datetime | None]]:
    """The same of all objects that a list has by its own filters.

    Raises:
        ProviderSilent: as `items`.
    """
    listing = Listing()
    after: str | None = None
    while True:
        params = {**asked}
        if after is not None:
            params["starting_after"] = after
        fact = await wire.call("get", path, params, timeout_seconds=timeout_seconds)
        page, has_more = _page(fact)
        assert isinstance(fact, Reply)
        for item in page:
            after = listing.next(item)
            yield item, fact.as_of
        if not has_more:
            return


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
