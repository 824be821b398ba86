"""Blind indexes: find a sealed value by a keyed hash of it, and compare without reading.

It must never know which columns exist or what a value means. Lower-casing an address or
trimming a reference is the caller's business; this file only evens out Unicode's spellings.

An index reveals which rows of one merchant share a value, and nothing else without the key.
A value with few possible answers (last four digits, a country) must not be indexed alone:
who may write rows could try them all.

What is guessed easily is hashed with the primary key, which is rotated (`of`); whatever must be the
same whenever it is made, with the first, which is not (`name`, `name_of`).
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from paygate.crypto.encoding import length_prefixed
from paygate.crypto.keyring import Keyring, Purpose
from paygate.crypto.tink_keysets import Prf

INDEX_BYTES: Final = 16
"""HMAC-SHA256 cut to its left half (RFC 2104, section 5): at a thousand million values of one
column, two collide by chance with probability 10^-21. Who looks up still opens and compares."""

KEY_BYTES: Final = 4
"""A hash under a later key than the first has that key's id before it, so that a row shows under
which key it is; one under the first has none, as all had before keys were rotated."""

REMEMBERED: Final = 8192
"""Values whose hashes are kept: what is looked up by a hash is compared with it once it is open, or
written under it.
"""


class BlindIndexError(Exception):
    """A value cannot be indexed. The message does not hold it."""


class BlindIndex:
    """Keyed hashes of one installation's values. Safe to share between threads."""

    __slots__ = (
        "_head",
        "_keys",
        "_name_head",
        "_naming",
        "candidates",
        "first",
        "head",
        "name_of",
        "primary",
    )

    def __init__(self, keyring: Keyring) -> None:
        self._naming = keyring.naming
        self._head = length_prefixed("paygate.index.1", keyring.installation).decode()
        self._name_head = length_prefixed("paygate.fingerprint.1", keyring.installation)
        self.first: Final = keyring.keys[Purpose.INDEX][0].key_id
        """The id of the key that was there first."""
        self.name_of = lru_cache(maxsize=REMEMBERED)(self._name_of)
        """The 16 bytes for a value of a merchant's column, as `of`, that stay the same whatever
        becomes of the keys: for what is unique, so that two writers never have two of it. Raises
        BlindIndexError."""
        self.turn_to(keyring)

    def turn_to(self, keyring: Keyring) -> None:
        """Use the keys of this keyring from now on: of the same installation, with other keys."""
        self._keys = [(self._key_head(key), prf) for key, prf in keyring.index.items()]
        self.primary = next(iter(keyring.index))
        """The id of the key that `of` makes hashes with."""
        self.head = self._keys[0][0]
        """What those begin with."""
        # Last, and another one each time: what was being hashed with the keys of before is
        # remembered where nobody looks any more.
        self.candidates = lru_cache(maxsize=REMEMBERED)(self._candidates)
        """What `of` gave under every enabled key, the primary's first: look up any.

        More than one only while the index key is being rotated. Raises BlindIndexError.
        """

    def of(self, merchant: str, column: str, value: str) -> bytes:
        """Return the bytes to store beside a sealed `value`, made with the primary key.

        The same value gives the same bytes for the same merchant and column only. It is taken
        in NFC (Unicode Standard Annex 15), so one name typed on two systems is one value.
        Raises BlindIndexError.
        """
        return self.candidates(merchant, column, value)[0]

    def _candidates(self, merchant: str, column: str, value: str) -> tuple[bytes, ...]:
        data = _input(self._of_column(merchant, column), value)
        return tuple(head + _compute(key, data) for head, key in self._keys)

    def _key_head(self, key: int) -> bytes:
        return b"" if key == self.first else key.to_bytes(KEY_BYTES)

    def name(self, data: bytes) -> bytes:
        """Return 16 bytes that are the same for the same data whatever becomes of the keys.

        For ids that are made anew and must not differ then, as a payment is asked for under them;
        and for what is compared and never read, such as an idempotency key's parameters. It is the
        same for every merchant: put into `data` whatever must keep two inputs apart.
        """
        return _compute(self._naming, self._name_head + data)

    def names_of(self, merchant: str, column: str, values: Iterable[str]) -> dict[bytes, str]:
        """Return values of one column by what `name_of` gives, for thousands that are asked for
        once: nothing of it is remembered. Raises BlindIndexError.
        """
        head, naming = self._of_column(merchant, column), self._naming
        return {_compute(naming, _input(head, value)): value for value in values}

    def _name_of(self, merchant: str, column: str, value: str) -> bytes:
        return _compute(self._naming, _input(self._of_column(merchant, column), value))

    def _of_column(self, merchant: str, column: str) -> str:
        return f"{self._head}{len(merchant)}:{merchant}{len(column)}:{column}"


def _input(head: str, value: str) -> bytes:
    """`length_prefixed` of label, installation, merchant, column, value; unrolled for speed."""
    if not value.isascii():
        value = unicodedata.normalize("NFC", value)
    try:
        return f"{head}{len(value)}:{value}".encode()
    except UnicodeEncodeError:
        raise BlindIndexError("the value is not valid Unicode") from None


def _compute(key: Prf, data: bytes) -> bytes:
    return key.compute(data, INDEX_BYTES)
