"""Amounts as reports write them, read exactly: to an integer of smallest units, or not at all.

A notation is declared and never guessed: `1.000` is a thousand in one country and one in another.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

MOST_UNITS: Final = 10**15
"""Ten trillion of a currency with cents: no amount of money is near it, and it is the most that the
provider's own answers are read with. Sums of such have a bound of their own (`totals`)."""
_MOST_DIGITS: Final = 19

Parsed = tuple[int, int]
"""The digits as one integer, and how many of them stand behind the decimal mark."""


class NotANumber(ValueError):
    """It is not written in the declared notation."""


def _grouped(group: str, decimal: str) -> re.Pattern[str]:
    whole = rf"\d{{1,{_MOST_DIGITS}}}"
    if group:
        whole += rf"|\d{{1,3}}(?:{re.escape(group)}\d{{3}})+"
    fraction = rf"(?:{re.escape(decimal)}(\d{{1,{_MOST_DIGITS}}}))?"
    return re.compile(rf"([+-]?)({whole}){fraction}", re.ASCII)


NOTATIONS: Final[Mapping[str, tuple[str, re.Pattern[str]]]] = MappingProxyType(
    {
        "1234.56": ("", _grouped("", ".")),
        "1234,56": ("", _grouped("", ",")),
        "1,234.56": (",", _grouped(",", ".")),
        "1.234,56": (".", _grouped(".", ",")),
        "1 234,56": (" ", _grouped(" ", ",")),
        "1'234.56": ("'", _grouped("'", ".")),
    }
)
"""What may be declared, by an example: how thousands are grouped, if they are, and the decimal
mark. A number without groups is taken in each.
"""
PLAIN: Final = "1234.56"
_SPACES: Final = str.maketrans("\u00a0\u202f\u2009", "   ")
"""Spaces that programs group with: no-break, narrow no-break, thin."""
_SIGNS: Final = str.maketrans("\u2212\u2019", "-'")
"""A true minus, and the Swiss apostrophe as typesetters write it."""


def reader(notation: str) -> Callable[[str], Parsed]:
    """What reads numbers of a notation; it raises `NotANumber`."""
    group, pattern = NOTATIONS[notation]

    def read(text: str) -> Parsed:
        if not text.isascii():
            text = text.translate(_SPACES).translate(_SIGNS)
        match = pattern.fullmatch(text)
        if match is None:
            raise NotANumber
        sign, whole, fraction = match.groups("")
        if group:
            whole = whole.replace(group, "")
        value = int(whole + fraction)
        return (-value if sign == "-" else value), len(fraction)

    return read


def scaled(parsed: Parsed, exponent: int) -> int:
    """Major units to smallest ones.

    Raises:
        NotANumber: it has more digits behind the mark than the currency, zeros too: `500.00` of a
            currency without any was divided by somebody who did not know that.
    """
    value, digits = parsed
    if digits > exponent:
        raise NotANumber
    shift: int = 10 ** (exponent - digits)
    if abs(value) * shift > MOST_UNITS:
        raise NotANumber
    return value * shift
