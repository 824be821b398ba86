"""The format of API keys: make one, take one apart. Nothing here knows which keys exist.

`pgw_{live|test}_{sk|pk}_<id>_<random>_<check>`, after GitHub's token format of 2021: a prefix
that secret scanners know, underscores and base62 so that a double click takes the whole, and a
checksum so that junk is refused without asking the database. The checksum is no secret and
proves nothing; the keyed hash in `credentials` does.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from paygate.crypto.encoding import base62
from paygate.crypto.secret import Secret

RANDOM_LENGTH: Final = 32
"""base62 characters, 190 bits: beyond guessing, so no slow hash is needed on every request."""

RANDOM_BYTES: Final = 40
"""Drawn for them. 320 bits taken modulo 62^32 favour no key by more than 2^-129."""

KEY_ID_PREFIX: Final = "key_"
KEY_ID_BODY_LENGTH: Final = 26
CHECK_LENGTH: Final = 6
"""base62 characters of a CRC32 (62^6 > 2^32). A CRC32 finds every change within 32 bits."""

API_KEY_LENGTH: Final = len("pgw_test_sk_") + KEY_ID_BODY_LENGTH + 1 + RANDOM_LENGTH + 1 + 6

_HINT_LENGTH: Final = 4
_BODY: Final = re.compile(rf"[0-9a-z]{{{KEY_ID_BODY_LENGTH}}}")
_SHAPE: Final = re.compile(
    rf"pgw_(live|test)_(sk|pk)_([0-9a-z]{{{KEY_ID_BODY_LENGTH}}})"
    rf"_([0-9A-Za-z]{{{RANDOM_LENGTH}}})_([0-9A-Za-z]{{{CHECK_LENGTH}}})"
)


class KeyMode(StrEnum):
    """Whether a key moves real money."""

    LIVE = "live"
    TEST = "test"


class KeySide(StrEnum):
    """Whether a key may be shown to browsers."""

    SECRET = "sk"  # noqa: S105  a word in the format, not a password
    PUBLISHABLE = "pk"


class ApiKeyFormatError(Exception):
    """A text is no API key. The message never holds it: it may be a key with a slip."""


@dataclass(frozen=True, slots=True, eq=False)
class NewApiKey:
    """A key just made. `key` is shown once; the rest may be kept and shown."""

    key: Secret
    """The whole text."""
    key_id: str
    hint: str
    """`pgw_test_sk_..k3Fq`: the last four characters are those a person sees at the end of
    theirs; they are the checksum's, and tell at most 24 of the key's 190 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class ParsedApiKey:
    """A well-formed key. Whether it exists, `credentials` decides."""

    mode: KeyMode
    side: KeySide
    key_id: str
    secret: Secret
    """The random part."""


def new_api_key(
    mode: KeyMode, side: KeySide, key_id: str, random_bytes: Callable[[int], bytes]
) -> NewApiKey:
    """Make the key whose object is `key_id` (`key_` and 26 of 0-9a-z).

    `random_bytes` is asked once, for `RANDOM_BYTES`; give it `secrets.token_bytes`, or a seeded
    source where a world is replayed. Raises ValueError for an id of another form.
    """
    body = key_id.removeprefix(KEY_ID_PREFIX)
    if not key_id.startswith(KEY_ID_PREFIX) or _BODY.fullmatch(body) is None:
        raise ValueError("an API key's id is key_ and 26 characters of 0-9a-z")
    drawn = random_bytes(RANDOM_BYTES)
    assert len(drawn) == RANDOM_BYTES
    random = base62(int.from_bytes(drawn) % 62**RANDOM_LENGTH, RANDOM_LENGTH)
    start = f"pgw_{mode.value}_{side.value}_"
    head = f"{start}{body}_{random}"
    text = f"{head}_{_check(head)}"
    assert len(text) == API_KEY_LENGTH
    return NewApiKey(Secret(text), key_id, f"{start}..{text[-_HINT_LENGTH:]}")


def parse_api_key(text: str) -> ParsedApiKey:
    """Take a key apart, or raise ApiKeyFormatError.

    The length is judged first, so hostile input costs no more than a key does.
    """
    if len(text) != API_KEY_LENGTH:
        raise ApiKeyFormatError(f"an API key has {API_KEY_LENGTH} characters")
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ApiKeyFormatError("this is not the form of an API key")
    mode, side, body, random, check = match.groups()
    if check != _check(text[: -CHECK_LENGTH - 1]):
        raise ApiKeyFormatError("the API key was mistyped or cut: its checksum is wrong")
    return ParsedApiKey(KeyMode(mode), KeySide(side), KEY_ID_PREFIX + body, Secret(random))


def _check(head: str) -> str:
    return base62(zlib.crc32(head.encode("ascii")), CHECK_LENGTH)
