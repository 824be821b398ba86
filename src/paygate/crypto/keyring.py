"""The keyring: one keyset per purpose, each wrapped by the KMS, opened when a process starts.

Storage keeps `purpose -> wrapped bytes` and hands them back; this file must never know how.
A keyset is wrapped with its installation and purpose as associated data, so one cannot be
served for another.

A key lives in this order, and every step is one new wrapped keyset to store: added (every
process can open what it will seal), promoted (new records use it), and, when no record is left
under it, disabled. The re-sealing between is the work of a flow.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from paygate.crypto import tink_keysets
from paygate.crypto.encoding import length_prefixed
from paygate.crypto.kms import Kms, KmsError
from paygate.crypto.tink_keysets import Aead, KeyInfo, KeyKind, KeysetError, Prf


class Purpose(StrEnum):
    """What a keyset is for; its value is the name storage keeps it under."""

    RECORDS = "records"
    """Seals records (`seal`)."""

    INDEX = "index"
    """Keyed hashes: blind indexes, fingerprints, stored credentials. A key of its own, because
    an index key can be tried against guesses, and a record key must not be among the losses."""

    AUDIT = "audit"
    """What the audit log's chain is salted and signed with (`audit_keys`)."""


_KINDS: Final = {
    Purpose.RECORDS: KeyKind.SEAL,
    Purpose.INDEX: KeyKind.INDEX,
    Purpose.AUDIT: KeyKind.INDEX,
}
ADDED_LATER: Final = frozenset({Purpose.AUDIT.value})
"""Purposes that installations of before have no keyset for, until they are migrated."""


class KeyringError(Exception):
    """A keyset is missing, cannot be opened, or refuses an edit. It names the purpose."""


@dataclass(frozen=True, slots=True, eq=False)
class Keyring:
    """The open keysets of one installation. Key material stays inside Tink's objects."""

    installation: str
    records: Aead
    index: Mapping[int, Prf]
    """One for each enabled index key by its id, the primary's first: write with the first, look up
    with all of them. Outside a rotation there is one."""
    naming: Prf
    """The index key that was there first, whichever is the primary and even when it is disabled:
    for all that must be the same whenever it is made, as names, claims and verifiers."""
    audit: Mapping[int, Prf]
    """By the key's id, the primary's first: what was signed with any of them stays so."""
    keys: Mapping[Purpose, tuple[KeyInfo, ...]]
    """Every key in the order it was added, for `encryption status`."""


def new_keyset(kms: Kms, installation: str, purpose: Purpose) -> bytes:
    """Make a keyset with one fresh 256-bit key and return it wrapped. Raises KeyringError."""
    return _wrap(kms, installation, purpose, tink_keysets.new_keyset(_KINDS[purpose]))


def generate_keyring(kms: Kms, installation: str) -> dict[str, bytes]:
    """Make a keyset for every purpose, wrapped: store them first, then `load_keyring` them."""
    return {purpose.value: new_keyset(kms, installation, purpose) for purpose in Purpose}


def load_keyring(kms: Kms, installation: str, wrapped: Mapping[str, bytes]) -> Keyring:
    """Open the stored keysets. Raises KeyringError naming the purpose that is missing or shut.

    Purposes that this release does not know belong to a later one, and are left alone.
    """
    clear: dict[Purpose, bytes] = {}
    _refuse_missing(wrapped, set(Purpose))
    for purpose in Purpose:
        clear[purpose] = _unwrap(kms, installation, purpose, wrapped[purpose.value])
    return Keyring(
        installation=installation,
        records=tink_keysets.seal_primitive(clear[Purpose.RECORDS]),
        index=MappingProxyType(tink_keysets.index_primitives(clear[Purpose.INDEX])),
        naming=tink_keysets.first_index_primitive(clear[Purpose.INDEX]),
        audit=MappingProxyType(tink_keysets.index_primitives(clear[Purpose.AUDIT])),
        keys=MappingProxyType(
            {purpose: tink_keysets.keys_of(clear[purpose], _KINDS[purpose]) for purpose in Purpose}
        ),
    )


def check_keysets(kms: Kms, installation: str, wrapped: Mapping[str, bytes]) -> None:
    """Open those of our keysets that are there. Raises KeyringError naming the purpose of one that
    stays shut, or that every installation has from its beginning and this one lacks.
    """
    _refuse_missing(wrapped, set(Purpose) - ADDED_LATER)
    for purpose in Purpose:
        if purpose.value in wrapped:
            _unwrap(kms, installation, purpose, wrapped[purpose.value])


def _refuse_missing(wrapped: Mapping[str, bytes], needed: Iterable[str]) -> None:
    if missing := sorted({str(name) for name in needed} - wrapped.keys()):
        raise KeyringError(
            f"there is no keyset for {', '.join(missing)}, and what it sealed or hashed needs that"
            " one: put the table keyset back, whole, from a backup of this installation"
        )


def add_key(kms: Kms, installation: str, purpose: Purpose, wrapped: bytes) -> tuple[bytes, int]:
    """Add a fresh key that opens but does not yet seal; return the keyset and the key's id.

    Promote it only when every process has loaded this keyset: until then there are readers
    that could not open what the new key seals. Raises KeyringError.
    """
    new_ids: list[int] = []

    def add(clear: bytes) -> bytes:
        changed, key_id = tink_keysets.with_new_key(clear, _KINDS[purpose])
        new_ids.append(key_id)
        return changed

    return _edit(kms, installation, purpose, wrapped, add), new_ids[0]


def promote_key(
    kms: Kms, installation: str, purpose: Purpose, wrapped: bytes, key_id: int
) -> bytes:
    """Make an enabled key the primary. The old primary goes on opening. Raises KeyringError."""
    return _edit(
        kms,
        installation,
        purpose,
        wrapped,
        lambda clear: tink_keysets.with_primary(clear, _KINDS[purpose], key_id),
    )


def disable_key(
    kms: Kms, installation: str, purpose: Purpose, wrapped: bytes, key_id: int
) -> bytes:
    """Disable a key that is not the primary: what it sealed opens no more. Raises KeyringError.

    The key stays in the keyset, so that `enable_key` undoes it.
    """
    return _edit(
        kms,
        installation,
        purpose,
        wrapped,
        lambda clear: tink_keysets.with_disabled(clear, _KINDS[purpose], key_id),
    )


def enable_key(kms: Kms, installation: str, purpose: Purpose, wrapped: bytes, key_id: int) -> bytes:
    """Enable a disabled key again. Raises KeyringError."""
    return _edit(
        kms,
        installation,
        purpose,
        wrapped,
        lambda clear: tink_keysets.with_enabled(clear, _KINDS[purpose], key_id),
    )


def rewrap_keyring(
    old: Kms, new: Kms, installation: str, wrapped: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Wrap the keysets of every purpose under another KMS; the keys stay what they are. What is
    returned was opened again under the new one. Raises KeyringError, also for a purpose of a later
    release, which would be left under the old one.
    """
    made: dict[str, bytes] = {}
    for name, keyset in wrapped.items():
        if name not in set(Purpose):
            raise KeyringError(f"this release knows no keyset for {name}: use the newest")
        clear = _unwrap(old, installation, Purpose(name), keyset)
        made[name] = _wrap(new, installation, Purpose(name), clear)
        if _unwrap(new, installation, Purpose(name), made[name]) != clear:
            raise KeyringError(f"the keyset for {name} is another one under the new KEK")
    return made


def _edit(
    kms: Kms,
    installation: str,
    purpose: Purpose,
    wrapped: bytes,
    change: Callable[[bytes], bytes],
) -> bytes:
    clear = _unwrap(kms, installation, purpose, wrapped)
    try:
        changed = change(clear)
    except KeysetError as error:
        raise KeyringError(f"the keyset for {purpose.value}: {error}") from None
    return _wrap(kms, installation, purpose, changed)


def _wrap(kms: Kms, installation: str, purpose: Purpose, clear: bytes) -> bytes:
    try:
        return kms.wrap(clear, _associated_data(installation, purpose))
    except KmsError as error:
        raise KeyringError(f"the keyset for {purpose.value}: {error}") from error


def _unwrap(kms: Kms, installation: str, purpose: Purpose, wrapped: bytes) -> bytes:
    """Open one keyset and check that it holds what its purpose asks for."""
    try:
        clear = kms.unwrap(wrapped, _associated_data(installation, purpose))
        tink_keysets.keys_of(clear, _KINDS[purpose])
    except (KmsError, KeysetError) as error:
        raise KeyringError(f"the keyset for {purpose.value} does not open: {error}") from error
    return clear


def _associated_data(installation: str, purpose: Purpose) -> bytes:
    return length_prefixed("paygate.keyset.1", installation, purpose.value)
