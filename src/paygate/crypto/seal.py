"""Seal and open records: AES-256 under the keyring, tied to the one place a record lies.

It must never know what a record holds, how it is encoded, or how it is stored.

A sealed record is Tink's: 0x01, the key's id in 4 bytes, the 192-bit random nonce, the
ciphertext, the 128-bit tag (C2SP XAES-256-GCM; test_seal opens it without Tink). This is the
hot path, a few microseconds a record: no copy, no lock and no check that the cipher itself makes.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from paygate.crypto.encoding import length_prefixed
from paygate.crypto.keyring import Keyring, Purpose
from paygate.crypto.tink_keysets import PRIMITIVE_ERRORS

OVERHEAD_BYTES: Final = 45
"""How much longer a sealed record is than its plaintext: 5 prefix, 24 nonce, 16 tag."""

MAX_PLAINTEXT_BYTES: Final = 8 * 1024 * 1024
"""The largest body at any door is an evidence file of 5 MB. More than this is a bug above."""

PREFIX_BYTES: Final = 5
"""At the head of what is sealed: Tink's byte, and the id of the key in four."""
_TINK_PREFIX: Final = 1


class SealError(Exception):
    """A record was not sealed or did not open. It says so and no more: no content, no key."""


class SealedPlace(NamedTuple):
    """Where a record lies. Sealed here, it opens nowhere else and as no other version."""

    merchant: str
    table: str
    id: str
    version: int


class Sealer:
    """Seals and opens the records of one installation. Safe to share between threads."""

    __slots__ = ("_decrypt", "_encrypt", "_head", "_keyring", "look_again")

    def __init__(self, keyring: Keyring) -> None:
        self._head = length_prefixed("paygate.record.1", keyring.installation).decode()
        self.look_again: Callable[[int], Keyring | None] | None = None
        """Asked for the keyring as it is by now, when a record is met under a key that is not in
        ours, or retired there. It may take a while, so it is to bound how often that is."""
        self.turn_to(keyring)

    def turn_to(self, keyring: Keyring) -> None:
        """Use the keys of this keyring from now on: of the same installation, with other keys."""
        self._keyring = keyring
        self._decrypt = keyring.records.decrypt
        self._encrypt = keyring.records.encrypt

    @property
    def primary(self) -> int:
        """The id of the key that records are sealed under now."""
        return next(key.key_id for key in self._keyring.keys[Purpose.RECORDS] if key.primary)

    def seal(self, where: SealedPlace, plaintext: bytes) -> bytes:
        """Seal `plaintext` under the primary key; the result is `OVERHEAD_BYTES` longer.

        Two seals of the same record differ: the nonce is random. Raises SealError.
        """
        if len(plaintext) > MAX_PLAINTEXT_BYTES:
            raise SealError(f"a record has at most {MAX_PLAINTEXT_BYTES} bytes")
        try:
            return self._encrypt(plaintext, self.associated_data(where))
        except PRIMITIVE_ERRORS:
            raise SealError("the record could not be sealed") from None

    def open(self, where: SealedPlace, sealed: bytes) -> bytes:
        """Return the plaintext that was sealed for exactly `where`.

        Raises SealError if it was altered or cut, lies at another place or version, or was
        sealed under a key that this keyring does not have or has disabled, which it names. Which
        of the others, an authenticated cipher cannot tell.
        """
        try:
            return self._decrypt(sealed, self.associated_data(where))
        except PRIMITIVE_ERRORS:
            return self._open_again(where, sealed)

    def _open_again(self, where: SealedPlace, sealed: bytes) -> bytes:
        """Open what did not open, if its key was added or taken back meanwhile; or say why not."""
        key = key_id_of(sealed)
        if not self._state(key) and self.look_again is not None:
            found = self.look_again(key)
            if found is not None:
                self.turn_to(found)
        state = self._state(key)
        if state is None:
            raise SealError(f"the record is sealed under key {key}, which is not in the keyring")
        if not state:
            raise SealError(f"the record is sealed under key {key}, which is retired")
        try:
            return self._decrypt(sealed, self.associated_data(where))
        except PRIMITIVE_ERRORS:
            raise SealError("the record does not open at this place under these keys") from None

    def _state(self, key_id: int) -> bool | None:
        """Whether a key is enabled; None: there is no such key."""
        for key in self._keyring.keys[Purpose.RECORDS]:
            if key.key_id == key_id:
                return key.enabled
        return None

    def associated_data(self, where: SealedPlace) -> bytes:
        """Encode the place: `length_prefixed` of label, installation and the four parts.

        Unrolled, because the general form costs a third of the sealing itself.
        """
        merchant, table, record_id, version = where
        digits = str(version)
        text = (
            f"{self._head}{len(merchant)}:{merchant}{len(table)}:{table}"
            f"{len(record_id)}:{record_id}{len(digits)}:{digits}"
        )
        try:
            return text.encode()
        except UnicodeEncodeError:
            raise SealError("the place of a record is not valid Unicode") from None


def key_id_of(sealed: bytes) -> int:
    """Read which key sealed a record, without opening it: a claim, true once it opens.

    For counting the records left under a key. Raises SealError for what is no sealed record.
    """
    if len(sealed) < OVERHEAD_BYTES or sealed[0] != _TINK_PREFIX:
        raise SealError("these bytes are no sealed record")
    return int.from_bytes(sealed[1:PREFIX_BYTES])
