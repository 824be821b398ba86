"""Card data in a PDF's text is found, and other numbers are not taken for any."""

import zlib

import pytest

from paygate.documents.inspect import Documents
from paygate.domain.card_data.search import CardData
from tests.documents.made import jpeg, pdf_saying, png

NUMBER = "4000 0566 5566 5556"
BYTES = NUMBER.encode()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (pdf_saying("Receipt 7", f"Card: {NUMBER}"), CardData.CARD_NUMBER),
        (pdf_saying("Receipt 7", title=f"paid with {NUMBER}"), CardData.CARD_NUMBER),
        (pdf_saying("IBAN DE89 3704 0044 0532 0130 00", pages=3), CardData.IBAN),
        (pdf_saying("Card: **** 5556", "Order 2026-000417", "Tracking 1Z999AA10123456784"), None),
        (pdf_saying("4000", "0566", "5566", "5556"), None),
        (png(), None),
        (png(text=(b"tEXt", b"Comment\0no. " + BYTES)), CardData.CARD_NUMBER),
        (png(text=(b"zTXt", b"Title\0\0" + zlib.compress(BYTES))), CardData.CARD_NUMBER),
        (png(text=(b"iTXt", b"T\0\1\0de\0T\0" + zlib.compress(BYTES))), CardData.CARD_NUMBER),
        (png(text=(b"zTXt", b"Title\0\0" + zlib.compress(b"1" * 10**7))), None),
        (png(text=(b"zTXt", b"Title\0\0not packed")), None),
        (png(text=(b"eXIf", b"II*\0" + NUMBER.encode("utf-16-le"))), CardData.CARD_NUMBER),
        (jpeg(), None),
        (jpeg(comment=b"MM\0*\0\0" + NUMBER.encode("utf-16-be")), CardData.CARD_NUMBER),
        (jpeg(comment=b"card " + BYTES), CardData.CARD_NUMBER),
        (jpeg(behind=b"\0" * 9 + BYTES), CardData.CARD_NUMBER),
        (jpeg(comment=b"2026:11:29 18:29:03\00042317\0Canon EOS 5D"), None),
    ],
    ids=[
        *("text", "title", "IBAN", "nothing", "a column of numbers", "a picture"),
        *("PNG text", "PNG packed", "PNG in UTF-8", "PNG bomb", "PNG spoilt", "PNG EXIF"),
        *("JPEG", "JPEG EXIF", "JPEG comment", "behind a JPEG", "JPEG of a camera"),
    ],
)
async def test_what_is_found_in_a_file(content: bytes, found: CardData | None) -> None:
    document = await Documents().inspect(content)
    assert document.card_data is found


async def test_a_number_on_the_last_of_many_pages_is_found() -> None:
    document = await Documents().inspect(pdf_saying(f"no. {NUMBER}", pages=49))
    assert (document.pages, document.card_data) == (49, CardData.CARD_NUMBER)
