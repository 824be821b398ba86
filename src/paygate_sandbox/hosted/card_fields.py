"""Card fields for a checkout page: a script for the page, and a frame that takes the number.

The frame is of the provider's own origin, so that the page around it never sees what is typed,
and the API needs no cross-origin answer. Any page may show it. It must never be given a key.
"""

from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

_ASSETS = Path(__file__).parent / "assets"
# The frame may run and load only what lies here, and talk only to its own API.
_FRAME_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors *"
)


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    content_type: str
    policy: str = "default-src 'none'"


_FILES = {
    "/js/sandbox-fields.js": _File("sandbox-fields.js", "text/javascript"),
    "/card-fields": _File("card-fields.html", "text/html", _FRAME_POLICY),
    "/card-fields/card-fields.js": _File("card-fields.js", "text/javascript"),
    "/card-fields/card-fields.css": _File("card-fields.css", "text/css"),
}


class CardFields:
    def __init__(self) -> None:
        self._contents = {path: (_ASSETS / file.name).read_text() for path, file in _FILES.items()}

    def serves(self, request: web.BaseRequest) -> bool:
        return request.method == "GET" and request.path in _FILES

    def respond(self, path: str) -> web.Response:
        file = _FILES[path]
        return web.Response(
            text=self._contents[path],
            content_type=file.content_type,
            headers={
                "Cache-Control": "no-cache",
                "Content-Security-Policy": file.policy,
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            },
        )
