"""What a file is, by its bytes: neither its name nor the type that it was sent with count.

A file that reads as one type from its beginning and as another from elsewhere is refused: whoever
looks at it later must see what was looked at here.
"""

import struct
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class DocumentKind(StrEnum):
    """The types that a provider takes as evidence."""

    PDF = "application/pdf"
    JPEG = "image/jpeg"
    PNG = "image/png"


EXTENSIONS: Final[Mapping[DocumentKind, str]] = MappingProxyType(
    {DocumentKind.PDF: "pdf", DocumentKind.JPEG: "jpg", DocumentKind.PNG: "png"}
)

_PDF: Final = b"%PDF-"
_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PDF_WITHIN: Final = 1024
"""Readers look so far into a file for the beginning of a PDF (ISO 32000-1, annex H.3)."""
_ZIP_END: Final = b"PK\x05\x06"
_ZIP_WITHIN: Final = 65_557
"""The end of a ZIP archive lies so near to the end of its file, whatever the file begins as."""
_PNG_HEAD: Final = struct.Struct(">I4s")
_PNG_CRC_BYTES: Final = 4
_MARKER: Final = 0xFF
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The JPEG markers of a picture's dimensions."""
_SCAN: Final = 0xDA
_JPEG_END: Final = b"\xff\xd9"
_STEPS_MOST: Final = 10_000
"""Chunks or segments of an image that are walked, on the loop that payments wait for: a picture of
5 MB has some hundreds."""
_HEIF: Final = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif"})
_OTHERS: Final[Mapping[bytes, str]] = MappingProxyType(
    {
        b"GIF8": "a GIF image",
        b"RIFF": "a WebP image, or sound",
        b"II*\0": "a TIFF image",
        b"MM\0*": "a TIFF image",
        b"PK\x03\x04": "a ZIP archive or an Office document",
        b"\xd0\xcf\x11\xe0": "an Office document",
        b"BM": "a BMP image",
        b"<": "HTML or XML",
    }
)


class NotTaken(Exception):
    """The file cannot be evidence; the message says why, for the person who sent it."""


def kind_of(content: bytes) -> DocumentKind:
    """The type of a file.

    Raises:
        NotTaken: it is empty, of another type, incomplete, or of two types at once.
    """
    if not content:
        raise NotTaken("the file is empty")
    kind = _begins_as(content)
    if kind is not DocumentKind.PDF and _PDF in content[:_PDF_WITHIN]:
        raise NotTaken("the file is an image and a PDF at once")
    if _ZIP_END in content[-_ZIP_WITHIN:]:
        raise NotTaken("the file has an archive at its end")
    match kind:
        case DocumentKind.PNG:
            _check_png(content)
        case DocumentKind.JPEG:
            _check_jpeg(content)
        case DocumentKind.PDF:
            pass  # its pages are counted, which reads all of it
    return kind


def _begins_as(content: bytes) -> DocumentKind:
    if content.startswith(_PDF):
        return DocumentKind.PDF
    if content.startswith(_JPEG):
        return DocumentKind.JPEG
    if content.startswith(_PNG):
        return DocumentKind.PNG
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF:
        raise NotTaken("the file is a HEIC or AVIF image: send it as JPEG, PNG or PDF")
    known = next((name for magic, name in _OTHERS.items() if content.startswith(magic)), None)
    raise NotTaken(f"the file is {known or 'of an unknown type'}: send a PDF, JPEG or PNG")


def _check_png(content: bytes) -> None:
    """Walk a PNG's chunks: they must lead from its header to its end, and that is the file's end.

    Raises:
        NotTaken: they do not (https://www.w3.org/TR/png-3/#5Chunk-layout).
    """
    at, first = len(_PNG), True
    for _ in range(_STEPS_MOST):
        if at + _PNG_HEAD.size > len(content):
            break
        length, name = _PNG_HEAD.unpack_from(content, at)
        if first and name != b"IHDR":
            break
        first = False
        at += _PNG_HEAD.size + length + _PNG_CRC_BYTES
        if name == b"IEND" and at < len(content):
            raise NotTaken("the PNG image has more bytes behind its end")
        if name == b"IEND" and at == len(content):
            return
    raise NotTaken("the PNG image is incomplete or damaged")


def _check_jpeg(content: bytes) -> None:
    """Walk a JPEG's segments up to its picture, which must have an end. Cameras put more behind it.

    Raises:
        NotTaken: it is incomplete (ITU T.81, annex B).
    """
    at, framed = 2, False
    for _ in range(_STEPS_MOST):
        if at + 4 > len(content) or content[at] != _MARKER:
            break
        marker = content[at + 1]
        if marker == _MARKER:  # one more of them says nothing
            at += 1
            continue
        framed = framed or marker in _FRAMES
        at += 2 + max(int.from_bytes(content[at + 2 : at + 4]), 2)
        if marker == _SCAN and framed:
            if content.find(_JPEG_END, at) != -1:
                return
            break  # no later scan has an end either, and each look reads all that is left
    raise NotTaken("the JPEG image is incomplete or damaged")
