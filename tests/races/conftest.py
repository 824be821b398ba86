"""The gateway and the flows' world, as their own folders have them."""

from tests.api.conftest import gateway, running
from tests.flows.conftest import world

__all__ = ["gateway", "running", "world"]
