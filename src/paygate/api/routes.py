"""Every endpoint there is."""

from typing import Final

from paygate.api import alerts, api_keys, customers, health, provider_events, reconciliations
from paygate.api.edge.endpoint import Endpoint
from paygate.api.payments import authentications, payment_intents

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *payment_intents.ENDPOINTS,
    *authentications.ENDPOINTS,
    *alerts.ENDPOINTS,
    *customers.ENDPOINTS,
    *api_keys.ENDPOINTS,
    *provider_events.ENDPOINTS,
    *reconciliations.ENDPOINTS,
    *health.ENDPOINTS,
)
