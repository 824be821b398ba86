"""Figures as min / median / max of their rounds, and the tables that show them."""

import statistics
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from tools.bench.rows import ROWS, Sample

WIDTH = 80


class Figure(msgspec.Struct, frozen=True):
    """One row, of all rounds."""

    row: str
    minimum: float
    median: float
    maximum: float


class Pair(msgspec.Struct, frozen=True):
    """One row of two revisions; the ratio is after / before, round by round."""

    before: Figure
    after: Figure
    ratio: Figure | None
    """None when the row was 0 before."""


def figures(rounds: Sequence[Sample]) -> list[Figure]:
    """The rows that were measured, in the table's order."""
    measured = {row: [sample[row] for sample in rounds if row in sample] for row in ROWS}
    return [_figure(row, values) for row, values in measured.items() if values]


def pairs(before: Sequence[Sample], after: Sequence[Sample]) -> list[Pair]:
    """The rows that both sides measured; `before` and `after` have the same rounds."""
    found = []
    for old, new in zip(figures(before), figures(after), strict=True):
        assert old.row == new.row, "both sides measure the same rows"
        ratios = [
            b[old.row] / a[old.row] for a, b in zip(before, after, strict=True) if a.get(old.row)
        ]
        found.append(Pair(old, new, _figure(old.row, ratios) if ratios else None))
    return found


def _figure(row: str, values: Sequence[float]) -> Figure:
    return Figure(row, min(values), statistics.median(values), max(values))


def show(found: Sequence[Figure], console: Console) -> None:
    """The table of one gateway."""
    table = _table("min", "median", "max")
    for figure in found:
        row = ROWS[figure.row]
        table.add_row(row.name, row.unit, *_numbers(figure), row.goal)
    console.print(table)


def show_pairs(found: Sequence[Pair], names: tuple[str, str], console: Console) -> None:
    """The table of two revisions: two lines a row, the other revision's first."""
    console.print(f"a: {names[0]}\nb: {names[1]}", highlight=False, markup=False)
    table = _table("", "min", "median", "max", "b / a")
    for pair in found:
        row = ROWS[pair.before.row]
        ratio = ""
        if pair.ratio is not None:
            ratio = "{1:.2f} ({0:.2f}-{2:.2f})".format(*msgspec.structs.astuple(pair.ratio)[1:])
        table.add_row(row.name, row.unit, "a", *_numbers(pair.before), "", "")
        table.add_row("", "", "b", *_numbers(pair.after), ratio, row.against)
    console.print(table)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all stay below."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("what", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("goal", no_wrap=True)
    return table


def _numbers(figure: Figure) -> tuple[str, str, str]:
    return _number(figure.minimum), f"[bold]{_number(figure.median)}[/]", _number(figure.maximum)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"  # noqa: PLR2004 -- three digits
