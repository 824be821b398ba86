"""Two spellings used all over this floor: fields without ambiguity, and base62.

Pure. It must never know what the fields mean or whether the digits are secret.
"""

from typing import Final

BASE62_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""Digits, capitals, small letters: no character that ends a double click on the word."""


def length_prefixed(*fields: str) -> bytes:
    """Encode `fields` so that no two different sequences encode alike.

    Each field is `<characters>:<text>` (a netstring without its comma), and the whole is UTF-8:
    a reader knows where each field ends before he reads it, so a field that looks like a border
    moves none. Raises UnicodeEncodeError for text that holds half a surrogate pair.
    """
    return "".join([f"{len(field)}:{field}" for field in fields]).encode()


def base62(number: int, length: int) -> str:
    """`number` in exactly `length` base62 digits, the most significant first.

    What does not fit is an error, never cut: two numbers would share a spelling.
    """
    if not 0 <= number < 62**length:
        raise ValueError(f"the number does not fit {length} base62 digits")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(BASE62_ALPHABET[digit])
    return "".join(reversed(digits))
