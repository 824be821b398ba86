"""The chain of the audit log: what is hashed of an entry, how one hash follows from another, and
what is signed. Format 1 of it; docs/audit.md has the same in words, and a verifier beside it.

An entry's *leaf* is a keyed hash of what is stored of it: the opened content, byte for byte, and
its columns in clear. Its *hash* follows from its number, its name, its leaf and the hash before.
Content is never hashed as it is sealed, so a record that is sealed anew under another key stays the
same entry.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

FORMAT: Final = 1
"""What is written today. A verifier knows each that was ever written."""
HASH_BYTES: Final = 32
SALT_BYTES: Final = 16
GENESIS: Final = bytes(HASH_BYTES)
"""What stands before the first entry."""
_BLOCK_BYTES: Final = 64
"""Of SHA-256."""
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Entry(NamedTuple):
    """What is stored of an entry: its columns in clear, null where they are, and its content."""

    merchant: str
    id: str
    at: datetime
    subject: str | None
    action: str | None
    actor: str | None
    content: bytes


class Head(NamedTuple):
    """The last entry of the chain; zero and `GENESIS` before there is one."""

    number: int
    hash: bytes


class Seal(NamedTuple):
    """What is kept of an entry in the chain. `signature` is there at the end of each batch, of the
    entry's own hash and so of all before; `key` names the key of salt and signature.
    """

    number: int
    merchant: str
    entry: str
    at: datetime
    key: int
    format: int
    leaf: bytes
    hash: bytes
    signature: bytes | None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The head as it was told to somebody outside. `previous` is the SHA-256 of the line before, in
    hex, and nothing for the first.
    """

    format: int = FORMAT
    installation: str
    number: int
    hash: str
    at: str
    previous: str
    key: int
    signature: str

    @property
    def head(self) -> Head:
        """What it says of the chain. Raises ValueError: no hash."""
        return Head(self.number, bytes.fromhex(self.hash))


def fields(*values: str | bytes | None) -> bytes:
    """The values one after another, so that no two different sequences read alike: each is its
    length in bytes, a colon and itself; null is a dash.
    """
    data = [value.encode() if isinstance(value, str) else value for value in values]
    return b"".join([b"-" if value is None else b"%d:%b" % (len(value), value) for value in data])


def _texts(*values: str | None) -> bytes:
    """`fields` of texts, encoded at once where one letter is one byte."""
    text = "".join(["-" if value is None else f"{len(value)}:{value}" for value in values])
    return text.encode() if text.isascii() else fields(*values)


def microseconds(at: datetime) -> int:
    """A time as the database keeps it: whole microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def leaf_of(salt: bytes, entry: Entry) -> bytes:
    """The leaf of an entry. The salt is a secret of its own, so that who has the database and no
    key cannot try what an entry may hold.
    """
    merchant, entry_id, at, *clear, content = entry
    texts = _texts("paygate.audit.1", merchant, entry_id, str(microseconds(at)), *clear)
    return _hmac(salt, b"%b%d:%b" % (texts, len(content), content))


def _hmac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) with a key of at most 64 bytes, of which there is one for each entry:
    in half the time that `hmac.digest` takes.
    """
    key = key.ljust(_BLOCK_BYTES, b"\0")
    inner = sha256(key.translate(_INNER) + data).digest()
    return sha256(key.translate(_OUTER) + inner).digest()


def hash_of(installation: str, previous: bytes, seal: Seal) -> bytes:
    """The hash of an entry, from all else that its seal says: the name too, which is all that is
    left of an entry whose month was taken away.
    """
    number, merchant, entry, at, key, form, leaf, *_ = seal
    made = _texts(str(number), merchant, entry, str(microseconds(at)), str(key), str(form))
    before = (_texts("paygate.chain.1", installation), len(previous), previous)
    return sha256(b"%b%d:%b%b%d:%b" % (*before, made, len(leaf), leaf)).digest()


def head_message(installation: str, head: Head) -> bytes:
    """What is signed of the last entry of a batch."""
    return fields("paygate.head.1", installation, str(head.number), head.hash)


def checkpoint_message(checkpoint: Checkpoint) -> bytes:
    """What is signed of a checkpoint."""
    told = (checkpoint.number, checkpoint.hash, checkpoint.at, checkpoint.previous)
    return fields("paygate.checkpoint.1", checkpoint.installation, *map(str, told))


def line_of(checkpoint: Checkpoint) -> bytes:
    """The checkpoint as a line, which ends with a line feed."""
    return msgspec.json.encode(checkpoint, order="sorted") + b"\n"


def digest_of(line: bytes) -> str:
    """What the next checkpoint calls `previous`."""
    return sha256(line.rstrip(b"\n")).hexdigest()


class Gap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers that a restore made forgotten, and who declared so: the chain goes on behind them."""

    first: int
    last: int
    declared_by: str = ""


def gaps_text(gaps: Sequence[Gap]) -> str:
    """Gaps as a detail of an audit entry."""
    return ",".join(f"{gap.first}-{gap.last}" for gap in gaps)
