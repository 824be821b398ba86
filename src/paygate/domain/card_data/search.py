"""Card numbers and IBANs in a text, however they are spelled. Pure, and it keeps nothing.

A card number is 13 to 19 digits with a known beginning, a length that goes with it, Luhn's check
digit, and groups that a number is written in. All is looked for in plain text (`plain_text`),
after every code that a number may be sent in. What a number is not taken for, though its digits
would do, is in `_is_something_else`. Work grows with the text's length and no faster: from a group
of digits at most four lengths are tried, each by a difference of two sums.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import accumulate
from typing import Final, NamedTuple

from stdnum import ean, iso11649, luhn
from stdnum.fr import siret

from paygate.domain.card_data.iban import FEWEST_DIGITS, has_iban
from paygate.domain.card_data.plain_text import CODED, OTHER, layers


class CardData(StrEnum):
    """What was found."""

    CARD_NUMBER = "card number"
    IBAN = "IBAN"


class Span(NamedTuple):
    """Where a card number stands in a text."""

    start: int
    end: int


SHORTEST: Final = 13

_SHAPE: Final = bytes(0x30 if c in b"0123456789" else 0x78 for c in range(256))
"""Digits become 0, all else x: then a run of digits is a plain substring."""
_PUNCTUATION: Final = bytes(c for c in range(0x80) if not chr(c).isalnum())
_LETTERS: Final = bytes(c for c in range(0x80) if not chr(c).isdigit())
_NO_CODED_START: Final = bytes(c for c in range(256) if c not in b"IJKLMNO")
_CODED_GROUPS: Final = 3
_CODED_BYTES: Final = re.compile(CODED.encode())
_WORDS: Final = bytes(0x78 if c < 0x80 and chr(c).isalnum() else 0x20 for c in range(256))  # noqa: PLR2004 -- ASCII
_WORD: Final = b"x" * 18
"""Base64 of the shortest card number has no fewer letters and digits."""

_CHAIN: Final = re.compile(r"[0-9]+(?:[^0-9A-Za-z\x7f]{1,8}[0-9]+)*")
"""Groups of digits, and between two of them at most eight characters that are no letters."""
_PART: Final = re.compile(r"([0-9]+)([^0-9]*)")
_CREDITOR_REFERENCE: Final = re.compile(r"RF[0-9]{2}(?:[ \-./_+]?[0-9]){1,21}", re.IGNORECASE)
_RANDOM_HEX: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(?![0-9A-Za-z])",
    re.IGNORECASE,
)
"""A UUID, or a digest's length: what clients make idempotency keys of, by the million."""
_HEX_LETTERS: Final = frozenset("abcdef")
_RANDOM_LETTERS: Final = 3
"""Different ones, at least, in what is random; fewer may be letters put around a number. A UUID's
dashes are sign enough, with one."""
_SHOP_OBJECT: Final = re.compile(r"gid://[a-z]+/[A-Za-z]+/[0-9]+", re.IGNORECASE)
"""Shopify's global id."""
_FRACTION: Final = re.compile(
    r"(?<![0-9.])[0-9]{1,3}\.(?:[0-9]{13,17}|[0-9]{4,17}[,;] ?-?[0-9]{1,3}\.[0-9]{4,17})(?![0-9.])"
)
"""A coordinate in full, or a pair of coordinates."""

_EVEN_SIZES: Final = frozenset({4, 5, 6, 8})
_FIRST_OF_FEW: Final = frozenset({4, 6, 8, 12})
"""Sizes of the first of two or three groups: 4-6-5, 4-6-4, 6-13, 8-8 and the like."""
_FEW: Final = 3
_THOUSANDS: Final = 3

_LABEL: Final = re.compile(
    r"([A-Za-z]+)(?:[ ._-]{0,2}(?:id|no|nr|number|nummer))?[^0-9A-Za-z]{0,8}\Z", re.IGNORECASE
)
_LABEL_REACH: Final = 40
"""Characters before a number in which a word is looked for that says what number it is."""
_NAME_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_CARD_WORDS: Final = frozenset({"card", "cardnumber", "cc", "ccnumber", "pan", "visa"})
_BANK_WORDS: Final = frozenset({"kid", "ocr"})
"""Scandinavian names of a transfer's reference: any digits, and Luhn's check digit as a card's."""
_GOODS_WORDS: Final = frozenset({"barcode", "ean", "gtin"})
_SHOP_WORDS: Final = frozenset({"product", "shopify", "variant"})
_SHOP_MOST: Final = 14
"""Digits of Shopify's ids."""
_OLD_VISA: Final = 13
_SIRET: Final = 14
_SIREN: Final = 9

_S16: Final = frozenset({16})
_S16_19: Final = frozenset(range(16, 20))
_BRANDS: Final[tuple[tuple[int, int, frozenset[int]], ...]] = (
    (2200, 2204, _S16_19),  # Mir
    (2221, 2720, _S16),  # Mastercard
    (3000, 3059, frozenset({14, 16, 19})),  # Diners
    (3095, 3095, frozenset({14, 16, 19})),
    (3400, 3499, frozenset({15})),  # American Express
    (3528, 3589, _S16_19),  # JCB
    (3600, 3699, frozenset({14, 16, 19})),
    (3700, 3799, frozenset({15})),
    (3800, 3999, frozenset({14, 16, 19})),
    (4000, 4999, frozenset({13, 16, 19})),  # Visa; 13 only where a card is named
    (5018, 5018, _S16_19),  # Maestro
    (5019, 5019, _S16),  # Dankort
    (5020, 5020, _S16_19),
    (5038, 5038, _S16_19),
    (5060, 5067, frozenset({16, 18, 19})),  # Verve, Elo
    (5080, 5099, _S16),  # RuPay, Elo
    (5100, 5599, _S16),  # Mastercard
    (5600, 5899, _S16_19),  # Maestro
    (6000, 6099, _S16_19),  # Discover, RuPay, Hipercard
    (6200, 6299, _S16_19),  # UnionPay
    (6304, 6304, _S16_19),
    (6360, 6399, _S16_19),  # InterPayment, InstaPayment, Elo
    (6440, 6599, _S16_19),  # Discover, RuPay
    (6759, 6759, _S16_19),
    (6761, 6763, _S16_19),
    (8100, 8199, _S16_19),  # UnionPay, RuPay
    (8200, 8200, _S16),
    (8600, 8600, _S16),  # Uzcard
    (9792, 9792, _S16),  # Troy
    (9860, 9860, _S16),  # Humo
)
"""First four digits from and to, and the lengths that go with them. UATP's 1 is left out: fifteen
digits that begin with it are a time in microseconds far more often than that card. So are
Maestro's under 16 digits: the brand ended in 2023, and no such number was ever usual."""
_LENGTHS: Final = {
    f"{prefix}": lengths for low, high, lengths in _BRANDS for prefix in range(low, high + 1)
}
_DOUBLED: Final = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)) + bytes(246)
"""Luhn's other digits: doubled, and the digits of that added up."""


def may_hold(raw: bytes, digits: int = FEWEST_DIGITS) -> bool:
    """Whether a closer look is worth its time: cheap, and it never says no to a number of so many
    digits, or more.

    A code's escapes have digits in them, so a text with few has no number in any spelling but
    base64.
    """
    if not raw.isascii() or b"%" in raw or b"\\" in raw or (b"&" in raw and b";" in raw):
        if len(raw.translate(None, _LETTERS)) >= digits:
            return True
    elif b"0" * digits in raw.translate(_SHAPE, _PUNCTUATION):
        return True
    # A lower-case id has no such capitals, and is no base64.
    if len(raw.translate(None, _NO_CODED_START)) < _CODED_GROUPS:
        return False
    return _WORD in raw.translate(_WORDS) and _CODED_BYTES.search(raw) is not None


def find(text: str, name: str = "") -> CardData | None:
    """What a text holds, if it holds any; the name is that of the field."""
    if not may_hold(text.encode(errors="surrogatepass")):
        return None
    return next((found for plain in layers(text) if (found := _in_plain(plain, name))), None)


def card_numbers_in(text: str, name: str) -> list[Span]:
    """Where card numbers stand in a plain text; of several in one row of groups, the first."""
    if not any(_card_numbers(text, name)):
        return []
    # What is more likely something else is left out, and the rest looked at again.
    rest = _CREDITOR_REFERENCE.sub(_without_reference, _RANDOM_HEX.sub(_without_random, text))
    rest = _FRACTION.sub(_left_out, _SHOP_OBJECT.sub(_left_out, rest))
    return list(_card_numbers(rest, name))


def _in_plain(text: str, name: str) -> CardData | None:
    if card_numbers_in(text, name):
        return CardData.CARD_NUMBER
    return CardData.IBAN if has_iban(text) else None


def _left_out(match: re.Match[str]) -> str:
    """As long as what it stands for, so that all else keeps its place."""
    return OTHER * len(match[0])


def _without_reference(match: re.Match[str]) -> str:
    """A creditor reference (ISO 11649) proves by its own check digits that it is one."""
    written = "".join(filter(str.isalnum, match[0])).upper()
    return _left_out(match) if iso11649.is_valid(written) else match[0]


def _without_random(match: re.Match[str]) -> str:
    letters = _HEX_LETTERS.intersection(match[0].lower())
    least = 1 if "-" in match[0] else _RANDOM_LETTERS
    return _left_out(match) if len(letters) >= least else match[0]


def _card_numbers(text: str, name: str) -> Iterator[Span]:
    return filter(None, (_in_chain(chain, text, name) for chain in _CHAIN.finditer(text)))


def _in_chain(chain: re.Match[str], text: str, name: str) -> Span | None:
    """From the start of any group of digits to the end of any, lest what stands beside hides it.

    Zeros before a number are fill.
    """
    parts = _PART.findall(chain[0]) if chain.end() - chain.start() >= SHORTEST else []
    digits = "".join([group for group, _ in parts])
    if len(digits) < SHORTEST:
        return None
    ends = [*accumulate([len(group) for group, _ in parts])]
    index_of = {end: index for index, end in enumerate(ends, 1)}
    sums = None
    for first, (group, _) in enumerate(parts):
        start = ends[first] - len(group.lstrip("0"))
        for length in _LENGTHS.get(digits[start : start + 4], ()):
            end = start + length
            if end not in index_of:
                continue
            sums = sums or _sums(digits)
            upto = sums[end % 2]
            if (upto[end] - upto[start]) % 10 == 0 and _is_written_so(parts, first, index_of[end]):
                before = text[max(0, chain.start() - _LABEL_REACH) : chain.start()]
                words = _words(before if first == 0 else OTHER, name)
                if not _is_something_else(digits[start:end], words):
                    return _span(chain.start(), parts, first, index_of[end])
    return None


def _span(start: int, parts: list[tuple[str, str]], first: int, after: int) -> Span:
    """Of the groups from `first` to before `after`, the zeros before them too."""
    sizes = [len(group) + len(separator) for group, separator in parts[:after]]
    return Span(start + sum(sizes[:first]), start + sum(sizes) - len(parts[after - 1][1]))


def _sums(digits: str) -> tuple[list[int], list[int]]:
    """Sums up to each place of Luhn's digits, for numbers that end at even places and at odd."""
    values = bytes(map(int, digits))
    doubled = values.translate(_DOUBLED)
    even, odd = bytearray(values), bytearray(values)
    even[0::2], odd[1::2] = doubled[0::2], doubled[1::2]
    return [*accumulate(even, initial=0)], [*accumulate(odd, initial=0)]


def _is_written_so(parts: list[tuple[str, str]], first: int, after: int) -> bool:
    """Whether the groups are such as a person or a program makes of a card's number: not the
    sizes of prices, coordinates and times that stand in a row.
    """
    groups = [parts[first][0].lstrip("0"), *(group for group, _ in parts[first + 1 : after])]
    size, *others = map(len, groups)
    if not others:
        return True
    even = all(other == size for other in others[:-1]) and others[-1] <= size
    if even and size in _EVEN_SIZES:
        return True
    if size in _FIRST_OF_FEW:
        return len(groups) <= _FEW
    thousands = size <= _THOUSANDS and all(other == _THOUSANDS for other in others)
    return (even or thousands) and _stands_alone(parts, first, after)


def _stands_alone(parts: list[tuple[str, str]], first: int, after: int) -> bool:
    """Whether small groups have one separator, and are no part of a longer list of such."""
    between = {separator for _, separator in parts[first : after - 1]}
    most = 1 if len(parts[first + 1][0]) == 1 else _THOUSANDS
    before = first > 0 and parts[first - 1][1] in between and len(parts[first - 1][0]) <= most
    behind = after < len(parts) and parts[after - 1][1] in between and len(parts[after][0]) <= most
    return len(between) == 1 and not before and not behind


def _words(before: str, name: str) -> set[str]:
    """What is said of a number: by the word before it, or else the last part of its field's name;
    a card may be named anywhere in that name.
    """
    parts = [{word.lower() for word in _NAME_WORD.findall(part)} for part in name.split(".")]
    words = {word for part in parts for word in part & _CARD_WORDS}
    if label := _LABEL.search(before):
        return words | {label[1].lower()}
    return words if before.strip(" \"'") else words | parts[-1]


def _is_something_else(number: str, words: set[str]) -> bool:
    """Whether digits that a card could have are more likely another number, by their structure or
    by the words that they stand under.
    """
    if words & _CARD_WORDS:
        return False
    if len(number) == _OLD_VISA:
        return True
    if len(number) == _SIRET and luhn.is_valid(number[:_SIREN]) and number[_SIREN:][:2] == "00":
        return True  # one of a company's first hundred places; one card in a thousand is so
    return (
        bool(words & _BANK_WORDS)
        or (bool(words & _SHOP_WORDS) and len(number) <= _SHOP_MOST)
        or (bool(words & _GOODS_WORDS) and ean.is_valid(number))
        or ("siret" in words and siret.is_valid(number))
    )
