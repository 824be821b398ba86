"""Card testing: stolen cards tried one after another, to learn which still work.

Whoever names a payment method is watched for declines, and for tokens that the provider rejects.
The handler does not know of it.
"""

from collections.abc import Callable
from typing import Any, Final

from paygate.api.edge.endpoint import ApiContext, Handler
from paygate.api.edge.exchange import Exchange
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.outcome import PaymentError
from paygate.domain.payments.payment_intent import PaymentIntent, Status

NO_DECLINES: Final = frozenset({"payment_method_rejected", "provider_configuration"})
"""Failures that no bank has spoken in: nothing was learnt of a card."""


def watch_declines(handle: Handler, tries: Callable[[Any], bool] = lambda _: True) -> Handler:
    """The same handler, refused with `rate_limited` after too many declines. `tries` says of a
    body whether a payment method is tried by it.
    """

    async def watched(api: ApiContext, exchange: Exchange, body: Any) -> Any:
        if not tries(body):
            return await handle(api, exchange, body)
        async with api.limits.card_tried(exchange) as tried:
            try:
                response = await handle(api, exchange, body)
            except Refusal as refusal:
                tried.bad = refusal.code is ErrorCode.PAYMENT_METHOD_REJECTED
                raise
            tried.bad, tried.good = is_decline(response), is_approval(response)
        return response

    return watched


def is_approval(response: Any) -> bool:
    """Whether a confirm ended because a bank said yes."""
    paid = (Status.SUCCEEDED, Status.REQUIRES_CAPTURE)
    return isinstance(response, PaymentIntent) and response.status in paid


def is_decline(response: Any) -> bool:
    """Whether a confirm ended because a bank said no."""
    match response:
        case PaymentIntent(status=Status.FAILED, last_payment_error=PaymentError(code=code)):
            return code not in NO_DECLINES
        case _:
            return False
