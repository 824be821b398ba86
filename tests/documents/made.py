"""Files as people send them, made by the test."""

import io
import struct
import zlib

from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, StreamObject


def pdf(pages: int = 1, *, size: int = 0, password: str | None = None) -> bytes:
    """A PDF of blank pages, and of about so many bytes."""
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(595, 842)
    if size:
        writer.add_attachment("more.bin", b"x" * size)
    if password is not None:
        writer.encrypt(password, algorithm="AES-256")
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def png(size: int = 0, *, text: tuple[bytes, bytes] | None = None) -> bytes:
    """A PNG image of one pixel, and of about so many bytes; with a chunk of text."""
    pixel = zlib.compress(b"\0\0\0\0")
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        (b"tEXt", b"Comment\0" + b"x" * size),
        *((text,) if text else ()),
        (b"IDAT", pixel),
        (b"IEND", b""),
    )
    made = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        check = struct.pack(">I", zlib.crc32(name + data))
        made += struct.pack(">I", len(data)) + name + data + check
    return made


def jpeg(size: int = 0, *, comment: bytes = b"", behind: bytes = b"") -> bytes:
    """The segments of a JPEG image, and about so many bytes of picture; what is behind its end."""
    app0 = b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    frame = b"\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00"
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    note = b"\xff\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment
    return b"\xff\xd8" + app0 + note + frame + scan + b"\x7f" * (size + 1) + b"\xff\xd9" + behind


def pdf_saying(*lines: str, title: str = "", pages: int = 1) -> bytes:
    """A PDF whose pages each have these lines of text."""
    writer = PdfWriter()
    shown = " ".join(f"0 -20 Td ({line}) Tj" for line in lines)
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for _ in range(pages):
        page = writer.add_blank_page(595, 842)
        content = StreamObject()
        content.set_data(f"BT /F1 12 Tf 72 800 Td {shown} ET".encode())
        page[NameObject("/Contents")] = content
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    if title:
        writer.add_metadata({"/Title": title})
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()
