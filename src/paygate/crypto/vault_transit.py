"""One key of a transit engine: it stays there, and bytes are sent to be encrypted under it.

It must never know what the bytes are, nor where a ciphertext is kept.
API: https://developer.hashicorp.com/vault/api-docs/secret/transit
"""

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from paygate.crypto.vault_http import (
    SEGMENT,
    UNREADABLE,
    TransitAddress,
    VaultError,
    VaultHttp,
    WrappedOtherwiseError,
)

KEY_TYPE: Final = "aes256-gcm96"
"""Other types are not AES-256, or cannot bind a keyset to its place."""
_CIPHERTEXT: Final = re.compile(r"vault:v[1-9][0-9]{0,8}:[A-Za-z0-9+/]+={0,2}")

T = TypeVar("T")


class KeyFacts(NamedTuple):
    """What may be said of a key in clear."""

    type: str
    derived: bool
    exportable: bool
    deletion_allowed: bool
    latest_version: int
    made_at: datetime
    """Its latest version."""

    @property
    def unfit(self) -> str | None:
        """Why nothing may be wrapped under it; None: it fits."""
        if self.derived:
            return f"derived; wanted: {KEY_TYPE}, not derived"
        if self.type == KEY_TYPE:
            return None
        found = f"of type {self.type}" if SEGMENT.fullmatch(self.type) else "of another type"
        return f"{found}; wanted: {KEY_TYPE}, not derived"


class TokenFacts(NamedTuple):
    """What may be said of the token in use."""

    lasts: timedelta | None
    """From now on; None: without end."""
    lifetime: timedelta
    """As it was given."""
    is_root: bool
    lacking: tuple[str, ...]
    """What it may not do here: `encrypt`, `decrypt`, or look at `keys`."""


class Transit:
    """Safe to share between threads."""

    def __init__(self, address: TransitAddress, *, patience_seconds: float) -> None:
        """Raises VaultError: the file of authorities is not there, or is none."""
        self._address = address
        self._http = VaultHttp(address, patience_seconds=patience_seconds)

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Encrypt under the key's latest version; `vault:vN:...`, in ASCII.

        The key must be there already, for an engine makes one of any name for whoever may create.
        An engine that does not know associated data leaves it out without a word: what comes back
        must not open with other. Raises VaultError.
        """
        if unfit := self.key().unfit:
            raise VaultError(f"key {self._address.name} of Vault is {unfit}")
        body = {"plaintext": _base64(plaintext), "associated_data": _base64(associated_data)}
        answer = self._http.ask("POST", self._path("encrypt"), body)
        ciphertext = _data_of(answer, _Encrypted).ciphertext
        if _CIPHERTEXT.fullmatch(ciphertext) is None:
            raise VaultError("what Vault encrypted does not look like it")
        wrapped = ciphertext.encode()
        try:
            self.decrypt(wrapped, associated_data + b"?")
        except WrappedOtherwiseError:
            return wrapped
        raise VaultError("this Vault knows no associated data: Vault 1.11 and OpenBao do")

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Decrypt what `encrypt` made, under whichever version. Raises VaultError."""
        text = ciphertext.decode("ascii", errors="replace")
        if _CIPHERTEXT.fullmatch(text) is None:
            raise VaultError("it was wrapped by another KMS than Vault")
        body = {"ciphertext": text, "associated_data": _base64(associated_data)}
        answer = self._http.ask("POST", self._path("decrypt"), body)
        try:
            return base64.b64decode(_data_of(answer, _Decrypted).plaintext, validate=True)
        except (binascii.Error, ValueError):
            raise VaultError("what Vault decrypted is not base64") from None

    def key(self) -> KeyFacts:
        """Look at the key. Raises VaultError."""
        key = _data_of(self._http.ask("GET", self._path("keys")), _Key)
        return KeyFacts(
            type=key.type,
            derived=key.derived,
            exportable=key.exportable,
            deletion_allowed=key.deletion_allowed,
            latest_version=key.latest_version,
            made_at=_moment(key.keys.get(str(key.latest_version))),
        )

    def token(self) -> TokenFacts:
        """Look at the token, and at what it may do with the key. Raises VaultError."""
        token = _data_of(self._http.ask("GET", "auth/token/lookup-self"), _Token)
        paths = {verb: self._path(verb) for verb in ("encrypt", "decrypt", "keys")}
        answer = self._http.ask("POST", "sys/capabilities-self", {"paths": list(paths.values())})
        may = _data_of(answer, dict[str, list[str]])
        return TokenFacts(
            lasts=_span(token.ttl) if token.creation_ttl else None,
            lifetime=_span(token.creation_ttl),
            is_root="root" in token.policies,
            lacking=tuple(
                verb
                for verb, path in paths.items()
                if not {"root", "read" if verb == "keys" else "update"} & set(may.get(path, ()))
            ),
        )

    def _path(self, verb: str) -> str:
        return f"{self._address.mount}/{verb}/{self._address.name}"


class _Key(msgspec.Struct):
    type: str
    derived: bool
    exportable: bool
    deletion_allowed: bool
    latest_version: int
    keys: dict[str, Any]
    """When each version was made, in seconds since 1970; of other types than ours, more."""


class _Token(msgspec.Struct):
    ttl: int
    creation_ttl: int
    """0: without end."""
    policies: list[str]


class _Encrypted(msgspec.Struct):
    ciphertext: str


class _Decrypted(msgspec.Struct):
    plaintext: str


class _Answer(msgspec.Struct):
    data: msgspec.Raw


def _data_of(answer: bytes, shape: type[T]) -> T:
    try:
        data = msgspec.json.decode(answer, type=_Answer).data
        return msgspec.json.decode(data, type=shape)
    except UNREADABLE:  # its words may quote what was sent
        raise _other_shape() from None


def _moment(seconds: Any) -> datetime:
    try:
        return datetime.fromtimestamp(seconds if isinstance(seconds, int) else 0, UTC)
    except (ValueError, OverflowError, OSError):
        raise _other_shape() from None


def _span(seconds: int) -> timedelta:
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise _other_shape() from None


def _other_shape() -> VaultError:
    return VaultError("Vault's answer has another shape than transit's")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
