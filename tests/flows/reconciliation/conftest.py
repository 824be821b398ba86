"""A world whose provider has books, and pauses that take no time."""

import pytest

from tests.flows.reconciliation.books import BookProvider, Shop
from tests.flows.world import World


@pytest.fixture
def shop(world: World, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr("paygate.flows.reconciliation.read_list.TRY_AGAIN_SECONDS", (0.0, 0.0))
    provider = BookProvider(world)
    world.provider = provider
    world.use(provider=provider)
    return Shop(world, provider)
