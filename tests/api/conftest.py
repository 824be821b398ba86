"""One gateway, as real processes, for all tests of its edge."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.gateway import Gateway


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway.start(tmp_path_factory.mktemp("gateway"))
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="session")
async def gateway(running: Gateway) -> AsyncIterator[Gateway]:
    await running.open()
    yield running
    await running.close()
