"""Figures as min / median / max of their repeats, and the limit or the goal beside them."""

import statistics
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table


class Figure(msgspec.Struct, frozen=True):
    """One row of the table."""

    name: str
    unit: str
    minimum: float
    median: float
    maximum: float
    limit: float | None = None
    """The median of what stands beside it, measured in turn: `pgbench`, or another row."""
    ratio: float | None = None
    """Median of figure / limit, repeat by repeat."""
    goal: str | None = None


def figure(
    name: str,
    unit: str,
    values: Sequence[float],
    *,
    limits: Sequence[float] | None = None,
    goal: str | None = None,
) -> Figure:
    """A row from its repeats."""
    ratios = [v / limit for v, limit in zip(values, limits, strict=True)] if limits else None
    return Figure(
        name,
        unit,
        min(values),
        statistics.median(values),
        max(values),
        statistics.median(limits) if limits else None,
        statistics.median(ratios) if ratios else None,
        goal,
    )


def show(figures: Sequence[Figure]) -> None:
    """The table, for people."""
    table = Table("what", "unit", "min", "median", "max", "beside", "ratio", "goal")
    for row in figures:
        table.add_row(
            row.name,
            row.unit,
            _number(row.minimum),
            f"[bold]{_number(row.median)}[/]",
            _number(row.maximum),
            _number(row.limit),
            "" if row.ratio is None else f"{row.ratio:.2f} x",
            row.goal or "",
        )
    Console().print(table)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all stay below."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"  # noqa: PLR2004 -- three digits
