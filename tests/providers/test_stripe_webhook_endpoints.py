"""Endpoints made and found at a Stripe that answers what the test says."""

from typing import Any

import pytest

from paygate.crypto.secret import Secret
from paygate.providers.event_endpoints import EventEndpointsError
from paygate.providers.stripe.events import ENABLED_EVENTS
from paygate.providers.stripe.translate import API_VERSION
from paygate.providers.stripe.webhook_endpoints import StripeWebhookEndpoints
from tests.providers.conftest import API_KEY
from tests.providers.stripe_server import Behaviour, StripeServer, answer, error, reset

URL = "https://pay.example/webhooks"
SHOWN: dict[str, Any] = {
    "id": "we_1",
    "object": "webhook_endpoint",
    "api_version": API_VERSION,
    "enabled_events": list(ENABLED_EVENTS),
    "status": "enabled",
    "url": URL,
}


@pytest.fixture
async def endpoints(server: StripeServer) -> Any:
    opened = StripeWebhookEndpoints(server.url, Secret(API_KEY), timeout_seconds=5)
    yield opened
    await opened.close()


def page(*items: Any, has_more: bool = False) -> Behaviour:
    return answer({"object": "list", "data": items, "has_more": has_more})


async def test_an_endpoint_is_asked_for_again_under_the_same_key(
    server: StripeServer, endpoints: StripeWebhookEndpoints
) -> None:
    """Only so is its secret told, when the first answer is lost."""
    server.script.extend([reset, reset])
    server.otherwise = answer(SHOWN | {"secret": "whsec_1"})
    made = await endpoints.make(URL)
    assert made.secret.reveal() == "whsec_1"
    assert made.endpoint.faults == ()
    assert made.endpoint.version_fault is None
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    await endpoints.make(URL)
    assert server.requests[-1].headers["idempotency-key"] != keys[0]


async def test_only_endpoints_at_our_address_are_ours(
    server: StripeServer, endpoints: StripeWebhookEndpoints
) -> None:
    server.otherwise = page(
        SHOWN | {"id": "we_other", "url": f"{URL}2"},
        SHOWN | {"enabled_events": ["*"], "api_version": "\x1b[2J", "status": "disabled"},
    )
    (found,) = await endpoints.at(frozenset({URL}))
    assert found.provider_reference == "we_1"
    assert len(found.faults) == 2
    assert found.version_fault is not None
    assert "\x1b" not in found.version_fault


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (error(401, type="invalid_request_error", message="hunter2"), "API key"),
        (error(403, type="invalid_request_error", message="hunter2"), "API key"),
        (
            error(400, type="invalid_request_error", code="url_invalid", param="url"),
            "(url_invalid, url)",
        ),
        (error(500, type="api_error"), "HTTP 500"),
        (answer(b"<html>hunter2</html>"), "could not be read"),
        (page(SHOWN, has_more=True), "could not be read"),
        (page(["hunter2"]), "could not be read"),
        (page(SHOWN | {"enabled_events": None}), "could not be read"),
        (answer({"data": {}, "has_more": False}), "could not be read"),
    ],
)
async def test_what_is_not_an_answer_is_said_and_not_quoted(
    behaviour: Behaviour, said: str, server: StripeServer, endpoints: StripeWebhookEndpoints
) -> None:
    server.otherwise = behaviour
    with pytest.raises(EventEndpointsError) as caught:
        await endpoints.at(frozenset({URL}))
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_an_endpoint_that_is_gone_is_not_changed(
    server: StripeServer, endpoints: StripeWebhookEndpoints
) -> None:
    server.script.append(error(404, type="invalid_request_error", code="resource_missing"))
    assert await endpoints.change("we_1", URL) is None
    server.script.append(answer(SHOWN))
    assert await endpoints.change("we_1", URL) is not None


def test_a_live_key_goes_over_https_only() -> None:
    with pytest.raises(ValueError, match="https only"):
        StripeWebhookEndpoints("http://stripe.example", Secret("sk_live_1"), timeout_seconds=1)
