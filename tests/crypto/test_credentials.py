"""What is stored of a credential: bound to all of it, and the same through a rotation."""

import hashlib
import hmac
import secrets
from dataclasses import replace

import pytest

from paygate.crypto.api_keys import KeyMode, KeySide, ParsedApiKey, new_api_key, parse_api_key
from paygate.crypto.client_secrets import new_client_secret
from paygate.crypto.credentials import HASH_BYTES, CredentialHasher
from paygate.crypto.encoding import length_prefixed
from paygate.crypto.keyring import Keyring, Purpose, add_key, disable_key, load_keyring, promote_key
from paygate.crypto.kms import FileKms
from paygate.crypto.secret import Secret

KEY_ID = "key_01m24bb8g0abcdefghjkmnpqrs"
INTENT_ID = "pi_01m24bb8g0abcdefghjkmnpqrs"


@pytest.fixture(scope="session")
def hasher(keyring: Keyring) -> CredentialHasher:
    return CredentialHasher(keyring)


def some_key() -> ParsedApiKey:
    new = new_api_key(KeyMode.TEST, KeySide.SECRET, KEY_ID, secrets.token_bytes)
    return parse_api_key(new.key.reveal())


def test_a_key_matches_its_own_hash_only(hasher: CredentialHasher) -> None:
    key = some_key()
    stored = hasher.of_api_key(key)
    assert len(stored) == HASH_BYTES
    assert hasher.api_key_matches(key, stored)
    assert not hasher.api_key_matches(some_key(), stored)


def test_every_part_of_a_key_is_hashed(hasher: CredentialHasher) -> None:
    key = some_key()
    stored = hasher.of_api_key(key)
    for other in (
        replace(key, mode=KeyMode.LIVE),
        replace(key, side=KeySide.PUBLISHABLE),
        replace(key, key_id="key_" + "0" * 26),
        replace(key, secret=Secret("0" * 32)),
    ):
        assert not hasher.api_key_matches(other, stored)


def test_it_is_hmac_sha256_under_the_index_key(
    known_keyring: Keyring, index_key: bytes, installation: str
) -> None:
    key = some_key()
    data = length_prefixed(
        "paygate.api_key.1", installation, "test", "sk", KEY_ID, key.secret.reveal()
    )
    expected = hmac.new(index_key, data, hashlib.sha256).digest()
    assert CredentialHasher(known_keyring).of_api_key(key) == expected


def test_hashes_made_long_ago_match(known_keyring: Keyring) -> None:
    hasher = CredentialHasher(known_keyring)
    key = ParsedApiKey(KeyMode.TEST, KeySide.SECRET, KEY_ID, Secret("a" * 32))
    assert hasher.of_api_key(key).hex() == (
        "d1303167e0f9007d89788ee6f415a50c14ecc52a089af21fd250800bdeb670f5"
    )
    client_secret = f"{INTENT_ID}_secret_{'a' * 24}"
    assert hasher.of_client_secret(client_secret).hex() == (
        "9bc6ca93cc0bce8ec1c423f4f3488813dcb039a10fbf6bfbd8382230898bcc57"
    )


@pytest.mark.parametrize("stored", [None, b"", bytes(HASH_BYTES), bytes(16)])
def test_what_is_not_a_stored_hash_never_matches(
    hasher: CredentialHasher, stored: bytes | None
) -> None:
    assert not hasher.api_key_matches(some_key(), stored)
    client_secret = new_client_secret(INTENT_ID, secrets.token_bytes)
    assert not hasher.client_secret_matches(client_secret, stored)


def test_a_client_secret_matches_its_own_hash_only(hasher: CredentialHasher) -> None:
    one, other = (new_client_secret(INTENT_ID, secrets.token_bytes) for _ in range(2))
    stored = hasher.of_client_secret(one)
    assert len(stored) == HASH_BYTES
    assert hasher.client_secret_matches(one, stored)
    assert not hasher.client_secret_matches(other, stored)
    assert not hasher.client_secret_matches(one.replace("pi_0", "pi_1"), stored)
    assert not hasher.client_secret_matches(one[:-1], stored)


def test_a_text_that_is_no_client_secret_is_not_hashed(hasher: CredentialHasher) -> None:
    with pytest.raises(ValueError, match="not the form"):
        hasher.of_client_secret("x" * 1_000_000)


def test_another_installation_with_the_same_keys_hashes_differently(keyring: Keyring) -> None:
    copy = CredentialHasher(replace(keyring, installation="inst_copy"))
    key = some_key()
    assert copy.of_api_key(key) != CredentialHasher(keyring).of_api_key(key)


def test_a_stored_hash_stays_whatever_becomes_of_the_index_key(
    kms: FileKms, installation: str, wrapped: dict[str, bytes], hasher: CredentialHasher
) -> None:
    key = some_key()
    stored = hasher.of_api_key(key)
    old_id = load_keyring(kms, installation, wrapped).keys[Purpose.INDEX][0].key_id
    keyset, new_id = add_key(kms, installation, Purpose.INDEX, wrapped["index"])
    keyset = promote_key(kms, installation, Purpose.INDEX, keyset, new_id)
    keyset = disable_key(kms, installation, Purpose.INDEX, keyset, old_id)
    rotated = CredentialHasher(load_keyring(kms, installation, {**wrapped, "index": keyset}))
    assert rotated.api_key_matches(key, stored)
    assert rotated.of_api_key(key) == stored
