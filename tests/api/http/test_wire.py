"""What the server makes of bytes: requests, refusals, and nothing in between."""

import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.api.http.wire import (
    HOST,
    QUICK,
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


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture
def served(running: Served) -> Served:
    running.app.seen.clear()
    running.app.bodies.clear()
    return running


def get(path: bytes, *headers: bytes, host: bytes = HOST, version: bytes = b"1.1") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"GET " + path + b" HTTP/" + version + b"\r\n" + host + lines + b"\r\n"


LAST = get(b"/last", b"Connection: close")


def test_a_request_is_what_the_application_sees(served: Served) -> None:
    with served.open() as sock:
        client = sock.getsockname()
        sock.sendall(get(b"/a%20b//c?d=%20&e", b"X-One: 1", b"x-one:  2 ", b"X-Three: \xe9"))
        status, headers, body = answer(sock)
    assert (status, body) == (200, b"")
    assert headers["x-path"] == "/a%20b//c"
    assert headers["date"].endswith(" GMT")
    scope = served.app.seen[0]
    assert scope["type"] == "http"
    assert (scope["method"], scope["http_version"], scope["scheme"]) == ("GET", "1.1", "http")
    assert (scope["path"], scope["raw_path"]) == ("/a b//c", b"/a%20b//c")
    assert scope["query_string"] == b"d=%20&e"
    assert scope["headers"] == [
        (b"host", b"pay.example"),
        (b"x-one", b"1"),
        (b"x-one", b"2"),
        (b"x-three", b"\xe9"),
    ]
    assert scope["client"] == client
    assert scope["server"] == ("127.0.0.1", served.port)


def test_one_connection_serves_many_requests_in_turn(served: Served) -> None:
    with served.open() as sock:
        for number in range(3):
            sock.sendall(get(b"/%d" % number))
            assert answer(sock)[1]["x-path"] == f"/{number}"
        sock.sendall(b"".join(get(b"/%d" % number) for number in range(300)) + LAST)
        for number in range(300):
            assert answer(sock)[1]["x-path"] == f"/{number}"
        status, headers, _ = parse(until_end(sock))
    assert (status, headers["x-path"], headers["connection"]) == (200, "/last", "close")


def test_a_request_may_come_byte_by_byte(served: Served) -> None:
    request = b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello"
    with served.open() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request:
            sock.sendall(bytes([byte]))
        assert answer(sock)[2] == b"hello"


MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS on a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no version": b"GET /\r\n\r\n",
    "version 0.9": get(b"/", version=b"0.9"),
    "version 2.0": get(b"/", version=b"2.0"),
    "version 1.2": get(b"/", version=b"1.2"),
    "RTSP": b"GET / RTSP/1.0\r\n" + HOST + b"\r\n",
    "RTSP 1.1": b"GET /  RTSP/1.1\r\n" + HOST + b"\r\n",
    "a method of RTSP": b"DESCRIBE rtsp://a.example/ RTSP/1.0\r\n" + HOST + b"\r\n",
    "ICE": b"SOURCE / ICE/1.0\r\n" + HOST + b"\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no Host": get(b"/", host=b""),
    "two Hosts": get(b"/", HOST.strip()),
    "a Host with a path": get(b"/", host=b"Host: a/b\r\n"),
    "a Host with a space": get(b"/", host=b"Host: a b\r\n"),
    "two Hosts in 1.0": get(b"/", HOST.strip(), version=b"1.0"),
    "length and coding": get(b"/", b"Content-Length: 3", b"Transfer-Encoding: chunked")
    + b"0\r\n\r\n",
    "coding and length": get(b"/", b"Transfer-Encoding: chunked", b"Content-Length: 3")
    + b"0\r\n\r\n",
    "two lengths": get(b"/", b"Content-Length: 3", b"Content-Length: 4") + b"abcd",
    "the same length twice": get(b"/", b"Content-Length: 3", b"Content-Length: 3") + b"abc",
    "a list of lengths": get(b"/", b"Content-Length: 3, 3") + b"abc",
    "a signed length": get(b"/", b"Content-Length: +3") + b"abc",
    "a negative length": get(b"/", b"Content-Length: -3") + b"abc",
    "an endless length": get(b"/", b"Content-Length: 99999999999999999999") + b"abc",
    "another coding": get(b"/", b"Transfer-Encoding: gzip") + b"abc",
    "two codings": get(b"/", b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "identity first": get(b"/", b"Transfer-Encoding: identity, chunked") + b"0\r\n\r\n",
    "two lines of coding": get(b"/", b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
    "coding in 1.0": get(b"/", b"Transfer-Encoding: chunked", version=b"1.0") + b"0\r\n\r\n",
    "a chunk without a size": get(b"/", b"Transfer-Encoding: chunked") + b"\r\nabc",
    "a chunk of a negative size": get(b"/", b"Transfer-Encoding: chunked") + b"-1\r\nabc",
    "a chunk that is longer": get(b"/", b"Transfer-Encoding: chunked") + b"3\r\nabcd\r\n",
    "a folded header": get(b"/", b"X-A: b\r\n c"),
    "a folded first header": b"GET / HTTP/1.1\r\n X-A: b\r\n\r\n",
    "a space before the colon": get(b"/", b"X-A : b"),
    "no colon": get(b"/", b"X-A"),
    "no name": get(b"/", b": b"),
    "NUL in a header": get(b"/", b"X-A: b\0c"),
    "CR in a header": get(b"/", b"X-A: b\rX-C: d"),
    "LF alone": get(b"/", b"X-A: b").replace(b"\r\n", b"\n"),
    "a fragment": get(b"/a#b"),
    "no path": get(b"a"),
    "a star": get(b"*"),
    "beyond ASCII": get(b"/\xc3\xa9"),
    "NUL in the target": get(b"/\0"),
    "another scheme": get(b"ftp://pay.example/"),
    "a URL without a host": get(b"http:///x"),
    "CONNECT": b"CONNECT a.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a body without a length": b"POST / HTTP/1.1\r\n" + HOST + b"\r\n" + b"{}",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_request_is_refused(served: Served, name: str) -> None:
    received = served.ask(MALFORMED[name])
    if name == "a body without a length":  # the request has none, and what follows is none
        assert received.startswith(b"HTTP/1.1 200 ")
        received = received[received.index(b"HTTP/1.1 400 ") :]
    is_refused(received, 400, "request_malformed")
    assert b"GONE" not in received


def test_another_protocol_in_pieces_is_refused_too(served: Served) -> None:
    with served.open() as sock:
        for piece in (b"GET / RT", b"SP/1.0\r\nHo", b"st: a\r\n\r\n"):
            sock.sendall(piece)
            time.sleep(0.05)
        is_refused(until_end(sock), 400, "request_malformed")


def test_a_body_may_speak_of_another_protocol(served: Served) -> None:
    body = b"GET / RTSP/1.0"
    request = b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 14\r\n\r\n" + body
    with served.open() as sock:
        for _ in range(2):
            sock.sendall(request + request)
            assert [answer(sock)[2] for _ in range(2)] == [body, body]


def test_requests_before_a_refused_one_are_answered_first(served: Served) -> None:
    received = served.ask(get(b"/1") + get(b"/2") + b"nonsense\r\n\r\n")
    status, headers, rest = parse(received)
    assert (status, headers["x-path"]) == (200, "/1")
    status, headers, rest = parse(rest)
    assert (status, headers["x-path"]) == (200, "/2")
    is_refused(rest, 400, "request_malformed")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("wish", ["h2c", "websocket", "nonsense"])
def test_a_wish_to_upgrade_is_ignored(served: Served, method: str, wish: str) -> None:
    head = (
        f"{method} /x?y HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        f"Upgrade: {wish}\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 5\r\n\r\n"
    )
    with served.open() as sock:
        for _ in range(2):
            sock.sendall(head.encode() + b"hel")
            sock.sendall(b"lo" + get(b"/next"))
            status, _, body = answer(sock)
            assert (status, body) == (200, b"hello")
            assert answer(sock)[1]["x-path"] == "/next"
    names = [name for name, _ in served.app.seen[0]["headers"]]
    assert names == [b"host", b"connection", b"http2-settings", b"content-length"]
    assert served.app.seen[0]["query_string"] == b"y"


def test_a_wish_to_upgrade_without_a_body_is_ignored_too(served: Served) -> None:
    upgrade = get(b"/1", b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x")
    received = served.ask(upgrade * 200 + LAST)
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 201
    assert served.app.seen[-1]["path"] == "/last"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://other.example/a/b?c=d", b"/a/b", b"c=d"),
        (b"HTTPS://other.example:8443/a", b"/a", b""),
        (b"http://other.example", b"/", b""),
        (b"//a/b", b"//a/b", b""),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"/a?", b"/a", b""),
    ],
)
def test_a_target_is_a_path_or_a_whole_url(
    served: Served, target: bytes, path: bytes, query: bytes
) -> None:
    with served.open() as sock:
        sock.sendall(get(target))
        assert answer(sock)[0] == 200
    scope = served.app.seen[0]
    assert (scope["raw_path"], scope["query_string"]) == (path, query)


def test_the_whole_server_may_be_asked_for_its_options(served: Served) -> None:
    with served.open() as sock:
        sock.sendall(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer(sock)[0] == 200
    assert served.app.seen[0]["path"] == "*"


@pytest.mark.parametrize("headers", [[], [b"Connection: keep-alive"], [b"Host: a"]])
def test_http_1_0_is_answered_once(served: Served, headers: list[bytes]) -> None:
    received = served.ask(get(b"/old", *headers, host=b"", version=b"1.0"))
    status, found, _ = parse(received)
    assert (status, found["connection"]) == (200, "close")
    assert served.app.seen[0]["http_version"] == "1.0"


def test_nothing_after_the_last_request_is_read(served: Served) -> None:
    received = served.ask(LAST + b"nonsense\r\n\r\n" + get(b"/more"))
    assert received.count(b"HTTP/1.1 ") == 1
    assert [scope["path"] for scope in served.app.seen] == ["/last"]


def test_head_has_the_length_and_no_body(served: Served) -> None:
    received = served.ask(b"HEAD /large HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    status, headers, body = parse(received)
    assert (status, headers["content-length"], body) == (200, str(2**20), b"")


TRAILERS = b"Authorization: Bearer x\r\nX-Forwarded-For: 192.0.2.7\r\nHost: evil\r\n"


def test_a_body_may_come_in_chunks_and_its_trailers_are_dropped(served: Served) -> None:
    with served.open() as sock:
        head = get(b"/x", b"Transfer-Encoding: Chunked", b"Trailer: Authorization")
        sock.sendall(
            head + b"3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\n" + TRAILERS + b"\r\n" + get(b"/next")
        )
        assert answer(sock)[2] == b"hello"
        assert answer(sock)[0] == 200
    names = [[name for name, _ in scope["headers"]] for scope in served.app.seen]
    assert names == [[b"host", b"transfer-encoding", b"trailer"], [b"host"]]


def sized(size: int) -> bytes:
    """A request whose target and headers are so many bytes."""
    fixed = len(b"/") + len(HOST) + len(b"X: \r\n")
    return get(b"/", b"X: " + b"x" * (size - fixed))


def test_a_head_may_have_16_kilobytes(served: Served) -> None:
    with served.open() as sock:
        sock.sendall(sized(16 * 1024))
        assert answer(sock)[0] == 200
        sock.sendall(get(b"/", *[b"X-%d: 1" % n for n in range(99)]))
        assert answer(sock)[0] == 200
    assert len(served.app.seen[1]["headers"]) == 100


CHUNKED = get(b"/", b"Transfer-Encoding: chunked")
TOO_LARGE = {
    "a byte too many": sized(16 * 1024 + 1),
    "a line too many": get(b"/", *[b"X-%d: 1" % n for n in range(100)]),
    "20,000 lines": get(b"/", *[b"X: 1"] * 20_000),
    "a megabyte": get(b"/", b"Paygate-Actor: " + b"4" * 2**20),
    "a long target": get(b"/" + b"x" * 2**20),
    "an endless name": b"GET / HTTP/1.1\r\n" + b"x" * 2**20,
    "an endless value": b"GET / HTTP/1.1\r\nX: " + b"x" * 2**20,
    "an endless target": b"GET /" + b"x" * 2**20,
    "an upgrade": get(b"/", b"Connection: Upgrade", b"Upgrade: h2c", b"X: " + b"x" * 20_000),
    "trailers": CHUNKED + b"1\r\na\r\n0\r\n" + b"X: 1\r\n" * 100 + b"\r\n",
    "a long trailer": CHUNKED + b"1\r\na\r\n0\r\nX: " + b"x" * 16 * 1024 + b"\r\n\r\n",
    "an endless trailer": CHUNKED + b"1\r\na\r\n0\r\nX: " + b"x" * 2**20,
    "an endless extension": CHUNKED + b"1;" + b"x" * 2**20,
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_head_too_large_is_431(served: Served, name: str) -> None:
    is_refused(served.ask(TOO_LARGE[name]), 431, "headers_too_large")
    assert served.app.bodies in ([], [b"GONE"])


def test_an_expected_word_is_given_when_the_body_is_wanted(served: Served) -> None:
    head = b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n"
    with served.open() as sock:
        sock.sendall(head)
        assert answer(sock)[0] == 100
        sock.sendall(b"hello")
        assert answer(sock)[2] == b"hello"
        # Not wanted: the answer comes instead, and the connection ends, since nobody knows
        # whether the body does.
        sock.sendall(head.replace(b"/x", b"/early"))
        status, headers, _ = parse(until_end(sock))
    assert (status, headers["connection"]) == (200, "close")


def test_a_body_that_nobody_wants_is_dropped(served: Served) -> None:
    length = 200_000
    with served.open() as sock:
        sock.sendall(b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % length)
        assert answer(sock)[0] == 200
        sock.sendall(b"x" * length + get(b"/next"))
        assert answer(sock)[1]["x-path"] == "/next"


@pytest.mark.parametrize(
    ("length", "said"),
    [(b"Content-Length: 9999999", {"connection": "close"}), (b"Transfer-Encoding: chunked", {})],
)
def test_too_much_that_nobody_wants_ends_the_connection(
    served: Served, length: bytes, said: dict[str, str]
) -> None:
    """And the answer says so, where that is known: a client would use the connection again."""
    with served.open() as sock:
        sock.sendall(b"POST /early HTTP/1.1\r\n" + HOST + length + b"\r\n\r\n")
        status, headers, _ = answer(sock)
        assert (status, {n: headers[n] for n in headers if n == "connection"}) == (200, said)
        with pytest.raises(ConnectionError):
            send_on(sock, b"x" * 65536)


@pytest.mark.parametrize("path", [b"/fault", b"/silent", b"/split"])
def test_a_fault_of_the_application_is_one_answer(served: Served, path: bytes) -> None:
    received = served.ask(get(path))
    is_refused(received, 500, "internal_error")
    assert b"evil" not in received


def test_no_later_answer_takes_the_place_of_a_fault(served: Served) -> None:
    is_refused(served.ask(get(b"/fault") + get(b"/later") + LAST), 500, "internal_error")
    assert [scope["path"] for scope in served.app.seen] == ["/fault"]


def test_an_answer_without_a_length_ends_with_the_connection(served: Served) -> None:
    body = b'{"a": 1}'
    head = b"POST /endless HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body)
    _, headers, received = parse(served.ask(head + body))
    assert headers["connection"] == "close"
    assert json.loads(received) == {"a": 1}


def test_a_client_that_leaves_is_known_to_have_left() -> None:
    app = Application()
    with serving(app) as served, served.open() as sock:
        sock.sendall(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhel")
        until(lambda: app.seen)
    assert app.bodies == [b"GONE"]


def test_of_an_answer_that_failed_midway_nobody_takes_the_part_for_the_whole() -> None:
    async def half(scope: object, receive: object, send: object) -> None:
        assert isinstance(scope, dict)
        assert callable(send)
        assert callable(receive)
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        headers = [(b"content-length", b"10")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"12345", "more_body": True})
        raise RuntimeError

    with serving(half, QUICK) as served:
        assert len(parse(served.ask(get(b"/")))[2]) < 10
