"""Every endpoint there is."""

from typing import Final

from paygate.api import customers, health, payment_intents, webhooks
from paygate.api.endpoint import Endpoint

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *payment_intents.ENDPOINTS,
    *customers.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *health.ENDPOINTS,
)
