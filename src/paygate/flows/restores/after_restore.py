"""Looks for payments that a restore made this database forget: those that the provider was sent
between the backup and now. Before an older payment intent is confirmed, its payment is looked for.

The provider remembers an attempt's key for a day and answers by it; the look-up here is for older
attempts, and for orders that differ from the first sending.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.providers.absence import ProviderSilent
from paygate.providers.contract import Provider
from paygate.storage.restores import Restore, Restores

LOOK_AGAIN_SECONDS: Final = 10.0
"""How late a running process may hear of a declared restore."""
PAGE_SECONDS: Final = 30.0
AROUND: Final = timedelta(minutes=30)
"""The clocks of those who wrote last and ours are closer than this, and what was written down last
may have been sent a while before."""
SHOPS_COME_AGAIN: Final = timedelta(days=7)
"""For so long behind a restore a shop may repeat a create that was forgotten: longer than queues
keep a request."""


class AfterRestore:
    """What a process knows of restores, and of what the provider took in the forgotten time."""

    def __init__(self, restores: Restores, provider: Provider, installation: str) -> None:
        self._restores = restores
        self._provider = provider
        self._installation = installation
        self._known: Sequence[Restore] | None = None
        self._looked_at = -LOOK_AGAIN_SECONDS
        self._turn = asyncio.Lock()
        self._reading: dict[Restore, asyncio.Task[dict[str, str]]] = {}

    async def payment_of(
        self, intent: PaymentIntent, attempt_id: str, *, timeout_seconds: float
    ) -> str | None:
        """The provider's id of the payment that an attempt, or another one of the same intent, made
        before a restore, if one did.

        Raises:
            ProviderSilent: the provider's list was not read to its end in time. The reading goes
                on, and the next one who asks finds more of it done.
            Unavailable: nobody can say whether there was a restore.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        for restore in await self._all():
            if _may_be_forgotten(intent, restore):
                taken = await self._taken(restore, deadline)
                found = taken.get(attempt_id) or taken.get(intent.id)
                if found is not None:
                    return found
        return None

    async def close(self) -> None:
        """Stop the readings under way."""
        for reading in self._reading.values():
            reading.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)

    async def _all(self) -> Sequence[Restore]:
        async with self._turn:  # nobody goes on with what was known before the first look
            now = asyncio.get_running_loop().time()
            if self._known is None or now - self._looked_at >= LOOK_AGAIN_SECONDS:
                self._known, self._looked_at = await self._restores.all(), now
            return self._known

    async def _taken(self, restore: Restore, deadline: float) -> dict[str, str]:
        reading = self._reading.get(restore)
        if reading is None or (reading.done() and (reading.cancelled() or reading.exception())):
            reading = self._reading[restore] = asyncio.create_task(self._read(restore))
        done, _ = await asyncio.wait(
            {reading}, timeout=deadline - asyncio.get_running_loop().time()
        )
        if not done:
            raise ProviderSilent("the provider's list is still being read")
        return reading.result()

    async def _read(self, restore: Restore) -> dict[str, str]:
        """The ids of the provider's payments, by the attempt and by the intent that they name: an
        older version named its attempts otherwise.
        """
        found: dict[str, str] = {}
        skew = self._provider.skew
        ahead = timedelta(0) if skew is None else skew.ahead
        since, until = restore.taken_at + ahead - AROUND, restore.noticed_at + ahead + AROUND
        pages = self._provider.list_created(since, until, timeout_seconds=PAGE_SECONDS)
        async for answer in pages:
            if answer.installation == self._installation and answer.provider_reference is not None:
                for name in (answer.attempt, answer.intent):
                    if name is not None:
                        found[name] = answer.provider_reference
        return found


def windows_of(restores: Sequence[Restore], attempt: Attempt) -> list[tuple[datetime, datetime]]:
    """The times that restores made forgotten, in which an attempt may have been sent."""
    return [
        (restore.taken_at - AROUND, restore.noticed_at + AROUND)
        for restore in restores
        if attempt.created_at <= restore.noticed_at + SHOPS_COME_AGAIN
    ]


def _may_be_forgotten(intent: PaymentIntent, restore: Restore) -> bool:
    """Whether the intent was there before the restore, or may be made anew by the repeated create
    of one that was: then it has the seed of that one.
    """
    if intent.created_at <= restore.noticed_at:
        return True
    return intent.create_key is not None and (
        intent.created_at <= restore.noticed_at + SHOPS_COME_AGAIN
    )
