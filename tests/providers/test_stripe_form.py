"""Parameters become the text that Stripe's own client makes of them."""

import string
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.crypto.secret import Secret
from paygate.providers.stripe.form import encode
from tests.providers.official import sent

TIMES: Final = st.datetimes(
    min_value=datetime(1901, 1, 1),  # noqa: DTZ001 -- the zone is given beside it
    max_value=datetime(9998, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=30))]),
)
KEYS: Final = st.text(string.ascii_lowercase[:4] + "_[]&=+% é\U0001f600", min_size=1, max_size=6)
TEXTS: Final = st.text(st.characters(codec="utf-8"), max_size=12)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Of a truth value, a time or None right in a list Stripe's client writes Python's word."""
    listed = st.lists(TEXTS | st.integers() | inner.filter(_made_of_others), max_size=4)
    return listed | listed.map(tuple) | st.dictionaries(KEYS, inner, max_size=4)


def _made_of_others(value: object) -> bool:
    return isinstance(value, dict | list | tuple)


VALUES: Final = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none() | TIMES, _nested, max_leaves=20
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_the_text_is_that_of_stripes_own_client(params: dict[str, Any]) -> None:
    assert encode(params) == sent("post", "/v1/x", params).body


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, ""),
        ({"a": None, "b": {}, "c": [], "d": {"e": [{}]}}, ""),
        ({"a": ""}, "a="),
        ({"a": {"b": [{"c": True}, "d"]}, "e": False}, "a[b][0][c]=true&a[b][1]=d&e=false"),
        ({"a": [True, None, [0]]}, "a[0]=true&a[2][0]=0"),
        ({"z": 1, "a": -(10**30)}, f"z=1&a=-1{'0' * 30}"),
        ({"a&b": "c=d+e f%5B[]~/?\r\n\x00"}, "a%26b=c%3Dd%2Be+f%255B[]~%2F%3F%0D%0A%00"),
        ({"ü": "日本☕"}, "%C3%BC=%E6%97%A5%E6%9C%AC%E2%98%95"),
        ({"a": datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)}, "a=-1"),
    ],
)
def test_by_hand(params: dict[str, Any], text: str) -> None:
    assert encode(params) == text


@pytest.mark.parametrize("value", [1.5, Decimal(1), b"x", Secret("whsec_x"), {1}, object()])
def test_what_has_no_form_is_refused_and_not_shown(value: object) -> None:
    for params in ({"a": value}, {"a": [{"b": value}]}):
        with pytest.raises(TypeError) as caught:
            encode(params)
        assert "whsec_x" not in str(caught.value)


def test_half_a_character_is_not_sent() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode({"a": "\ud83d"})
