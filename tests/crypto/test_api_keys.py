"""The format of API keys: every slip is refused offline, and nothing hostile is slow."""

import random
import re
import secrets
import zlib
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.crypto.api_keys import (
    API_KEY_LENGTH,
    RANDOM_LENGTH,
    ApiKeyFormatError,
    KeyMode,
    KeySide,
    new_api_key,
    parse_api_key,
)
from paygate.crypto.encoding import BASE62_ALPHABET, base62

KEY_ID = "key_01m24bb8g0abcdefghjkmnpqrs"
KEY = new_api_key(KeyMode.TEST, KeySide.SECRET, KEY_ID, secrets.token_bytes).key.reveal()
SHAPE = re.compile(r"\Apgw_(live|test)_(sk|pk)_[0-9a-z]{26}_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}\Z")


def fixed_bytes(count: int) -> bytes:
    return bytes(range(count))


def assert_refused(text: str) -> None:
    with pytest.raises(ApiKeyFormatError) as caught:
        parse_api_key(text)
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) < 80


@given(
    st.sampled_from(KeyMode),
    st.sampled_from(KeySide),
    st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=26, max_size=26),
    st.binary(min_size=40, max_size=40),
)
def test_a_new_key_is_taken_apart_again(
    mode: KeyMode, side: KeySide, body: str, drawn: bytes
) -> None:
    new = new_api_key(mode, side, f"key_{body}", lambda _count: drawn)
    text = new.key.reveal()
    assert len(text) == API_KEY_LENGTH == 78
    assert SHAPE.fullmatch(text)
    parsed = parse_api_key(text)
    assert (parsed.mode, parsed.side, parsed.key_id) == (mode, side, f"key_{body}")
    assert parsed.secret.reveal() == text[39 : 39 + RANDOM_LENGTH]
    assert new.key_id == parsed.key_id
    assert new.hint == f"pgw_{mode}_{side}_..{text[-4:]}"


def test_a_key_made_long_ago_is_accepted() -> None:
    new = new_api_key(KeyMode.TEST, KeySide.SECRET, KEY_ID, fixed_bytes)
    text = "pgw_test_sk_01m24bb8g0abcdefghjkmnpqrs_S86reYjdQ5ckAqLoTS4ckntI6Yz8O0Ih_2ZKJhe"
    assert new.key.reveal() == text
    assert parse_api_key(text).key_id == KEY_ID


def test_the_same_seed_makes_the_same_key() -> None:
    one, other = (
        new_api_key(KeyMode.LIVE, KeySide.PUBLISHABLE, KEY_ID, random.Random(7).randbytes)
        for _ in range(2)
    )
    assert one.key.reveal() == other.key.reveal()


def test_no_two_keys_are_alike() -> None:
    made = {
        new_api_key(KeyMode.LIVE, KeySide.SECRET, KEY_ID, secrets.token_bytes).key.reveal()
        for _ in range(500)
    }
    assert len(made) == 500


def test_the_random_part_uses_every_character_everywhere() -> None:
    """A slip in the conversion would starve the first digit or the last."""
    source = random.Random(1).randbytes
    parts = [
        parse_api_key(
            new_api_key(KeyMode.TEST, KeySide.SECRET, KEY_ID, source).key.reveal()
        ).secret.reveal()
        for _ in range(2000)
    ]
    for column in zip(*parts, strict=True):
        assert set(column) == set(BASE62_ALPHABET)


@pytest.mark.parametrize(
    "key_id",
    ["", "key_", KEY_ID[:-1], KEY_ID + "0", KEY_ID.upper(), "pi_" + KEY_ID[4:], KEY_ID[:-1] + "_"],
)
def test_an_id_of_another_form_is_refused(key_id: str) -> None:
    with pytest.raises(ValueError, match="an API key's id"):
        new_api_key(KeyMode.TEST, KeySide.SECRET, key_id, secrets.token_bytes)


def test_every_changed_character_is_refused() -> None:
    for at, char in product(range(len(KEY)), BASE62_ALPHABET + "_- \n"):
        if char != KEY[at]:
            assert_refused(KEY[:at] + char + KEY[at + 1 :])


@given(at=st.integers(0, API_KEY_LENGTH - 1), char=st.characters())
def test_a_character_from_anywhere_is_refused(at: int, char: str) -> None:
    if char != KEY[at]:
        assert_refused(KEY[:at] + char + KEY[at + 1 :])


def test_every_swap_of_neighbours_is_refused() -> None:
    for at in range(len(KEY) - 1):
        swapped = KEY[:at] + KEY[at + 1] + KEY[at] + KEY[at + 2 :]
        if swapped != KEY:
            assert_refused(swapped)


def test_every_lost_or_added_character_is_refused() -> None:
    for at in range(len(KEY) + 1):
        assert_refused(KEY[:at] + "x" + KEY[at:])
        if at < len(KEY):
            assert_refused(KEY[:at] + KEY[at + 1 :])


@given(st.text(max_size=200))
def test_any_text_is_refused(text: str) -> None:
    assert_refused(text)


@given(st.from_regex(SHAPE))
def test_text_of_the_right_form_parses_only_if_the_check_is_right(text: str) -> None:
    head, _, check = text.rpartition("_")
    right = base62(zlib.crc32(head.encode()), 6)
    parse_api_key(f"{head}_{right}")
    if check != right:
        assert_refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pgw_",
        f"{KEY}\n",
        f" {KEY[:-1]}",
        KEY.replace("_", "-"),
        KEY.upper(),
        "sk_test_".ljust(API_KEY_LENGTH, "0"),
        "\u0660" * API_KEY_LENGTH,
        "\ud800" * API_KEY_LENGTH,
        "_" * 10_000_000,
        KEY * 100_000,
    ],
    ids=range(11),
)
def test_hostile_text_is_refused(text: str) -> None:
    assert_refused(text)
