"""Rows of a CSV file: quotes, line breaks, encodings, and the physical line that each begins on."""

import pytest

from paygate.domain.settlements.reports.rows import (
    MOST_LINE_CHARACTERS,
    MOST_ROW_LINES,
    BrokenRow,
    ReportUnreadable,
    Row,
    RowReader,
)

TEXT = 'a,b\r\n1,"x\r\ny"\r\n\r\n"quote out",of"place\n3,4\r5,ü\n7,8'
ROWS = [(1, ["a", "b"]), (2, ["1", "x\r\ny"]), (5, ["quote out", 'of"place']), (6, ["3", "4"])]
ROWS += [(7, ["5", "ü"]), (8, ["7", "8"])]


def rows(content: bytes, piece: int = 1 << 16) -> list[Row | BrokenRow]:
    reader = RowReader()
    found = [
        row for at in range(0, len(content), piece) for row in reader.feed(content[at : at + piece])
    ]
    return found + list(reader.end())


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_rows_are_the_same_however_the_file_is_cut_and_encoded(encoding: str, piece: int) -> None:
    assert rows(TEXT.encode(encoding), piece) == ROWS


def test_a_file_of_a_mark_alone_has_no_row() -> None:
    assert rows(b"\xef\xbb\xbf") == []
    assert rows(b"\xff\xfe") == []
    assert rows(b"") == []


def test_cr_alone_ends_a_line_and_the_last_line_needs_no_end() -> None:
    assert rows(b"a,b\r1,2\r3,4", 1) == [(1, ["a", "b"]), (2, ["1", "2"]), (3, ["3", "4"])]


@pytest.mark.parametrize("piece", [7, 1 << 20])
def test_a_quote_that_is_never_closed_takes_its_own_line_alone(piece: int) -> None:
    more = MOST_ROW_LINES + 10
    content = b'a,b\n1,"open\n' + b"2,3\n" * more + b"4,5\n"
    found = rows(content, piece)
    assert [row.line for row in found if isinstance(row, BrokenRow)] == [2]
    assert [row for row in found if isinstance(row, Row)][-1] == (more + 3, ["4", "5"])
    assert len(found) == more + 3


def test_a_quote_that_is_open_at_the_end_of_the_file() -> None:
    found = rows(b'a,b\n1,"open\n2,3\n')
    assert isinstance(found[1], BrokenRow)
    assert (found[1].line, found[2]) == (2, (3, ["2", "3"]))


def test_text_behind_a_closed_quote_is_no_cell() -> None:
    found = rows(b'a,b\n"1"x,2\n3,4\n')
    assert isinstance(found[1], BrokenRow)
    assert found[2] == (3, ["3", "4"])


def test_bytes_of_no_text_become_a_character_that_no_column_may_have() -> None:
    assert rows(b"a\xff,b\n") == [(1, ["a\ufffd", "b"])]


def test_what_has_no_line_breaks_is_no_csv() -> None:
    with pytest.raises(ReportUnreadable, match="no CSV"):
        rows(b"\x89PNG" + b"x" * (MOST_LINE_CHARACTERS + 2), 4096)
