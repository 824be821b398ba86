"""One line of the log per request, at the price of two microseconds.

The lines bypass structlog, whose processors cost ten times as much as all else that is done for a
line, and are written together. They never make a request wait: where nobody reads the log, lines
are dropped and counted. No line has anything that a stranger wrote: of a path the route's template,
of a key its id.
"""

import asyncio
import contextlib
import os
import select
from datetime import UTC, datetime
from typing import Final

import msgspec

from paygate.telemetry import log

FLUSH_SECONDS: Final = 0.05
"""How long a line may wait for others to be written with."""
CHUNK_BYTES: Final = 4096
"""What a pipe that `poll` calls writable takes whole and without a wait (Linux's PIPE_BUF)."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_FAULT: Final = 500
_COLOURS: Final = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31m"}
_PLAIN: Final = "\x1b[0m"


class RequestLine(msgspec.Struct, frozen=True, tag_field="event", tag="request"):
    """What the log says of a request; its fields are keys of `telemetry.log`."""

    level: str
    timestamp: datetime
    method: str
    route: str | None
    """The template of its path; None where there is no such path."""
    status: int
    code: str | None
    """Why it was refused."""
    duration_ms: float
    request_id: str
    caller: str | None
    """The id of the API key, never the key."""


class RequestLog:
    """The lines of one process, on a file descriptor."""

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._text = _readable if os.isatty(fd) else msgspec.json.Encoder().encode
        self._room = select.poll()
        self._room.register(fd, select.POLLOUT)
        self._held = bytearray()
        self._lines = 0
        """Of `_held`."""
        self._dropped = 0
        self._flushing: asyncio.TimerHandle | None = None

    def write(
        self,
        method: str,
        route: str | None,
        status: int,
        code: str | None,
        duration_ms: float,
        request_id: str,
        caller: str | None,
    ) -> None:
        """Have a line written soon."""
        level = "info" if status < _SERVER_FAULT else "error"
        known = method if method in _METHODS else "other"
        now = datetime.now(UTC)
        line = self._text(
            RequestLine(level, now, known, route, status, code, duration_ms, request_id, caller)
        )
        if len(self._held) + len(line) >= CHUNK_BYTES:
            self.flush()
        self._held += line
        self._held += b"\n"
        self._lines += 1
        if self._flushing is None:
            loop = asyncio.get_running_loop()
            self._flushing = loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what there is, or drop it when nobody takes it."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if not self._lines:
            return
        if self._room.poll(0) == [(self._fd, select.POLLOUT)]:
            with contextlib.suppress(OSError):
                os.write(self._fd, self._held)
            if self._dropped:
                log.logger().warning("log_lines_dropped", counted=self._dropped)
                self._dropped = 0
        else:
            self._dropped += self._lines
        self._held.clear()
        self._lines = 0


def _readable(line: RequestLine) -> bytes:
    """For a person at a terminal."""
    colour = "" if os.environ.get("NO_COLOR") else _COLOURS.get(line.status // 100, "")
    plain = _PLAIN if colour else ""
    words = (
        f"{line.timestamp:%H:%M:%S}",
        f"{line.method:<7}",
        line.route or "(no such path)",
        f"{colour}{line.status}{plain}",
        line.code,
        f"{line.duration_ms:.1f} ms",
        line.request_id,
        line.caller,
    )
    return " ".join(filter(None, words)).encode()
