"""Every call and every timer of the sandbox, in one place.

It must never hold behaviour: it names it.
"""

from collections.abc import Mapping

from paygate_sandbox.books import TimerHandler
from paygate_sandbox.resources import (
    account,
    attachments,
    cash_balance,
    charges,
    customers,
    events,
    files,
    mandates,
    payment_methods,
    refunds,
    webhook_endpoints,
)
from paygate_sandbox.resources.balance import endpoints as balance
from paygate_sandbox.resources.balance.rows import ANNOUNCE_FUNDS
from paygate_sandbox.resources.disputes import case, fraud_warnings, judgement
from paygate_sandbox.resources.disputes import endpoints as disputes
from paygate_sandbox.resources.endpoint import Endpoint
from paygate_sandbox.resources.payment_intents import (
    attempt,
    debit,
    endpoints,
    funding,
    hold,
    outcome,
)
from paygate_sandbox.resources.payouts import automatic, payout
from paygate_sandbox.resources.payouts import endpoints as payouts
from paygate_sandbox.resources.reports import runs, types

ENDPOINTS: tuple[Endpoint, ...] = (
    *endpoints.ENDPOINTS,
    *funding.ENDPOINTS,
    *charges.ENDPOINTS,
    *refunds.ENDPOINTS,
    *disputes.ENDPOINTS,
    *fraud_warnings.ENDPOINTS,
    *files.ENDPOINTS,
    *payment_methods.ENDPOINTS,
    *attachments.ENDPOINTS,
    *mandates.ENDPOINTS,
    *customers.ENDPOINTS,
    *cash_balance.ENDPOINTS,
    *balance.ENDPOINTS,
    *payouts.ENDPOINTS,
    *types.ENDPOINTS,
    *runs.ENDPOINTS,
    *events.ENDPOINTS,
    *webhook_endpoints.ENDPOINTS,
    *account.ENDPOINTS,
)

TIMER_HANDLERS: Mapping[str, TimerHandler] = {
    attempt.EXPIRE_AUTHORIZATION: hold.expire_authorization,
    debit.END_DEBIT: debit.end_debit,
    refunds.END_REFUND: refunds.end_refund,
    judgement.JUDGE: judgement.judge,
    case.DUE: judgement.pass_due,
    outcome.RECORD_BALANCE: outcome.record_balance,
    ANNOUNCE_FUNDS: balance.announce_funds,
    payout.SUBMIT: payout.submit,
    payout.ARRIVE: payout.arrive,
    payout.BOUNCE: payout.bounce,
    payout.TRACE: payout.trace,
    automatic.SHOW_SOME: automatic.show_some,
    automatic.SHOW_ALL: automatic.show_all,
    runs.MAKE: runs.make,
}
