"""Sealed records: they open where they were sealed and nowhere else, with Tink or without."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import example, given
from hypothesis import strategies as st

from paygate.crypto.encoding import length_prefixed
from paygate.crypto.keyring import Keyring
from paygate.crypto.seal import (
    MAX_PLAINTEXT_BYTES,
    OVERHEAD_BYTES,
    SealedPlace,
    Sealer,
    SealError,
    key_id_of,
)

PLACE = SealedPlace("default", "payment_intents", "pi_1", 7)
TEXT = st.text(alphabet=st.sampled_from("a1:_é"), max_size=4)
PLACES = st.builds(SealedPlace, TEXT, TEXT, TEXT, st.integers(0, 2**63 - 1) | st.integers(0, 20))

SEALED_ONCE = bytes.fromhex(
    "0101020304cb0d03161c46c9b9b7b6e6e1023c914e3ba09ea4dcdbc69fd3"
    "b113b27339e45dd7c70f12e60a3ce944a1bb88d817d903a6"
)
"""b"19.99 EUR" sealed at PLACE under the known key. It must open for ever."""


@pytest.fixture(scope="session")
def sealer(keyring: Keyring) -> Sealer:
    return Sealer(keyring)


@given(where=PLACES, plaintext=st.binary())
def test_what_was_sealed_opens(sealer: Sealer, where: SealedPlace, plaintext: bytes) -> None:
    sealed = sealer.seal(where, plaintext)
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert sealer.open(where, sealed) == plaintext


@pytest.mark.parametrize(
    "elsewhere",
    [
        PLACE._replace(merchant="other"),
        PLACE._replace(table="refunds"),
        PLACE._replace(id="pi_2"),
        PLACE._replace(version=8),
        PLACE._replace(version=-7),
        PLACE._replace(merchant="", table="defaultpayment_intents"),
        PLACE._replace(merchant="payment_intents", table="default"),
        PLACE._replace(id="pi_", version=17),
    ],
)
def test_a_moved_record_does_not_open(sealer: Sealer, elsewhere: SealedPlace) -> None:
    sealed = sealer.seal(PLACE, b"19.99 EUR")
    with pytest.raises(SealError):
        sealer.open(elsewhere, sealed)


def test_another_installation_with_the_same_keys_does_not_open_it(keyring: Keyring) -> None:
    sealed = Sealer(keyring).seal(PLACE, b"19.99 EUR")
    with pytest.raises(SealError):
        Sealer(replace(keyring, installation="inst_copy")).open(PLACE, sealed)


@given(PLACES, PLACES)
@example(SealedPlace("a", "", "", 1), SealedPlace("", "a", "", 1))
@example(SealedPlace("", "", "a", 11), SealedPlace("", "", "a1", 1))
def test_no_two_places_encode_alike(sealer: Sealer, left: SealedPlace, right: SealedPlace) -> None:
    same = sealer.associated_data(left) == sealer.associated_data(right)
    assert same == (left == right)


@given(where=PLACES)
def test_the_unrolled_encoding_is_the_general_one(
    sealer: Sealer, installation: str, where: SealedPlace
) -> None:
    assert sealer.associated_data(where) == length_prefixed(
        "paygate.record.1",
        installation,
        where.merchant,
        where.table,
        where.id,
        str(where.version),
    )


def test_every_altered_bit_is_refused(sealer: Sealer) -> None:
    sealed = sealer.seal(PLACE, b"19.99 EUR")
    for at in range(len(sealed)):
        for bit in range(8):
            altered = bytearray(sealed)
            altered[at] ^= 1 << bit
            with pytest.raises(SealError):
                sealer.open(PLACE, bytes(altered))


def test_every_cut_and_every_addition_is_refused(sealer: Sealer) -> None:
    sealed = sealer.seal(PLACE, b"19.99 EUR")
    cut = [sealed[:end] for end in range(len(sealed))]
    for bad in [*cut, sealed[1:], sealed + b"\0", b"\0" + sealed, sealed + sealed]:
        with pytest.raises(SealError):
            sealer.open(PLACE, bad)


@given(junk=st.binary(max_size=200))
def test_junk_does_not_open(sealer: Sealer, junk: bytes) -> None:
    with pytest.raises(SealError):
        sealer.open(PLACE, junk)


def test_no_nonce_and_no_sealing_is_repeated(sealer: Sealer) -> None:
    sealed = {sealer.seal(PLACE, b"19.99 EUR") for _ in range(1000)}
    assert len({record[5:29] for record in sealed}) == 1000
    assert len({record[29:] for record in sealed}) == 1000


def test_a_record_has_a_bound(sealer: Sealer) -> None:
    largest = bytes(MAX_PLAINTEXT_BYTES)
    assert sealer.open(PLACE, sealer.seal(PLACE, largest)) == largest
    with pytest.raises(SealError, match="at most"):
        sealer.seal(PLACE, largest + b"\0")


def test_a_place_that_is_not_unicode_is_refused(sealer: Sealer) -> None:
    with pytest.raises(SealError, match="not valid Unicode"):
        sealer.seal(PLACE._replace(id="\ud800"), b"")


def test_the_key_id_is_read_from_the_record(known_keyring: Keyring) -> None:
    assert key_id_of(Sealer(known_keyring).seal(PLACE, b"")) == 0x01020304


@pytest.mark.parametrize("junk", [b"", bytes(OVERHEAD_BYTES), b"\x01" * (OVERHEAD_BYTES - 1)])
def test_what_is_no_record_has_no_key_id(junk: bytes) -> None:
    with pytest.raises(SealError, match="no sealed record"):
        key_id_of(junk)


def test_a_record_sealed_long_ago_opens(known_keyring: Keyring) -> None:
    assert Sealer(known_keyring).open(PLACE, SEALED_ONCE) == b"19.99 EUR"


def aes_block(key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(AES(key), ECB()).encryptor()  # one block, as the derivation asks
    return encryptor.update(block) + encryptor.finalize()


def xaes_256_gcm_open(key: bytes, nonce: bytes, ciphertext: bytes, data: bytes) -> bytes:
    """C2SP XAES-256-GCM, written from its text: a key derived by CMAC, then AES-256-GCM."""
    doubled = int.from_bytes(aes_block(key, bytes(16))) << 1
    if doubled >> 128:
        doubled ^= 1 << 128 | 0b10000111
    derived = b"".join(
        aes_block(
            key,
            (int.from_bytes(bytes([0, counter]) + b"X\0" + nonce[:12]) ^ doubled).to_bytes(16),
        )
        for counter in (1, 2)
    )
    return AESGCM(derived).decrypt(nonce[12:], ciphertext, data)


@given(where=PLACES, plaintext=st.binary())
def test_a_record_opens_without_tink(
    known_keyring: Keyring, record_key: bytes, where: SealedPlace, plaintext: bytes
) -> None:
    sealer = Sealer(known_keyring)
    sealed = sealer.seal(where, plaintext)
    assert sealed[:5] == b"\x01\x01\x02\x03\x04"
    opened = xaes_256_gcm_open(record_key, sealed[5:29], sealed[29:], sealer.associated_data(where))
    assert opened == plaintext
