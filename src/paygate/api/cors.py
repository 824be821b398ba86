"""CORS for the client side: a shop's own pages may read and confirm a payment intent.

Nothing else of the API answers to a page of another origin, and nothing ever goes with cookies:
what the page may do is in the publishable key and the client secret that it sends itself.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

Headers = tuple[tuple[bytes, bytes], ...]

PREFLIGHT_SECONDS: Final = 600
"""How long a browser need not ask again. Chromium keeps it for two hours at most."""
_ROUTES: Final = {
    "GET": re.compile(r"/payment-intents/[^/]+"),
    "POST": re.compile(r"/payment-intents/[^/]+/confirm"),
}
_ASKED: Final = "access-control-request-method"
_TAKEN: Final = (
    "Authorization, Content-Type, Idempotency-Key, Paygate-Client-Secret, Paygate-Session"
)
_SHOWN: Final = "Request-Id, Idempotent-Replayed, Retry-After"
_VARY: Final = (b"vary", b"Origin")


class Cors:
    """The origins of this installation's shops; with none there is no CORS at all."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def is_preflight(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Whether an allowed origin asks what it may send to a route of the client side."""
        return (
            method == "OPTIONS"
            and headers.get("origin") in self._origins
            and _is_shared(headers.get(_ASKED, ""), path)
        )

    def headers(self, method: str, path: str, headers: Mapping[str, str]) -> Headers:
        """What the answer to a request says of this, whatever else it says."""
        if not self._origins:
            return ()
        preflight = method == "OPTIONS"
        asked = headers.get(_ASKED, "") if preflight else method
        if not _is_shared(asked, path):
            return ()
        origin = headers.get("origin")
        if origin not in self._origins:
            return (_VARY,)
        allowed = (b"access-control-allow-origin", origin.encode())
        if not preflight:
            return (_VARY, allowed, (b"access-control-expose-headers", _SHOWN.encode()))
        return (
            _VARY,
            allowed,
            (b"access-control-allow-methods", asked.encode()),
            (b"access-control-allow-headers", _TAKEN.encode()),
            (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode()),
        )


def preflight_answer() -> tuple[Any, Any]:
    """The ASGI messages of an answer that is all in its headers."""
    return (
        {"type": "http.response.start", "status": 204, "headers": []},
        {"type": "http.response.body", "body": b""},
    )


def _is_shared(method: str, path: str) -> bool:
    route = _ROUTES.get(method)
    return route is not None and route.fullmatch(path) is not None
