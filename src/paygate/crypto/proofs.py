"""Proofs that who changes a row has the keys: the row has the SHA-256 of one in clear, and who
changes it shows the proof and leaves the hash of the next one. The database checks it with no key.

A proof follows from the audit key and the place that it is for, so every process makes the same. It
is shown once, and must be stored nowhere.
"""

import hashlib
from typing import Final

from paygate.crypto.encoding import length_prefixed
from paygate.crypto.keyring import Keyring

PROOF_BYTES: Final = 32
AUDIT_HEAD: Final = "audit_head"
"""The place of the audit log's head; with it goes how often its row was changed."""


class Proofs:
    """The proofs of an installation. Safe to share between threads."""

    __slots__ = ("_installation", "_prfs")

    def __init__(self, keyring: Keyring) -> None:
        self._prfs = tuple(keyring.audit.values())
        self._installation = keyring.installation

    def asked(self, *place: str) -> bytes:
        """What a row is to ask for at this place."""
        return hashlib.sha256(self._made(0, place)).digest()

    def shown(self, asked: bytes | None, *place: str) -> bytes | None:
        """The proof that a row asks for; None when it asks for none, or for one that our keys do
        not make.
        """
        for number in range(len(self._prfs) if asked is not None else 0):
            proof = self._made(number, place)
            if hashlib.sha256(proof).digest() == asked:
                return proof
        return None

    def _made(self, number: int, place: tuple[str, ...]) -> bytes:
        message = length_prefixed("paygate.proof.1", self._installation, *place)
        return self._prfs[number].compute(message, PROOF_BYTES)
