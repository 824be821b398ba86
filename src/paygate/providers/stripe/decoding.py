"""JSON that Stripe sends, read with patience; pure."""

import json
import re
from typing import Any, Final

import msgspec

_ESCAPES: Final = re.compile(
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\[^u]|\\u(?![dD][89a-fA-F]))"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
"""Whole characters, which stand in the group, and halves of one, which do not."""


def encoded(value: Any) -> bytes:
    """A part of what was read, as a body of its own."""
    return msgspec.json.encode(value)


def decoded(body: bytes) -> Any:
    """The value that is written, even where a strict reader would refuse all for a part.

    A byte order mark, half of a surrogate pair in somebody's name and a number beyond floats are
    no reason to be deaf to the payment that stands beside them. Of a key that is there twice, the
    later value counts, as for Stripe's own client.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        text = body.decode("utf-8-sig")
        return json.loads(_ESCAPES.sub(lambda found: found[1] or r"\ufffd", text))
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
