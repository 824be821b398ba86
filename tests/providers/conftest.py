"""A Stripe adapter on a server that does as the test says, and the requests it made."""

from collections.abc import AsyncIterator
from email import message_from_bytes
from typing import Any, Final
from urllib.parse import urlencode

import hypothesis
import pytest

from paygate.crypto.secret import Secret
from paygate.domain.money import Currency
from paygate.domain.payments.payment_intent import CaptureMethod
from paygate.domain.payments.payment_method import CardToken
from paygate.providers.contract import ConfirmOrder
from paygate.providers.stripe.adapter import StripeProvider
from paygate.providers.stripe.settings import StripeSettings
from tests.providers.stripe_objects import INSTALLATION, METADATA
from tests.providers.stripe_server import Request, StripeServer
from tests.stripe_oracle import oracle

# On a busy machine an example may take long without being wrong.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")

NOT_DESCRIBED: Final = "/v1/radar/"
"""The description that lies beside the repository is cut, and lacks these calls."""
API_KEY: Final = "sk_test_provider_tests"
WEBHOOK_SECRET: Final = "whsec_provider_tests"


def settings(base: str, **changes: Any) -> StripeSettings:
    given: dict[str, Any] = {
        "api_base": base,
        "api_key": Secret(API_KEY),
        "webhook_secrets": (Secret(WEBHOOK_SECRET),),
        "installation": INSTALLATION,
    }
    return StripeSettings(**given | changes)


def order(**changes: Any) -> ConfirmOrder:
    given: dict[str, Any] = {
        "attempt": METADATA["paygate_attempt"],
        "intent": METADATA["paygate_intent"],
        "merchant": METADATA["paygate_merchant"],
        "amount": 1999,
        "currency": Currency("eur"),
        "capture_method": CaptureMethod.AUTOMATIC,
        "instrument": CardToken("pm_card_visa"),
        "return_url": "https://gateway.example/3ds",
    }
    return ConfirmOrder(**given | changes)


def stripes_errors(requests: list[Request]) -> list[str]:
    """What Stripe's own description says against the requests; nothing when it is not at hand."""
    judge = oracle()
    if judge is None:
        return []
    return [
        f"{request.method} {request.path}: {error}"
        for request in requests
        if not request.path.startswith(NOT_DESCRIBED)
        for error in judge.request(request.method, request.path, _form(request), request.query)
    ]


def _form(request: Request) -> str:
    """What a request says as a form; the content of a file is left out."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return request.body.decode()
    parts = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + request.body)
    assert parts.is_multipart()
    named = [(part, part.get_param("name", header="content-disposition")) for part in parts.walk()]
    return urlencode(
        {
            str(name): "" if part.get_filename() else str(part.get_payload())
            for part, name in named
            if name is not None
        }
    )


@pytest.fixture
async def server() -> AsyncIterator[StripeServer]:
    """Whatever a test makes the adapter send, it is held to Stripe's description at the end."""
    stripe = StripeServer()
    await stripe.start()
    yield stripe
    await stripe.stop()
    assert not stripes_errors(stripe.requests)


@pytest.fixture
async def provider(server: StripeServer) -> AsyncIterator[StripeProvider]:
    adapter = StripeProvider(settings(server.url))
    yield adapter
    await adapter.close()
