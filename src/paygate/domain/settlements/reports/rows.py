"""The rows of a CSV file that comes in pieces, each with the physical line that it begins on.

A row may span lines, for a quoted cell may hold line breaks. Pieces are cut anywhere, so a row that
is not all there yet is begun anew with the next piece.
"""

import codecs
import csv
import io
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

MOST_LINE_CHARACTERS: Final = 64 * 1024
"""Of one physical line. A report with seventy columns has some two thousand."""
MOST_ROW_LINES: Final = 1_000
"""Physical lines of one row: a quote that is never closed swallows no more."""

BLOCK_LINES: Final = 1000

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BOM_BYTES: Final = 3


class ReportUnreadable(Exception):
    """The file as a whole is no such report; the message says why, and quotes no cell of it."""


class Share(NamedTuple):
    """Which rows one of several readers of a file works on: by blocks of physical lines, so that
    the shares are alike however the file is cut into pieces.
    """

    place: int = 0
    of: int = 1


ALL: Final = Share()


class Row(NamedTuple):
    """A row's cells, and its first physical line, from 1."""

    line: int
    cells: list[str]


class BrokenRow(NamedTuple):
    """A row that is none, and why. The lines after its first are read as rows of their own."""

    line: int
    why: str


class _Starved(Exception):
    """The row goes on in a piece that is not there yet."""


class RowReader:
    """Takes a file in piece by piece. The encoding is known by its mark, or by the zero bytes of
    UTF-16; else it is UTF-8, and bytes that are none become U+FFFD, which is refused where it is
    read.
    """

    def __init__(self, separator: str = ",") -> None:
        self._separator = separator
        self.share = ALL
        """Rows that begin on other lines are passed over."""
        self._decoder: codecs.IncrementalDecoder | None = None
        self._head = b""
        self._tail = ""
        """Text after the last line break."""
        self._lines: deque[str] = deque()
        self._taken: list[str] = []
        """Lines of the row under way."""
        self._line = 1
        """The first physical line of the row under way."""
        self._ended = False
        self._reader = self._new_reader()

    def feed(self, piece: bytes) -> Iterator[Row | BrokenRow]:
        """The rows that are complete with these bytes. Read them all before the next piece.

        Raises:
            ReportUnreadable: it has no lines as CSV has them.
        """
        self._take(self._decoded(piece))
        return self._rows()

    def end(self) -> Iterator[Row | BrokenRow]:
        """The rest: the last row need not end with a line break."""
        text = "" if self._decoder is None and not self._head else self._decoded(b"", final=True)
        self._take(text, final=True)
        self._ended = True
        return self._rows()

    def _decoded(self, piece: bytes, *, final: bool = False) -> str:
        if self._decoder is None:
            self._head += piece
            if len(self._head) <= _BOM_BYTES and not final:
                return ""
            encoding, mark = _encoding_of(self._head)
            self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
            piece, self._head = self._head[mark:], b""
        return self._decoder.decode(piece, final)

    def _take(self, text: str, *, final: bool = False) -> None:
        """Cut into physical lines, each with its break: CR, LF or both."""
        text = self._tail + text
        self._tail = ""
        if not final and text:
            # A CR at the end may be the first half of a break.
            cut = max(text.rfind("\n"), text.rfind("\r", 0, -1)) + 1
            text, self._tail = text[:cut], text[cut:]
            if len(self._tail) > MOST_LINE_CHARACTERS:
                raise ReportUnreadable(f"a line has over {MOST_LINE_CHARACTERS} characters: no CSV")
        if text:
            self._lines.extend(io.StringIO(text, newline=""))

    def _new_reader(self) -> Iterator[list[str]]:
        return csv.reader(self._pulled(), delimiter=self._separator, strict=True)

    def _pulled(self) -> Iterator[str]:
        """Physical lines, for the CSV reader; a new one is made when this one has been ended."""
        while True:
            if not self._lines:
                if self._ended:
                    return
                raise _Starved
            line = self._lines.popleft()
            self._taken.append(line)
            if len(self._taken) > MOST_ROW_LINES:
                raise csv.Error
            yield line

    def _rows(self) -> Iterator[Row | BrokenRow]:
        lines, separator = self._lines, self._separator
        while lines:
            line, number = lines[0], self._line
            if '"' not in line:  # most lines of most reports, and far cheaper so
                lines.popleft()
                self._line = number + 1
                if self._is_mine(number) and (text := line.rstrip("\r\n")):
                    yield Row(number, text.split(separator))
                continue
            try:
                cells = next(self._reader, [])
            except _Starved:
                self._put_back(0)
                return
            except csv.Error:
                if self._is_mine(number):
                    yield BrokenRow(number, "not CSV: a quote is never closed, or is out of place")
                self._put_back(1)
                continue
            self._line += len(self._taken)
            self._taken.clear()
            if self._is_mine(number):
                yield Row(number, cells)

    def _is_mine(self, line: int) -> bool:
        share = self.share
        return line // BLOCK_LINES % share.of == share.place

    def _put_back(self, first: int) -> None:
        """Put back the lines of the row under way, but for so many of the first."""
        self._lines.extendleft(reversed(self._taken[first:]))
        self._line += first
        self._taken.clear()
        self._reader = self._new_reader()


def _encoding_of(head: bytes) -> tuple[str, int]:
    """The encoding, and how many bytes of mark stand before the text."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    if len(head) > 1 and head[1] == 0 and head[0] != 0:
        return "utf-16-le", 0
    if len(head) > 1 and head[0] == 0 and head[1] != 0:
        return "utf-16-be", 0
    return "utf-8", 0
