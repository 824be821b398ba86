"""Blind indexes: find a sealed value by a keyed hash of it, and compare without reading.

It must never know which columns exist or what a value means. Lower-casing an address or
trimming a reference is the caller's business; this file only evens out Unicode's spellings.

An index reveals which rows of one merchant share a value, and nothing else without the key.
A value with few possible answers (last four digits, a country) must not be indexed alone:
who may write rows could try them all.
"""

import unicodedata
from functools import lru_cache
from typing import Final

from paygate.crypto.encoding import length_prefixed
from paygate.crypto.keyring import Keyring
from paygate.crypto.tink_keysets import Prf

INDEX_BYTES: Final = 16
"""HMAC-SHA256 cut to its left half (RFC 2104, section 5): at a thousand million values of one
column, two collide by chance with probability 10^-21. Who looks up still opens and compares."""

REMEMBERED: Final = 8192
"""Values whose hashes are kept: what is looked up by a hash is compared with it once it is open, or
written under it.
"""


class BlindIndexError(Exception):
    """A value cannot be indexed. The message does not hold it."""


class BlindIndex:
    """Keyed hashes of one installation's values. Safe to share between threads."""

    __slots__ = ("_fingerprint_head", "_head", "_keys", "_naming", "candidates")

    def __init__(self, keyring: Keyring) -> None:
        self._keys = keyring.index
        self._naming = keyring.naming
        self.candidates = lru_cache(maxsize=REMEMBERED)(self._candidates)
        """What `of` gave under every enabled key, the primary's first: look up any.

        More than one only while the index key is being rotated. Raises BlindIndexError.
        """
        self._head = length_prefixed("paygate.index.1", keyring.installation).decode()
        self._fingerprint_head = length_prefixed("paygate.fingerprint.1", keyring.installation)

    def of(self, merchant: str, column: str, value: str) -> bytes:
        """Return the 16 bytes to store beside a sealed `value`, made with the primary key.

        The same value gives the same bytes for the same merchant and column only. It is taken
        in NFC (Unicode Standard Annex 15), so one name typed on two systems is one value.
        Raises BlindIndexError.
        """
        return self.candidates(merchant, column, value)[0]

    def _candidates(self, merchant: str, column: str, value: str) -> tuple[bytes, ...]:
        data = self._input(merchant, column, value)
        return tuple(_compute(key, data) for key in self._keys)

    def fingerprint(self, data: bytes) -> bytes:
        """Return 16 bytes that tell whether two inputs are the same, made with the primary key.

        For what is compared and never read, such as an idempotency key's parameters. It is the
        same for every merchant: put into `data` whatever must keep two inputs apart.
        """
        return _compute(self._keys[0], self._fingerprint_head + data)

    def fingerprints(self, data: bytes) -> tuple[bytes, ...]:
        """Return what `fingerprint` gave under every enabled key, the primary's first."""
        return tuple(_compute(key, self._fingerprint_head + data) for key in self._keys)

    def name(self, data: bytes) -> bytes:
        """Return 16 bytes that are the same for the same data whatever becomes of the keys.

        For ids that are made anew and must not differ then: a payment is asked for under them.
        """
        return _compute(self._naming, self._fingerprint_head + data)

    def name_of(self, merchant: str, column: str, value: str) -> bytes:
        """Return what `of` gave under the key that was there first. Raises BlindIndexError."""
        return _compute(self._naming, self._input(merchant, column, value))

    def _input(self, merchant: str, column: str, value: str) -> bytes:
        """`length_prefixed` of label, installation, merchant, column, value; unrolled for speed."""
        if not value.isascii():
            value = unicodedata.normalize("NFC", value)
        text = f"{self._head}{len(merchant)}:{merchant}{len(column)}:{column}{len(value)}:{value}"
        try:
            return text.encode()
        except UnicodeEncodeError:
            raise BlindIndexError("the value is not valid Unicode") from None


def _compute(key: Prf, data: bytes) -> bytes:
    return key.compute(data, INDEX_BYTES)
