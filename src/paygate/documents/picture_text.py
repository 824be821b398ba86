"""The text that a picture's file has beside the picture: titles, comments, what cameras write down,
and what stands behind a JPEG's end. What the picture itself shows is not read.
"""

import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Final

from paygate.documents.kind import DocumentKind
from paygate.domain.card_data.search import CardData, find

PIECES_MOST: Final = 20_000
"""A camera writes some hundred."""
PIECE_BYTES: Final = 4096
_MARKER, _SCAN = 0xFF, b"\xda"
UNPACKED_MOST: Final = 256 * 1024
"""Of one compressed text: a zip bomb's first part."""
_PIECE: Final = re.compile(rb"[^\x00-\x1f\x7f]{13,%d}" % PIECE_BYTES)
"""No shorter text has a card number; a line ends it, and so does the end of a field."""
_WIDE: Final = re.compile(rb"(?:[ -~]\0){13,%d}|(?:\0[ -~]){13,%d}" % (PIECE_BYTES, PIECE_BYTES))
"""UTF-16, as EXIF has comments."""


def card_data_in(kind: DocumentKind, content: bytes) -> CardData | None:
    """What the texts of a picture hold, of a file that `kind_of` took."""
    parts = _of_png(content) if kind is DocumentKind.PNG else _of_jpeg(content)
    texts = (text for part in parts for text in _texts(part))
    return next(filter(None, map(find, islice(texts, PIECES_MOST))), None)


def _texts(part: bytes) -> Iterator[str]:
    for piece in _PIECE.finditer(part):
        yield piece[0].decode(errors="replace")
    for piece in _WIDE.finditer(part):
        yield piece[0].replace(b"\0", b"").decode()


def _of_png(content: bytes) -> Iterator[bytes]:
    at = 8
    while at < len(content):
        length, name = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        data = content[at + 8 : at + 8 + length]
        at += 12 + length
        if name != b"IDAT":
            yield data
        if name in {b"zTXt", b"iTXt"}:
            yield _unpacked(name, data)


def _of_jpeg(content: bytes) -> Iterator[bytes]:
    """The segments before the picture, and all behind its first end."""
    at = 2
    while content[at + 1 : at + 2] != _SCAN:
        length = int.from_bytes(content[at + 2 : at + 4]) if content[at + 1] != _MARKER else -1
        yield content[at + 4 : at + 2 + length]
        at += 2 + max(length, 2) if length >= 0 else 1
    yield content[content.find(b"\xff\xd9", at) + 2 :]


def _unpacked(name: bytes, data: bytes) -> bytes:
    """The compressed text of such a part, if it is one (https://www.w3.org/TR/png-3/#11textinfo)."""
    _, _, packed = data.partition(b"\0")
    if name == b"iTXt":
        _, _, packed = packed[2:].partition(b"\0")
        _, _, packed = packed.partition(b"\0")
    else:
        packed = packed[1:]
    try:
        return zlib.decompressobj().decompress(packed, UNPACKED_MOST)
    except zlib.error:
        return b""
