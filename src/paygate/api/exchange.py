"""One request and its answer: what the edge knows of it, from the first byte to the last."""

from collections.abc import Mapping
from typing import Any, Final

from paygate.domain.access import Action, Caller, Role
from paygate.domain.errors import ErrorCode, Refusal
from paygate.telemetry.timing import Timing

BODY_LIMIT: Final = 64 * 1024
"""50 metadata pairs of 540 characters are 27 KB; twice that, since UTF-8 may need it."""


class Exchange:
    """Made by the edge for every request; handlers see nothing else of HTTP."""

    __slots__ = (
        "action",
        "address",
        "caller",
        "headers",
        "method",
        "path",
        "query",
        "refusal",
        "repeated",
        "request_id",
        "target",
        "timing",
    )

    def __init__(
        self, request_id: str, headers: Mapping[str, str], address: str | None, timing: Timing
    ) -> None:
        self.request_id = request_id
        self.headers = headers
        """Names are lower-case; of a name that came twice, the last."""
        self.repeated: str | None = None
        """A header that came twice, though it must have one value."""
        self.method = ""
        self.target = ""
        """The path as it was asked for."""
        self.address = address
        self.timing = timing
        self.path: Mapping[str, str] = {}
        """The path's parameters."""
        self.query = ""
        """The query string, as it came."""
        self.action: Action | None = None
        self.caller: Caller | None = None
        self.refusal: Refusal | None = None

    @property
    def known_caller(self) -> Caller:
        """The caller of an endpoint that is behind an API key."""
        assert self.caller is not None, "these routes are behind an API key"
        return self.caller

    @property
    def client_side(self) -> bool:
        """Whether a payer's browser is asking."""
        return self.caller is not None and self.caller.actor.role is Role.PUBLISHABLE


KEY: Final = "paygate.exchange"
"""Where it stands in the ASGI scope."""


def exchange_of(scope: Any) -> Exchange:
    """The exchange that the edge put into the scope."""
    exchange = scope[KEY]
    assert isinstance(exchange, Exchange)
    return exchange


async def read_body(receive: Any, limit: int) -> bytes:
    """The whole body, or the refusal `body_too_large` as soon as it is."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(ErrorCode.PARAMETER_INVALID, "the request ended before its body did")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise Refusal(ErrorCode.BODY_TOO_LARGE, f"the body must not exceed {limit} bytes")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
