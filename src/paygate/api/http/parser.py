"""Bytes to requests. llhttp parses (Node's parser, by way of `httptools`), strictly; what it lets
pass and another server could read in another way is refused here, and every size has its bound.
"""

import re
from enum import Enum, auto
from typing import Any, Final, Protocol
from urllib.parse import unquote

import httptools

from paygate.api.http.request import ASGI
from paygate.domain.errors import ErrorCode, Refusal
from paygate.telemetry import log

HEAD_BYTES: Final = 16 * 1024
"""Of request line, headers and trailers: twice what most proxies let pass."""
HEAD_LINES: Final = 100
PIECE_BYTES: Final = 4096
"""The most that is fed at once; no piece holds more than some 150 requests."""

_HOST: Final = re.compile(rb"[^\s/?#@\\]*")
_OTHER_PROTOCOLS: Final = (b"RTSP/", b"ICE/")
"""llhttp reads their request lines too, and does not tell them from HTTP's."""
_ONCE: Final = (b"host", b"transfer-encoding", b"expect")
"""Of two values another server may have believed the other one."""

Headers = list[tuple[bytes, bytes]]


class Stage(Enum):
    """How far the parser is."""

    BETWEEN = auto()
    HEAD = auto()
    UPGRADE = auto()
    """At the end of a head that is to be parsed again, without its `Upgrade`."""
    BODY = auto()


class Receiver(Protocol):
    """Who is told of requests. What is raised ends the parsing."""

    def on_request(self, scope: dict[str, Any], *, keep_alive: bool) -> None:
        """A head is complete."""

    def on_content(self, content: bytes) -> None:
        """A part of its body came."""

    def on_request_end(self) -> None:
        """Its body is complete."""


class RequestParser:
    """Parses what comes on one connection."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._parser = httptools.HttpRequestParser(self)
        self.stage = Stage.BETWEEN
        self.steps = 0
        """How often the stage has changed."""
        self._fed = self._start = b""
        """The piece that is parsed, and all pieces that the request line came in."""
        self._target = b""
        self._headers: Headers = []
        self._head_bytes = self._head_lines = 0
        self._unseen = 0
        """Bytes fed that were no body, since the parser last told of something: what it keeps."""

    def feed(self, piece: bytes) -> bytes:
        """Parse a piece; returns what is to be fed next, before all else.

        Raises:
            Refusal: what came is no request, or larger than it may be.
        """
        self._unseen += len(piece)
        self._fed = piece
        if self.stage is Stage.HEAD and not self._headers:
            self._start += piece
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as pause:
            # A server may ignore the wish (RFC 9110, 7.8). The parser does not, and skips the
            # body; so another one is given the same head without it.
            head = self._head_without_upgrade()
            self._parser = httptools.HttpRequestParser(self)
            return head + piece[pause.args[0] :]
        except httptools.HttpParserError as error:
            raise _refusal_of(error) from None
        if self._unseen > HEAD_BYTES + PIECE_BYTES:
            raise _too_large()
        return b""

    # httptools calls these.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._enter(Stage.HEAD)
        self._start, self._target, self._headers = self._fed, b"", []
        self._head_bytes = self._head_lines = 0

    def on_url(self, target: bytes) -> None:
        """A part of the request target."""
        self._target += target
        self._measure(len(target))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or, behind the body, a trailer, all of which are dropped."""
        self._head_lines += 1
        self._measure(len(name) + len(value) + 4)
        if self.stage is Stage.HEAD:
            self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """The end of a head."""
        parser, version = self._parser, self._parser.get_http_version()
        method = parser.get_method()
        if method == b"CONNECT":
            raise _malformed("this is no proxy")
        self._check_protocol()
        if parser.should_upgrade():
            self._enter(Stage.UPGRADE)
            return
        self._enter(Stage.BODY)
        keep_alive = version == "1.1" and parser.should_keep_alive()
        scope = _make_scope(method, self._target, version, self._headers)
        self._receiver.on_request(scope, keep_alive=keep_alive)

    def on_body(self, content: bytes) -> None:
        """A part of a body."""
        self._unseen -= len(content)
        self._receiver.on_content(content)

    def on_chunk_complete(self) -> None:
        """A part of a chunked body is over, so that nothing is kept of it."""
        self._unseen = 0

    def on_message_complete(self) -> None:
        """The end of a request."""
        if self.stage is Stage.BODY:
            self._enter(Stage.BETWEEN)
            self._receiver.on_request_end()

    def _enter(self, stage: Stage) -> None:
        self.stage, self._unseen = stage, 0
        self.steps += 1

    def _check_protocol(self) -> None:
        for name in _OTHER_PROTOCOLS:
            if name in self._start and re.search(
                re.escape(self._target) + rb" +" + name, self._start
            ):
                raise _malformed("only HTTP is spoken here")

    def _measure(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES or self._head_lines > HEAD_LINES:
            raise _too_large()

    def _head_without_upgrade(self) -> bytes:
        method, version = self._parser.get_method(), self._parser.get_http_version()
        start = b"%b %b HTTP/%b" % (method, self._target, version.encode())
        lines = (name + b": " + value for name, value in self._headers if name != b"upgrade")
        return b"\r\n".join((start, *lines, b"", b""))


def _make_scope(method: bytes, target: bytes, version: str, headers: Headers) -> dict[str, Any]:
    """The ASGI scope, but for who is connected.

    Raises:
        Refusal: two servers could understand the head in two ways, or it is not HTTP/1.
    """
    if version not in {"1.1", "1.0"}:
        raise _malformed("only HTTP/1.1 and HTTP/1.0 are spoken here")
    _check(version, headers)
    raw_path, query = _split(method, target)
    path = raw_path.decode("ascii")
    return {
        "type": "http",
        "asgi": ASGI,
        "http_version": version,
        "method": method.decode("ascii"),
        "root_path": "",
        "path": unquote(path) if "%" in path else path,
        "raw_path": raw_path,
        "query_string": query,
        "headers": headers,
    }


def _check(version: str, headers: Headers) -> None:
    values = dict(headers)
    if len(values) != len(headers):
        names = [name for name, _ in headers]
        for name in _ONCE:
            if names.count(name) > 1:
                raise _malformed(f"the header {name.decode()} must be sent once")
    host = values.get(b"host")
    if host is None and version == "1.1":
        raise _malformed("HTTP/1.1 requires a Host header")
    if host is not None and not _HOST.fullmatch(host):
        raise _malformed("the Host header names no host")
    coding = values.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
        raise _malformed("the only Transfer-Encoding is chunked, and HTTP/1.0 has none")


def _split(method: bytes, target: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request target (RFC 9112, 3.2). A URL's host is not looked at, as that
    of the Host header is not.
    """
    if b"#" not in target:
        if target.startswith(b"/"):
            path, _, query = target.partition(b"?")
            return path, query
        if target == b"*" and method == b"OPTIONS":
            return target, b""
        if target.lower().startswith((b"https://", b"http://")):
            try:
                url = httptools.parse_url(target)
            except httptools.HttpParserError:
                raise _malformed("the request target is no URL") from None
            return url.path or b"/", url.query or b""
    raise _malformed("the request target is neither a path nor a URL")


def _refusal_of(error: httptools.HttpParserError) -> Refusal:
    """What a callback raised, or that the parser does not understand."""
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
    if isinstance(cause, Refusal):
        return cause
    if cause is None:
        return _malformed("this is not HTTP/1.1")
    log.logger().error("request_failed", error=cause)
    return Refusal(ErrorCode.INTERNAL_ERROR, "an unexpected fault; it was logged")


def _too_large() -> Refusal:
    return Refusal(ErrorCode.HEADERS_TOO_LARGE, "the headers have too many bytes or lines")


def _malformed(message: str) -> Refusal:
    return Refusal(ErrorCode.REQUEST_MALFORMED, message)
