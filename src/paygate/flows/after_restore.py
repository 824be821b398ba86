"""Behind a restore: what the provider was sent between the backup and now, this database has
forgotten. Before a payment intent of before is confirmed, its payment is looked for there.

The provider knows the attempt's key again for a day, and answers from it; this is for what is
older, and for a provider that is asked otherwise than the first time.
"""

import asyncio
from datetime import timedelta
from typing import Final

from paygate.domain.attempt import Attempt
from paygate.domain.payment_intent import PaymentIntent
from paygate.providers.contract import Provider, ProviderSilent
from paygate.storage.restores import Restore, Restores

LOOK_AGAIN_SECONDS: Final = 10.0
"""How late a process that runs already may hear of a restore that is declared."""
PAGE_SECONDS: Final = 30.0
AROUND: Final = timedelta(minutes=5)
"""The provider's clock and ours are closer than this; and what was written last may have been sent
a while before."""


SHOPS_COME_AGAIN: Final = timedelta(days=7)
"""For so long behind a restore a shop may repeat a create that was forgotten: longer than queues
keep a request."""


class AfterRestore:
    """What a process knows of the newest restore. The list of the provider's is read once."""

    def __init__(self, restores: Restores, provider: Provider, installation: str) -> None:
        self._restores = restores
        self._provider = provider
        self._installation = installation
        self._restore: Restore | None = None
        self._looked_at = -LOOK_AGAIN_SECONDS
        self._reading: asyncio.Task[dict[str, str]] | None = None

    async def payment_of(
        self, intent: PaymentIntent, attempt: Attempt, *, timeout_seconds: float
    ) -> str | None:
        """The provider's id of the payment that the attempt made before the restore, if it did.

        Raises:
            ProviderSilent: the provider's list was not read to its end in time. The reading goes
                on, and the next one who asks finds more of it done.
        """
        restore = await self._newest()
        if restore is None or not _may_be_forgotten(intent, restore):
            return None
        if self._reading is None or (self._reading.done() and self._reading.exception()):
            self._reading = asyncio.create_task(self._read(restore))
        try:
            async with asyncio.timeout(timeout_seconds):
                return (await asyncio.shield(self._reading)).get(attempt.id)
        except TimeoutError:
            raise ProviderSilent("the provider's list is still being read") from None

    async def close(self) -> None:
        """Give up what is being read."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _newest(self) -> Restore | None:
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= LOOK_AGAIN_SECONDS:
            self._looked_at = now
            restore = await self._restores.newest()
            if restore != self._restore:
                await self.close()
                self._restore, self._reading = restore, None
        return self._restore

    async def _read(self, restore: Restore) -> dict[str, str]:
        """Attempts of ours that the provider's list names, each with its payment's id."""
        found: dict[str, str] = {}
        skew = self._provider.skew
        ahead = timedelta(0) if skew is None else skew.ahead
        since, until = restore.taken_at + ahead - AROUND, restore.noticed_at + ahead + AROUND
        pages = self._provider.list_created(since, until, timeout_seconds=PAGE_SECONDS)
        async for answer in pages:
            ours = answer.installation == self._installation
            if ours and answer.attempt is not None and answer.provider_reference is not None:
                found[answer.attempt] = answer.provider_reference
        return found


def _may_be_forgotten(intent: PaymentIntent, restore: Restore) -> bool:
    """Whether the intent was there before the restore, or may be made anew by the repeated create
    of one that was: then it has the seed of that one.
    """
    if intent.created_at <= restore.noticed_at:
        return True
    return intent.create_key is not None and (
        intent.created_at <= restore.noticed_at + SHOPS_COME_AGAIN
    )
