"""Counts the pages of one PDF: a process of its own, which is given nothing but the file.

A hostile file may loop, or grow when it is unpacked. This process has its limits of time and memory
from the kernel, and no key, connection or environment that a fault in a parser could reach.
"""

import io
import json
import logging
import os
import resource
import sys
from contextlib import suppress
from typing import Any, Final

MEMORY_BYTES: Final = 768 * 1024 * 1024
"""pypdf unpacks streams of up to 75 MB; ordinary files need a tenth of this."""
CPU_SECONDS: Final = 4
"""A file of 49 pages takes less than one."""
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


def main() -> None:
    """Read the file from standard input, and print what is found as JSON."""
    bound()
    logging.disable()
    sys.stdout.write(json.dumps(count(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main()
