"""Everything that can go wrong on the wire, and that only certainty is called certain.

The rule held here: what may have reached Stripe and was not answered clearly is `Unknown`.
"""

import asyncio
import gzip
import json
import time
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from paygate.domain.payments.outcome import Answer, Approved, NotSent, Rejected, Unknown
from paygate.providers.absence import ProviderSilent
from paygate.providers.stripe.adapter import StripeProvider
from tests.providers.conftest import order, settings
from tests.providers.stripe_objects import decline, payment
from tests.providers.stripe_server import (
    Behaviour,
    StripeServer,
    answer,
    end_within,
    error,
    hang,
    hang_within,
    raw,
    reset,
    reset_within,
)

SOON: Final = 0.5
"""Seconds that a test waits for what will not come."""
INVALID: Final = "invalid_request_error"
NOBODYS: Final = {"Request-Id": ""}
PROXYS: Final = {"Request-Id": "9f1c2d7e-0000-4000-8000-5f6b3c1d2e4f"}
HTML: Final = {"Content-Type": "text/html"}
LIST: Final = {"object": "list", "data": [], "has_more": False, "url": "/v1/payment_intents"}
WINDOW: Final = (datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC))

AMBIGUOUS: Final[dict[str, Behaviour]] = {
    "reset before the answer": reset,
    "reset within the answer": reset_within(payment()),
    "end before the answer": raw(b"", then_close=True),
    "end within the answer": end_within(payment()),
    "end within the head": raw(b"HTTP/1.1 200 OK\r\nContent-Ty", then_close=True),
    "not HTTP": raw(b"\x16\x03\x01\x00\x00", then_close=True),
    "hang": hang,
    "hang within the answer": hang_within(payment()),
    "500": error(500, type="api_error", message="An error occurred"),
    "500 replayed": error(500, {"Idempotent-Replayed": "true"}, type="api_error"),
    "500 with a payment in it": error(500, type="api_error", payment_intent=payment()),
    "502 in HTML": answer(b"<html>Bad Gateway</html>", 502, HTML),
    "503": answer(b"", 503, {"Content-Type": ""}),
    "504": error(504, type="api_error"),
    "424": error(424, type="api_error"),
    "409 of another kind": error(409, type="invalid_request_error", code="lock_timeout"),
    "401 in HTML": answer(b"<html>Sign in to the proxy</html>", 401, HTML),
    "403 in HTML": answer(b"<html>Blocked</html>", 403, HTML),
    "401 in a proxy's own JSON": error(401, code=401, message="sign in"),
    "401 like stripe's, without a request id": error(401, NOBODYS, type=INVALID),
    "401 like stripe's, with a request id of a proxy's": error(401, PROXYS, type=INVALID),
    "402 like stripe's, without a request id": error(402, NOBODYS, **decline()),
    "403 in a proxy's own JSON": answer({"error": {"code": 403, "status": "FORBIDDEN"}}, 403),
    "404 like stripe's, without a request id": error(
        404, NOBODYS, type=INVALID, code="resource_missing"
    ),
    "404 of somebody with an id like stripe's": error(
        404, type="not_found", code="resource_missing"
    ),
    "407 in a proxy's own JSON": error(407, message="proxy authentication required"),
    "400 of a firewall": error(400, type="bad_request", code="payload_rejected"),
    "400 like stripe's, without a request id": error(
        400, NOBODYS, type=INVALID, code="payment_method_unexpected_state"
    ),
    "400 without an error": answer({}, 400),
    "400 whose error is a list": answer({"error": ["x"]}, 400),
    "402 whose error is a string": answer({"error": "invalid_client"}, 402),
    "redirect": answer(b"{}", 307, {"Location": "/v1/elsewhere"}),
    "empty": answer(b""),
    "garbage": answer(b"\x00\xff{{{"),
    "truncated JSON": answer(b'{"id": "pi_3Q", "object": "payment_intent", "sta'),
    "HTML with 200": answer(b"<html>Welcome</html>", 200, HTML),
    "JSON called text": answer(payment(), 200, {"Content-Type": "text/plain"}),
    "null": answer(None),
    "a list": answer([payment()]),
    "a number": answer(b"1e999"),
    "not UTF-8": answer(json.dumps(payment()).encode().replace(b"pm_1", b"pm_\xff")),
    "JSON of a kind": answer(payment(), 200, {"Content-Type": "application/jsonp"}),
    "gzip, unasked": answer(
        gzip.compress(json.dumps(payment()).encode()), 200, {"Content-Encoding": "gzip"}
    ),
    "a thousand headers": answer(payment(), 200, {f"X-{n}": "x" for n in range(1_000)}),
    "a header too long": answer(payment(), 200, {"X-Pad": "x" * 20_000}),
    "two lengths": answer(payment(), 200, {"content-length": "2"}),
    "a deep list": answer(b"[" * 100_000),
    "a huge number": answer(b'{"amount": ' + b"9" * 5_000 + b"}"),
    "an error with 200": answer({"error": {"type": "api_error"}}),
    "another amount": answer(payment(amount=1, amount_received=1)),
    "another currency": answer(payment(currency="usd")),
    "another mode": answer(payment(livemode=True)),
    "another attempt": answer(payment(metadata={"paygate_attempt": "at_other"})),
    "less than was asked": answer(payment(amount_received=1998)),
    "held, though told to capture": answer(
        payment(status="requires_capture", amount_received=0, amount_capturable=1999)
    ),
    "an id that is a number": answer(payment(id=3)),
    "no id": answer(payment(id=None)),
    "no status": answer(payment(status=None)),
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
async def test_what_may_have_happened_is_unknown(
    kind: str, server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(AMBIGUOUS[kind])
    server.otherwise = answer(payment())  # were it tried again, it would be approved
    found = await provider.confirm(order(), timeout_seconds=SOON)
    assert isinstance(found.outcome, Unknown), found
    assert len(server.requests) == 1, "the adapter repeated a charge that may have happened"
    assert isinstance((await provider.confirm(order(), timeout_seconds=30)).outcome, Approved)


async def test_a_refused_connection_is_certain(
    server: StripeServer, provider: StripeProvider
) -> None:
    await server.stop()
    try:
        found = await provider.confirm(order(), timeout_seconds=5)
    finally:
        await server.start()
    assert isinstance(found.outcome, NotSent)


async def test_a_name_that_does_not_resolve_is_certain() -> None:
    provider = StripeProvider(settings("http://no-such-host.invalid"))
    found = await provider.confirm(order(), timeout_seconds=2)
    await provider.close()
    assert isinstance(found.outcome, NotSent)


async def test_a_failed_handshake_is_certain() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    provider = StripeProvider(settings(f"https://127.0.0.1:{port}"))
    found = await provider.confirm(order(), timeout_seconds=5)
    await provider.close()
    listener.close()
    assert isinstance(found.outcome, NotSent)


async def test_a_handshake_that_hangs_is_certain(server: StripeServer) -> None:
    """The server waits for a request in clear, the adapter for a TLS greeting."""
    provider = StripeProvider(settings(server.url.replace("http://", "https://")))
    found = await provider.confirm(order(), timeout_seconds=SOON)
    await provider.close()
    assert isinstance(found.outcome, NotSent)


async def test_a_deadline_that_has_passed_sends_nothing(
    server: StripeServer, provider: StripeProvider
) -> None:
    found = await provider.confirm(order(), timeout_seconds=0)
    assert isinstance(found.outcome, NotSent)
    assert not server.requests


RATE_LIMIT: Final = error(429, type="invalid_request_error", code="rate_limit")
IN_USE: Final = error(409, type="invalid_request_error", code="idempotency_key_in_use")


async def test_the_deadline_is_kept(server: StripeServer, provider: StripeProvider) -> None:
    server.otherwise = hang
    started = time.monotonic()
    found = await provider.confirm(order(), timeout_seconds=0.3)
    assert isinstance(found.outcome, Unknown)
    assert time.monotonic() - started >= 0.3


async def test_the_key_is_not_carried_along_a_redirect(
    server: StripeServer, provider: StripeProvider
) -> None:
    elsewhere = StripeServer()
    await elsewhere.start()
    server.otherwise = answer(b"{}", 302, {"Location": f"{elsewhere.url}/v1/payment_intents/pi_3Q"})
    assert isinstance(await provider.retrieve("pi_3Q", timeout_seconds=SOON), Answer)
    await elsewhere.stop()
    assert not elsewhere.requests


async def test_a_cancelled_call_gives_its_connection_back(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.extend([hang_within(payment())] * 3)
    server.otherwise = answer(payment())
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(provider.confirm(order(), timeout_seconds=30), 0.1)
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Approved)


@pytest.mark.parametrize("kind", [k for k in AMBIGUOUS if k.startswith(("reset", "end", "50"))])
async def test_reading_is_tried_again_after_silence(
    kind: str, server: StripeServer, provider: StripeProvider
) -> None:
    server.script.extend([AMBIGUOUS[kind]] * 2)
    server.otherwise = answer(payment())
    found = await provider.retrieve("pi_3Q", timeout_seconds=5)
    assert isinstance(found, Answer)
    assert isinstance(found.outcome, Approved)


READ_FAULTS: Final[dict[str, Behaviour]] = {
    **{k: v for k, v in AMBIGUOUS.items() if not k.startswith(("another", "less", "held"))},
    "another mode": answer(payment(livemode=True)),
    "another payment": answer(payment(id="pi_other")),
    "401": error(401, type="invalid_request_error"),
    "403": error(403, type="invalid_request_error"),
    "404 of the address": error(404, type="invalid_request_error"),
    "429": RATE_LIMIT,
}


@pytest.mark.parametrize("kind", READ_FAULTS)
async def test_a_look_up_that_tells_nothing_is_unknown(
    kind: str, server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = READ_FAULTS[kind]
    found = await provider.retrieve("pi_3Q", timeout_seconds=0.1)
    assert isinstance(found, Answer)
    assert isinstance(found.outcome, Unknown)


LIST_FAULTS: Final[dict[str, Behaviour]] = {
    **{k: v for k, v in READ_FAULTS.items() if "another" not in k and "id" not in k.split()},
    "no data": answer({"object": "list", "has_more": False}),
    "no has_more": answer({"object": "list", "data": []}),
    "data of another shape": answer(LIST | {"data": ["pi_3Q"]}),
    "a payment without id": answer(LIST | {"data": [payment(id=None)]}),
    "a payment twice": answer(LIST | {"data": [payment(), payment()]}),
    "more of nothing": answer(LIST | {"has_more": True}),
    "the same page for ever": answer(LIST | {"data": [payment()], "has_more": True}),
}


@pytest.mark.parametrize("kind", LIST_FAULTS)
async def test_a_list_that_is_not_whole_proves_no_absence(
    kind: str, server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = LIST_FAULTS[kind]
    with pytest.raises(ProviderSilent):
        [item async for item in provider.list_created(*WINDOW, timeout_seconds=0.1)]


async def test_our_key_refused_is_our_configuration(
    server: StripeServer, provider: StripeProvider
) -> None:
    for status in (401, 403):
        server.script.append(error(status, type="invalid_request_error", message="sk_test_***"))
        found = await provider.confirm(order(), timeout_seconds=5)
        assert isinstance(found.outcome, Rejected)
        assert found.outcome.reason == "provider_configuration"


async def test_nothing_is_logged_and_no_answer_repeats_a_secret(
    server: StripeServer, provider: StripeProvider, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level("DEBUG")
    key = settings(server.url).api_key.reveal()
    echo = f"No such PaymentMethod: 'pm_card_visa'; key {key}"
    shown = ""
    for status in (400, 401, 402, 403, 404, 409, 429, 500):
        server.script.append(error(status, {"Retry-After": "9"}, type="api_error", message=echo))
        shown += repr(await provider.confirm(order(), timeout_seconds=5))
    server.script.append(answer(payment()))
    await provider.confirm(order(), timeout_seconds=5)
    captured = capfd.readouterr()
    for secret in (key, "pm_card_visa", "4242", "pi_3Q_secret_x"):
        assert secret not in shown + caplog.text + captured.out + captured.err


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 31 Dec 9999 23:59:59 -1400",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "yesterday",
        "",
    ],
)
async def test_a_date_that_is_none_tells_no_time_and_harms_nothing(
    date: str, server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(payment(), 200, {"Date": date})
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Approved)
    assert found.as_of is None
