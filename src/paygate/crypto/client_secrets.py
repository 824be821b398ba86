"""The format of client secrets: what lets a customer's browser see and confirm one intent.

`<intent id>_secret_<random>`, as Stripe's are: the page learns the intent's id from it. Nothing
here knows which intents exist, or when a secret stops working.
"""

import re
from collections.abc import Callable
from typing import Final

from paygate.crypto.encoding import base62

RANDOM_LENGTH: Final = 24
"""base62 characters, 142 bits; ASVS 5.0 11.5.1 asks for 128 from a secure generator."""

RANDOM_BYTES: Final = 32
"""Drawn for them. 256 bits taken modulo 62^24 favour no secret by more than 2^-113."""

MAX_INTENT_ID_LENGTH: Final = 64
"""Ours have 29."""

_SEPARATOR: Final = "_secret_"
_INTENT_ID: Final = re.compile(rf"[0-9a-z_]{{1,{MAX_INTENT_ID_LENGTH}}}")
_SHAPE: Final = re.compile(
    rf"([0-9a-z_]{{1,{MAX_INTENT_ID_LENGTH}}}){_SEPARATOR}[0-9A-Za-z]{{{RANDOM_LENGTH}}}"
)


def new_client_secret(intent_id: str, random_bytes: Callable[[int], bytes]) -> str:
    """Make the secret of an intent. `random_bytes` is asked once, for `RANDOM_BYTES`.

    Raises ValueError for an id that is not 1 to 64 characters of 0-9a-z and underscore.
    """
    if _INTENT_ID.fullmatch(intent_id) is None:
        raise ValueError("an intent's id is 1 to 64 characters of 0-9a-z and underscore")
    drawn = random_bytes(RANDOM_BYTES)
    assert len(drawn) == RANDOM_BYTES
    random = base62(int.from_bytes(drawn) % 62**RANDOM_LENGTH, RANDOM_LENGTH)
    return f"{intent_id}{_SEPARATOR}{random}"


def intent_id_in(client_secret: str) -> str | None:
    """Return the intent that a client secret speaks of, or None if it is no client secret.

    Every part of the form has a bound, so hostile input costs no more than a secret does.
    """
    match = _SHAPE.fullmatch(client_secret)
    return None if match is None else match[1]
