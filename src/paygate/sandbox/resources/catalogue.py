"""Every call and every timer of the simulator, in one place.

It must never hold behaviour: it names it.
"""

from collections.abc import Mapping

from paygate.sandbox.resources import (
    account,
    balance,
    charges,
    events,
    payment_methods,
    webhook_endpoints,
)
from paygate.sandbox.resources.endpoint import Endpoint
from paygate.sandbox.resources.payment_intents import attempt, endpoints, hold
from paygate.sandbox.simulator import TimerHandler

ENDPOINTS: tuple[Endpoint, ...] = (
    *endpoints.ENDPOINTS,
    *charges.ENDPOINTS,
    *payment_methods.ENDPOINTS,
    *balance.ENDPOINTS,
    *events.ENDPOINTS,
    *webhook_endpoints.ENDPOINTS,
    *account.ENDPOINTS,
)

TIMER_HANDLERS: Mapping[str, TimerHandler] = {
    attempt.EXPIRE_AUTHORIZATION: hold.expire_authorization,
    attempt.RECORD_BALANCE: attempt.record_balance,
}
