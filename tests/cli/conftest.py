"""One gateway, as real processes, for all tests of commands that work on one."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.gateway import Gateway


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway.start(tmp_path_factory.mktemp("cli"))
    yield gateway
    gateway.stop()


@pytest.fixture
async def gateway(running: Gateway) -> AsyncIterator[Gateway]:
    await running.open()
    yield running
    await running.close()
