"""What a file is, and how many pages it has: the type by its bytes, a PDF's pages by a process that
is bounded in time and memory.
"""

import asyncio
import sys
from typing import Final, NamedTuple

import msgspec

from paygate.documents.kind import DocumentKind, NotTaken, kind_of
from paygate.documents.picture_text import card_data_in
from paygate.domain.card_data.search import CardData

WITHIN_SECONDS: Final = 15.0
"""On a busy machine as well; the process has 4 seconds of the processor, and 0.3 are ordinary."""
AT_ONCE: Final = 2
"""Processes: evidence is sent a few times a day, and payments must not wait for it."""
WAITING_MOST: Final = 6
"""Hostile files before it hold a file up for three times what one of them takes: some 12 seconds,
less than who sent it waits for an answer. Each holds up to 5 MB."""
_COMMAND: Final = ("-I", "-m", "paygate.documents.count_pages")
"""Isolated: it takes nothing from its environment or its folder."""


class Busy(Exception):
    """So many files wait already that another one would wait for too long."""


class _Counted(msgspec.Struct, frozen=True):
    """What the process prints."""

    pages: int | None = None
    refused: str | None = None
    card_data: CardData | None = None


class Document(NamedTuple):
    """A file that can be evidence. An image is a page."""

    kind: DocumentKind
    pages: int
    card_data: CardData | None = None
    """What was found in its text. What a picture shows is not read."""


class Documents:
    """Looks at files, a few at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._inside = 0
        """Files that are looked at, or wait for it."""

    async def inspect(self, content: bytes) -> Document:
        """What a file is.

        Raises:
            NotTaken: why it cannot be evidence.
            Busy: nobody has looked at it.
        """
        kind = kind_of(content)
        if kind is not DocumentKind.PDF:
            return Document(kind, 1, await asyncio.to_thread(card_data_in, kind, content))
        if self._inside >= AT_ONCE + WAITING_MOST:
            raise Busy
        self._inside += 1
        try:
            async with self._turn:
                counted = await _counted(content)
        finally:
            self._inside -= 1
        if counted.pages is None:
            raise NotTaken(counted.refused or "the PDF cannot be read")
        return Document(kind, counted.pages, counted.card_data)


async def _counted(content: bytes) -> _Counted:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *_COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
    )
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            said, _ = await process.communicate(content)
    except TimeoutError:
        said = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    counted, _, looked = said.partition(b"\n")
    try:
        first = msgspec.json.decode(counted, type=_Counted)
    except msgspec.MsgspecError:  # it was ended by its limits
        raise NotTaken("the PDF takes too long or too much memory to read") from None
    try:
        found = msgspec.json.decode(looked, type=_Counted).card_data
    except msgspec.MsgspecError:  # so it was while it read the text
        return first
    return msgspec.structs.replace(first, card_data=found)
