"""A generic report: its header, its mapping, its lines, and what of it is refused."""

from datetime import UTC, date, datetime

import pytest

from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.reports.generic import generic_layout
from paygate.domain.settlements.reports.layout import Layout, Refused
from paygate.domain.settlements.reports.mapping import MappingInvalid, parse_mapping
from paygate.domain.settlements.reports.rows import ReportUnreadable
from tests.domain.settlements.reports.reading import cells_of, csv_of, read

MAPPING = {
    "reference": "Buchung",
    "payout": "Auszahlung",
    "category": "Art",
    "currency": "Währung",
    "gross": "Brutto",
    "fee": "Gebühr",
    "net": "Netto",
    "available_on": "Wertstellung",
    "created_at": "Zeit",
    "payment": "Zahlung",
    "category.Zahlung": "charge",
    "category.Erstattung": "refund",
    "numbers": "1.234,56",
    "dates": "DD.MM.YYYY",
    "time_zone": "Europe/Berlin",
    "separator": "semicolon",
}
HEADER = "Buchung;Auszahlung;Art;Währung;Brutto;Gebühr;Netto;Wertstellung;Zeit;Zahlung;Notiz"
LINE = "T1;P1;Zahlung;EUR;1.019,99;0,88;1.019,11;27.11.2026;25.11.2026 10:00:00;pi_1;für Ana"


def layout(**changes: str) -> Layout:
    return generic_layout(parse_mapping(MAPPING | changes))


def report(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join((header, *lines)).encode()


def one(line: str) -> Line | str:
    lines, refused = read(layout(), report(line))
    return lines[0] if lines else refused[0].message


def test_a_line_is_read_by_its_mapping() -> None:
    assert one(LINE) == Line(
        provider_reference="T1",
        payout_reference="P1",
        category=LineCategory.CHARGE,
        provider_category="Zahlung",
        gross=101_999,
        fee=88,
        net=101_911,
        currency="eur",
        available_on=date(2026, 11, 27),
        created_at=datetime(2026, 11, 25, 9, tzinfo=UTC),
        payment_reference="pi_1",
    )


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (("T1;", ";"), "reference is empty"),
        (("P1", ""), "payout is empty"),
        (("Zahlung;EUR", ";EUR"), "category is empty"),
        (("EUR", "XXX"), "currency is no ISO 4217 code"),
        (("EUR", ""), "currency is empty"),
        (("1.019,99", ""), "gross is empty"),
        (("1.019,99", "1019.99"), "gross is no amount"),
        (("1.019,99", "1.019,990"), "gross is no amount"),
        (("0,88", ""), "fee is empty"),
        (("1.019,11", "1.019,12"), "net is not gross less fee"),
        (("27.11.2026", "2026-11-27"), "available_on is not written"),
        (("25.11.2026 10:00:00", "25.10.2026 02:30:00"), "created_at is not written"),
        (("T1", "T\x071"), "reference is no text"),
        (("T1", "T" * 256), "reference is no text"),
        (("T1", "4242 4242 4242 4242"), "reference holds what looks like a card number"),
        ((";für Ana", ""), "10 cells, where the header has 11"),
        ((";für Ana", ";für;Ana"), "12 cells, where the header has 11"),
    ],
)
def test_a_bad_line_is_refused_and_its_cells_are_not_repeated(
    cell: tuple[str, str], told: str
) -> None:
    bad = LINE.replace(*cell)
    lines, refused = read(layout(), report(LINE, bad, LINE))
    assert len(lines) == 2
    assert [each.line for each in refused] == [3]
    assert refused[0].message.startswith(told)
    assert "4242" not in refused[0].message


def test_a_card_number_in_a_reference_is_masked_and_the_line_is_read() -> None:
    found = one(LINE.replace("pi_1", "4242-4242-4242-4242"))
    assert isinstance(found, Line)
    assert found.payment_reference == "************4242"


def test_only_the_cells_that_the_format_reads_are_kept() -> None:
    kept = cells_of(layout(), report(LINE))
    assert "Ana" not in repr(kept)


def test_a_quoted_line_break_is_in_a_cell_and_the_row_after_it_has_its_physical_line() -> None:
    broken = LINE.replace("für Ana", '"Order\r\nB-7"')
    _, refused = read(layout(), report(LINE, broken, LINE.replace("EUR", "")))
    assert refused == [Refused(5, "currency is empty")]


def test_columns_are_known_by_name_whatever_their_order() -> None:
    columns = list(zip(HEADER.split(";"), LINE.split(";"), strict=True))[::-1]
    columns.insert(4, ("Neu", "x"))
    header, line = (";".join(row) for row in zip(*columns, strict=True))
    shuffled, _ = read(layout(), report(line, header=header.replace("Netto", " Netto ")))
    assert shuffled == [one(LINE)]


def test_lines_above_the_header_are_passed_over() -> None:
    above = ["Bericht", "", "Konto;123", "von;bis;;", ";;"]
    lines, refused = read(layout(), "\n".join([*above, HEADER, LINE, ";;;;;;;;;;"]).encode())
    assert (lines, refused) == ([one(LINE)], [])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "Missing: Buchung, Auszahlung"),
        (b"\xef\xbb\xbf", "Found: none"),
        (report(), "a header and no line"),
        (report(LINE, header=HEADER.replace("Netto", "Net")), "Missing: Netto. Found: Buchung, "),
        (report(LINE, header=HEADER.replace("Notiz", "Netto")), "Netto is there twice"),
        (b"x\n" * 60 + report(LINE), "Missing"),
        (b"4242424242424242;b\n1;2\n", "Found: (not shown), b"),
    ],
)
def test_a_file_that_is_no_such_report_stops_and_lists_what_was_found(
    content: bytes, told: str
) -> None:
    with pytest.raises(ReportUnreadable) as stopped:
        read(layout(), content)
    assert told in str(stopped.value)
    assert "4242" not in str(stopped.value)


def test_what_is_the_same_for_every_line_may_be_said_in_the_mapping() -> None:
    mapping = {
        "reference": "id", "payout.always": "po_1", "category.always": "charge",
        "currency.always": "JPY", "gross": "amount", "available_on": "day",
    }  # fmt: skip
    content = csv_of(("id", "amount", "day"), ("a", "500", "2026-11-25"))
    lines, refused = read(generic_layout(parse_mapping(mapping)), content)
    assert refused == []
    assert (lines[0].gross, lines[0].fee, lines[0].net, lines[0].currency) == (500, 0, 500, "jpy")
    assert (lines[0].payout_reference, lines[0].category) == ("po_1", LineCategory.CHARGE)


@pytest.mark.parametrize(
    ("changes", "gross", "fee"),
    [
        ({"units": "minor", "numbers": "1234.56"}, 1999, 88),
        ({"units": "minor", "numbers": "1234.56", "fee_sign": "cost_negative"}, 1999, -88),
    ],
)
def test_units_and_the_sign_of_fees_are_declared(
    changes: dict[str, str], gross: int, fee: int
) -> None:
    mapping = {key: value for key, value in MAPPING.items() if key != "net"} | changes
    line = LINE.replace("1.019,99;0,88", "1999;88")
    lines, _ = read(generic_layout(parse_mapping(mapping)), report(line))
    assert (lines[0].gross, lines[0].fee, lines[0].net) == (gross, fee, gross - fee)


def test_a_word_that_no_mapping_knows_is_unknown_and_kept() -> None:
    found = one(LINE.replace("Zahlung;EUR", "Mondgebühr;EUR"))
    assert isinstance(found, Line)
    assert (found.category, found.provider_category) == (LineCategory.UNKNOWN, "Mondgebühr")


def test_a_column_may_name_each_line_s_zone() -> None:
    chosen = layout(zone="Notiz")
    times = {}
    for zone in ("CEST", "CET", "", "IST"):
        lines, refused = read(chosen, report(LINE.replace("für Ana", zone)))
        times[zone] = lines[0].created_at.hour if lines else refused[0].message
    assert times == {"CEST": 8, "CET": 9, "": 9, "IST": "zone is no time zone that is known here"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"numbers": "1.000"}, "numbers must be one of"),
        ({"dates": "DD-MM-YYYY"}, "dates must be one of"),
        ({"separator": ";"}, "separator must be one of"),
        ({"units": "cents"}, "units must be one of"),
        ({"fee_sign": "x"}, "fee_sign must be one of"),
        ({"time_zone": "Mars"}, "time_zone must be"),
        ({"category.X": "bonus"}, "must be one of charge"),
        ({"netto": "Netto"}, "does not know 'netto'"),
        ({"gross": ""}, "must name one column of gross"),
        ({"currency.always": "EUR"}, "must name one column of currency"),
        ({"gross.always": "5"}, "is the same for no report"),
        ({"payout.always": ""}, "is the same for no report"),
        ({"x" * 201: "y"}, "at most 100 entries"),
        ({f"category.{n}": "charge" for n in range(101)}, "at most 100 entries"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused(changes: dict[str, str], told: str) -> None:
    with pytest.raises(MappingInvalid) as refused:
        parse_mapping(MAPPING | changes)
    assert told in str(refused.value)


@pytest.mark.parametrize("name", ["reference", "payout", "category", "currency", "gross"])
def test_a_mapping_names_the_columns_that_a_line_needs(name: str) -> None:
    with pytest.raises(MappingInvalid, match=f"must name the column of {name}"):
        parse_mapping({key: value for key, value in MAPPING.items() if key != name})


@pytest.mark.parametrize(
    ("reference", "kept"),
    [
        ("txn_3000000010000000088", "txn_3000000010000000088"),
        ("pi_4242424242424242", "pi_4242424242424242"),
        ("card_4242424242424242", "card_************4242"),
        ("4242424242424242", "************4242"),
        ("DE89 3704 0044 0532 0130 00", "(card data)"),
        ("Order 4242", "Order 4242"),
    ],
)
def test_an_id_is_no_card_number_whatever_its_digits(reference: str, kept: str) -> None:
    found = one(LINE.replace("pi_1", reference))
    assert isinstance(found, Line)
    assert found.payment_reference == kept
