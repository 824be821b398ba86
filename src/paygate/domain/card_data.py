"""Card numbers and IBANs in a text, however they are spelled. Pure, and it keeps nothing.

A card number is 13 to 19 digits with a known beginning, a length that goes with it, and Luhn's
check digit. An IBAN has its country's shape and ISO 7064's remainder. Both are looked for after
normalisation: compatibility forms and every script's digits become ASCII, invisible characters
go, percent-escapes and base64 are decoded, and separators within a number do not matter.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from functools import cache, lru_cache
from itertools import accumulate
from typing import Final
from urllib.parse import unquote


class CardData(StrEnum):
    """What was found."""

    CARD_NUMBER = "card number"
    IBAN = "IBAN"


SHORTEST: Final = 13
FEWEST_DIGITS: Final = 10
"""In a row, separators aside: the Dutch IBAN's. What has fewer holds neither."""

_DIGITS: Final = b"0123456789"
_SHAPE: Final = bytes(0x30 if c in _DIGITS else 0x78 for c in range(256))
"""Digits become 0, all else x: then a run of digits is a plain substring."""
_KEPT: Final = frozenset(b":")
"""Between hours and minutes: without it a time of day would be a long number."""
_PUNCTUATION: Final = bytes(
    c for c in range(0x80) if not chr(c).isalnum() and c not in _KEPT and c not in b"%\\"
)
_RUN: Final = b"0" * FEWEST_DIGITS
_NO_CODED_START: Final = bytes(c for c in range(256) if c not in b"IJKLMNO")
_CODED_GROUPS: Final = 3
_CODED: Final = r"(?:[I-O][CDSTijyz][AEIMQUYcgkosw048][g-z0-5]){3}"
"""Base64 of nine characters between a space and 9: by chance once in 10**8 positions."""
_CODED_BYTES: Final = re.compile(_CODED.encode())
_WORDS: Final = bytes(0x78 if c < 0x80 and chr(c).isalnum() else 0x20 for c in range(256))  # noqa: PLR2004 -- ASCII
_WORD: Final = b"x" * 18
"""Base64 of the shortest card number has no fewer letters and digits."""
_CODED_TEXT: Final = re.compile(_CODED)
_CODED_WORD: Final = re.compile(r"[A-Za-z0-9+/_-]{12,}")

_SEPARATOR: Final = r"[ \-./_+]"
_CHAIN: Final = re.compile(rf"\+?[0-9]+(?:{_SEPARATOR}{{1,4}}[0-9]+)*")
_GROUP: Final = re.compile(r"[0-9]+")
_CREDITOR_REFERENCE: Final = re.compile(
    rf"RF[0-9]{{2}}(?:{_SEPARATOR}?[0-9]){{1,21}}", re.IGNORECASE
)
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
_UNUSUAL: Final = re.compile(r"[^ -~]")
_INVISIBLE: Final = frozenset({"Cf", "Mn", "Me", "Cc", "Co", "Cn"})
_DASHES: Final = "\u2212\u00b7\u2022"
"""Separators of numbers that are no dashes by their category: a minus, two dots."""
_OTHER: Final = "~"
"""Stands for a letter of no number: it ends one."""
_ESCAPES: Final = 3
"""So often a text may have been percent-encoded on its way; more is a game."""
_PHONE: Final = re.compile(r"[^0-9]?\+$")
"""What stands before a telephone number; after a digit a plus is a space, as in forms."""
_PHONE_MOST: Final = 15
"""Digits of a telephone number after its plus (E.164)."""

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
    (4000, 4999, frozenset({13, 16, 19})),  # Visa
    (5018, 5018, frozenset(range(13, 20))),  # Maestro
    (5019, 5019, _S16),  # Dankort
    (5020, 5020, frozenset(range(13, 20))),
    (5038, 5038, frozenset(range(13, 20))),
    (5060, 5067, frozenset({16, 18, 19})),  # Verve, Elo
    (5080, 5099, _S16),  # RuPay, Elo
    (5100, 5599, _S16),  # Mastercard
    (5600, 5899, frozenset(range(13, 20))),  # Maestro
    (6000, 6099, _S16_19),  # Discover, RuPay, Hipercard
    (6200, 6299, _S16_19),  # UnionPay
    (6304, 6304, frozenset(range(13, 20))),
    (6360, 6399, _S16_19),  # InterPayment, InstaPayment, Elo
    (6440, 6599, _S16_19),  # Discover, RuPay
    (6759, 6759, frozenset(range(13, 20))),
    (6761, 6763, frozenset(range(13, 20))),
    (8100, 8199, _S16_19),  # UnionPay, RuPay
    (8200, 8200, _S16),
    (8600, 8600, _S16),  # Uzcard
    (9792, 9792, _S16),  # Troy
    (9860, 9860, _S16),  # Humo
)
"""First four digits from and to, and the lengths that go with them. UATP's 1 is left out: fifteen
digits that begin with it are a time in microseconds far more often than that card."""
_LENGTHS: Final = {
    f"{prefix}": lengths for low, high, lengths in _BRANDS for prefix in range(low, high + 1)
}
_DOUBLED: Final = bytes(0x30) + bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)) + bytes(256 - 0x3A)
"""Luhn's other digits: doubled, and the digits of that added up."""

_IBAN_COUNTRIES: Final = {
    "8n12c": "AD",
    "19n": "AE IL SO TL",
    "8n16c": "AL CY",
    "16n": "AT BA EE LT MN XK",
    "4a20c": "AZ",
    "12n": "BE",
    "4a6n8c": "BG",
    "4a14c": "BH",
    "23n": "BI DJ MR",
    "23n1a1c": "BR",
    "4c4n16c": "BY",
    "5n12c": "CH LI",
    "18n": "CR DE ME RS VA",
    "20n": "CZ ES SE SK TN",
    "14n": "DK FI FO GL SD",
    "4c20n": "DO",
    "25n": "EG",
    "2a12n": "FK",
    "10n11c2n": "FR MC",
    "4a14n": "GB IE",
    "2a16n": "GE",
    "4a15c": "GI",
    "7n16c": "GR",
    "20c": "GT MD",
    "17n": "HR",
    "24n": "HU PL",
    "4a15n": "IQ",
    "22n": "IS",
    "1a10n12c": "IT SM",
    "4a4n18c": "JO YE",
    "4a22c": "KW",
    "3n13c": "KZ LU",
    "4n20c": "LB",
    "4a24c": "LC",
    "4a13c": "LV",
    "21n": "LY PT ST",
    "3n10c2n": "MK",
    "4a5n18c": "MT",
    "4a19n3a": "MU",
    "4a20n": "NI SV",
    "4a10n": "NL",
    "11n": "NO",
    "3n16c": "OM",
    "4a16c": "PK RO",
    "4a21c": "PS QA",
    "14n15c": "RU",
    "2n18c": "SA",
    "4a20n3a": "SC",
    "15n": "SI",
    "6n16c": "TR",
    "6n19c": "UA",
    "4a16n": "VG",
}
"""Shape after the check digits to the countries that have it: n digits, a letters, c either (the
registry of ISO 13616)."""
_IBAN_SHAPES: Final = {
    country: shape for shape, names in _IBAN_COUNTRIES.items() for country in names.split()
}
_IBAN_START: Final = re.compile(
    rf"(?<![0-9A-Z])(?:IBAN{_SEPARATOR}*)?([A-Z]{{2}})[0-9]{_SEPARATOR}*[0-9]"
)
_CLASSES: Final = {"n": "[0-9]", "a": "[A-Z]", "c": "[0-9A-Z]"}


def may_hold(raw: bytes) -> bool:
    """Whether a closer look is worth its time: cheap, and it never says no to a card number.

    Bytes that are not plain ASCII, or that have escapes in them, are always looked at.
    """
    if not raw.isascii() or b"%" in raw or b"\\" in raw:
        return True
    if _RUN in raw.translate(_SHAPE, _PUNCTUATION):
        return True
    # A lower-case id has no such capitals, and is no base64.
    if len(raw.translate(None, _NO_CODED_START)) < _CODED_GROUPS:
        return False
    return _WORD in raw.translate(_WORDS) and _CODED_BYTES.search(raw) is not None


def find(text: str) -> CardData | None:
    """What a text holds, if it holds any."""
    plain = normalise(text)
    if not may_hold(plain.encode()):
        return None
    for _ in range(_ESCAPES):
        if (found := _in_plain(plain)) is not None:
            return found
        decoded = normalise(unquote(plain, errors="ignore")) if "%" in plain else plain
        if decoded == plain:
            break
        plain = decoded
    return next((found for decoded in _decoded(plain) if (found := _in_plain(decoded))), None)


def normalise(text: str) -> str:
    """The text in ASCII, with nothing invisible in it and its digits and separators as such."""
    if text.isascii() and text.isprintable():
        return text
    return _UNUSUAL.sub(_plain, unicodedata.normalize("NFKC", text))


def _plain(match: re.Match[str]) -> str:
    return _plain_char(match[0])


@lru_cache(maxsize=4096)
def _plain_char(char: str) -> str:
    category = unicodedata.category(char)
    if char.isspace():
        return " "
    if category in _INVISIBLE:
        return ""
    if category == "Pd" or char in _DASHES:
        return "-"
    return str(unicodedata.decimal(char, _OTHER))


def _in_plain(text: str) -> CardData | None:
    if _has_card_number(text):
        # What is more likely something else is left out, and the rest looked at again.
        rest = _CREDITOR_REFERENCE.sub(_without_reference, _RANDOM_HEX.sub(_without_random, text))
        if rest == text or _has_card_number(rest):
            return CardData.CARD_NUMBER
    return CardData.IBAN if _has_iban(text.upper()) else None


def _without_reference(match: re.Match[str]) -> str:
    """A creditor reference (ISO 11649) proves by its own check digits that it is one."""
    return _OTHER if _remainder(_characters(match[0])) == 1 else match[0]


def _without_random(match: re.Match[str]) -> str:
    letters = _HEX_LETTERS.intersection(match[0].lower())
    least = 1 if "-" in match[0] else _RANDOM_LETTERS
    return _OTHER if len(letters) >= least else match[0]


def _has_card_number(text: str) -> bool:
    return any(map(_is_in_chain, _CHAIN.findall(text)))


def _is_in_chain(chain: str) -> bool:
    """From the start of any group of digits to the end of any, lest what stands beside hides it."""
    if len(chain) < SHORTEST:
        return False
    groups, plus = list(_GROUP.finditer(chain)), "+" in chain
    digits = "".join([group[0] for group in groups])
    if len(digits) < SHORTEST:
        return False
    starts = [0, *accumulate([len(group[0]) for group in groups])]
    ends = frozenset(starts)
    for group, start in zip(groups, starts, strict=False):
        for length in _LENGTHS.get(digits[start : start + 4], ()):
            if (
                start + length in ends
                and _luhn(digits[start : start + length])
                and not (plus and length <= _PHONE_MOST and _is_phone(chain, group.start()))
            ):
                return True
    return False


def _is_phone(chain: str, at: int) -> bool:
    return _PHONE.match(chain[max(0, at - 2) : at]) is not None


def is_card_number(digits: str) -> bool:
    """Whether ASCII digits could be a card's number: beginning, length and check digit."""
    return len(digits) in _LENGTHS.get(digits[:4], ()) and _luhn(digits)


def _luhn(digits: str) -> bool:
    written = digits.encode()
    kept = written[-1::-2]
    return (sum(kept) - 0x30 * len(kept) + sum(written[-2::-2].translate(_DOUBLED))) % 10 == 0


def _has_iban(text: str) -> bool:
    for start in _IBAN_START.finditer(text):
        shape = _iban_shape(start[1])
        found = shape and shape.match(text, start.start(1))
        if found and _remainder(_characters(found[0])) == 1:
            return True
    return False


@cache
def _iban_shape(country: str) -> re.Pattern[str] | None:
    """What an IBAN of the country looks like, with separators anywhere after its first letters."""
    shape = _IBAN_SHAPES.get(country)
    if shape is None:
        return None
    parts = re.findall(r"([0-9]+)([nac])", "2n" + shape)
    body = "".join(f"(?:{_SEPARATOR}{{0,4}}{_CLASSES[kind]}){{{n}}}" for n, kind in parts)
    return re.compile(rf"{country}{body}(?![0-9A-Z])")


def _characters(written: str) -> str:
    return "".join(filter(str.isalnum, written))


def _remainder(account: str) -> int:
    """ISO 7064, MOD 97-10; 1 is right."""
    return int("".join(str(int(char, 36)) for char in account[4:] + account[:4])) % 97


def _decoded(text: str) -> Iterator[str]:
    """The texts that were written as base64, where they look like numbers."""
    for word in _CODED_WORD.finditer(text):
        found = _CODED_TEXT.search(word[0])
        if found is None:
            continue
        # From there on in whole groups of four, whatever stood before.
        coded = word[0][found.start() % 4 :].replace("-", "+").replace("_", "/")
        coded = coded[: len(coded) - (len(coded) % 4 == 1)]
        try:
            decoded = base64.b64decode(coded + "=" * (-len(coded) % 4))
        except binascii.Error:
            continue
        yield normalise(decoded.decode("latin-1"))
