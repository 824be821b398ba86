"""Stripe's list of events: what was delivered to nobody is found there."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from paygate.providers.stripe import events, lists
from paygate.providers.stripe.client import StripeWire
from paygate.providers.stripe.decoding import encoded

_EVENTS: Final = "/v1/events"
_TYPES_MOST: Final = 20
"""Types that one list of events may be asked for (https://docs.stripe.com/api/events/list)."""


async def events_created(
    wire: StripeWire, since: datetime, until: datetime, *, timeout_seconds: float
) -> AsyncIterator[bytes]:
    """Every event of a window, of the types that an endpoint subscribes to: no other tells us
    anything.

    Raises:
        ProviderSilent: the list could not be read to its end.
    """
    types = events.ENABLED_EVENTS
    for first in range(0, len(types), _TYPES_MOST):
        asked = {"types": list(types[first : first + _TYPES_MOST])}
        async for item, _ in lists.items(
            wire, _EVENTS, since, until, asked, timeout_seconds=timeout_seconds
        ):
            # Without the count of its deliveries to come, its bytes are the same in each list.
            yield encoded({k: v for k, v in item.items() if k != "pending_webhooks"})
