"""JSON that Stripe sends, read with patience; pure."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

_ESCAPES: Final = re.compile(
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\[^u]|\\u(?![dD][89a-fA-F]))"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
"""Whole characters, which stand in the group, and halves of one, which do not."""


def _number(written: str) -> Decimal | float:
    """A number with a fraction or an exponent, as it is written: of a rate each digit counts."""
    try:
        return Decimal(written)
    except InvalidOperation:
        return float(written)  # its exponent alone is longer than anything that is counted


_DECODER: Final = msgspec.json.Decoder(float_hook=_number)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def encoded(value: Any) -> bytes:
    """A part of what was read, as a body of its own."""
    return _ENCODER.encode(value)


def decoded(body: bytes) -> Any:
    """The value that is written, even where a strict reader would refuse all for a part. A number
    is an `int` or a `Decimal`.

    A byte order mark, half of a surrogate pair in somebody's name and a number beyond floats are
    no reason to be deaf to the payment that stands beside them. Of a key that is there twice, the
    later value counts, as for Stripe's own client.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        text = body.decode("utf-8-sig")
        whole = _ESCAPES.sub(lambda found: found[1] or r"\ufffd", text)
        return json.loads(whole, parse_float=_number)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
