"""No two sequences of fields encode alike; base62 loses nothing."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paygate.crypto.encoding import BASE62_ALPHABET, base62, length_prefixed

FIELDS = st.lists(st.text(alphabet=st.sampled_from("a1:é"), max_size=4), max_size=4)


@given(FIELDS, FIELDS)
@example(["a", ""], ["", "a"])
@example(["1:a"], ["", "a"])
@example([], [""])
def test_different_fields_encode_differently(left: list[str], right: list[str]) -> None:
    assert (length_prefixed(*left) == length_prefixed(*right)) == (left == right)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_fields_can_be_read_back(fields: list[str]) -> None:
    text, found = length_prefixed(*fields).decode(), []
    while text:
        length, _, text = text.partition(":")
        found.append(text[: int(length)])
        text = text[int(length) :]
    assert found == fields


@given(st.integers(0, 62**6 - 1))
def test_base62_reads_back(number: int) -> None:
    text = base62(number, 6)
    assert len(text) == 6
    value = 0
    for char in text:
        value = value * 62 + BASE62_ALPHABET.index(char)
    assert value == number


@pytest.mark.parametrize("number", [-1, 62**6])
def test_base62_cuts_nothing(number: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        base62(number, 6)
