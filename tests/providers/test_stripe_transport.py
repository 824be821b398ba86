"""The way to Stripe: what is sent, whom it trusts, and that no answer is larger than we bear."""

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import pytest
import trustme

from paygate.domain.payments.outcome import Answer, Approved, NotSent, Unknown
from paygate.domain.payments.payment_method import DirectDebit, Mandate
from paygate.providers.stripe import orders
from paygate.providers.stripe.adapter import StripeProvider
from paygate.providers.stripe.events import ENABLED_EVENTS
from tests.providers import official
from tests.providers.conftest import API_KEY, order, settings
from tests.providers.stripe_calls import CANCEL, CAPTURE, CUSTOMER, customer
from tests.providers.stripe_objects import INSTALLATION, METADATA, decline, payment
from tests.providers.stripe_server import (
    Behaviour,
    Request,
    StripeServer,
    answer,
    end_idle,
    error,
    hang,
    raw,
)

LIST: Final = {"object": "list", "data": [], "has_more": False}
ANSWERS: Final = {"a customer": customer(), "a list": LIST}
DAY: Final = (datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC))
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PLACES: Final = 256
"""Connections that there may be at once."""

# -- what is sent ---------------------------------------------------------------------------------

Call = Callable[[StripeProvider], Awaitable[object]]


async def _list(provider: StripeProvider) -> None:
    [item async for item in provider.list_created(*DAY, timeout_seconds=5)]


DEBIT: Final = order(
    instrument=DirectDebit("pm_1", Mandate(datetime(2026, 11, 24, tzinfo=UTC), "::1", "B/1 (ü)")),
    description="Tea & cakes ☕ 50 % [off]",
)
CALLS: Final[dict[str, Call]] = {
    "a card": lambda p: p.confirm(order(), timeout_seconds=5),
    "a debit": lambda p: p.confirm(DEBIT, timeout_seconds=5),
    "a capture": lambda p: p.capture(CAPTURE, timeout_seconds=5),
    "a cancel": lambda p: p.cancel(CANCEL, timeout_seconds=5),
    "a customer": lambda p: p.make_customer(CUSTOMER, timeout_seconds=5),
    "a look-up": lambda p: p.retrieve("pi_3Q", timeout_seconds=5),
    "a list": _list,
    "an account": lambda p: p.account(timeout_seconds=5),
}
WINDOW: Final = {"gte": 1_795_478_400, "lte": 1_795_564_800}
JUDGED: Final[dict[str, tuple[Literal["get", "post"], str, dict[str, object], str]]] = {
    "a card": (
        "post",
        "/v1/payment_intents",
        orders.confirm(order(), INSTALLATION),
        METADATA["paygate_attempt"],
    ),
    "a debit": (
        "post",
        "/v1/payment_intents",
        orders.confirm(DEBIT, INSTALLATION),
        METADATA["paygate_attempt"],
    ),
    "a capture": ("post", "/v1/payment_intents/pi_3Q/capture", orders.capture(CAPTURE), "at_2"),
    "a cancel": ("post", "/v1/payment_intents/pi_3Q/cancel", {}, "at_3"),
    "a customer": ("post", "/v1/customers", orders.customer(CUSTOMER, INSTALLATION), "cus_01-1"),
    "a look-up": ("get", "/v1/payment_intents/pi_3Q", {"expand": ["latest_charge"]}, ""),
    "a list": (
        "get",
        "/v1/payment_intents",
        {"created": WINDOW, "limit": 100, "expand": ["data.latest_charge"]},
        "",
    ),
    "an account": ("get", "/v1/account", {}, ""),
}


@pytest.mark.parametrize("kind", CALLS)
async def test_a_call_is_what_stripes_own_client_would_send(
    kind: str, server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(ANSWERS.get(kind, payment()))
    await CALLS[kind](provider)
    (ours,) = server.requests
    method, path, params, key = JUDGED[kind]
    theirs = official.sent(method, path, params, api_key=API_KEY, idempotency_key=key)
    assert (ours.method, ours.path, ours.query, ours.body.decode()) == (
        theirs.method,
        theirs.path,
        theirs.query,
        theirs.body,
    )
    named = {"authorization", "stripe-version", "content-type", "idempotency-key"}
    assert {name: ours.headers[name] for name in named if name in ours.headers} == {
        name: value for name, value in theirs.headers.items() if name in named
    }
    framing = {"host", "content-length"} if method == "post" else {"host"}
    assert ours.headers.keys() - named - framing == {"accept", "accept-encoding", "user-agent"}
    assert ours.headers["user-agent"] == "paygate"


async def test_events_are_listed_by_twenty_types_at_a_time(
    server: StripeServer, provider: StripeProvider
) -> None:
    """More are refused."""
    server.otherwise = answer(LIST)
    assert [body async for body in provider.list_events(*DAY, timeout_seconds=5)] == []
    types = list(ENABLED_EVENTS)
    asked = [types[first : first + 20] for first in range(0, len(types), 20)]
    assert [each.query for each in server.requests] == [
        official.sent(
            "get",
            "/v1/events",
            {"created": WINDOW, "limit": 100, "types": some},
            api_key=API_KEY,
            idempotency_key="",
        ).query
        for some in asked
    ]


# -- whom it trusts, and which way it goes --------------------------------------------------------


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def tls(authority: trustme.CA) -> AsyncIterator[StripeServer]:
    """A server whose certificate is for `localhost`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = StripeServer(context)
    await server.start()
    server.otherwise = answer(payment())
    yield server
    await server.stop()


async def _confirmed(base: str) -> Answer:
    provider = StripeProvider(settings(base))
    found = await provider.confirm(order(), timeout_seconds=2)
    await provider.close()
    return found


async def test_the_machines_authorities_are_trusted_by_the_name_of_the_host(
    tls: StripeServer, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_name = tls.url.replace("http://127.0.0.1", "https://localhost")
    by_address = tls.url.replace("http://", "https://")
    stranger = await _confirmed(by_name)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert isinstance((await _confirmed(by_name)).outcome, Approved)
    for found in (stranger, await _confirmed(by_address)):
        assert isinstance(found.outcome, NotSent)
        assert "certificate" in found.outcome.message
    assert len(tls.requests) == 1


async def test_the_environments_proxies_are_not_taken(
    server: StripeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = StripeServer()
    await elsewhere.start()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, elsewhere.url)
        monkeypatch.setenv(name.lower(), elsewhere.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.otherwise = answer(payment())
    found = await _confirmed(server.url)
    await elsewhere.stop()
    assert isinstance(found.outcome, Approved)
    assert not elsewhere.requests


# -- connections that are kept --------------------------------------------------------------------


async def test_a_connection_is_kept(server: StripeServer, provider: StripeProvider) -> None:
    server.otherwise = answer(payment())
    for _ in range(3):
        assert isinstance((await provider.confirm(order(), timeout_seconds=5)).outcome, Approved)
    assert server.connections_made == 1


async def test_a_kept_connection_that_closes_instead_of_answering_is_unknown(
    server: StripeServer, provider: StripeProvider
) -> None:
    """Whether the request crossed the end of an idle connection or was taken, nobody here knows."""
    server.script.extend([answer(payment()), raw(b"", then_close=True)])
    server.otherwise = answer(payment())
    outcomes = [(await provider.confirm(order(), timeout_seconds=5)).outcome for _ in range(3)]
    assert [type(outcome) for outcome in outcomes] == [Approved, Unknown, Approved]
    assert (len(server.requests), server.connections_made) == (3, 2)


async def test_a_connection_that_ended_while_idle_costs_nothing(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(end_idle(payment()))
    server.otherwise = answer(payment())
    await provider.confirm(order(), timeout_seconds=5)
    async with asyncio.timeout(60):
        while server.connections_open:
            await asyncio.sleep(0)
    assert isinstance((await provider.confirm(order(), timeout_seconds=5)).outcome, Approved)
    assert server.connections_made == 2


async def test_an_answer_that_nobody_asked_for_answers_nothing(
    server: StripeServer, provider: StripeProvider
) -> None:
    said = asyncio.Event()

    async def say_more(request: Request, writer: asyncio.StreamWriter) -> None:
        await answer(payment())(request, writer)
        await asyncio.sleep(0.05)  # by now the answer was read, and the connection is idle
        await error(402, **decline())(request, writer)
        said.set()

    server.script.append(say_more)
    server.otherwise = answer(payment())
    await provider.confirm(order(), timeout_seconds=5)
    await said.wait()
    for _ in range(100):  # turns of the loop that we share, so that the bytes are there
        await asyncio.sleep(0)
    assert isinstance((await provider.confirm(order(), timeout_seconds=5)).outcome, Approved)
    assert (len(server.requests), server.connections_made) == (2, 2)


async def test_who_finds_no_place_has_sent_nothing(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = hang
    calls = [
        asyncio.create_task(provider.confirm(order(), timeout_seconds=60)) for _ in range(PLACES)
    ]
    async with asyncio.timeout(20):
        while len(server.requests) < PLACES:
            await asyncio.sleep(0)
    found = await provider.confirm(order(), timeout_seconds=0.2)
    assert isinstance(found.outcome, NotSent)
    assert (len(server.requests), server.connections_made) == (PLACES, PLACES)
    server.otherwise = answer(payment())
    calls.pop().cancel()
    assert isinstance((await provider.confirm(order(), timeout_seconds=20)).outcome, Approved)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


# -- answers that are larger than they seem -------------------------------------------------------


def _for_ever(head: bytes, chunk: bytes, written: list[int]) -> Behaviour:
    async def behave(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(chunk)
            await writer.drain()
            written.append(len(chunk))

    return behave


CHUNK: Final = b"10000\r\n" + b" " * 0x10000 + b"\r\n"


@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", CHUNK),
        (HEAD + b"\r\n", b" " * 0x10000),
        (HEAD + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b" " * 2**20)),
        (HEAD.replace(b"json", b"x-json") + b"\r\n", b" " * 0x10000),
        (b"HTTP/1.1 200 OK\r\n", b"X-Pad: " + b"x" * 4_000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Pad: ", b"x" * 0x10000),
        (b"", b"HTTP/1.1 " + b"2" * 0x10000),
    ],
    ids=["chunks", "until the end", "gzip", "no JSON", "headers", "a header", "a line"],
)
async def test_an_answer_without_end_is_not_read_to_its_end(
    head: bytes, chunk: bytes, server: StripeServer, provider: StripeProvider
) -> None:
    written: list[int] = []
    server.script.append(_for_ever(head, chunk, written))
    server.otherwise = answer(payment())
    found = await provider.confirm(order(), timeout_seconds=60)
    assert isinstance(found.outcome, Unknown)
    assert sum(written) < 32 * 1024 * 1024, "sixteen are read at most; some are on their way"
    assert isinstance((await provider.confirm(order(), timeout_seconds=5)).outcome, Approved)


async def test_an_answer_that_says_it_is_too_long_is_not_waited_for(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(raw(HEAD + b"Content-Length: 99999999999\r\n\r\n"))
    started = asyncio.get_running_loop().time()
    found = await provider.confirm(order(), timeout_seconds=60)
    assert isinstance(found.outcome, Unknown)
    assert asyncio.get_running_loop().time() - started < 30


@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 0x10000),
    ],
    ids=["informational", "a chunk's extension"],
)
async def test_what_is_thrown_away_without_end_does_not_outlast_the_deadline(
    head: bytes, chunk: bytes, server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(_for_ever(head, chunk, []))
    found = await provider.confirm(order(), timeout_seconds=0.3)
    assert isinstance(found.outcome, Unknown)


# -- answers that are odd, and plain enough -------------------------------------------------------

BODY: Final = json.dumps(payment()).encode()


@pytest.mark.parametrize(
    "odd",
    [
        answer(payment(), 200, {"Content-Type": "Application/JSON; charset=utf-8"}),
        answer(b"\xef\xbb\xbf" + BODY),
        answer(BODY.replace(b'"pi_3Q"', rb'"pi_3Q", "description": "half a \ud83d"')),
        answer(BODY.replace(b'"pi_3Q"', b'"pi_3Q", "score": 1e999')),
        answer(BODY.replace(b'"status"', b'"status": "processing", "status"')),
        raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
        raw(HEAD + b"\r\n" + BODY, then_close=True),
        raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + b"\r\n" + BODY, then_close=True),
    ],
    ids=["a type", "a mark", "a half", "a number", "twice", "chunks", "end", "hints"],
)
async def test_an_odd_answer_is_read(
    odd: Behaviour, server: StripeServer, provider: StripeProvider
) -> None:
    """Of a key that is there twice the later value counts, as for Stripe's own client."""
    server.otherwise = odd
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Approved)
