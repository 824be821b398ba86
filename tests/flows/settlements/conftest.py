"""The world of flows, with a provider that pays out."""

import pytest

from tests.flows.settlements.paying import PayingProvider
from tests.flows.world import World


@pytest.fixture(autouse=True)
def paying_provider(world: World) -> PayingProvider:
    provider = PayingProvider()
    world.provider = provider
    world.use(provider=provider)
    return provider
