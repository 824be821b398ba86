"""When a call is tried again, how often, and what all its tries together are worth."""

import asyncio
import time

import pytest

from paygate.domain.payments.outcome import Answer, Approved, NotSent, Outcome, Unknown
from paygate.providers.stripe.adapter import StripeProvider
from tests.providers.conftest import order, settings
from tests.providers.stripe_calls import CANCEL, CAPTURE
from tests.providers.stripe_objects import payment
from tests.providers.stripe_server import (
    Behaviour,
    Request,
    StripeServer,
    answer,
    error,
    reset,
)
from tests.providers.test_stripe_faults import HTML, IN_USE, INVALID, RATE_LIMIT


@pytest.mark.parametrize(
    "certain",
    [
        RATE_LIMIT,
        IN_USE,
        answer(b"slow down", 429, HTML),
        error(400, type="invalid_request_error", code="rate_limit"),
    ],
)
async def test_what_did_not_begin_is_tried_again_with_the_same_bytes(
    certain: Behaviour, server: StripeServer, provider: StripeProvider
) -> None:
    server.script.extend([certain, certain])
    server.otherwise = answer(payment())
    found = await provider.confirm(order(), timeout_seconds=10)
    assert isinstance(found.outcome, Approved)
    assert len(server.requests) == 3
    assert len({request.body for request in server.requests}) == 1
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


@pytest.mark.parametrize(("refusal", "expected"), [(RATE_LIMIT, NotSent), (IN_USE, Unknown)])
async def test_the_tries_are_bounded(
    refusal: Behaviour, expected: type[Outcome], server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = refusal
    found = await provider.confirm(order(), timeout_seconds=30)
    assert isinstance(found.outcome, expected)
    assert len(server.requests) == 4


async def test_no_later_refusal_makes_a_key_in_use_certain(
    server: StripeServer, provider: StripeProvider
) -> None:
    """The earlier call under the key may charge, whoever limits our rate in the meantime."""
    server.script.append(IN_USE)
    server.otherwise = RATE_LIMIT
    found = await provider.confirm(order(), timeout_seconds=30)
    assert isinstance(found.outcome, Unknown)
    assert len(server.requests) == 4
    server.script.append(IN_USE)
    server.otherwise = error(429, {"Retry-After": "30"}, type=INVALID)
    found = await provider.confirm(order(), timeout_seconds=60)
    assert isinstance(found.outcome, Unknown)
    assert len(server.requests) == 4 + 2, "who is told to wait waits"


@pytest.mark.parametrize("first", [IN_USE, RATE_LIMIT])
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("kind", ["confirm", "capture", "cancel"])
async def test_no_later_refusal_of_our_key_ends_what_an_earlier_try_may_have_begun(
    kind: str, status: int, first: Behaviour, server: StripeServer, provider: StripeProvider
) -> None:
    """Its key was in use, or whoever limited our rate is a proxy that had sent it."""
    server.script.append(first)
    server.otherwise = error(status, type=INVALID)
    match kind:
        case "confirm":
            found = await provider.confirm(order(), timeout_seconds=30)
        case "capture":
            found = await provider.capture(CAPTURE, timeout_seconds=30)
        case _:
            found = await provider.cancel(CANCEL, timeout_seconds=30)
    assert isinstance(found.outcome, Unknown)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("refusal", "status", "expected"),
    [("rate_limit", 429, NotSent), ("idempotency_key_in_use", 409, Unknown)],
)
async def test_stripe_says_when_to_ask_again_is_of_no_use(
    refusal: str,
    status: int,
    expected: type[Outcome],
    server: StripeServer,
    provider: StripeProvider,
) -> None:
    server.otherwise = error(status, {"Stripe-Should-Retry": "false"}, type=INVALID, code=refusal)
    found = await provider.confirm(order(), timeout_seconds=30)
    assert isinstance(found.outcome, expected)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [500, 503, 424])
async def test_stripes_wish_to_be_asked_again_sends_no_charge_twice(
    status: int, server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = error(status, {"Stripe-Should-Retry": "true"}, type="api_error")
    assert isinstance((await provider.confirm(order(), timeout_seconds=5)).outcome, Unknown)
    assert len(server.requests) == 1


async def test_what_stripe_failed_at_names_the_request(
    server: StripeServer, provider: StripeProvider
) -> None:
    """It is what Stripe's support asks for; whatever else stands there is not repeated."""
    for given, suffix in (("req_aZ1", " (req_aZ1)"), ("req_<b>", ""), ("req_" + "x" * 99, "")):
        server.script.append(error(500, {"Request-Id": given}, type="api_error"))
        found = await provider.confirm(order(), timeout_seconds=5)
        assert found.outcome == Unknown(f"the provider answered HTTP 500{suffix}")


async def test_silence_after_a_certain_no_is_silence(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.extend([RATE_LIMIT, reset])
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Unknown)


async def test_no_later_try_that_nobody_answered_makes_an_answered_one_certain(
    server: StripeServer, provider: StripeProvider
) -> None:
    """Whoever limited our rate may be a proxy that had sent it, and is gone now."""

    async def go(request: Request, writer: asyncio.StreamWriter) -> None:
        server.refuse()
        await error(429, {"Connection": "close"}, type=INVALID)(request, writer)

    server.otherwise = go
    found = await provider.confirm(order(), timeout_seconds=10)
    assert found.outcome == NotSent("the provider cannot be reached", 1, answered=True)
    assert len(server.requests) == 1


async def test_a_long_retry_after_is_the_callers_to_wait(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = error(429, {"Retry-After": "30"}, type="invalid_request_error")
    found = await provider.confirm(order(), timeout_seconds=60)
    assert found.outcome == NotSent("the provider limits our rate", 30, answered=True)
    assert len(server.requests) == 1


async def test_a_short_retry_after_is_waited_for(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(error(429, {"Retry-After": "1"}, type="invalid_request_error"))
    server.otherwise = answer(payment())
    started = time.monotonic()
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Approved)
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("text", ["soon", "-1", "0", "1.5", "٣", "9" * 50, ""])
async def test_a_strange_retry_after_is_a_second(
    text: str, server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = error(429, {"Retry-After": text}, type="invalid_request_error")
    found = await provider.confirm(order(), timeout_seconds=2)
    assert found.outcome == NotSent("the provider limits our rate", 1, answered=True)


async def test_no_pause_outlasts_the_deadline(
    server: StripeServer, provider: StripeProvider
) -> None:
    """After the pause there must be time for an answer, or a certain no would become unknown."""
    server.otherwise = error(429, {"Retry-After": "2"}, type="invalid_request_error")
    found = await provider.confirm(order(), timeout_seconds=3.9)
    assert isinstance(found.outcome, NotSent)
    assert len(server.requests) == 1


class Watched:
    """What the wire says of its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.refused = 0

    def called(self) -> None:
        self.calls += 1

    def limited(self) -> None:
        self.refused += 1


@pytest.mark.parametrize(("code", "refused"), [("rate_limit", 2), ("lock_timeout", 0)])
async def test_a_busy_object_is_no_rate_that_is_too_high(
    server: StripeServer, code: str, refused: int
) -> None:
    """Both are said as 429: the one slows all, the other waits for its object."""
    watch = Watched()
    provider = StripeProvider(settings(server.url), watch=watch)
    server.script += [error(429, type=INVALID, code=code)] * 2
    server.otherwise = answer(payment())
    shown = await provider.retrieve("pi_3Q", timeout_seconds=20)
    await provider.close()
    assert isinstance(shown, Answer)
    assert isinstance(shown.outcome, Approved)
    assert (watch.calls, watch.refused) == (3, refused)
