"""A peer that has said all it has to say, and still listens: it shut its side of the connection."""

import socket
from dataclasses import replace

import pytest

from tests.api.http.wire import (
    GET,
    HOLD,
    HOST,
    SLOW,
    Application,
    Served,
    is_refused,
    parse,
    serving,
    until,
    until_end,
)

UPLOAD = b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhe"


def half_closed(served: Served, request: bytes) -> socket.socket:
    sock = served.open()
    sock.sendall(request)
    sock.shutdown(socket.SHUT_WR)
    return sock


def paths(received: bytes) -> list[str]:
    """What was answered, in order."""
    found = []
    while received:
        _, headers, received = parse(received)
        found.append(headers["x-path"])
    return found


@pytest.mark.parametrize("rest", [b"", GET[:-2]], ids=["nothing", "half a head"])
def test_the_last_answer_comes_and_says_so(rest: bytes) -> None:
    app = Application()
    with serving(app, replace(SLOW, head=0.1)) as served, half_closed(served, HOLD + rest) as sock:
        with served.open() as other:
            assert until_end(other) == b""  # the end was heard, and the deadlines have passed
        served.loop.call_soon_threadsafe(app.go.set)
        status, headers, body = parse(until_end(sock))
    assert (status, headers["connection"], body) == (200, "close", b"")


@pytest.mark.parametrize("rest", [b"", GET[:-2], UPLOAD], ids=["nothing", "half a head", "half"])
def test_all_that_was_asked_in_full_is_answered(rest: bytes) -> None:
    app = Application()
    with serving(app) as served, half_closed(served, HOLD + GET + HOLD + rest) as sock:
        until(lambda: app.seen)
        served.loop.call_soon_threadsafe(app.go.set)
        assert paths(until_end(sock)) == ["/hold", "/", "/hold"]
    assert app.bodies in ([b""], [b"", b"GONE"])


def test_after_the_answers_comes_the_refusal_of_what_followed() -> None:
    app = Application()
    with serving(app) as served, half_closed(served, HOLD + b"nonsense\r\n\r\n") as sock:
        until(lambda: app.seen)
        served.loop.call_soon_threadsafe(app.go.set)
        received = until_end(sock)
    assert received.startswith(b"HTTP/1.1 200 ")
    is_refused(received[received.index(b"HTTP/1.1 4") :], 400, "request_malformed")


@pytest.mark.parametrize("begun", [b"", GET, GET[:-2], UPLOAD])
def test_who_waits_for_nothing_is_left_at_once(begun: bytes) -> None:
    app = Application()
    with serving(app) as served, half_closed(served, begun) as sock:
        received = until_end(sock)  # SLOW deadlines end nothing
        until(lambda: not len(served.connections))
    assert received.count(b"HTTP/1.1 200 ") == (begun == GET)
    assert b"GONE" in app.bodies or begun != UPLOAD


def test_who_does_not_read_is_left() -> None:
    large = GET.replace(b" / ", b" /large ")
    deadlines = replace(SLOW, unread=0.3, close=0.3)
    with serving(deadlines=deadlines) as served, half_closed(served, large * 100):
        until(lambda: len(served.connections))
        until(lambda: not len(served.connections))


def test_who_is_gone_holds_a_place_for_as_long_as_the_call() -> None:
    """Who closed both ways looks the same, until something is sent there."""
    app = Application()
    with serving(app, most=3) as served:
        for _ in range(3):
            with served.open() as sock:
                sock.sendall(HOLD)
        until(lambda: len(app.seen) == 3)
        assert len(served.connections) == 3
        served.loop.call_soon_threadsafe(app.go.set)
        until(lambda: not len(served.connections))


def test_a_stop_waits_for_the_answer_and_no_longer() -> None:
    app = Application()
    with serving(app) as served, half_closed(served, HOLD) as sock:
        until(lambda: app.seen)
        served.begin_stop()
        served.loop.call_soon_threadsafe(app.go.set)
        assert paths(until_end(sock)) == ["/hold"]
        served.wait()
