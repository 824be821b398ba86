"""What is deleted after a while, in batches of a few milliseconds; and how far months are made.

Not through the commit door: what a merchant was sent and what a provider's event looked like are no
facts that another decides by. The schema refuses to delete what is still to be applied or sent.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from paygate.storage.blocks import QUERIES
from paygate.storage.connections.database import reading
from paygate.storage.connections.pool import Pool
from paygate.storage.pages import first_id
from paygate.storage.schema.months import BY_MONTH


class Retention:
    """Raises `Unavailable` when the database does not answer."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def delete_bodies(
        self, merchant: str, before: datetime, after: str, limit: int
    ) -> list[str]:
        """Delete the bodies of up to `limit` provider events that were received before a time and
        came to their end, those after an id; the ids of the events, in order.
        """
        bound = first_id("provider_event", before)
        rows = await self._fetch(
            "delete_provider_event_bodies", merchant, after, bound, before, limit
        )
        return sorted(row["id"] for row in rows)

    async def delete_deliveries(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` deliveries that were made before a time and not touched since, and
        wait for nothing; how many there were.
        """
        bound = first_id("delivery", before)
        return len(await self._fetch("delete_deliveries", bound, before, limit))

    async def delete_webhook_bodies(self, before: datetime, limit: int) -> int:
        """The same of what was sent for events of before a time, once no delivery needs it."""
        bound = first_id("event", before)
        return len(await self._fetch("delete_webhook_bodies", bound, before, limit))

    async def months_not_made(self, at: datetime) -> Sequence[str]:
        """The tables that have no partition for the month of a time."""
        return [row["name"] for row in await self._fetch("months_not_made", list(BY_MONTH), at)]

    async def _fetch(self, query: str, *arguments: object) -> list[Any]:
        with reading():
            return await self._pool.fetch(QUERIES[query], *arguments)
