"""The KMS port: who wraps and unwraps keysets, under a key that the database never holds.

A KMS sees bytes and associated data. It must never know what a keyset is for, nor where it is
stored. Keysets are unwrapped when a process starts and when keys change, never per record, so
a remote KMS may take its time, and a gateway that runs does not feel that its KMS is away. Calls
block: an event loop makes them in a thread.
"""

import base64
import binascii
import os
import re
import stat
import zlib
from pathlib import Path
from typing import Final, Protocol, Self
from urllib.parse import unquote, urlsplit

from paygate.crypto import cloud_kms, tink_keysets
from paygate.crypto.cloud_kms import CloudKmsError, open_cloud_key
from paygate.crypto.tink_keysets import PRIMITIVE_ERRORS, Aead, KeyKind, KeysetError
from paygate.crypto.vault_http import TransitAddress, VaultError
from paygate.crypto.vault_transit import Transit
from paygate.private import drafted

SCHEMES: Final = ("file", "hcvault", *cloud_kms.SCHEMES)
"""The KMS addresses that `open_kms` understands."""

PATIENCE_SECONDS: Final = 20.0
"""How long a start waits for a key service: an election there ends in seconds, and a supervisor
starts a gateway again."""

MAX_FILE_BYTES: Final = 16_384
"""A KEK file with one key has 180 bytes and with `MAX_KEYS` under 3 KB. More is another file."""

_DEVELOPMENT, _OWN = "paygate-kek-1", "paygate-kek-2"
"""The first line of a KEK file: of one that `paygate up` made, and of one that people had made."""
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]{0,15}):")


class KmsError(Exception):
    """Wrapping, unwrapping or opening a KMS failed. The message never holds key material."""


class Kms(Protocol):
    """Wraps keysets under its key-encryption key."""

    @property
    def is_development(self) -> bool:
        """Whether the KEK is the one that `paygate up` made. Production refuses to start on it."""

    def wrap(self, keyset: bytes, associated_data: bytes) -> bytes:
        """Encrypt a keyset of up to 4,096 bytes. Raises KmsError."""

    def unwrap(self, wrapped: bytes, associated_data: bytes) -> bytes:
        """Decrypt what `wrap` made with the same associated data. Raises KmsError."""


def open_kms(uri: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Kms:
    """Open the KMS at `uri`; its scheme is one of `SCHEMES` (docs/kms.md).

    `patience_seconds` is how long each call to a Vault goes on asking one that is away.
    Raises KmsError. What follows the scheme is never repeated in an error: for some KMS it would
    be a credential.
    """
    match = _SCHEME.match(uri)
    if match is None or match[1] not in SCHEMES:
        found = "no scheme" if match is None else f"scheme {match[1]}:"
        raise KmsError(
            f"a KMS address with {found}; supported: {', '.join(f'{s}:' for s in SCHEMES)}"
        )
    try:
        if match[1] == "file":
            return FileKms.open(_file_of(uri))
        if match[1] == "hcvault":
            address = TransitAddress.parse(uri)
            return ServiceKms(Transit(address, patience_seconds=patience_seconds))
        return ServiceKms(open_cloud_key(match[1], uri))
    except (VaultError, CloudKmsError) as error:
        raise KmsError(str(error)) from None


def _file_of(uri: str) -> Path:
    """The path of `file:/absolute/path` (percent-encoded, as `Path.as_uri` writes it)."""
    try:
        parts = urlsplit(uri)
        path = unquote(parts.path, errors="strict")
        extra = parts.netloc or parts.query or parts.fragment or "\0" in path
    except ValueError:
        raise KmsError("a file: KMS address is not a URI") from None
    if extra or not path.startswith("/"):
        raise KmsError("a file: KMS address is file:/absolute/path, with nothing before or after")
    return Path(path)


class ServiceKms:
    """A key-encryption key in a key service, which is asked over the network."""

    __slots__ = ("_key",)
    is_development: Final = False

    def __init__(self, key: Aead) -> None:
        """`key` raises VaultError or CloudKmsError."""
        self._key = key

    def wrap(self, keyset: bytes, associated_data: bytes) -> bytes:
        """Encrypt a keyset, and see that it opens before anything relies on it. Raises KmsError."""
        try:
            wrapped = self._key.encrypt(keyset, associated_data)
            opened = self._key.decrypt(wrapped, associated_data)
        except (VaultError, CloudKmsError) as error:
            raise KmsError(str(error)) from None
        if opened != keyset:
            raise KmsError("the key service does not open what it encrypted")
        return wrapped

    def unwrap(self, wrapped: bytes, associated_data: bytes) -> bytes:
        """Decrypt a wrapped keyset. Raises KmsError."""
        try:
            return self._key.decrypt(wrapped, associated_data)
        except (VaultError, CloudKmsError) as error:
            raise KmsError(str(error)) from None


class FileKms:
    """A key-encryption key in a file: whoever has the disk has the key.

    The file is three lines of text: a header, Tink's keyset in base64, and its CRC32, because a
    keyset cut between two keys would still parse. It is XAES-256-GCM, as records are. The header
    tells a development key wherever the file is copied to.
    """

    __slots__ = ("_aead", "is_development", "path")

    def __init__(self, path: Path, keyset: bytes, *, is_development: bool) -> None:
        """For `create` and `open`; raises KeysetError if `keyset` is not one for sealing."""
        self.path = path
        self.is_development = is_development
        self._aead = tink_keysets.seal_primitive(keyset)

    @classmethod
    def create(cls, path: Path, *, is_development: bool = False) -> Self:
        """Write a fresh KEK to `path`, mode 0600. Raises KmsError, also if the path exists.

        It appears whole or not at all, and is on the disk before this returns: a KEK lost after
        the first record was sealed would take every record with it.
        """
        keyset = tink_keysets.new_keyset(KeyKind.SEAL)
        header = _DEVELOPMENT if is_development else _OWN
        try:
            with drafted(path, _file_text(header, keyset)) as draft:
                os.link(draft, path)  # unlike a rename, refuses to replace
            _sync_directory(path.parent)
        except FileExistsError:
            raise KmsError(f"{path} exists; a KEK file is never overwritten") from None
        except OSError as error:
            raise KmsError(f"cannot create the KEK file {path}: {error.strerror}") from None
        return cls(path, keyset, is_development=is_development)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the KEK at `path`. Raises KmsError: absent, open to others, or not a KEK file."""
        header, keyset = _parts_of(_read_private(path), path)
        try:
            return cls(path, keyset, is_development=header == _DEVELOPMENT)
        except KeysetError as error:
            raise KmsError(f"the KEK file {path} is malformed: {error}") from None

    def wrap(self, keyset: bytes, associated_data: bytes) -> bytes:
        """Encrypt a keyset; 45 bytes longer than it. Raises KmsError."""
        try:
            return self._aead.encrypt(keyset, associated_data)
        except PRIMITIVE_ERRORS:
            raise KmsError("the keyset could not be wrapped") from None

    def unwrap(self, wrapped: bytes, associated_data: bytes) -> bytes:
        """Decrypt a wrapped keyset. Raises KmsError."""
        try:
            return self._aead.decrypt(wrapped, associated_data)
        except PRIMITIVE_ERRORS:
            raise KmsError(
                f"it was wrapped under another KEK than {self.path}, or for another installation"
                " or purpose, or it was altered"
            ) from None


def _file_text(header: str, keyset: bytes) -> bytes:
    body = base64.b64encode(keyset).decode()
    return f"{header}\n{body}\n{zlib.crc32(keyset):08x}\n".encode()


def _parts_of(content: bytes, path: Path) -> tuple[str, bytes]:
    """The header and the keyset of a KEK file. Raises KmsError."""
    malformed = KmsError(f"the KEK file {path} is malformed or truncated; restore it from its copy")
    try:
        keyset = base64.b64decode(content.split(b"\n")[1], validate=True)
    except (IndexError, binascii.Error):
        raise malformed from None
    # One spelling only: written again, it must be the same file, header, checksum and all.
    for header in (_DEVELOPMENT, _OWN):
        if content == _file_text(header, keyset):
            return header, keyset
    raise malformed


def _read_private(path: Path) -> bytes:
    """Read the file through one descriptor, so that what was judged is what is read."""
    try:
        # A named pipe must be refused below, not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _refuse_unless_private(os.fstat(descriptor), path)
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(MAX_FILE_BYTES)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise KmsError(f"there is no KEK file {path}") from None
    except OSError as error:
        raise KmsError(f"cannot read the KEK file {path}: {error.strerror}") from None


def _refuse_unless_private(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KmsError(f"the KEK file {path} is not a regular file")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(status.st_mode)
        raise KmsError(f"the KEK file {path} is open to others (mode {mode:04o}): chmod 600 it")
    if status.st_size > MAX_FILE_BYTES:
        raise KmsError(f"the KEK file {path} is too large to be one")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
