"""A report read whole, in pieces of any size."""

from collections.abc import Sequence

from paygate.domain.settlements.outcome import Line
from paygate.domain.settlements.reports.layout import (
    BadLine,
    CellReader,
    Cells,
    Layout,
    Refused,
)


def cells_of(layout: Layout, content: bytes, piece: int = 1 << 16) -> list[Cells | Refused]:
    """What its lines keep."""
    reader = CellReader(layout)
    found = [
        line
        for at in range(0, len(content), piece)
        for line in reader.feed(content[at : at + piece])
    ]
    return found + reader.end()


def read(layout: Layout, content: bytes) -> tuple[list[Line], list[Refused]]:
    """Its lines, and those that were refused."""
    lines: list[Line] = []
    refused: list[Refused] = []
    for each in cells_of(layout, content):
        if isinstance(each, Refused):
            refused.append(each)
            continue
        try:
            lines.append(layout.read(each.cells))
        except BadLine as bad:
            refused.append(Refused(each.line, str(bad)))
    return lines, refused


def csv_of(*rows: Sequence[str], end: str = "\n") -> bytes:
    """Rows whose cells need no quotes."""
    return "".join(",".join(row) + end for row in rows).encode()
