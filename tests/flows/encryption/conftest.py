"""An installation whose keys a test may rotate, and a process of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paygate.crypto.kms import FileKms
from paygate.flows.context import Context
from paygate.settings import Settings
from paygate.wiring.preparation import prepare_database
from paygate.wiring.service import open_context
from tests.flows.encryption.rotating import settings_for


@pytest.fixture
async def settings(database: str, tmp_path: Path) -> Settings:
    FileKms.create(tmp_path / "kek")
    found = settings_for(database, tmp_path)
    await prepare_database(found)
    return found


@pytest.fixture
async def ctx(settings: Settings) -> AsyncIterator[Context]:
    """A process."""
    async with open_context(settings, name="test") as opened:
        yield opened
