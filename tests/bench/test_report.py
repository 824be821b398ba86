"""The benchmark's arithmetic, and its tables."""

import io
from collections.abc import Callable

from rich.console import Console

from tools.bench.report import Figure, figures, pairs, percentile, show, show_pairs
from tools.bench.rows import ROWS

WIDEST = 99_999.0
"""No machine makes more of a second."""
EVERY = [dict.fromkeys(ROWS, WIDEST)]


def printed(show_it: Callable[[Console], None]) -> str:
    """What goes to a terminal of 80 columns."""
    console = Console(width=80, file=io.StringIO())
    show_it(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_figure_is_the_least_the_median_and_the_most_of_its_rounds() -> None:
    rounds = [{"create": 5.0, "verify": 7.0}, {"create": 1.0}, {"create": 2.0}]
    assert figures(rounds) == [Figure("create", 1, 2, 5), Figure("verify", 7, 7, 7)]


def test_figures_come_in_the_tables_order_whatever_was_measured_first() -> None:
    found = figures([dict(reversed(EVERY[0].items()))])
    assert [figure.row for figure in found] == list(ROWS)


def test_revisions_are_compared_round_by_round() -> None:
    """The machine was three times as fast in the second round: the ratios do not see that."""
    before = [{"create": 100.0}, {"create": 300.0}, {"create": 100.0}]
    after = [{"create": 200.0}, {"create": 900.0}, {"create": 250.0}]
    (pair,) = pairs(before, after)
    assert (pair.before.median, pair.after.median) == (100, 250)
    assert pair.ratio == Figure("create", 2, 2.5, 3)


def test_what_was_nothing_before_has_no_ratio() -> None:
    (pair,) = pairs([{"payment/fsyncs": 0.0}], [{"payment/fsyncs": 1.0}])
    assert pair.ratio is None
    shown = printed(lambda console: show_pairs([pair], ("before", "after"), console))
    assert "fsyncs" in shown


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in reversed(range(1, 101))]
    assert [percentile(values, share) for share in (0.5, 0.99, 1)] == [51, 100, 100]


def test_the_table_of_one_gateway_fits_80_columns() -> None:
    shown = printed(lambda console: show(figures(EVERY), console))
    assert shown.count("99,999") == 3 * len(ROWS)
    assert_whole(shown, len(ROWS) + 1)
    for row in ROWS.values():
        assert row.goal in shown


def test_the_table_of_two_revisions_fits_80_columns() -> None:
    found = pairs([dict.fromkeys(ROWS, WIDEST / 10)], [dict.fromkeys(ROWS, WIDEST)])
    names = "HEAD (0123456789ab)", "this code"
    shown = printed(lambda console: show_pairs(found, names, console))
    assert shown.count("10.00 (10.00-10.00)") == len(ROWS)
    assert_whole(shown, 2 * len(ROWS) + 3)
    for row in ROWS.values():
        assert row.against in shown


def assert_whole(shown: str, lines: int) -> None:
    """Every name is there to its end, and no cell was cut or folded."""
    assert "\u2026" not in shown
    assert len(shown.splitlines()) == lines
    assert max(map(len, shown.splitlines())) <= 80
    for row in ROWS.values():
        assert row.name in shown
