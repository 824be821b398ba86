"""Every endpoint there is."""

from typing import Final

from paygate.api import (
    alerts,
    api_keys,
    authentications,
    customers,
    health,
    payment_intents,
    webhooks,
)
from paygate.api.endpoint import Endpoint

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *payment_intents.ENDPOINTS,
    *authentications.ENDPOINTS,
    *alerts.ENDPOINTS,
    *customers.ENDPOINTS,
    *api_keys.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *health.ENDPOINTS,
)
