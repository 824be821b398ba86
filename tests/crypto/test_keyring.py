"""Keysets: wrapped for one installation and purpose, loaded, and edited for rotation."""

from collections.abc import Callable

import pytest
from tink.proto import tink_pb2

from paygate.crypto import tink_keysets
from paygate.crypto.encoding import length_prefixed
from paygate.crypto.keyring import (
    KeyringError,
    Purpose,
    add_key,
    disable_key,
    enable_key,
    generate_keyring,
    load_keyring,
    new_keyset,
    promote_key,
    rewrap_keyring,
)
from paygate.crypto.kms import FileKms, Kms
from paygate.crypto.seal import SealedPlace, Sealer, SealError, key_id_of
from paygate.crypto.tink_keysets import MAX_KEYS, KeyKind

PLACE = SealedPlace("default", "payment_intents", "pi_1", 1)
Wrapped = dict[str, bytes]


def associated_data(installation: str, purpose: Purpose) -> bytes:
    return length_prefixed("paygate.keyset.1", installation, purpose.value)


def with_records(wrapped: Wrapped, keyset: bytes) -> Wrapped:
    return {**wrapped, "records": keyset}


def test_there_is_a_keyset_for_every_purpose(wrapped: Wrapped) -> None:
    assert set(wrapped) == {"records", "index", "audit"}


def test_a_fresh_keyset_has_one_primary_key(kms: Kms, installation: str, wrapped: Wrapped) -> None:
    keyring = load_keyring(kms, installation, wrapped)
    for purpose in Purpose:
        (key,) = keyring.keys[purpose]
        assert key.primary
        assert key.enabled
    assert len(keyring.index) == 1


@pytest.mark.parametrize("purpose", Purpose)
def test_a_wrapped_keyset_shows_no_key(kms: Kms, installation: str, purpose: Purpose) -> None:
    wrapped = new_keyset(kms, installation, purpose)
    keyset = tink_pb2.Keyset.FromString(kms.unwrap(wrapped, associated_data(installation, purpose)))
    value: bytes = keyset.key[0].key_data.value
    assert len(value) >= 32
    assert not any(value[at : at + 4] in wrapped for at in range(len(value) - 4))
    assert b"google" not in wrapped


def test_two_keyrings_have_different_keys(kms: Kms, installation: str) -> None:
    left, right = (
        load_keyring(kms, installation, generate_keyring(kms, installation)) for _ in range(2)
    )
    sealed = Sealer(left).seal(PLACE, b"x")
    with pytest.raises(SealError):
        Sealer(right).open(PLACE, sealed)
    assert left.naming.compute(b"x", 16) != right.naming.compute(b"x", 16)


def test_another_kek_does_not_open_it(
    other_kms: FileKms, installation: str, wrapped: Wrapped
) -> None:
    with pytest.raises(KeyringError, match="keyset for records does not open"):
        load_keyring(other_kms, installation, wrapped)


def test_another_installation_does_not_open_it(kms: Kms, wrapped: Wrapped) -> None:
    with pytest.raises(KeyringError, match="keyset for records does not open"):
        load_keyring(kms, "inst_other", wrapped)


def test_another_purpose_does_not_open_it(kms: Kms, installation: str, wrapped: Wrapped) -> None:
    with pytest.raises(KeyringError, match="keyset for index does not open"):
        load_keyring(kms, installation, {**wrapped, "index": wrapped["records"]})


@pytest.mark.parametrize("purpose", Purpose)
def test_a_missing_purpose_is_named(
    kms: Kms, installation: str, wrapped: Wrapped, purpose: Purpose
) -> None:
    rest = {name: keyset for name, keyset in wrapped.items() if name != purpose.value}
    with pytest.raises(KeyringError, match=f"no keyset for {purpose.value}"):
        load_keyring(kms, installation, rest)


def test_a_later_releases_purpose_is_left_alone(
    kms: Kms, installation: str, wrapped: Wrapped
) -> None:
    load_keyring(kms, installation, {**wrapped, "holograms": b"?"})


def test_every_altered_byte_and_every_cut_is_refused(
    kms: Kms, installation: str, wrapped: Wrapped
) -> None:
    good = wrapped["records"]
    altered = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
    for bad in altered + [good[:length] for length in range(len(good))]:
        with pytest.raises(KeyringError, match="records does not open"):
            load_keyring(kms, installation, with_records(wrapped, bad))


def empty() -> bytes:
    return b""


def junk() -> bytes:
    return b"\xffjunk"


def of_another_kind() -> bytes:
    return tink_keysets.new_keyset(KeyKind.INDEX)


def without_key_ids_in_its_ciphertexts() -> bytes:
    keyset = tink_pb2.Keyset.FromString(tink_keysets.new_keyset(KeyKind.SEAL))
    keyset.key[0].output_prefix_type = tink_pb2.RAW
    serialized: bytes = keyset.SerializeToString()
    return serialized


def with_its_primary_disabled() -> bytes:
    keyset = tink_pb2.Keyset.FromString(tink_keysets.new_keyset(KeyKind.SEAL))
    keyset.key[0].status = tink_pb2.DISABLED
    serialized: bytes = keyset.SerializeToString()
    return serialized


@pytest.mark.parametrize(
    "content",
    [
        empty,
        junk,
        of_another_kind,
        without_key_ids_in_its_ciphertexts,
        with_its_primary_disabled,
    ],
)
def test_a_well_wrapped_keyset_of_the_wrong_content_is_refused(
    kms: Kms, installation: str, wrapped: Wrapped, content: Callable[[], bytes]
) -> None:
    keyset = kms.wrap(content(), associated_data(installation, Purpose.RECORDS))
    with pytest.raises(KeyringError, match="records does not open"):
        load_keyring(kms, installation, with_records(wrapped, keyset))


def test_an_added_key_opens_but_does_not_seal(
    kms: Kms, installation: str, wrapped: Wrapped
) -> None:
    added, key_id = add_key(kms, installation, Purpose.RECORDS, wrapped["records"])
    keyring = load_keyring(kms, installation, with_records(wrapped, added))
    old, new = keyring.keys[Purpose.RECORDS]
    assert (old.primary, new.primary) == (True, False)
    assert new.key_id == key_id != old.key_id
    assert key_id_of(Sealer(keyring).seal(PLACE, b"x")) == old.key_id


def test_a_record_outlives_the_promotion_of_a_new_key(
    kms: Kms, installation: str, wrapped: Wrapped
) -> None:
    before = Sealer(load_keyring(kms, installation, wrapped))
    old_record = before.seal(PLACE, b"old")
    added, key_id = add_key(kms, installation, Purpose.RECORDS, wrapped["records"])
    meanwhile = Sealer(load_keyring(kms, installation, with_records(wrapped, added)))
    promoted = promote_key(kms, installation, Purpose.RECORDS, added, key_id)
    after = Sealer(load_keyring(kms, installation, with_records(wrapped, promoted)))
    new_record = after.seal(PLACE, b"new")

    assert key_id_of(new_record) == key_id != key_id_of(old_record)
    assert after.open(PLACE, old_record) == b"old"
    assert meanwhile.open(PLACE, new_record) == b"new"
    with pytest.raises(SealError):
        before.open(PLACE, new_record)


def test_a_disabled_key_opens_nothing(kms: Kms, installation: str, wrapped: Wrapped) -> None:
    sealed = Sealer(load_keyring(kms, installation, wrapped)).seal(PLACE, b"old")
    keyset, key_id = add_key(kms, installation, Purpose.RECORDS, wrapped["records"])
    keyset = promote_key(kms, installation, Purpose.RECORDS, keyset, key_id)
    keyset = disable_key(kms, installation, Purpose.RECORDS, keyset, key_id_of(sealed))
    keyring = load_keyring(kms, installation, with_records(wrapped, keyset))

    assert [key.enabled for key in keyring.keys[Purpose.RECORDS]] == [False, True]
    with pytest.raises(SealError):
        Sealer(keyring).open(PLACE, sealed)
    with pytest.raises(KeyringError, match="is disabled and cannot become the primary"):
        promote_key(kms, installation, Purpose.RECORDS, keyset, key_id_of(sealed))


def test_an_old_index_key_is_kept_behind_the_primary(
    kms: Kms, installation: str, wrapped: Wrapped
) -> None:
    (old,) = load_keyring(kms, installation, wrapped).index.values()
    keyset, key_id = add_key(kms, installation, Purpose.INDEX, wrapped["index"])
    keyset = promote_key(kms, installation, Purpose.INDEX, keyset, key_id)
    keyring = load_keyring(kms, installation, {**wrapped, "index": keyset})
    first, second = keyring.index.values()
    assert second.compute(b"x", 16) == old.compute(b"x", 16) != first.compute(b"x", 16)
    assert next(iter(keyring.index)) == key_id


def test_an_added_index_key_is_of_a_kind_that_releases_of_before_refuse(
    kms: Kms, installation: str, wrapped: Wrapped
) -> None:
    """They would claim names with the primary, and have a request run twice beside this release."""
    keyset, _ = add_key(kms, installation, Purpose.INDEX, wrapped["index"])
    clear = kms.unwrap(keyset, associated_data(installation, Purpose.INDEX))
    first, added = tink_pb2.Keyset.FromString(clear).key
    assert first.key_data.type_url == KeyKind.INDEX.value.type_url
    assert added.key_data.type_url != first.key_data.type_url


def test_the_primary_cannot_be_disabled(kms: Kms, installation: str, wrapped: Wrapped) -> None:
    (key,) = load_keyring(kms, installation, wrapped).keys[Purpose.RECORDS]
    with pytest.raises(KeyringError, match=r"records: key \d+ is the primary"):
        disable_key(kms, installation, Purpose.RECORDS, wrapped["records"], key.key_id)


@pytest.mark.parametrize("edit", [promote_key, disable_key])
def test_an_unknown_key_is_refused(
    kms: Kms,
    installation: str,
    wrapped: Wrapped,
    edit: Callable[[Kms, str, Purpose, bytes, int], bytes],
) -> None:
    with pytest.raises(KeyringError, match="has no key 7"):
        edit(kms, installation, Purpose.RECORDS, wrapped["records"], 7)


def test_a_keyset_is_bounded_and_fits_a_remote_kms(kms: Kms, installation: str) -> None:
    for purpose in Purpose:
        keyset = new_keyset(kms, installation, purpose)
        for _ in range(MAX_KEYS - 1):
            keyset, _ = add_key(kms, installation, purpose, keyset)
        clear = kms.unwrap(keyset, associated_data(installation, purpose))
        assert len(clear) <= 4096
        with pytest.raises(KeyringError, match=f"at most {MAX_KEYS} keys"):
            add_key(kms, installation, purpose, keyset)


def test_an_edit_under_another_kek_is_refused(
    other_kms: FileKms, installation: str, wrapped: Wrapped
) -> None:
    with pytest.raises(KeyringError, match="does not open"):
        add_key(other_kms, installation, Purpose.RECORDS, wrapped["records"])


def test_two_keys_of_one_id_are_refused(kms: Kms, installation: str, wrapped: Wrapped) -> None:
    """One would hide the other, and what it sealed."""
    purpose = associated_data(installation, Purpose.RECORDS)
    clear = tink_pb2.Keyset.FromString(kms.unwrap(wrapped["records"], purpose))
    clear.key.add().CopyFrom(clear.key[0])
    twice = kms.wrap(clear.SerializeToString(), purpose)
    with pytest.raises(KeyringError, match="two keys of one id"):
        load_keyring(kms, installation, {**wrapped, "records": twice})


def test_a_retired_key_is_taken_back(kms: Kms, installation: str, wrapped: Wrapped) -> None:
    """And named by who meets a record under it meanwhile."""
    sealed = Sealer(load_keyring(kms, installation, wrapped)).seal(PLACE, b"old")
    old = load_keyring(kms, installation, wrapped).keys[Purpose.RECORDS][0].key_id
    keyset, new = add_key(kms, installation, Purpose.RECORDS, wrapped["records"])
    keyset = promote_key(kms, installation, Purpose.RECORDS, keyset, new)
    keyset = disable_key(kms, installation, Purpose.RECORDS, keyset, old)
    with pytest.raises(SealError, match=f"under key {old}, which is retired"):
        Sealer(load_keyring(kms, installation, with_records(wrapped, keyset))).open(PLACE, sealed)
    keyset = enable_key(kms, installation, Purpose.RECORDS, keyset, old)
    again = load_keyring(kms, installation, with_records(wrapped, keyset))
    assert Sealer(again).open(PLACE, sealed) == b"old"


def test_keysets_are_wrapped_under_another_key(
    kms: Kms, other_kms: Kms, installation: str, wrapped: Wrapped
) -> None:
    sealed = Sealer(load_keyring(kms, installation, wrapped)).seal(PLACE, b"old")
    moved = rewrap_keyring(kms, other_kms, installation, wrapped)
    assert Sealer(load_keyring(other_kms, installation, moved)).open(PLACE, sealed) == b"old"
    with pytest.raises(KeyringError, match="does not open"):
        load_keyring(kms, installation, moved)
    with pytest.raises(KeyringError, match="knows no keyset for holograms"):
        rewrap_keyring(kms, other_kms, installation, {**wrapped, "holograms": b"?"})
