"""Stripe's refunds: the port's part, over the same wire as payments."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from paygate.domain.payments.outcome import Unknown
from paygate.domain.refunds.conclusion import CONFIGURATION
from paygate.domain.refunds.outcome import RefundAnswer, RefundRejected
from paygate.providers.absence import Absent
from paygate.providers.contract import RefundOrder
from paygate.providers.stripe import fields, lists, orders, refund_answers
from paygate.providers.stripe.client import Reply, StripeWire
from paygate.providers.stripe.replies import is_missing, replied

_REFUNDS: Final = "/v1/refunds"
_OK, _NOT_FOUND = 200, 404


class StripeRefunds:
    """Implements the refunds of `Provider`."""

    def __init__(self, wire: StripeWire, installation: str) -> None:
        self._wire = wire
        self._installation = installation

    async def refund(self, order: RefundOrder, *, timeout_seconds: float) -> RefundAnswer:
        if fields.identifier(order.payment_reference) is None:
            return RefundAnswer(RefundRejected("order_refused", "It has no such payment."))
        reply = replied(
            await self._wire.call(
                "post",
                _REFUNDS,
                orders.refund(order, self._installation),
                idempotency_key=order.refund,
                timeout_seconds=timeout_seconds,
            )
        )
        if not isinstance(reply, Reply):
            return RefundAnswer(reply)
        if reply.status != _OK:
            refused = refund_answers.rejection(reply.status, reply.body)
            ours = isinstance(refused, RefundRejected) and refused.code == CONFIGURATION
            if reply.after_silence and ours:
                refused = Unknown("an earlier call of this refund may have reached the provider")
            return RefundAnswer(refused, as_of=reply.as_of)
        answer = refund_answers.refund(reply.body, as_of=reply.as_of)
        if reply.replayed:
            answer = refund_answers.without_time(answer)
        return refund_answers.to_refund(order, self._installation, answer)

    async def retrieve(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> RefundAnswer | Absent:
        if fields.identifier(provider_reference) is None:
            return Absent()
        path = f"{_REFUNDS}/{provider_reference}"
        fact = await self._wire.call("get", path, {}, timeout_seconds=timeout_seconds)
        if not isinstance(fact, Reply):
            return RefundAnswer(Unknown(fact.message))
        if fact.status == _NOT_FOUND and is_missing(fact.body):
            return Absent()
        if fact.status != _OK:
            silent = Unknown(f"the provider answered HTTP {fact.status}")
            return RefundAnswer(silent, as_of=fact.as_of)
        answer = refund_answers.refund(fact.body, as_of=fact.as_of)
        return refund_answers.of_reference(provider_reference, answer)

    async def of_payment(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[RefundAnswer]:
        """All of a payment's, page by page: what a charge shows inline is the newest ten."""
        asked = {"payment_intent": payment_reference, "limit": lists.PAGE}
        async for item, as_of in lists.all_items(
            self._wire, _REFUNDS, asked, timeout_seconds=timeout_seconds
        ):
            yield refund_answers.refund(item, as_of=as_of)

    async def created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[RefundAnswer]:
        """All of a window, by the refunds' own time, whatever the payment's age."""
        async for item, as_of in lists.items(
            self._wire, _REFUNDS, since, until, {}, timeout_seconds=timeout_seconds
        ):
            yield refund_answers.refund(item, as_of=as_of)
