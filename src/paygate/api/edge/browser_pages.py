"""The responses for a payer's browser: a way on, or a page that says nothing.

The page is the same whatever was wrong, has no script, and links nowhere.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

HTML: Final = "text/html; charset=utf-8"

HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"}
)

NOTHING_HERE: Final = (
    b"<!doctype html><html lang=en><meta charset=utf-8>"
    b'<meta name=viewport content="width=device-width"><title>Payment</title>'
    b"<p>This page cannot be shown. Please go back to the shop and look at your order there."
    b"</html>"
)
