"""HTTP/1.1 on one connection: bytes in, one call of the application after another, bytes out."""

import asyncio
import secrets
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, cast

from paygate.api.edge.errors import DOCS, STATUS, encode_error
from paygate.api.edge.headers import ALWAYS
from paygate.api.http.connections import Connections
from paygate.api.http.parser import PIECE_BYTES, RequestParser, Stage
from paygate.api.http.request import LEFTOVER_BYTES, App, HttpRequest, render_head
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.ids import PREFIXES, RANDOM_BYTES, make_id

AHEAD_BYTES: Final = 64 * 1024
"""Of a body that the application has not taken yet; with so much, reading pauses."""
PAUSED_SECONDS: Final = 1.0
"""A peer that we do not read from has so much more time, again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long a peer may take, in seconds."""

    head: float = 10.0
    """For the TLS handshake; then for the first byte; and from the first byte of any request to
    the end of its headers."""
    body: float = 30.0
    """From the end of the headers to the end of the body."""
    idle: float = 75.0
    """Between two requests."""
    unread: float = 20.0
    """To read some of an answer that is more than the buffers hold."""
    linger: float = 0.5
    """To read why it was refused. What it still sends then is dropped: who closes a connection
    with bytes unread takes the answer back."""
    close: float = 3.0
    """To take the last bytes, of which the buffers hold most, and the end of TLS."""


class _Awaited(Enum):
    """What the peer must do in time."""

    REQUEST = auto()
    HEAD = auto()
    BODY = auto()
    READING = auto()
    CLOSING = auto()


class HttpConnection(asyncio.Protocol):
    """One connection, from its accept to its end."""

    def __init__(
        self,
        app: App,
        connections: Connections,
        tasks: set[asyncio.Task[None]],
        deadlines: Deadlines,
        ends: dict[str, Any],
        docs: str = DOCS,
    ) -> None:
        """`tasks` are the application's calls that are under way, of all connections; `ends` says
        who is connected with whom: a part of all requests' scopes; `docs` explains errors.
        """
        self._app = app
        self._connections = connections
        self._tasks = tasks
        self._deadlines = deadlines
        self._ends = ends
        self._docs = docs
        self._loop = asyncio.get_running_loop()
        self.opening: asyncio.Task[None] | None = None
        """The TLS handshake, while there is no transport."""
        self._transport: asyncio.Transport | None = None
        self._parser = RequestParser(self)
        self._seen_steps = 0
        self._unread = b""
        """Received, and not yet parsed."""
        self._paused = False
        self._deaf = False
        """What still comes is dropped."""
        self._leaving = False
        """The request under way is the last."""
        self._ended = False
        """Nothing more is sent."""

        self._incoming: HttpRequest | None = None
        """Its head is here, its body is not complete."""
        self._queue: deque[HttpRequest] = deque()
        self._active: HttpRequest | None = None
        self._farewell: Refusal | None = None
        """Why the connection ends, to be told when the requests before are answered."""
        self.congested: asyncio.Event | None = None
        """Set when the peer has read enough of what was sent; None while nothing waits for that."""

        self._awaited: _Awaited | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TLS handshake is over."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._await(_Awaited.REQUEST, self._deadlines.head)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if not self._deaf:
            self._unread += data
            self.read_on()

    def pause_writing(self) -> None:
        """The peer reads too slowly: nothing more is sent, and no other request begun."""
        self.congested = asyncio.Event()
        self._stall = self._loop.call_later(self._deadlines.unread, self.abort)

    def resume_writing(self) -> None:
        """The peer has read."""
        self._relieve()
        self.read_on()

    def eof_received(self) -> bool:
        """The peer sends nothing more. Returns whether the connection stays: for the answer to what
        was asked in full, since such a peer may still listen (the end of TLS is that of both ways).
        It is held for as long as the application takes, as anybody else's, and is the last.
        """
        asked, tls = self._active, self._ends["scheme"] == "https"
        if asked is None or asked is self._incoming or tls:
            return False
        asked.keep_alive = self._farewell is not None
        self._deaf = True
        self._set_deadline()
        return True

    def connection_lost(self, _: Exception | None) -> None:
        """The end. What the application has begun it finishes, though nobody will hear of it."""
        self._deaf = self._ended = True
        self._unread = b""
        self._queue.clear()
        self._connections.remove(self)
        self._relieve()
        if self._timer is not None:
            self._timer.cancel()
        if self._active is not None:
            self._active.lose()

    # The server calls these.

    def retire(self) -> bool:
        """Take no more requests. Returns whether an answer is under way; if none is, this is the
        end.
        """
        self._leaving = True
        if self._active is not None:
            self._active.keep_alive = False
            return True
        unsent = self._transport is not None and self._transport.get_write_buffer_size() > 0
        self._end()
        return unsent

    def abort(self) -> None:
        """End it at once."""
        self._deaf = self._ended = True
        if self._transport is not None:
            self._transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    # The parser calls these.

    def on_request(self, scope: dict[str, Any], *, keep_alive: bool) -> None:
        """A request waits for its turn."""
        self._incoming = HttpRequest(self, scope | self._ends, keep_alive=keep_alive)
        self._queue.append(self._incoming)

    def on_content(self, content: bytes) -> None:
        """A part of its body came."""
        assert self._incoming is not None, "bodies follow heads"
        self._incoming.take(content)
        if self._incoming.ahead > LEFTOVER_BYTES:
            raise Refusal(ErrorCode.BODY_TOO_LARGE, "the answer did not wait for all of this")

    def on_request_end(self) -> None:
        """Its body is complete."""
        assert self._incoming is not None, "bodies follow heads"
        self._incoming.complete()
        self._deaf = not self._incoming.keep_alive
        self._incoming = None

    # Requests call these.

    def read_on(self) -> None:
        """Parse what came, as far as there is room for it, and go on with that."""
        self._next()
        while self._unread and not self._deaf and self._has_room():
            piece, self._unread = self._unread[:PIECE_BYTES], self._unread[PIECE_BYTES:]
            try:
                again = self._parser.feed(piece)
            except Refusal as refusal:
                if not self._deaf:  # what follows the last request is nobody's business
                    self._refuse(refusal)
            else:
                self._unread = again + self._unread
            self._next()
        self._pause(wanted=not (self._deaf or self._has_room()))
        if self._seen_steps != self._parser.steps:
            self._seen_steps = self._parser.steps
            self._set_deadline()

    def write(self, data: bytes) -> None:
        """Send bytes of an answer."""
        if self._transport is not None and not self._ended:
            self._transport.write(data)

    def served(self, request: HttpRequest) -> None:
        """The application is done with a request."""
        if request is not self._active:
            return  # it was given up before
        self._release()
        if not request.started:
            self._deaf = True
            self._queue.clear()  # a later answer would be taken for this one
            self._farewell = Refusal(ErrorCode.INTERNAL_ERROR, "an unexpected fault; it was logged")
        elif not request.responded:
            self.abort()  # nobody must take the part for the whole
        elif not request.keep_alive:
            # With more sent than was read, to close at once would take the answer back.
            self._end(linger=request is self._incoming or bool(self._queue))
        self.read_on()
        if self._parser.stage is Stage.BETWEEN:
            self._set_deadline()

    def _has_room(self) -> bool:
        incoming = self._incoming
        return not self._queue and (
            incoming is None or incoming.responded or incoming.ahead < AHEAD_BYTES
        )

    def _next(self) -> None:
        """Start the request whose turn it is, once the answer before it is on its way."""
        if self._active is not None or self.congested is not None or self._ended:
            return
        if self._leaving and (self._queue or self._farewell is None):
            self._end()
        elif self._queue:
            self._active = self._queue.popleft()
            self._connections.busy(self)
            task = self._loop.create_task(self._active.run(self._app))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif self._farewell is not None:
            request_id = _request_id()
            self._connections.refused(self._farewell.code, request_id)
            self.write(_response(self._farewell, request_id, self._docs))
            self._end(linger=True)
        elif self._deaf:
            self._end(linger=True)

    def _refuse(self, refusal: Refusal) -> None:
        """End the connection. The request that comes in just now has this for its answer, if it
        has none yet; those before it are served first.
        """
        self._deaf, self._unread, self._awaited = True, b"", None
        request, self._incoming = self._incoming, None
        if request is None or not request.started:
            self._farewell = refusal
        if request is not None and request is self._active:
            request.lose()
            self._release()
        elif request is not None and request in self._queue:
            self._queue.remove(request)

    def _release(self) -> None:
        self._active = None
        self._connections.idle(self)

    def _pause(self, *, wanted: bool) -> None:
        if self._transport is None or wanted is self._paused or self._transport.is_closing():
            return
        self._paused = wanted
        if wanted:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _end(self, *, linger: bool = False) -> None:
        """Send nothing more, and close: at once, or when the peer has had time to read."""
        if self._ended:
            return
        self._deaf = self._ended = True
        self._unread = b""
        self._pause(wanted=False)
        if linger:
            self._await(_Awaited.READING, self._deadlines.linger)
        else:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._await(_Awaited.CLOSING, self._deadlines.close)

    def _set_deadline(self) -> None:
        if self._ended:
            return
        stage = self._parser.stage
        if self._deaf:
            self._awaited = None
        elif stage is Stage.BODY:
            self._await(_Awaited.BODY, self._deadlines.body)
        elif stage is not Stage.BETWEEN:
            self._await(_Awaited.HEAD, self._deadlines.head)
        elif self._active is None:
            self._await(_Awaited.REQUEST, self._deadlines.idle)
        else:
            self._awaited = None

    def _await(self, what: _Awaited, seconds: float) -> None:
        """Give the peer so long. A timer that rings early enough is left alone: what is awaited
        changes with every request, and a timer costs more than a look at the clock.
        """
        self._awaited, self._due = what, self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(seconds, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._timer = None
        if self._awaited is None:
            return
        left = PAUSED_SECONDS if self._paused else self._due - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look_at_clock)
            return
        match self._awaited:
            case _Awaited.REQUEST:
                self._end()
            case _Awaited.HEAD | _Awaited.BODY:
                self._refuse(
                    Refusal(ErrorCode.REQUEST_TIMED_OUT, "the request did not arrive in time")
                )
                self._next()
            case _Awaited.READING:
                self._close()
            case _Awaited.CLOSING:
                self.abort()

    def _relieve(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
        if self.congested is not None:
            self.congested.set()
            self.congested = None


def _request_id() -> str:
    milliseconds, random = int(time.time() * 1000), secrets.token_bytes(RANDOM_BYTES)
    return make_id(PREFIXES["request"], milliseconds, random)


def _response(refusal: Refusal, request_id: str, docs: str) -> bytes:
    """What a peer is told that never reached the application."""
    body = encode_error(refusal, request_id, docs=docs)
    headers = (
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"request-id", request_id.encode()),
        *ALWAYS,
    )
    return render_head(STATUS[refusal.code], headers, keep_alive=False) + body
