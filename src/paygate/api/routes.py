"""Every endpoint there is."""

from typing import Final

from paygate.api import (
    alerts,
    api_keys,
    audit_log,
    customers,
    discrepancies,
    dispute_evidence,
    disputes,
    events,
    health,
    provider_events,
    reconciliations,
    refunds,
    settlement_imports,
    settlements,
    timelines,
    webhook_endpoints,
)
from paygate.api.edge.endpoint import Endpoint
from paygate.api.payments import authentications, payment_intents

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *payment_intents.ENDPOINTS,
    *authentications.ENDPOINTS,
    *refunds.ENDPOINTS,
    *disputes.ENDPOINTS,
    *dispute_evidence.ENDPOINTS,
    *alerts.ENDPOINTS,
    *customers.ENDPOINTS,
    *api_keys.ENDPOINTS,
    *provider_events.ENDPOINTS,
    *events.ENDPOINTS,
    *webhook_endpoints.ENDPOINTS,
    *reconciliations.ENDPOINTS,
    *settlement_imports.ENDPOINTS,
    *settlements.ENDPOINTS,
    *discrepancies.ENDPOINTS,
    *audit_log.ENDPOINTS,
    *timelines.ENDPOINTS,
    *health.ENDPOINTS,
)
