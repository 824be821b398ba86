"""A gateway that waits for its provider for two seconds only."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.api.shops import Shop, open_shop
from tests.flows.conftest import world
from tests.gateway import Gateway

__all__ = ["world"]


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    # Shorter than a hang here. It leaves no time for a second try after a 429 either: the client
    # comes again, as it must when a provider is busy for long.
    environment = {"PAYGATE_PROVIDER_TIMEOUT": "2s", "PAYGATE_LOCK_TTL": "5s"}
    gateway = Gateway.start(tmp_path_factory.mktemp("faults"), environment=environment)
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture
async def shop(started: Gateway) -> AsyncIterator[Shop]:
    """A merchant of its own for each case, on one gateway."""
    await started.open()
    yield await open_shop(started)
    await started.sandbox("DELETE", "/_sandbox/faults")
    await started.close()
