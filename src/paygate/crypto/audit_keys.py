"""The keys of the audit log's chain: a salt for each entry, and Ed25519 signatures of its head.

Both are derived from a keyset of their own, which the database holds wrapped, as all others. A
signature is checked with the public key alone, which anybody may have (`public_keys`).

It must never know what an entry holds, nor which there are.
"""

from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from paygate.crypto.encoding import length_prefixed
from paygate.crypto.keyring import Keyring

SALT_BYTES: Final = 16
"""128 bits that nobody guesses who has the database and no key."""
_SEED_BYTES: Final = 32


class Signature(NamedTuple):
    """A signature, and the id of the key that made it."""

    key: int
    signature: bytes


class AuditKeys:
    """Salts and signs with the primary key, checks with all. Safe to share between threads."""

    __slots__ = ("_head", "_prfs", "_primary", "_signers")

    def __init__(self, keyring: Keyring) -> None:
        self._prfs = keyring.audit
        self._primary = next(iter(keyring.audit))
        self._head = length_prefixed("paygate.audit.salt.1", keyring.installation).decode()
        seed = length_prefixed("paygate.audit.sign.1", keyring.installation)
        self._signers = {
            key: Ed25519PrivateKey.from_private_bytes(prf.compute(seed, _SEED_BYTES))
            for key, prf in keyring.audit.items()
        }

    @property
    def primary(self) -> int:
        """The id of the key for what is written now."""
        return self._primary

    def salt(self, key: int, merchant: str, entry_id: str) -> bytes | None:
        """The salt of an entry under a key, always the same; None when there is no such key."""
        prf = self._prfs.get(key)
        if prf is None:
            return None
        text = f"{self._head}{len(merchant)}:{merchant}{len(entry_id)}:{entry_id}"
        return prf.compute(text.encode(), SALT_BYTES)

    def sign(self, message: bytes) -> Signature:
        """The signature of a message with the primary key."""
        return Signature(self._primary, self._signers[self._primary].sign(message))

    def signed(self, message: bytes, signature: Signature) -> bool:
        """Whether a key of ours signed this."""
        signer = self._signers.get(signature.key)
        if signer is None:
            return False
        try:
            signer.public_key().verify(signature.signature, message)
        except InvalidSignature:
            return False
        return True

    def public_keys(self) -> dict[int, bytes]:
        """The public keys by id, 32 bytes each (RFC 8032), the primary's first."""
        return {
            key: signer.public_key().public_bytes_raw() for key, signer in self._signers.items()
        }
