"""The mapping of a generic report: which column means what, and how numbers and dates are written.

It is one flat object of strings, so that a command line, a form and a file can say it alike. A
field's name maps to a header (`"net": "Netto"`); `NAME.always` says the same value for every line;
`category.WORD` says what a word of the file's category column means.
"""

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Final

import msgspec

from paygate.domain.money import EXPONENTS
from paygate.domain.settlements.outcome import LineCategory
from paygate.domain.settlements.reports.numbers import NOTATIONS, PLAIN
from paygate.domain.settlements.reports.times import DATES, zone_named

REQUIRED: Final = ("reference", "payout", "category", "currency", "gross", "available_on")
OPTIONAL: Final = (
    "fee", "net", "created_at", "zone", "payment", "source", "attempt", "installation",
    "customer_amount", "customer_currency", "exchange_rate",
)  # fmt: skip
FIELDS: Final = (*REQUIRED, *OPTIONAL)
_CONSTANT: Final = frozenset({"payout", "category", "currency", "zone", "customer_currency"})
"""What may be the same for every line."""
SEPARATORS: Final[Mapping[str, str]] = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "pipe": "|",
}
UNITS: Final = ("major", "minor")
FEE_SIGNS: Final = ("cost_positive", "cost_negative")
MOST_ENTRIES: Final = 100
MOST_CHARACTERS: Final = 200
_ALWAYS: Final = ".always"
_CATEGORY: Final = "category."


class MappingInvalid(ValueError):
    """The mapping cannot be used; the message says why, and names the entry."""


class ColumnMapping(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping that was read. `zone` is where times are read that do not say their own."""

    headers: Mapping[str, str]
    constants: Mapping[str, str]
    categories: Mapping[str, LineCategory]
    numbers: str
    units: str
    dates: str
    zone: tzinfo
    separator: str
    fee_sign: str


def parse_mapping(given: Mapping[str, str]) -> ColumnMapping:
    """The mapping.

    Raises:
        MappingInvalid: an entry is unknown, missing, or says what is not known here.
    """
    if len(given) > MOST_ENTRIES or any(
        len(text) > MOST_CHARACTERS for pair in given.items() for text in pair
    ):
        raise MappingInvalid(
            f"mapping has at most {MOST_ENTRIES} entries of {MOST_CHARACTERS} characters"
        )
    rest = {key: value.strip() for key, value in given.items()}
    choose = _Choices(rest)
    parsed = ColumnMapping(
        headers={name: rest.pop(name) for name in FIELDS if name in rest},
        constants=dict(_constants(rest)),
        categories=dict(_categories(rest)),
        numbers=choose("numbers", NOTATIONS, PLAIN),
        units=choose("units", UNITS, "major"),
        dates=choose("dates", DATES, "YYYY-MM-DD"),
        zone=_zone(rest.pop("time_zone", "UTC")),
        separator=SEPARATORS[choose("separator", SEPARATORS, "comma")],
        fee_sign=choose("fee_sign", FEE_SIGNS, "cost_positive"),
    )
    if rest:
        raise MappingInvalid(f"mapping does not know {_quoted(next(iter(rest)))}")
    for name in REQUIRED:
        if name not in parsed.headers and name not in parsed.constants:
            raise MappingInvalid(f"mapping must name the column of {name}")
    for name, header in parsed.headers.items():
        if not header or name in parsed.constants:
            raise MappingInvalid(f"mapping must name one column of {name}, or one value")
    return parsed


class _Choices:
    """Takes entries out of the mapping that say one of a few words."""

    def __init__(self, rest: dict[str, str]) -> None:
        self._rest = rest

    def __call__(self, name: str, known: Mapping[str, object] | tuple[str, ...], usual: str) -> str:
        word = self._rest.pop(name, usual)
        if word not in known:
            raise MappingInvalid(f"mapping: {name} must be one of {', '.join(known)}")
        return word


def _constants(rest: dict[str, str]) -> Iterator[tuple[str, str]]:
    for key in [key for key in rest if key.endswith(_ALWAYS)]:
        name = key.removesuffix(_ALWAYS)
        value = rest.pop(key)
        if name not in _CONSTANT or not value:
            raise MappingInvalid(f"mapping: {_quoted(key)} is the same for no report")
        if name.endswith("currency") and value.lower() not in EXPONENTS:
            raise MappingInvalid(f"mapping: {key} must be an ISO 4217 code")
        if name == "zone":
            _zone(value)
        yield name, value


def _categories(rest: dict[str, str]) -> Iterator[tuple[str, LineCategory]]:
    for key in [key for key in rest if key.startswith(_CATEGORY)]:
        word = rest.pop(key)
        if word not in set(LineCategory):
            raise MappingInvalid(
                f"mapping: {_quoted(key)} must be one of {', '.join(LineCategory)}"
            )
        yield key.removeprefix(_CATEGORY), LineCategory(word)


def _zone(name: str) -> tzinfo:
    zone = zone_named(name)
    if zone is None:
        raise MappingInvalid("mapping: time_zone must be a zone's name, such as Europe/Berlin")
    return zone


def _quoted(text: str) -> str:
    return repr(text[:40])
