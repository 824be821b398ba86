"""Counts the pages of one PDF and looks for card data in its text: a process of its own, which is
given nothing but the file.

A hostile file may loop, or grow when it is unpacked. This process has its limits of time and memory
from the kernel, and no key, connection or environment that a fault in a parser could reach.
"""

import io
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

MEMORY_BYTES: Final = 768 * 1024 * 1024
"""pypdf unpacks streams of up to 75 MB; ordinary files need a tenth of this."""
CPU_SECONDS: Final = 4
"""A file of 49 pages takes less than one."""
TEXT_CPU_SECONDS: Final = 2.0
"""An ordinary page takes 20 ms to read."""
TEXT_SECONDS: Final = 6.0
"""Less than whoever started this waits."""
FILES: Final = 32
_LIMITS: Final = (
    (resource.RLIMIT_AS, MEMORY_BYTES),
    (resource.RLIMIT_CPU, CPU_SECONDS),
    (resource.RLIMIT_FSIZE, 0),
    (resource.RLIMIT_NOFILE, FILES),
    (resource.RLIMIT_CORE, 0),
)


def bound() -> None:
    """Take the limits on. A system that has one of them not still has the others."""
    os.nice(10)  # payments come first
    for limit, most in _LIMITS:
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))


def count(content: bytes) -> dict[str, Any]:
    """`pages`, or `refused`: why the file is not taken."""
    from pypdf import PdfReader  # noqa: PLC0415 -- under the limits

    try:
        reader = PdfReader(io.BytesIO(content), strict=False)
        if reader.is_encrypted:
            return {"refused": "the PDF is encrypted: save it without a password"}
        pages = len(reader.pages)
    except MemoryError:
        return {"refused": "the PDF is too large when it is unpacked"}
    except Exception:  # noqa: BLE001 -- whatever a parser raises of a file, it is the file's fault
        return {"refused": "the PDF cannot be read: save it anew"}
    return {"pages": pages} if pages else {"refused": "the PDF has no page"}


def card_data(content: bytes) -> str | None:
    """What its text, forms and properties hold of card data, as far as there is time to look: of a
    number in a picture there is no text.
    """
    from pypdf import PdfReader  # noqa: PLC0415 -- under the limits

    from paygate.domain.card_data.search import find  # noqa: PLC0415 -- the same

    reader = PdfReader(io.BytesIO(content), strict=False)
    ends, cpu_ends = time.monotonic() + TEXT_SECONDS, time.process_time() + TEXT_CPU_SECONDS
    for text in _texts(reader):
        # Line by line: numbers below each other in a table are no card's.
        found = next(filter(None, map(find, text.splitlines())), None)
        if found is not None:
            return found
        if time.monotonic() > ends or time.process_time() > cpu_ends:
            break
    return None


def _texts(reader: Any) -> Iterator[str]:
    with suppress(Exception):  # a broken part hides no other
        yield from map(str, (reader.metadata or {}).values())
    with suppress(Exception):
        yield from (str(field.get("/V", "")) for field in (reader.get_fields() or {}).values())
    for page in reader.pages:
        text = ""
        with suppress(Exception):
            text = page.extract_text()
        yield text


def main() -> None:
    """Read the file from standard input, and print as JSON its pages, then on a line of its own
    whether it holds card data: should the limits end this, the pages are known.
    """
    bound()
    logging.disable()
    content = sys.stdin.buffer.read()
    counted = count(content)
    sys.stdout.write(json.dumps(counted) + "\n")
    sys.stdout.flush()
    if "pages" in counted:
        with suppress(Exception):
            sys.stdout.write(json.dumps({"card_data": card_data(content)}) + "\n")


if __name__ == "__main__":
    main()
