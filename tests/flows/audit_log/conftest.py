"""A log for every test."""

from pathlib import Path

import pytest

from tests.flows.audit_log.log import Log
from tests.flows.world import World


@pytest.fixture
def log(world: World, tmp_path: Path) -> Log:
    return Log(world, tmp_path / "checkpoints.jsonl")
