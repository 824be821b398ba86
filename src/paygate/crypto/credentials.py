"""Keyed hashes of credentials: what is stored of an API key or a client secret.

It must never know which credentials exist, nor what they allow. A stored hash is HMAC-SHA256
under the index key, so a stolen database does not even let a known key be recognised. A fast
hash is right: with 142 bits and more there is nothing to guess.

Unlike a blind index, a hash cannot be made anew when the index key is rotated, for the
credential is not kept. It need not be: all are made with the key that was there first, and whoever
has that key recognises a credential that he has already.
"""

import hmac
from typing import Final

from paygate.crypto.api_keys import ParsedApiKey
from paygate.crypto.client_secrets import intent_id_in
from paygate.crypto.encoding import length_prefixed
from paygate.crypto.keyring import Keyring

HASH_BYTES: Final = 32

_NO_HASH: Final = bytes(HASH_BYTES)


class CredentialHasher:
    """Hashes and compares the credentials of one installation. Safe to share between threads."""

    __slots__ = ("_installation", "_key")

    def __init__(self, keyring: Keyring) -> None:
        self._key = keyring.naming
        self._installation = keyring.installation

    def of_api_key(self, key: ParsedApiKey) -> bytes:
        """Return the 32 bytes to store of a key. Mode, side and id are hashed with it."""
        return self._key.compute(self._api_key_input(key), HASH_BYTES)

    def api_key_matches(self, key: ParsedApiKey, stored: bytes | None) -> bool:
        """Whether `stored` was made of this key, in constant time.

        None stands for a key id that nobody has: it takes as long, and never matches.
        """
        return self._matches(self._api_key_input(key), stored)

    def of_client_secret(self, client_secret: str) -> bytes:
        """Return the 32 bytes to store. Raises ValueError for what is no client secret."""
        if intent_id_in(client_secret) is None:
            raise ValueError("this is not the form of a client secret")
        return self._key.compute(self._client_secret_input(client_secret), HASH_BYTES)

    def client_secret_matches(self, client_secret: str, stored: bytes | None) -> bool:
        """Whether `stored` was made of this secret, in constant time; None as above.

        Text that is no client secret matches nothing, and is hashed no further.
        """
        if intent_id_in(client_secret) is None:
            return False
        return self._matches(self._client_secret_input(client_secret), stored)

    def of_session(self, intent_id: str, session_id: str) -> bytes:
        """Return the 32 bytes to store of the session that an intent is bound to."""
        return self._key.compute(self._session_input(intent_id, session_id), HASH_BYTES)

    def session_matches(self, intent_id: str, session_id: str, stored: bytes | None) -> bool:
        """Whether `stored` was made of this session, in constant time; None as above."""
        return self._matches(self._session_input(intent_id, session_id), stored)

    def _api_key_input(self, key: ParsedApiKey) -> bytes:
        parts = (key.mode.value, key.side.value, key.key_id, key.secret.reveal())
        return length_prefixed("paygate.api_key.1", self._installation, *parts)

    def _client_secret_input(self, client_secret: str) -> bytes:
        return length_prefixed("paygate.client_secret.1", self._installation, client_secret)

    def _session_input(self, intent_id: str, session_id: str) -> bytes:
        return length_prefixed("paygate.session.1", self._installation, intent_id, session_id)

    def _matches(self, data: bytes, stored: bytes | None) -> bool:
        computed = self._key.compute(data, HASH_BYTES)
        same = hmac.compare_digest(computed, _NO_HASH if stored is None else stored)
        return same and stored is not None
