"""Blind indexes: equal for equal values in one place, and different everywhere else."""

import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.crypto.blind_index import INDEX_BYTES, KEY_BYTES, BlindIndex, BlindIndexError
from paygate.crypto.encoding import length_prefixed
from paygate.crypto.keyring import Keyring, Purpose, add_key, disable_key, load_keyring, promote_key
from paygate.crypto.kms import FileKms

TEXT = st.text(alphabet=st.sampled_from("a1:_"), max_size=4)
TRIPLES = st.tuples(TEXT, TEXT, TEXT)


@pytest.fixture(scope="session")
def index(keyring: Keyring) -> BlindIndex:
    return BlindIndex(keyring)


@given(TRIPLES, TRIPLES)
def test_equal_if_and_only_if_all_is_equal(
    index: BlindIndex, left: tuple[str, str, str], right: tuple[str, str, str]
) -> None:
    assert (index.of(*left) == index.of(*right)) == (left == right)


def test_it_is_hmac_sha256_cut_to_16_bytes(
    known_keyring: Keyring, index_key: bytes, installation: str
) -> None:
    data = length_prefixed("paygate.index.1", installation, "default", "customers.email", "a@b.c")
    expected = hmac.new(index_key, data, hashlib.sha256).digest()[:INDEX_BYTES]
    assert BlindIndex(known_keyring).of("default", "customers.email", "a@b.c") == expected


def test_an_index_made_long_ago_is_found(known_keyring: Keyring) -> None:
    made = BlindIndex(known_keyring)
    assert (
        made.of("default", "intents.reference", "order-1").hex()
        == "10e72d16eb6487797bc863061b06a4ac"
    )
    assert made.name(b"order-1").hex() == "79a2a6f46ab28507c8ba566ac065e675"


@pytest.mark.parametrize(
    ("one", "other"), [("José", "Jose\u0301"), ("\u212b", "\u00c5"), ("한", "\u1112\u1161\u11ab")]
)
def test_one_name_in_two_spellings_is_one_value(index: BlindIndex, one: str, other: str) -> None:
    assert one != other
    assert index.of("default", "customers.name", one) == index.of(
        "default", "customers.name", other
    )


def test_what_only_looks_alike_stays_apart(index: BlindIndex) -> None:
    values = ["a", "A", " a", "a ", "\uff41", "\u0430", ""]
    assert len({index.of("default", "customers.name", value) for value in values}) == len(values)


def test_half_a_surrogate_pair_is_refused_and_not_repeated(index: BlindIndex) -> None:
    with pytest.raises(BlindIndexError) as caught:
        index.of("default", "customers.name", "Ana \ud800")
    assert "Ana" not in repr(caught.value)


def test_another_installation_with_the_same_keys_indexes_differently(keyring: Keyring) -> None:
    copy = BlindIndex(replace(keyring, installation="inst_copy"))
    assert copy.of("m", "c", "v") != BlindIndex(keyring).of("m", "c", "v")
    assert copy.name(b"v") != BlindIndex(keyring).name(b"v")


@given(left=st.binary(max_size=40), right=st.binary(max_size=40))
def test_names_tell_inputs_apart(index: BlindIndex, left: bytes, right: bytes) -> None:
    assert len(index.name(left)) == INDEX_BYTES
    assert (index.name(left) == index.name(right)) == (left == right)


def test_a_name_is_never_an_index(index: BlindIndex, installation: str) -> None:
    head = length_prefixed("paygate.index.1", installation)
    assert index.name(head + b"1:m1:c1:v") != index.of("m", "c", "v")
    assert index.name(b"1:m1:c1:v") != index.of("m", "c", "v")


def test_rotation_writes_with_the_new_key_and_looks_up_with_both(
    kms: FileKms, installation: str, wrapped: dict[str, bytes], index: BlindIndex
) -> None:
    """A hash under the new key says so, before and after the old one is given up."""
    old_id = load_keyring(kms, installation, wrapped).keys[Purpose.INDEX][0].key_id
    keyset, new_id = add_key(kms, installation, Purpose.INDEX, wrapped["index"])
    turned = BlindIndex(load_keyring(kms, installation, wrapped))
    turned.turn_to(load_keyring(kms, installation, {**wrapped, "index": keyset}))
    old = index.of("m", "c", "v")
    assert turned.of("m", "c", "v") == old
    assert len(turned.candidates("m", "c", "v")) == 2

    keyset = promote_key(kms, installation, Purpose.INDEX, keyset, new_id)
    turned.turn_to(load_keyring(kms, installation, {**wrapped, "index": keyset}))
    new = turned.of("m", "c", "v")
    assert turned.candidates("m", "c", "v") == (new, old)
    assert (turned.primary, turned.first) == (new_id, old_id)
    assert (len(old), len(new)) == (INDEX_BYTES, KEY_BYTES + INDEX_BYTES)
    assert new[:KEY_BYTES] == turned.head == new_id.to_bytes(KEY_BYTES)

    keyset = disable_key(kms, installation, Purpose.INDEX, keyset, old_id)
    turned.turn_to(load_keyring(kms, installation, {**wrapped, "index": keyset}))
    assert turned.candidates("m", "c", "v") == (new,)


def test_a_name_stays_whatever_becomes_of_the_keys(
    kms: FileKms, installation: str, wrapped: dict[str, bytes], index: BlindIndex
) -> None:
    """Through every step of three rotations, so that ids come in any order."""

    def named(keyset: bytes) -> tuple[bytes, bytes]:
        now = BlindIndex(load_keyring(kms, installation, {**wrapped, "index": keyset}))
        return now.name(b"v"), now.name_of("m", "c", "v")

    keyset = wrapped["index"]
    keys = [load_keyring(kms, installation, wrapped).keys[Purpose.INDEX][0].key_id]
    always = named(keyset)
    assert always == (index.name(b"v"), index.of("m", "c", "v"))
    for _ in range(3):
        keyset, new_id = add_key(kms, installation, Purpose.INDEX, keyset)
        assert named(keyset) == always
        keyset = promote_key(kms, installation, Purpose.INDEX, keyset, new_id)
        assert named(keyset) == always
        keys.append(new_id)
    for old_id in keys[:-1]:
        keyset = disable_key(kms, installation, Purpose.INDEX, keyset, old_id)
        assert named(keyset) == always
