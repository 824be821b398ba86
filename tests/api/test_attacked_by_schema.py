"""Schemathesis: every operation of the document, asked with what fits its schema and what does not.

No fault of ours (500), no status, type or shape that the document does not have, nothing accepted
that the schema forbids, nothing let in without its key. `make security` runs all phases to the end.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.shops import open_shop
from tests.gateway import Gateway
from tools.security.schemas import Caller, attack


@pytest.fixture
async def attacked(tmp_path: Path) -> AsyncIterator[Gateway]:
    """One for each caller: what is found by chance may be revoked, deleted, acknowledged, and after
    600 requests without a key in a minute their address is asked to wait, whatever key it shows.
    """
    gateway = await asyncio.to_thread(Gateway.start, tmp_path, "--processes", "1")
    try:
        await gateway.open()
        yield gateway
        await gateway.close()
    finally:
        assert await asyncio.to_thread(gateway.stop) == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("role", "seconds"), [("admin", 50), ("support", 20)])
async def test_every_operation_holds(
    attacked: Gateway, role: str, seconds: int, tmp_path: Path
) -> None:
    """As the account's own administrator, and as another merchant's support."""
    shop = await open_shop(attacked)
    key = attacked.ready["secret_key"] if role == "admin" else (await shop.made(role))["key"]
    status, said = await asyncio.to_thread(
        attack,
        attacked.ready["api_url"],
        attacked.ready["ca_file"],
        Caller(role, key),
        tmp_path,
        seconds=seconds,
    )
    assert status == 0, said
    assert "Tested:" in said, said
    assert key not in said
