"""`Paygate-Actor`: the person or system at the merchant behind a request, for the audit log.

A header is bytes, and a name is text: UTF-8, as it stands or as RFC 8187 writes it for clients
whose headers are ASCII. No other encoding is guessed: in the log a guess would be somebody else.
"""

import re
from typing import Final
from unicodedata import category
from urllib.parse import unquote_to_bytes

from paygate.domain.errors import ErrorCode, Refusal

HEADER: Final = "paygate-actor"
LENGTH: Final = 100
"""The most characters of a name."""
_BYTES: Final = 4 * 3 * LENGTH + 20
"""The most bytes of a header: four a character, three for each byte, and the encoding's prefix."""
_EXTENDED: Final = re.compile(r"UTF-8'[A-Za-z0-9-]*'(.*)", re.IGNORECASE)
_ENCODED: Final = re.compile(r"(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*")
"""RFC 8187, 3.2.1: the characters that stand for themselves, and the rest byte by byte."""
_SPACE: Final = "Zs"
"""Unicode's spaces: one of them separates two names in Japanese."""


def actor_name(header: str) -> str | None:
    """The name that a header has (its bytes as latin-1); None when it is no name."""
    if len(header) > _BYTES:
        return None
    extended = _EXTENDED.fullmatch(header)
    if extended is None:
        written = header.encode("latin-1")
    elif _ENCODED.fullmatch(extended[1]):
        written = unquote_to_bytes(extended[1])
    else:
        return None
    try:
        name = written.decode()
    except UnicodeDecodeError:
        return None
    return name if _is_name(name) else None


def _is_name(text: str) -> bool:
    """1 to 100 printable characters, and not spaces alone."""
    if not (1 <= len(text) <= LENGTH and text.strip()):
        return False
    return text.isprintable() or all(c.isprintable() or category(c) == _SPACE for c in text)


def no_name() -> Refusal:
    """The refusal of a request whose header has no name."""
    return Refusal(
        ErrorCode.PARAMETER_INVALID,
        f"Paygate-Actor must be 1 to {LENGTH} printable characters, in UTF-8 or as RFC 8187 has"
        " it: UTF-8''Zo%C3%AB",
        param="Paygate-Actor",
    )
