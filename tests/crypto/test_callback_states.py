"""States of the 3DS callback: bound to all that they name, and the same through a rotation."""

import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.crypto.callback_states import MAX_LENGTH, CallbackState, CallbackStates
from paygate.crypto.encoding import base62, length_prefixed
from paygate.crypto.keyring import Keyring, Purpose, add_key, disable_key, load_keyring, promote_key
from paygate.crypto.kms import FileKms

INTENT = "pi_01m24bb8g0abcdefghjkmnpqrs"
STATE = CallbackState("shop-1_a", "at_01m24bb8g0abcdefghjkmnpqrs", 1_795_521_600)


@pytest.fixture(scope="session")
def states(keyring: Keyring) -> CallbackStates:
    return CallbackStates(keyring)


def test_a_state_opens_for_its_intent_only(states: CallbackStates) -> None:
    text = states.make(INTENT, STATE)
    assert states.open(INTENT, text) == STATE
    assert states.make(INTENT, STATE) == text
    assert states.open(INTENT.replace("pi_0", "pi_1"), text) is None
    assert states.open("", text) is None


@pytest.mark.parametrize(
    "other",
    [
        STATE._replace(merchant="shop-2_a"),
        STATE._replace(attempt="at_11m24bb8g0abcdefghjkmnpqrs"),
        STATE._replace(expires_at=STATE.expires_at + 1),
    ],
)
def test_every_part_is_signed(states: CallbackStates, other: CallbackState) -> None:
    mac = states.make(INTENT, STATE).rpartition(".")[2]
    assert states.open(INTENT, f"{other.merchant}.{other.attempt}.{other.expires_at}.{mac}") is None


def test_it_is_hmac_sha256_under_the_index_key(
    known_keyring: Keyring, index_key: bytes, installation: str
) -> None:
    data = length_prefixed(
        "paygate.callback_state.1",
        installation,
        STATE.merchant,
        INTENT,
        STATE.attempt,
        "1795521600",
    )
    mac = int.from_bytes(hmac.new(index_key, data, hashlib.sha256).digest())
    text = f"{STATE.merchant}.{STATE.attempt}.1795521600.{base62(mac, 43)}"
    assert CallbackStates(known_keyring).make(INTENT, STATE) == text


def test_a_state_made_long_ago_opens(known_keyring: Keyring) -> None:
    text = (
        "shop-1_a.at_01m24bb8g0abcdefghjkmnpqrs.1795521600."
        "gmQFyzr3HRJZYMFHmxh4aMxHBRumVLwqyKd0aDqAqaa"
    )
    assert CallbackStates(known_keyring).open(INTENT, text) == STATE


def test_the_longest_state_is_within_the_limit(states: CallbackStates) -> None:
    state = CallbackState("m" * 40, "at_" + "z" * 26, 10**12 - 1)
    text = states.make(INTENT, state)
    assert len(text) <= MAX_LENGTH
    assert states.open(INTENT, text) == state


def test_one_spelling(states: CallbackStates) -> None:
    text = states.make(INTENT, STATE)
    assert states.open(INTENT, text.replace(".1795", ".01795")) is None
    for changed in (text + " ", " " + text, text + "\n", text[:-1], text + "0", text.upper()):
        assert states.open(INTENT, changed) is None


@given(st.text(max_size=200))
def test_junk_opens_nothing(states: CallbackStates, junk: str) -> None:
    assert states.open(INTENT, junk) is None
    assert states.open(junk, states.make(INTENT, STATE)) is None


def test_another_installation_with_the_same_keys_signs_differently(keyring: Keyring) -> None:
    copy = CallbackStates(replace(keyring, installation="inst_copy"))
    assert copy.open(INTENT, CallbackStates(keyring).make(INTENT, STATE)) is None


def test_a_state_is_the_same_whatever_becomes_of_the_index_key(
    kms: FileKms, installation: str, wrapped: dict[str, bytes], states: CallbackStates
) -> None:
    """It is a parameter of a request that is sent again."""
    text = states.make(INTENT, STATE)
    old_id = load_keyring(kms, installation, wrapped).keys[Purpose.INDEX][0].key_id
    keyset, new_id = add_key(kms, installation, Purpose.INDEX, wrapped["index"])
    keyset = promote_key(kms, installation, Purpose.INDEX, keyset, new_id)
    keyset = disable_key(kms, installation, Purpose.INDEX, keyset, old_id)
    rotated = CallbackStates(load_keyring(kms, installation, {**wrapped, "index": keyset}))
    assert rotated.open(INTENT, text) == STATE
    assert rotated.make(INTENT, STATE) == text
