"""Stripe's customers: the port's part, over the same wire as payments."""

from typing import Final

from paygate.domain.payments.outcome import NotSent, Rejected, Unknown
from paygate.providers.absence import Absent
from paygate.providers.contract import CustomerMade, CustomerOrder, KeySpent, MoneyLeft
from paygate.providers.stripe import answers, api_errors, fields, orders
from paygate.providers.stripe.client import Reply, Silent, StripeWire
from paygate.providers.stripe.replies import is_missing, replied

_CUSTOMERS: Final = "/v1/customers"
_OK, _NOT_FOUND = 200, 404


class StripeCustomers:
    """Implements the customers of `Provider`."""

    def __init__(self, wire: StripeWire, installation: str, *, livemode: bool) -> None:
        self._wire = wire
        self._installation = installation
        self._livemode = livemode

    async def make(
        self, order: CustomerOrder, *, timeout_seconds: float
    ) -> CustomerMade | KeySpent | NotSent | Rejected | Unknown:
        made = await self._ordered(_CUSTOMERS, order, timeout_seconds)
        return (
            Unknown("the provider misses what it should make") if isinstance(made, Absent) else made
        )

    async def change(
        self, provider_reference: str, order: CustomerOrder, *, timeout_seconds: float
    ) -> CustomerMade | KeySpent | Absent | NotSent | Rejected | Unknown:
        if fields.identifier(provider_reference) is None:
            return Absent()
        path = f"{_CUSTOMERS}/{provider_reference}"
        changed = await self._ordered(path, order, timeout_seconds)
        if isinstance(changed, CustomerMade) and changed.provider_reference != provider_reference:
            return Unknown("the provider answered with another customer")
        return changed

    async def _ordered(
        self, path: str, order: CustomerOrder, timeout_seconds: float
    ) -> CustomerMade | KeySpent | Absent | NotSent | Rejected | Unknown:
        fact = await self._wire.call(
            "post",
            path,
            orders.customer(order, self._installation),
            idempotency_key=order.key,
            timeout_seconds=timeout_seconds,
        )
        if isinstance(fact, Silent) and fact.remembered:
            return KeySpent(fact.message)
        reply = replied(fact)
        if not isinstance(reply, Reply):
            return reply
        if reply.status == _OK:
            return answers.to_make_customer(
                order, self._installation, reply.body, livemode=self._livemode
            )
        return api_errors.of_customer(reply.status, reply.body)

    async def money_left(
        self, customer_reference: str, *, timeout_seconds: float
    ) -> MoneyLeft | Absent | Unknown:
        """Two calls, each with half of the time: the balance itself does not say whose it is."""
        if fields.identifier(customer_reference) is None:
            return Absent()
        path, read = f"{_CUSTOMERS}/{customer_reference}", []
        for each in (path, f"{path}/cash_balance"):
            fact = await self._wire.call("get", each, {}, timeout_seconds=timeout_seconds / 2)
            if not isinstance(fact, Reply):
                return Unknown(fact.message)
            if fact.status == _NOT_FOUND and is_missing(fact.body):
                return Absent()
            if fact.status != _OK:
                return Unknown(f"the provider answered HTTP {fact.status}")
            read.append(fact.body)
        customer, balance = read
        return answers.to_money_left(customer_reference, balance, customer)
