"""What a file is by its bytes, and how many pages it has; hostile files cost little."""

import asyncio
import io
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.documents.inspect import AT_ONCE, WAITING_MOST, Busy, Document, Documents
from paygate.documents.kind import DocumentKind, NotTaken, kind_of
from tests.documents.made import jpeg, pdf, png


@pytest.mark.parametrize(
    ("content", "kind", "pages"),
    [
        (pdf(1), DocumentKind.PDF, 1),
        (pdf(49), DocumentKind.PDF, 49),
        (pdf(51), DocumentKind.PDF, 51),
        (pdf(2, size=2_400_000), DocumentKind.PDF, 2),
        (png(), DocumentKind.PNG, 1),
        (jpeg(), DocumentKind.JPEG, 1),
        (jpeg() + b"another picture, as telephones put it there", DocumentKind.JPEG, 1),
    ],
    ids=["one page", "49", "51", "large", "PNG", "JPEG", "JPEG with more"],
)
async def test_what_is_taken(content: bytes, kind: DocumentKind, pages: int) -> None:
    assert await Documents().inspect(content) == Document(kind, pages)


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("a.txt", "a")
    return made.getvalue()


def bomb() -> bytes:
    """A PDF whose objects unpack to a thousand times its size."""
    packed = zlib.compress(b"\0" * 200_000_000, 9)
    stream = b"5 0 obj\n<< /Type /ObjStm /N 1 /First 4 /Filter /FlateDecode /Length %d >>\nstream\n"
    table = zlib.compress(b"\x02" + (5).to_bytes(4) + b"\0" + b"\x01" + (9).to_bytes(4) + b"\0")
    xref = (
        b"6 0 obj\n<< /Type /XRef /W [1 4 1] /Size 2 /Index [1 1 5 1] /Root 1 0 R"
        b" /Filter /FlateDecode /Length %d >>\nstream\n" % len(table)
    )
    body = b"%PDF-1.7\n" + stream % len(packed) + packed + b"\nendstream\nendobj\n"
    return body + xref + table + b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % len(body)


def ring() -> bytes:
    """A PDF whose tree of pages leads back to its root."""
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Count 1/Kids[2 0 R]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    )


def nest() -> bytes:
    """A PDF of brackets in brackets."""
    deep = b"[" * 500_000
    return b"%PDF-1.4\n1 0 obj\n" + deep + b"\nendobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"hello", "unknown type"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100, "HEIC"),
        (b"GIF89a", "GIF"),
        (b"RIFF\0\0\0\0WEBP", "WebP"),
        (archive(), "ZIP"),
        (b"<svg/>", "HTML or XML"),
        (b"\n" + pdf(), "unknown type"),
        (pdf() + archive(), "archive"),
        (png() + archive(), "archive"),
        (png() + b"<script>", "behind its end"),
        (png()[:-4], "incomplete"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "incomplete"),
        (jpeg()[:-2], "incomplete"),
        (b"\xff\xd8\xff", "incomplete"),
        (b"\xff\xd8\xff\xfe\x00\x20" + pdf() + jpeg()[2:], "at once"),
        (pdf(password="x"), "encrypted"),
        (pdf(password=""), "encrypted"),
        (b"%PDF-1.7\nhello", "cannot be read"),
        (pdf(3)[:200], "cannot be read"),
        (pdf(0), "no page"),
        (bomb(), "PDF"),
        (ring(), "PDF"),
        (nest(), "PDF"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_refused_says_why(content: bytes, why: str) -> None:
    with pytest.raises(NotTaken, match=why):
        await Documents().inspect(content)


async def test_only_so_many_wait() -> None:
    """Those beyond are refused at once, and those who come when it is over are served."""
    documents, several = Documents(), AT_ONCE + WAITING_MOST
    looks = [documents.inspect(pdf(1)) for _ in range(several + 3)]
    found = await asyncio.gather(*looks, return_exceptions=True)
    assert found[:several] == [Document(DocumentKind.PDF, 1)] * several
    assert all(isinstance(each, Busy) for each in found[several:])
    assert await documents.inspect(pdf(2)) == Document(DocumentKind.PDF, 2)


FRAME = b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00"


@pytest.mark.parametrize(
    "content",
    [
        FRAME + b"\xff\xda\x00\x02" * 1_240_000,
        FRAME + b"\xff\xe0\x00\x02" * 1_240_000,
        b"\xff\xd8" + b"\xff" * 4_999_998,
        png()[:8] + b"\0\0\0\0IHDR\0\0\0\0" * 416_000,
    ],
    ids=["scans", "segments", "fill", "chunks"],
)
async def test_an_image_of_endless_parts_is_not_walked_to_its_end(content: bytes) -> None:
    """Each scan without an end led to a look through all of the file, on the loop that payments
    wait for: a file of 200 KB held it for twenty seconds.
    """
    with pytest.raises(NotTaken, match="incomplete"):
        await Documents().inspect(content)


@given(st.binary(max_size=200), st.sampled_from([b"%PDF-1.7\n", b"\xff\xd8\xff", png()[:40], b""]))
def test_any_bytes_are_judged(noise: bytes, head: bytes) -> None:
    try:
        kind_of(head + noise)
    except NotTaken:
        return
