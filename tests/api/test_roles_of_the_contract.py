"""Who may call what, copied by hand from the contract, and held against every route.

`test_roles.py` walks the routes by the code's own matrix; here the matrix itself is judged.
"""

from typing import Final

import pytest

from paygate.api.routes import ENDPOINTS
from paygate.domain.access.roles import MATRIX, Role

_LETTERS: Final = {
    "a": Role.ADMIN,
    "o": Role.OPERATOR,
    "s": Role.SUPPORT,
    "f": Role.FINANCE,
    "u": Role.AUDITOR,
    "p": Role.PUBLISHABLE,
}
ROWS: Final = {
    # create, confirm, capture, cancel; a browser confirms its own, and may attach its method first
    "POST /payment-intents": "ao",
    "POST /payment-intents/{id}/payment-method": "aop",
    "POST /payment-intents/{id}/confirm": "aop",
    "POST /payment-intents/{id}/capture": "ao",
    "POST /payment-intents/{id}/cancel": "ao",
    # refund (support to a limit) / approve
    "POST /payment-intents/{id}/refund": "aos",
    "POST /refunds/{id}/approve": "aof",
    "POST /refunds/{id}/reject": "aof",
    # disputes
    "GET /disputes": "aosfu",
    "GET /disputes/{id}": "aosfu",
    "POST /disputes/{id}/evidence": "ao",
    "POST /disputes/{id}/submit": "ao",
    "POST /disputes/{id}/accept": "ao",
    # intents, customers, timeline; a browser sees the public view of its own intent
    "GET /payment-intents": "aosfu",
    "GET /payment-intents/{id}": "aosfup",
    "GET /payment-intents/{id}/timeline": "aosfu",
    "GET /refunds": "aosfu",
    "GET /refunds/{id}": "aosfu",
    "GET /customers/{id}": "aosfu",
    # events, webhook endpoints, replays, reconcile
    "GET /events": "aofu",
    "GET /events/{id}": "aofu",
    "GET /provider-events": "aofu",
    "GET /provider-events/{id}": "aofu",
    "POST /provider-events/{id}/replay": "ao",
    "POST /webhook-endpoints": "ao",
    "GET /webhook-endpoints": "aofu",
    "GET /webhook-endpoints/{id}": "aofu",
    "POST /webhook-endpoints/{id}": "ao",
    "DELETE /webhook-endpoints/{id}": "ao",
    "POST /webhook-endpoints/{id}/rotate-secret": "ao",
    "GET /webhook-endpoints/{id}/deliveries": "aofu",
    "POST /webhook-endpoints/{id}/deliveries/{delivery}/resend": "ao",
    "POST /reconciliations": "ao",
    "GET /reconciliations": "aofu",
    "GET /reconciliations/{id}": "aofu",
    "GET /reconciliations/{id}/findings": "aofu",
    # settlements, discrepancies, ledger, export
    "GET /settlements": "aofu",
    "GET /settlements/{id}": "aofu",
    "POST /settlements/{id}": "af",
    "GET /settlements/{id}/lines": "aofu",
    "POST /settlements/{id}/lines/{line}/match": "af",
    "POST /settlements/import": "af",
    "GET /settlements/imports/{id}": "aofu",
    "POST /settlements/imports/{id}/withdraw": "af",
    "GET /discrepancies": "aofu",
    "GET /discrepancies/{id}": "aofu",
    "POST /discrepancies/{id}/resolve": "af",
    # alerts
    "GET /alerts": "aosfu",
    "POST /alerts/{id}/acknowledge": "aof",
    # keys, encryption, erasure, merchants
    "POST /api-keys": "a",
    "GET /api-keys": "a",
    "POST /api-keys/{id}/rotate": "a",
    "POST /api-keys/{id}/revoke": "a",
    "DELETE /customers/{id}": "a",
    # audit log
    "GET /audit-log": "au",
}
KEYED: Final = [e for e in ENDPOINTS if e.action is not None and MATRIX[e.action]]


@pytest.mark.parametrize("endpoint", KEYED, ids=lambda e: f"{e.method} {e.path}")
def test_every_route_opens_to_the_roles_of_the_contract(endpoint: object) -> None:
    found = next(e for e in KEYED if e is endpoint)
    assert found.action is not None
    expected = ROWS[f"{found.method} {found.path}"]
    assert MATRIX[found.action] == {_LETTERS[letter] for letter in expected}
