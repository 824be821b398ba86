"""The flows' world, as its own folder has it."""

from tests.flows.conftest import world

__all__ = ["world"]
