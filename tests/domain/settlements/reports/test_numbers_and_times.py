"""Numbers and times as reports write them: exactly as declared, or not at all."""

from datetime import UTC, date, datetime, timedelta

import pytest

from paygate.domain.settlements.reports.numbers import NOTATIONS, NotANumber, reader, scaled
from paygate.domain.settlements.reports.times import (
    NotATime,
    date_reader,
    time_reader,
    zone_named,
)

HOSTILE = [
    "1.000", "1.355,90", "-9,00", "-110.7", "1'000.00", "1\u00a0234,56", "(12.00)", "\u22125,00",
    "1e3", "", "1.235", "500.00", "1234", "\u0663", "--1", "1.", ".5", "+7", "1,2,3", "12,34.56",
    "1_000", " 1", "0x10", "nan", "9" * 30,
]  # fmt: skip
READ: dict[str, dict[str, int | None]] = {
    "1234.56": {"1.000": None, "-110.7": -11070, "1.235": None, "500.00": 50000, "1234": 123400,
                "+7": 700},
    "1234,56": {"-9,00": -900, "\u22125,00": -500, "1234": 123400, "+7": 700},
    "1,234.56": {"1.000": None, "-110.7": -11070, "1.235": None, "500.00": 50000, "1234": 123400,
                 "+7": 700},
    "1.234,56": {"1.000": 100000, "1.355,90": 135590, "-9,00": -900, "\u22125,00": -500,
                 "1.235": 123500, "1234": 123400, "+7": 700},
    "1 234,56": {"1\u00a0234,56": 123456, "-9,00": -900, "\u22125,00": -500, "1234": 123400,
                 "+7": 700},
    "1'234.56": {"1.000": None, "-110.7": -11070, "1'000.00": 100000, "1.235": None,
                 "500.00": 50000, "1234": 123400, "+7": 700},
}  # fmt: skip


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_number_is_read_as_declared_or_refused(notation: str, text: str) -> None:
    expected = READ[notation].get(text)
    try:
        amount = scaled(reader(notation)(text), 2)
    except NotANumber:
        assert expected is None
    else:
        assert amount == expected


@pytest.mark.parametrize(
    ("text", "exponent", "amount"),
    [("1.235", 3, 1235), ("500", 0, 500), ("500.00", 0, None), ("3500000000", 0, 3_500_000_000),
     ("0.1", 2, 10), ("0.10", 2, 10), ("-0.01", 2, -1), ("1.15", 2, 115),
     ("9007199254740.93", 2, 900_719_925_474_093),
     ("4611686018427387904", 2, None), ("10000000000000.00", 2, 10**15),
     ("-10000000000000.01", 2, None), ("9999999999999999999", 0, None)],
)  # fmt: skip
def test_amounts_are_exact_in_the_currency_s_smallest_unit(
    text: str, exponent: int, amount: int | None
) -> None:
    if amount is None:
        with pytest.raises(NotANumber):
            scaled(reader("1234.56")(text), exponent)
    else:
        assert scaled(reader("1234.56")(text), exponent) == amount


@pytest.mark.parametrize(
    ("shape", "text", "day"),
    [
        ("YYYY-MM-DD", "2026-02-28", date(2026, 2, 28)),
        ("YYYY-MM-DD", "2026-02-28T23:59:59", date(2026, 2, 28)),
        ("YYYY-MM-DD", "2026-02-30", None),
        ("YYYY-MM-DD", "28.02.2026", None),
        ("YYYY-MM-DD", "2026-2-3", None),
        ("DD.MM.YYYY", "28.02.2026", date(2026, 2, 28)),
        ("DD/MM/YYYY", "03/04/2026", date(2026, 4, 3)),
        ("MM/DD/YYYY", "03/04/2026", date(2026, 3, 4)),
        ("MM/DD/YYYY", "13/04/2026", None),
        ("YYYYMMDD", "20260304", date(2026, 3, 4)),
        ("YYYY/MM/DD", "2026/03/04", date(2026, 3, 4)),
        ("YYYY-MM-DD", "\u0662026-03-04", None),
        ("YYYY-MM-DD", "", None),
    ],
)
def test_dates_are_calendar_days_as_declared(shape: str, text: str, day: date | None) -> None:
    if day is None:
        with pytest.raises(NotATime):
            date_reader(shape)(text)
    else:
        assert date_reader(shape)(text) == day


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2026-07-07 16:33:15", "CEST", "2026-07-07T14:33:15"),
        ("2026-01-07 16:33:15", "CET", "2026-01-07T15:33:15"),
        ("2026-07-07 16:33:15", "CET", "2026-07-07T15:33:15"),
        ("2026-07-07 16:33:15", "Europe/Berlin", "2026-07-07T14:33:15"),
        ("2026-10-25 02:30:00", "CEST", "2026-10-25T00:30:00"),
        ("2026-10-25 02:30:00", "CET", "2026-10-25T01:30:00"),
        ("2026-10-25 02:30:00", "Europe/Berlin", None),
        ("2026-03-29 02:30:00", "Europe/Berlin", None),
        ("2026-10-25 00:30:00", "Europe/Berlin", "2026-10-24T22:30:00"),
        ("2026-10-25 23:30:00", "Europe/Berlin", "2026-10-25T22:30:00"),
        ("2026-10-25T02:30:00+02:00", "Europe/Berlin", "2026-10-25T00:30:00"),
        ("2026-10-25 02:30Z", "Europe/Berlin", "2026-10-25T02:30:00"),
        ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00"),
        ("2026-10-25 24:00:00", "UTC", None),
        ("2026-10-25 10", "UTC", None),
        ("2026-10-25 10:00:00+99:99", "UTC", None),
        ("0001-01-01 00:00:00", "JST", None),
    ],
)
def test_times_are_instants_and_one_that_a_clock_showed_twice_is_none(
    text: str, zone: str, instant: str | None
) -> None:
    where = zone_named(zone)
    assert where is not None
    if instant is None:
        with pytest.raises(NotATime):
            time_reader("YYYY-MM-DD")(text, where)
    else:
        at = time_reader("YYYY-MM-DD")(text, where)
        assert at == datetime.fromisoformat(instant).replace(tzinfo=UTC)
        assert at.utcoffset() == timedelta(0)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "IST", "/etc/localtime"])
def test_a_zone_that_nobody_can_tell_is_none(name: str) -> None:
    assert zone_named(name) is None
