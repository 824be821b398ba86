"""A provider that shows its payments both ways: in the list of their time, and by id."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

from paygate.domain.payments.outcome import Answer, Outcome, Unknown
from paygate.providers.absence import Absent, ProviderSilent
from paygate.providers.contract import ConfirmOrder
from tests.flows.world import APPROVED, INSTALLATION, ScriptedProvider, World, answer


class ShownProvider(ScriptedProvider):
    """What is in `objects` is listed as made at `made_at`, or just now. A confirm that has no
    scripted answer is approved.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now
        self._numbers = itertools.count()
        self.made_at: dict[str, datetime] = {}
        self.silent: Callable[[datetime, datetime], bool] = lambda _since, _until: False
        """Whether the list of a window breaks off, after what it has told."""
        self.mute = False
        """Whether it does not tell of a payment by its id."""
        self.before_list: Callable[[], Awaitable[None]] | None = None
        """What happens just before a list is read, once."""
        self.telling: Callable[[], Awaitable[None]] | None = None
        """What happens after a payment was looked up and before its answer comes, once."""
        self.windows: list[tuple[datetime, datetime]] = []

    async def confirm(self, order: ConfirmOrder, *, timeout_seconds: float) -> Answer:
        if self.answers:
            return await super().confirm(order, timeout_seconds=timeout_seconds)
        self.orders.append(order)
        said = shown(f"auto_{next(self._numbers)}", APPROVED, order)
        self.objects.append(said)
        return said

    async def retrieve(self, provider_reference: str, *, timeout_seconds: float) -> Answer | Absent:
        self.retrieved.append(provider_reference)
        found = [o for o in self._shown() if o.provider_reference == provider_reference]
        if self.telling is not None:
            telling, self.telling = self.telling, None
            await telling()
        if self.mute:
            return Answer(Unknown("timeout"))
        return found[-1] if found else Absent()

    async def list_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Answer]:
        self.windows.append((since, until))
        if self.before_list is not None:
            before, self.before_list = self.before_list, None
            await before()
        for said in reversed(self._shown()):
            assert said.provider_reference is not None
            if since <= self.made_at.get(said.provider_reference, self._now()) <= until:
                yield said
        if self.silent(since, until):
            raise ProviderSilent("timeout")

    def _shown(self) -> list[Answer]:
        return [said for said in self.objects if isinstance(said, Answer)]


def shown(reference: str, outcome: Outcome, order: ConfirmOrder | None) -> Answer:
    """A payment as the provider shows it, with our marks when it was ordered by us."""
    if order is None:
        return answer(outcome, provider_reference=reference, installation=INSTALLATION)
    return answer(
        outcome,
        provider_reference=reference,
        installation=INSTALLATION,
        attempt=order.attempt,
        merchant=order.merchant,
    )


def showing(world: World) -> ShownProvider:
    """The world with such a provider."""
    provider = ShownProvider(world.clock)
    world.provider = provider
    world.use(provider=provider)
    return provider
