"""Tink, with types: the only file that touches its untyped interface.

A keyset travels between these functions as Tink's binary `Keyset` message in clear. That is key
material: `keyring` and `kms` keep it no longer than a call, and nothing else may hold it. This
file must never know where a keyset is stored, what it is for, or who wraps it.

Tink for Python has no KeysetManager, so keys are added, promoted and disabled here by editing
the message, under the rules Tink itself checks on every load: key ids differ, and the primary
is one of the enabled keys.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple, Protocol

import tink
from google.protobuf.message import DecodeError
from tink import aead, prf, proto_keyset_format, secret_key_access
from tink.cc.pybind import tink_bindings
from tink.proto import tink_pb2

# Tink's registry belongs to the process, and registering twice does nothing.
aead.register()
prf.register()

PRIMITIVE_ERRORS: Final[tuple[type[Exception], ...]] = (
    tink.TinkError,
    tink_bindings.PythonTinkException,
    TypeError,
)
"""What a primitive raises. TypeError is among them because the C++ binding quotes its arguments,
plaintext included, in its message: callers turn both into errors of their own."""

MAX_KEYS: Final = 20
"""Keys in one keyset. At four rotations a year that is five years of keys, and the keyset stays
under the 4,096 bytes that AWS KMS encrypts in one call."""


class Aead(Protocol):
    """Tink's AEAD over a keyset: seals with the primary key, opens with any enabled key."""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes: ...
    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes: ...


class Prf(Protocol):
    """Tink's keyed pseudo-random function of one key: the same input, the same bytes."""

    def compute(self, input_data: bytes, output_length: int) -> bytes: ...


class KeyKind(Enum):
    """The two kinds of key this house uses, both of 256 bits."""

    SEAL = aead.aead_key_templates.XAES_256_GCM_192_BIT_NONCE
    """C2SP XAES-256-GCM: AES-256-GCM under a key derived from half of a 192-bit random nonce.
    The random 96-bit nonces of plain AES-GCM end at 2^32 messages a key (NIST SP 800-38D, 8.3),
    50 days at 1,000 a second; these are good for 2^80. Tink's prefix carries the key's id."""

    INDEX = prf.prf_key_templates.HMAC_SHA256
    """HMAC-SHA256 (RFC 2104, FIPS 198-1) as a PRF; output without a prefix."""


_ADDED: Final = {KeyKind.INDEX: prf.prf_key_templates.HKDF_SHA256}
"""The kind of a key that is added, where it is another than the first one's. A release that would
claim names under whichever index key is the primary refuses a keyset with such a key: it cannot be
started beside those that claim them under the first, and have a request run twice (0069). HKDF is
two HMACs of the same kind (RFC 5869), and costs twice a look-up's microsecond."""


class KeyInfo(NamedTuple):
    """What may be said of a key in clear."""

    key_id: int
    primary: bool
    enabled: bool


class KeysetError(Exception):
    """A keyset is malformed, of another kind, or asked for something it must refuse."""


def new_keyset(kind: KeyKind) -> bytes:
    """Make a keyset with one fresh key, enabled and primary."""
    return _bytes_of(_fresh(kind.value))


def seal_primitive(keyset: bytes) -> Aead:
    """Return the AEAD over a SEAL keyset, or raise KeysetError."""
    primitive: Aead = _handle(_read(keyset, KeyKind.SEAL)).primitive(aead.Aead)
    return primitive


def index_primitives(keyset: bytes) -> dict[int, Prf]:
    """Return one PRF for each enabled key of an INDEX keyset by its id, the primary's first."""
    message = _read(keyset, KeyKind.INDEX)
    by_id = _prfs(message)
    primary_id = int(message.primary_key_id)
    others = [key_id for key_id in sorted(by_id) if key_id != primary_id]
    return {key_id: by_id[key_id] for key_id in (primary_id, *others)}


def first_index_primitive(keyset: bytes) -> Prf:
    """Return the PRF of the key that an INDEX keyset had first, enabled or not."""
    first = tink_pb2.Keyset()
    first.key.add().CopyFrom(_read(keyset, KeyKind.INDEX).key[0])
    first.key[0].status = tink_pb2.ENABLED
    first.primary_key_id = first.key[0].key_id
    return _prfs(first)[first.primary_key_id]


def keys_of(keyset: bytes, kind: KeyKind) -> tuple[KeyInfo, ...]:
    """List the keys in the order they were added."""
    message = _read(keyset, kind)
    return tuple(
        KeyInfo(key.key_id, key.key_id == message.primary_key_id, key.status == tink_pb2.ENABLED)
        for key in message.key
    )


def with_new_key(keyset: bytes, kind: KeyKind) -> tuple[bytes, int]:
    """Add a fresh key, enabled but not yet primary; return the keyset and the new key's id."""
    message = _read(keyset, kind)
    if len(message.key) >= MAX_KEYS:
        raise KeysetError(f"a keyset holds at most {MAX_KEYS} keys")
    taken = {key.key_id for key in message.key}
    template = _ADDED.get(kind, kind.value)
    fresh = _fresh(template)
    while fresh.primary_key_id in taken:  # ids are 32 random bits: two in a row is fiction
        fresh = _fresh(template)
    message.key.add().CopyFrom(fresh.key[0])
    return _bytes_of(message), int(fresh.primary_key_id)


def with_primary(keyset: bytes, kind: KeyKind, key_id: int) -> bytes:
    """Make an enabled key the one that new records are sealed or indexed with."""
    message = _read(keyset, kind)
    if _key(message, key_id).status != tink_pb2.ENABLED:
        raise KeysetError(f"key {key_id} is disabled and cannot become the primary")
    message.primary_key_id = key_id
    return _bytes_of(message)


def with_disabled(keyset: bytes, kind: KeyKind, key_id: int) -> bytes:
    """Disable a key: what it sealed no longer opens. The primary is refused."""
    message = _read(keyset, kind)
    key = _key(message, key_id)
    if key_id == message.primary_key_id:
        raise KeysetError(f"key {key_id} is the primary and cannot be disabled")
    key.status = tink_pb2.DISABLED
    return _bytes_of(message)


def with_enabled(keyset: bytes, kind: KeyKind, key_id: int) -> bytes:
    """Enable a disabled key again: what it sealed opens once more."""
    message = _read(keyset, kind)
    _key(message, key_id).status = tink_pb2.ENABLED
    return _bytes_of(message)


def _fresh(template: tink_pb2.KeyTemplate) -> tink_pb2.Keyset:
    handle = tink.new_keyset_handle(template)
    serialized: bytes = proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
    return tink_pb2.Keyset.FromString(serialized)


def _read(keyset: bytes, kind: KeyKind) -> tink_pb2.Keyset:
    """Parse a keyset and refuse keys of any other kind.

    A weaker key, or one whose ciphertexts carry no key id, would be used without a word.
    """
    parse: Callable[[bytes], tink_pb2.Keyset] = tink_pb2.Keyset.FromString
    try:
        message = parse(keyset)
    except (DecodeError, TypeError):
        raise KeysetError("not a keyset") from None
    known = {
        (template.type_url, template.output_prefix_type)
        for template in (kind.value, _ADDED.get(kind, kind.value))
    }
    if any((key.key_data.type_url, key.output_prefix_type) not in known for key in message.key):
        raise KeysetError(f"the keyset holds a key that is not of the kind {kind.name}")
    if len({key.key_id for key in message.key}) != len(message.key):
        raise KeysetError("the keyset holds two keys of one id")  # one would hide the other
    _handle(message)
    return message


def _prfs(message: tink_pb2.Keyset) -> dict[int, Prf]:
    """By the id of each enabled key, and without the wrapper that makes Tink's errors of its
    bindings': that is half of a hash's time.
    """
    prfs = _handle(message).primitive(prf.PrfSet)
    return {key_id: each._cc_primitive for key_id, each in prfs.all().items()}  # noqa: SLF001


def _handle(message: tink_pb2.Keyset) -> tink.KeysetHandle:
    try:
        return proto_keyset_format.parse(_bytes_of(message), secret_key_access.TOKEN)
    except tink.TinkError:
        raise KeysetError("the keyset is empty or its primary key is not enabled") from None


def _key(message: tink_pb2.Keyset, key_id: int) -> tink_pb2.Keyset.Key:
    for key in message.key:
        if key.key_id == key_id:
            return key
    raise KeysetError(f"the keyset has no key {key_id}")


def _bytes_of(message: tink_pb2.Keyset) -> bytes:
    serialized: bytes = message.SerializeToString()
    return serialized
