"""What a report's format says: its columns, and how a line is read from their cells.

A column is known by its header alone, never by its place: providers add columns, and leave out
those that a month had no use for.
"""

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from paygate.domain.card_data.search import find
from paygate.domain.settlements.outcome import Line
from paygate.domain.settlements.reports.rows import (
    ALL,
    BrokenRow,
    ReportUnreadable,
    Row,
    RowReader,
    Share,
)

PREAMBLE_ROWS: Final = 50
"""Rows above the header: titles, the account's name, the span of time."""
_SHOWN: Final = 80
"""Names of columns that a refusal lists; the widest report that is known has 69."""
_SHOWN_LENGTH: Final = 64


class BadLine(Exception):
    """A line that cannot be read; the message names the column, and quotes no cell."""


class Column(NamedTuple):
    """A column that a format reads: under one of these headers, the first that is there."""

    headers: tuple[str, ...]
    required: bool = False


class Layout(msgspec.Struct, frozen=True):
    """A format. `read` is given the cells of `columns`, in their order and without space around
    them; a column that the file does not have is an empty cell.
    """

    columns: tuple[Column, ...]
    read: Callable[[Sequence[str]], Line]
    """Raises `BadLine`."""
    payout_of: Callable[[Sequence[str]], str]
    """The payout that a line names, though it may not be readable otherwise; or nothing."""
    separator: str = ","


class Cells(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """A line of a report, of which only the cells that the format reads are kept: no name, address
    or other text of a payer goes on from here.
    """

    line: int
    cells: tuple[str, ...]


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A line that cannot be read: its first physical line, and why."""

    line: int
    message: str


class CellReader:
    """Takes a report in piece by piece: finds its header, and keeps what its format reads."""

    def __init__(self, layout: Layout, share: Share = ALL) -> None:
        """`share` is that of the lines; the header is looked for by every reader."""
        self._layout = layout
        self._share = share
        self._rows = RowReader(layout.separator)
        self._found = False
        self._chosen: Callable[[Sequence[str]], tuple[str, ...]] = tuple
        self._width = 0
        self._seen = 0
        self._fullest: list[str] = []
        """The row that is most like a header, of those before one was found."""
        self.lines = 0
        """Lines read so far, refused ones too."""

    def feed(self, piece: bytes) -> list[Cells | Refused]:
        """The lines that are complete with these bytes.

        Raises:
            ReportUnreadable: a column is missing or there twice, or it is no CSV.
        """
        return self._lines_of(self._rows.feed(piece))

    def end(self) -> list[Cells | Refused]:
        """The rest of the lines.

        Raises:
            ReportUnreadable: the same; or there was no line at all, which is no empty report but a
                file that was cut or is another one.
        """
        rest = self._lines_of(self._rows.end())
        if not self._found:
            raise self._no_header()
        if not self.lines and self._share == ALL:
            raise ReportUnreadable("the file has a header and no line below it")
        return rest

    def _lines_of(self, rows: Iterator[Row | BrokenRow]) -> list[Cells | Refused]:
        found: list[Cells | Refused] = []
        for row in rows:
            if not self._found:
                self._look_for_header(row)
            elif isinstance(row, BrokenRow):
                found.append(Refused(row.line, row.why))
            elif any(row.cells):
                found.append(self._kept(row))
        self.lines += len(found)
        return found

    def _kept(self, row: Row) -> Cells | Refused:
        cells = row.cells
        if len(cells) != self._width:
            return Refused(row.line, f"{len(cells)} cells, where the header has {self._width}")
        cells.append("")  # for columns that the file does not have
        return Cells(row.line, tuple(map(str.strip, self._chosen(cells))))

    def _look_for_header(self, row: Row | BrokenRow) -> None:
        self._seen += 1
        if isinstance(row, Row):
            names = [cell.strip() for cell in row.cells]
            known = {header for column in self._layout.columns for header in column.headers}
            likely = (self._fullest or names, names)
            self._fullest = max(likely, key=lambda row: len(known.intersection(row)))
            if all(known_in(column, names) for column in self._layout.columns if column.required):
                places = [self._place(column, names) for column in self._layout.columns]
                self._chosen = itemgetter(*(len(names) if at is None else at for at in places))
                self._found = True
                self._rows.share = self._share
                self._width = len(names)
                return
        if self._seen > PREAMBLE_ROWS:
            raise self._no_header()

    def _place(self, column: Column, names: Sequence[str]) -> int | None:
        header = next((each for each in column.headers if each in names), None)
        if header is None:
            return None
        if names.count(header) > 1:
            raise ReportUnreadable(f"the column {header} is there twice")
        return names.index(header)

    def _no_header(self) -> ReportUnreadable:
        missing = [
            " or ".join(column.headers)
            for column in self._layout.columns
            if column.required and not known_in(column, self._fullest)
        ]
        found = ", ".join(filter(None, map(_shown, self._fullest[:_SHOWN]))) or "none"
        return ReportUnreadable(
            f"no row has all columns that this format needs. Missing: {', '.join(missing)}."
            f" Found: {found}"
        )


def known_in(column: Column, names: Sequence[str]) -> bool:
    """Whether a column is there under any of its headers."""
    return any(header in names for header in column.headers)


def _shown(name: str) -> str:
    """A header that may be repeated to whoever sent it: what is no header may be anything."""
    name = "".join(c if c.isprintable() else "?" for c in name[:_SHOWN_LENGTH])
    return "(not shown)" if find(name) is not None else name
