"""A text as its reader would see it: ASCII, and out of the codes that it was sent in. Pure.

Every step costs time in proportion to the text, and the number of steps is bounded.
"""

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

CODED: Final = r"(?:[I-O][CDSTijyz][AEIMQUYcgkosw048][g-z0-5]){3}"
"""Base64 of nine characters between a space and 9: by chance once in 10**8 positions."""
OTHER: Final = "\x7f"
"""Stands for a letter of no number: it ends one."""

_LAYERS: Final = 8
"""Codes within codes that are undone: three happen on a way through forms, queues and logs."""
_UNUSUAL: Final = re.compile(r"[^ -~]")
_INVISIBLE: Final = frozenset({"Cf", "Mn", "Me", "Cc", "Cs", "Co", "Cn"})
_BLANK: Final = frozenset("\u115f\u1160")
"""Letters that show nothing, Hangul's fillers; two more are compatibility forms of these."""
_HIGHEST_DIGIT: Final = 9
_ESCAPE: Final = re.compile(r"(?<!\\)\\++(?:(?:u00|x)([0-9A-Fa-f]{2})|[nrt]|u([0-9A-Fa-f]{4}))")
"""From the first of its backslashes on: tried from each of them, a run takes quadratic time."""
_FILL: Final = re.compile(r"&#0+(?=[0-9])")
_NO_CHARACTER: Final = re.compile(r"&#[0-9]{8,}")
"""Beyond Unicode's last; Python makes no integer of a few thousand digits, and says so."""
_CODED_TEXT: Final = re.compile(CODED)
_CODED_WORD: Final = re.compile(r"[A-Za-z0-9+/_-]{12,}")


def layers(text: str) -> Iterator[str]:
    """The text in plain characters, then what is found in it when its codes are undone, one
    after another: percent-encoding, HTML's and JSON's escapes, and base64 of numbers.
    """
    plain = normalise(text)
    for _ in range(_LAYERS):
        yield plain
        decoded = normalise(_unescaped(plain))
        if decoded == plain:
            decoded = OTHER.join(map(normalise, _out_of_base64(plain)))
        if not decoded:
            return
        plain = decoded


def normalise(text: str) -> str:
    """The text in ASCII: every script's digits as such, nothing invisible, and a dash for any
    sign or mark.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNUSUAL.sub(lambda match: _plain_char(match[0]), text)


@lru_cache(maxsize=4096)
def _plain_char(char: str) -> str:
    # Character by character: the compatibility form of a whole text takes quadratic time for
    # combining marks out of order.
    return "".join(map(_plain, unicodedata.normalize("NFKC", char)))


def _plain(char: str) -> str:
    category = unicodedata.category(char)
    value = unicodedata.numeric(char, -1.0)
    if char.isascii() and char.isprintable():
        return char
    if char.isspace():
        return " "
    if category in _INVISIBLE or char in _BLANK:
        return ""
    if 0 <= value <= _HIGHEST_DIGIT and value.is_integer():
        return str(int(value))
    return "-" if category[0] in "PSZ" else OTHER


def _unescaped(text: str) -> str:
    if "%" in text:
        text = unquote(text, errors="ignore")
    if "&" in text:
        text = html.unescape(_NO_CHARACTER.sub(OTHER, _FILL.sub("&#", text)))
    return _ESCAPE.sub(_meant, text) if "\\" in text else text


def _meant(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2]
    return chr(int(code, 16)) if code else " "


def _out_of_base64(text: str) -> Iterator[str]:
    """The texts that were written as base64, where they look like numbers."""
    for word in _CODED_WORD.finditer(text):
        found = _CODED_TEXT.search(word[0])
        if found is None:
            continue
        # From there on in whole groups of four, whatever stood before.
        coded = word[0][found.start() % 4 :].replace("-", "+").replace("_", "/")
        coded = coded[: len(coded) - (len(coded) % 4 == 1)]
        try:
            decoded = base64.b64decode(coded + "=" * (-len(coded) % 4))
        except binascii.Error:
            continue
        yield decoded.decode("latin-1")
