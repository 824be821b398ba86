"""The format of client secrets."""

import random
import re
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.crypto.client_secrets import MAX_INTENT_ID_LENGTH, intent_id_in, new_client_secret

INTENT_ID = "pi_01m24bb8g0abcdefghjkmnpqrs"


def test_it_names_its_intent() -> None:
    client_secret = new_client_secret(INTENT_ID, secrets.token_bytes)
    assert re.fullmatch(rf"{INTENT_ID}_secret_[0-9A-Za-z]{{24}}", client_secret)
    assert intent_id_in(client_secret) == INTENT_ID


@given(st.text("az09_", min_size=1, max_size=MAX_INTENT_ID_LENGTH))
def test_any_id_reads_back(intent_id: str) -> None:
    assert intent_id_in(new_client_secret(intent_id, secrets.token_bytes)) == intent_id


def test_an_id_that_looks_like_the_border_reads_back() -> None:
    client_secret = new_client_secret("pi_secret_", secrets.token_bytes)
    assert intent_id_in(client_secret) == "pi_secret_"


def test_the_same_seed_makes_the_same_secret_and_another_does_not() -> None:
    one, same, other = (
        new_client_secret(INTENT_ID, random.Random(seed).randbytes) for seed in (1, 1, 2)
    )
    assert one == same != other


@pytest.mark.parametrize("intent_id", ["", "pi-1", "PI_1", "pi_1\n", "x" * 65, "pï"])
def test_an_id_of_another_form_is_refused(intent_id: str) -> None:
    with pytest.raises(ValueError, match="an intent's id"):
        new_client_secret(intent_id, secrets.token_bytes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        INTENT_ID,
        f"{INTENT_ID}_secret_",
        f"{INTENT_ID}_secret_" + "a" * 23,
        f"{INTENT_ID}_secret_" + "a" * 25,
        f"{INTENT_ID}_secret_" + "a" * 23 + "\n",
        f"{INTENT_ID}_secret_" + "é" * 24,
        "_secret_" + "a" * 24,
        "\ud800" * 40,
        "_secret_" * 1_000_000,
    ],
    ids=range(10),
)
def test_other_text_is_no_client_secret(text: str) -> None:
    assert intent_id_in(text) is None
