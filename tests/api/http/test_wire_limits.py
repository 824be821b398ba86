"""Slow peers, many peers, peers that do not read: each has its deadline and its place."""

import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from paygate.api.edge.addresses import TrustedProxies
from paygate.api.http.protocol import AHEAD_BYTES
from tests.api.http.wire import (
    GET,
    HOLD,
    HOST,
    QUICK,
    SLOW,
    Application,
    Served,
    answer,
    is_refused,
    parse,
    send_on,
    serving,
    until,
    until_end,
)

HALF = GET[:-2]
UPLOAD = b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n"
MEBIBYTE = 2**20


def trickle(sock: socket.socket, piece: bytes) -> None:
    """Send a piece again and again, until the peer has had enough."""
    stop = threading.Event()
    try:
        while not stop.wait(0.05):
            sock.sendall(piece)
    except OSError:
        pass


def memory() -> int:
    """What this process, and so the server in it, holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("begun", [b"", b"\r\n", b"\r\n\r\n"])
def test_who_says_nothing_is_left(begun: bytes) -> None:
    with serving(deadlines=replace(SLOW, head=0.3)) as served:
        assert served.ask(begun) == b""


@pytest.mark.parametrize("rest", [b"", b"X: 1\r\n"], ids=["stalls", "trickles"])
@pytest.mark.parametrize("before", [b"", GET], ids=["first", "second"])
def test_a_head_has_its_time(before: bytes, rest: bytes) -> None:
    with serving(deadlines=replace(SLOW, head=0.3)) as served, served.open() as sock:
        sock.sendall(before + HALF)
        if before:
            assert answer(sock)[0] == 200
        if rest:
            threading.Thread(target=trickle, args=(sock, rest), daemon=True).start()
        is_refused(until_end(sock), 408, "request_timed_out")


@pytest.mark.parametrize("rest", [b"", b"x"], ids=["stalls", "trickles"])
def test_a_body_has_its_time_in_all(rest: bytes) -> None:
    app = Application()
    with serving(app, replace(SLOW, body=0.3)) as served, served.open() as sock:
        sock.sendall(UPLOAD)
        if rest:
            threading.Thread(target=trickle, args=(sock, rest), daemon=True).start()
        is_refused(until_end(sock), 408, "request_timed_out")
    assert app.bodies == [b"GONE"]


def test_a_body_that_nobody_waits_for_has_its_time_too() -> None:
    with serving(deadlines=replace(SLOW, body=0.3)) as served:
        received = served.ask(UPLOAD.replace(b"/x", b"/early"))
    assert received.count(b"HTTP/1.1 ") == 1
    assert parse(received)[0] == 200


def test_between_two_requests_there_is_a_time() -> None:
    with serving(deadlines=replace(SLOW, idle=0.3)) as served, served.open() as sock:
        sock.sendall(GET)
        assert answer(sock)[0] == 200
        assert until_end(sock) == b""


def test_the_application_has_all_the_time_it_takes() -> None:
    app = Application()
    with serving(app, QUICK) as served, served.open() as sock, served.open() as clock:
        sock.sendall(HOLD + HALF)  # what follows is no reason either
        assert until_end(clock) == b""  # the deadlines pass
        served.loop.call_soon_threadsafe(app.go.set)
        assert answer(sock)[0] == 200
        is_refused(until_end(sock), 408, "request_timed_out")


@pytest.mark.parametrize("begun", [HALF + b"X: ", b"nonsense\r\n\r\n"])
def test_who_is_refused_may_finish_and_read_why(begun: bytes) -> None:
    with serving(deadlines=replace(SLOW, linger=60)) as served:
        with served.open() as sock:
            sock.sendall(begun + b"x" * 16 * MEBIBYTE)
            assert answer(sock)[0] in {400, 431}
        until(lambda: not len(served.connections))


def narrow(served: Served) -> socket.socket:
    """A connection whose client's side takes little."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(10)
    sock.connect(("127.0.0.1", served.port))
    return sock


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """Remembers nothing."""
    if scope["type"] == "lifespan":
        await Application()(scope, receive, send)
        return
    headers = [(b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * 1000})


def test_requests_whose_answers_nobody_reads_are_not_read_either() -> None:
    with serving(plain) as served, ExitStack() as stack:
        before = memory()
        for _ in range(5):
            sock = stack.enter_context(narrow(served))
            sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                send_on(sock, GET * 10_000)
        assert memory() - before < 20 * MEBIBYTE


@pytest.mark.parametrize("request_", [GET.replace(b" / ", b" /large ") * 10, GET * 20_000])
def test_who_does_not_read_is_left(request_: bytes) -> None:
    with serving(deadlines=replace(SLOW, unread=0.3)) as served, narrow(served) as sock:
        with pytest.raises(ConnectionError):
            send_on(sock, request_)
        until(lambda: not len(served.connections))


LARGE = GET.replace(b" / ", b" /large ")
LARGE_AND_LAST = LARGE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("request_", [LARGE + GET, LARGE_AND_LAST], ids=["kept", "closed"])
@pytest.mark.parametrize("stop", [False, True], ids=["runs", "stops"])
def test_who_reads_late_gets_it_all(request_: bytes, stop: bool) -> None:
    deadlines = replace(SLOW, idle=0.5)
    with serving(deadlines=deadlines) as served, narrow(served) as sock, served.open() as clock:
        sock.sendall(request_)
        until(lambda: served.app.seen)
        if stop:
            served.begin_stop()
        else:
            clock.sendall(GET)
            assert answer(clock)[0] == 200
            assert until_end(clock) == b""  # later than the connection may take to close
        assert len(answer(sock)[2]) == MEBIBYTE
        if request_ == LARGE + GET and not stop:
            assert answer(sock)[0] == 200


def test_what_is_sent_ahead_takes_no_answer_back_at_a_stop() -> None:
    with serving() as served, narrow(served) as sock:
        sock.sendall(LARGE * 20)
        until(lambda: any(c.congested for c in served.connections))  # type: ignore[attr-defined]
        sock.sendall(GET * 1000)  # not read: other requests wait already
        served.begin_stop()
        _, *answers = until_end(sock).split(b"HTTP/1.1 200 OK")
    assert {len(each.partition(b"\r\n\r\n")[2]) for each in answers} == {MEBIBYTE}


def test_an_upload_waits_for_the_application() -> None:
    parts: list[int] = []
    size = 20 * MEBIBYTE

    class Reader(Application):
        async def _read(self, receive: Any) -> bytes:
            await self.go.wait()
            while True:
                message = await receive()
                parts.append(len(message["body"]))
                if not message["more_body"]:
                    return b""

    app = Reader()
    with serving(app) as served, served.open() as sock:
        before = memory()
        sock.sendall(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size)
        sending = threading.Thread(target=sock.sendall, args=(bytes(size),))
        sending.start()
        until(lambda: app.seen)
        served.loop.call_soon_threadsafe(app.go.set)
        assert answer(sock)[0] == 200
        sending.join()
        assert memory() - before < size + 15 * MEBIBYTE  # the client's own bytes are here too
    assert sum(parts) == size
    assert max(parts) <= AHEAD_BYTES + 4096


def places(served: Served, stack: ExitStack, source: str, count: int) -> list[socket.socket]:
    """Connections that have their place."""
    sockets = [stack.enter_context(served.connect(source)) for _ in range(count)]
    for sock in sockets:
        sock.sendall(GET)
        assert answer(sock)[0] == 200
    return sockets


def refused(served: Served, source: str = "127.0.0.1") -> bool:
    """Whether another connection has no place."""
    with served.connect(source) as sock:
        try:
            sock.sendall(GET)
        except OSError:
            return True
        return until_end(sock) == b""


def test_an_address_has_so_many_connections(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(per_address=3) as served, ExitStack() as stack:
        first, *_ = places(served, stack, "127.0.0.1", 3)
        assert refused(served)
        places(served, stack, "127.0.0.2", 3)
        first.close()
        until(lambda: len(served.connections) == 5)
        places(served, stack, "127.0.0.1", 1)
        assert refused(served)
    assert capsys.readouterr().out.count("connections_refused") == 1


def test_what_never_reaches_the_application_is_told_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of each kind once a minute, with a Request-Id that its client was given too."""
    with serving() as served:
        ids = [parse(served.ask(b"hello\r\n\r\n"))[1]["request-id"] for _ in range(3)]
        served.ask(GET[:-2] + b"X: y\r\n" * 200 + b"\r\n")
    told = [line for line in capsys.readouterr().out.splitlines() if "requests_refused" in line]
    assert len(told) == 2
    assert "request_malformed" in told[0]
    assert ids[0] in told[0]
    assert "headers_too_large" in told[1]


def test_behind_a_trusted_proxy_many_stand() -> None:
    exempt = TrustedProxies((ip_network("127.0.0.2/32"),))
    with serving(per_address=3, exempt=exempt) as served, ExitStack() as stack:
        places(served, stack, "127.0.0.2", 10)
        places(served, stack, "127.0.0.1", 3)
        assert refused(served)


def test_when_all_places_are_taken_who_idles_longest_gives_way() -> None:
    with serving(most=3) as served, ExitStack() as stack:
        one, two, three = places(served, stack, "127.0.0.1", 3)
        one.sendall(GET)  # so that it idles the shortest
        assert answer(one)[0] == 200
        places(served, stack, "127.0.0.2", 1)
        assert until_end(two) == b""
        for sock in (one, three):
            sock.sendall(GET)
            assert answer(sock)[0] == 200
        assert len(served.connections) == 3


def test_who_is_being_served_does_not_give_way() -> None:
    app = Application()
    with serving(app, most=3) as served, ExitStack() as stack:
        sockets = [stack.enter_context(served.connect()) for _ in range(3)]
        for sock in sockets:
            sock.sendall(HOLD)
        until(lambda: len(app.seen) == 3)
        assert refused(served, "127.0.0.2")
        served.loop.call_soon_threadsafe(app.go.set)
        assert [answer(sock)[0] for sock in sockets] == [200] * 3
        places(served, stack, "127.0.0.2", 1)


def test_without_file_descriptors_clients_wait_until_there_are_some() -> None:
    with serving() as served, ExitStack() as stack:
        waiting = [stack.enter_context(socket.socket()) for _ in range(3)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(_files()) + 1, hard))
        try:
            taken = list(_all_files())
            for sock in waiting:
                sock.settimeout(10)
                sock.connect(("127.0.0.1", served.port))
                sock.sendall(GET)
            for number in taken:
                os.close(number)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [answer(sock)[0] for sock in waiting] == [200] * 3


def _files() -> list[int]:
    return [int(path.name) for path in Path("/proc/self/fd").iterdir()]


def _all_files() -> Iterator[int]:
    while True:
        try:
            yield os.dup(0)
        except OSError:
            return
