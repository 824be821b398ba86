"""Captures, cancels and customers for tests: the orders, the good answers, the refusals."""

from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
import pytest

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Answer, Outcome
from paygate.providers.contract import (
    CancelOrder,
    CaptureOrder,
    CustomerMade,
    CustomerOrder,
    KeySpent,
)
from paygate.providers.stripe.adapter import StripeProvider
from tests.providers.stripe_objects import cancelled, payment
from tests.providers.stripe_server import Behaviour, answer, error

DATE: Final = datetime(2026, 11, 24, 3, 42, tzinfo=UTC)
CAPTURE: Final = CaptureOrder(
    attempt="at_2", provider_reference="pi_3Q", amount=1999, currency=Currency("eur")
)
CANCEL: Final = CancelOrder(key="at_3", provider_reference="pi_3Q")
CUSTOMER: Final = CustomerOrder(
    key="cus_01-1", customer="cus_01", merchant="default", email="ada@shop.example", name="Ada"
)
INVALID: Final = "invalid_request_error"
STATE: Final = "payment_intent_unexpected_state"

Kind = Literal["capture", "cancel", "customer"]
Called = Outcome | CustomerMade | KeySpent
KINDS: Final = pytest.mark.parametrize("kind", ["capture", "cancel", "customer"])


def customer(**changes: Any) -> dict[str, Any]:
    marks = {"paygate_installation": "inst_test", "paygate_customer": "cus_01"}
    return {"id": "cus_Q", "object": "customer", "livemode": False, "metadata": marks} | changes


GOOD: Final[dict[Kind, Behaviour]] = {
    "capture": answer(payment()),
    "cancel": answer(cancelled()),
    "customer": answer(customer()),
}


async def call(provider: StripeProvider, kind: Kind, seconds: float = 5) -> Called:
    match kind:
        case "capture":
            return (await provider.capture(CAPTURE, timeout_seconds=seconds)).outcome
        case "cancel":
            return (await provider.cancel(CANCEL, timeout_seconds=seconds)).outcome
        case "customer":
            return await provider.make_customer(CUSTOMER, timeout_seconds=seconds)


async def capture(provider: StripeProvider, **changes: Any) -> Answer:
    asked = msgspec.structs.replace(CAPTURE, **changes)
    return await provider.capture(asked, timeout_seconds=5)


async def cancel(provider: StripeProvider) -> Answer:
    return await provider.cancel(CANCEL, timeout_seconds=5)


def in_the_way(made: object = None, *, replayed: bool = False, code: str = STATE) -> Behaviour:
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    shown = {} if made is None else {"payment_intent": made}
    return error(400, headers, type=INVALID, code=code, **shown)
