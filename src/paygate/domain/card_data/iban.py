"""IBANs in a plain text. Shapes of countries and ISO 7064's remainder are python-stdnum's. Pure."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from stdnum import numdb
from stdnum.iso7064 import mod_97_10

FEWEST_DIGITS: Final = 10
"""In a row, separators aside: the Dutch IBAN's."""

_REGISTRY: Final = numdb.get("iban")
_SEPARATORS: Final = r"[^0-9A-Z\x7f]{0,4}"
_START: Final = re.compile(
    rf"(?<![0-9A-Z])(?:IBAN{_SEPARATORS})?([A-Z]{{2}})[0-9]{_SEPARATORS}[0-9]"
)
_CLASSES: Final = {"n": "[0-9]", "a": "[A-Z]", "c": "[0-9A-Z]"}
_NOT_COUNTED: Final = re.compile(r"[^0-9A-Z]")


def has_iban(text: str) -> bool:
    """Whether a plain text has an IBAN in it."""
    return any(map(mod_97_10.is_valid, _shaped(text.upper())))


def _shaped(text: str) -> Iterator[str]:
    """What looks like an IBAN, its first four characters last, as the remainder is taken."""
    for start in _START.finditer(text):
        shape = _shape(start[1])
        found = shape and shape.match(text, start.start(1))
        if found:
            account = _NOT_COUNTED.sub("", found[0])
            yield account[4:] + account[:4]


@cache
def _shape(country: str) -> re.Pattern[str] | None:
    """What an IBAN of the country looks like, with separators anywhere after its first letters."""
    known = _REGISTRY.info(country)[0][1].get("bban")
    if known is None:
        return None
    parts = re.findall(r"([0-9]+)!([nac])", "2!n" + known)
    body = "".join(f"(?:{_SEPARATORS}{_CLASSES[kind]}){{{n}}}" for n, kind in parts)
    return re.compile(rf"{country}{body}(?![0-9A-Z])")
