"""CORS for the client side: a shop's own pages may read a payment intent, attach and confirm.

Nothing else of the API answers to a page of another origin, and nothing ever goes with cookies:
what the page may do is in the publishable key and the client secret that it sends itself.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

Headers = tuple[tuple[bytes, bytes], ...]

PREFLIGHT_SECONDS: Final = 600
"""How long a browser may keep a preflight's response; Chromium does for two hours at most."""
_ROUTES: Final = {
    "GET": re.compile(r"/payment-intents/[^/]+"),
    "POST": re.compile(r"/payment-intents/[^/]+/(confirm|payment-method)"),
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

    def headers(self, method: str, path: str, headers: Mapping[str, str]) -> Headers:
        """The CORS headers of the response to a request."""
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


def _is_shared(method: str, path: str) -> bool:
    route = _ROUTES.get(method)
    return route is not None and route.fullmatch(path) is not None
