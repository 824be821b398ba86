"""Asks a HashiCorp Vault, or what speaks its HTTP API (OpenBao), over verified TLS.

It must never know what is asked. What a server says in an error is compared with known words and
never repeated: a wrong server could say back what it was sent.
"""

import http.client
import os
import re
import ssl
import stat
import threading
import time
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

CALL_SECONDS: Final = 10.0
"""For one call, from the look-up of the name to the answer's last byte: an answer that drips keeps
each wait short, and would take days.
"""
MAX_ANSWER_BYTES: Final = 64 * 1024
"""A wrapped keyset has under 6 KB; a key's description some hundred bytes, and 20 a version."""
MAX_TOKEN_BYTES: Final = 8_192
"""Service tokens have about 100 characters, batch tokens 300 and more."""
DEFAULT_PORT: Final = 8200
SEGMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""Of a path: of a mount, or the name of a key."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 4.0
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9a-f:.]{2,45}")
_TOKEN: Final = re.compile(r"[!-~]+")
_OPEN_TO_STRANGERS: Final = stat.S_IRWXO | stat.S_IWGRP
"""The group may read a token: the agent that renews it is another user."""
_SERVER_FAULT: Final = 500


UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for what is no JSON of the shape that it is to be."""


class VaultError(Exception):
    """It was not done. The message holds no token, no bytes and no words of the server's."""


class VaultAwayError(VaultError):
    """It may be done later: there was no answer, or the Vault is sealed or busy."""


class WrappedOtherwiseError(VaultError):
    """A ciphertext is not of this key and this associated data."""


class TransitAddress(NamedTuple):
    """`hcvault://HOST[:PORT]/MOUNT/keys/NAME?token_file=PATH[&ca_file=PATH]`."""

    host: str
    port: int
    mount: str
    """May have several segments: a namespace stands before the mount."""
    name: str
    token_file: Path
    """Read anew for each call, so that an agent may replace the token."""
    ca_file: Path | None
    """None: the system's authorities."""

    @classmethod
    def parse(cls, uri: str) -> "TransitAddress":
        """Raises VaultError, which does not quote: somebody may have put a token there."""
        malformed = VaultError(
            "an hcvault: KMS address is hcvault://HOST[:PORT]/MOUNT/keys/NAME"
            "?token_file=/absolute/path[&ca_file=/absolute/path]"
        )
        try:
            parts = urlsplit(uri)
            port = parts.port or DEFAULT_PORT
            pairs = parse_qsl(parts.query, strict_parsing=True, errors="strict")
        except ValueError:
            raise malformed from None
        mount, keys, name = _three(parts.path)
        files = {option: Path(value) for option, value in pairs}
        host = parts.hostname or ""
        if (
            parts.scheme != "hcvault"
            or "@" in parts.netloc
            or parts.fragment
            or _HOST.fullmatch(host) is None
            or keys != "keys"
            or not all(SEGMENT.fullmatch(part) for part in (*mount.split("/"), name))
            or len(files) != len(pairs)
            or not {"token_file"} <= files.keys() <= {"token_file", "ca_file"}
            or not all(file.is_absolute() and "\0" not in str(file) for file in files.values())
        ):
            raise malformed
        return cls(host, port, mount, name, files["token_file"], files.get("ca_file"))


class VaultHttp:
    """Each call has a connection of its own: there are few."""

    def __init__(self, address: TransitAddress, *, patience_seconds: float) -> None:
        """Raises VaultError: the file of authorities is not there, or is none."""
        self._address = address
        self._patience = patience_seconds
        self._where = f"Vault at {address.host}:{address.port}"
        try:
            self._tls = ssl.create_default_context(cafile=address.ca_file)
        except OSError:  # an SSLError too
            raise VaultError(f"no authorities can be read from {address.ca_file}") from None
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """Ask until there is an answer, or patience ends; return what is answered with 200.

        Raises VaultError.
        """
        end, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while True:
            try:
                return self._ask_once(method, path, body)
            except VaultAwayError:
                if time.monotonic() + pause > end:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _ask_once(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        """In a thread, which is left behind when it takes too long: neither the look-up of a name
        nor the rest of an answer can be given a time.
        """
        found: list[bytes | Exception] = []

        def exchange() -> None:
            try:
                found.append(self._exchange(method, path, body))
            except Exception as error:  # noqa: BLE001 -- it is raised below
                found.append(error)

        asking = threading.Thread(target=exchange, daemon=True, name="vault")
        asking.start()
        asking.join(CALL_SECONDS)
        if not found:
            raise VaultAwayError(f"{self._where} did not answer in time")
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        headers = {
            "X-Vault-Token": _token(self._address.token_file),
            "X-Vault-Request": "true",
            "Accept": "application/json",
        }
        encoded = None if body is None else msgspec.json.encode(body)
        connection = http.client.HTTPSConnection(
            self._address.host, self._address.port, timeout=CALL_SECONDS, context=self._tls
        )
        try:
            connection.request(method, f"/v1/{path}", encoded, headers)
            with connection.getresponse() as response:
                content = response.read(MAX_ANSWER_BYTES + 1)
                if response.length and len(content) <= MAX_ANSWER_BYTES:
                    raise http.client.IncompleteRead(content)
        except ssl.SSLCertVerificationError as error:
            raise VaultError(
                f"the certificate of {self._where} is not trusted: {error.verify_message}"
            ) from None
        except TimeoutError:
            raise VaultAwayError(f"{self._where} did not answer in time") from None
        except (http.client.HTTPException, ValueError):  # a chunk of less than nothing
            raise VaultAwayError(f"{self._where} ended the conversation") from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise VaultAwayError(f"{self._where} cannot be reached: {why}") from None
        finally:
            connection.close()
        if len(content) > MAX_ANSWER_BYTES:
            raise VaultError(f"the answer of {self._where} is too large to be one")
        if response.status != http.HTTPStatus.OK:
            raise self._fault(response.status, content)
        return content

    def _fault(self, status: int, content: bytes) -> VaultError:
        """What an answer that is not 200 says, in our words."""
        try:
            said = " ".join(msgspec.json.decode(content, type=_Errors).errors)
        except UNREADABLE:
            said = ""
        about = f"key {self._address.name} of {self._where}"
        if _MISMATCH in said:
            return WrappedOtherwiseError(
                f"{about}: it was wrapped under another key, or for another installation or"
                " purpose, or it was altered"
            )
        for words, meaning in _KNOWN.items():
            if words in said:
                return VaultError(f"{about}: {meaning}")
        meaning = _STATUSES.get(status, f"it answered {status}")
        if status >= _SERVER_FAULT or status == http.HTTPStatus.TOO_MANY_REQUESTS:
            return VaultAwayError(f"{about}: {'it is sealed' if 'sealed' in said else meaning}")
        return VaultError(f"{about}: {meaning}")


class _Errors(msgspec.Struct):
    errors: list[str] = []


_MISMATCH: Final = "message authentication failed"
_KNOWN: Final = {
    "too old": "it was wrapped under a version that is not allowed now (min_decryption_version)",
    "version is too new": "it was wrapped under a version that this key does not have",
    "encryption key not found": "there is no such key",
}
"""Words of answers with status 400, Vault's and OpenBao's alike."""
_STATUSES: Final = {
    307: "it sends us to another node; name the active one, or what balances between them",
    400: "it does not take what it was sent; another Vault may have made it",
    403: "the token may not do that: it has ended, or its policy does not name this key",
    404: "there is no such key, or no transit engine at this mount",
    429: "it is busy",
    503: "it is sealed, or in maintenance",
}


def _three(path: str) -> tuple[str, str, str]:
    """`/MOUNT/keys/NAME` in three; what is missing is empty."""
    rest, _, name = path.removeprefix("/").rpartition("/")
    mount, _, keys = rest.rpartition("/")
    return mount, keys, name


def _token(path: Path) -> str:
    """Read a token. Raises VaultError: absent, open to strangers, or not a token."""
    try:
        # A named pipe must be refused below, not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            content = file.read(MAX_TOKEN_BYTES + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise VaultError(f"cannot read Vault's token from {path}: {error.strerror}") from None
    if status.st_mode & _OPEN_TO_STRANGERS:
        mode = stat.S_IMODE(status.st_mode)
        raise VaultError(f"Vault's token in {path} is open to others (mode {mode:04o})")
    token = content.decode("ascii", errors="replace").strip()
    if len(content) > MAX_TOKEN_BYTES or _TOKEN.fullmatch(token) is None:
        raise VaultError(f"there is no token of Vault's in {path}")
    return token
