"""What is kept or written without its card numbers, and otherwise as it was."""

import json
import random

import pytest

from paygate.domain.card_data.mask import MASKED, cleared, masked, masked_in
from paygate.domain.card_data.search import CardData, find
from tests.domain.card_data.card_numbers import (
    IBANS,
    NUMBERS,
    SPELLINGS,
    Innocent,
    fours,
    generated,
)


def nothing(_path: str, _text: str) -> bool:
    return False


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_nothing_is_found_in_a_masked_text(spelling: str) -> None:
    for number in NUMBERS:
        text = f"Order 12: {SPELLINGS[spelling](number)} for Ada, {fours(number)}"
        left = masked(text)
        assert find(left) is not CardData.CARD_NUMBER, left
        assert number not in left


def test_a_number_is_masked_where_it_stands() -> None:
    for number in NUMBERS:
        stars = "*" * (len(number) - 4) + number[-4:]
        for spelled in (number, fours(number), fours(number, "-"), f"0{number}"):
            assert masked(f"Order 12: {spelled}, thanks") == f"Order 12: {stars}, thanks"
    both = f"{fours(NUMBERS[0])} {fours(NUMBERS[3])} and {NUMBERS[1]}"
    assert masked(both) == "************4242 ************4444 and ************5556"
    assert masked(SPELLINGS["base64"](NUMBERS[0])) == MASKED


def test_what_holds_no_card_number_is_the_same_object() -> None:
    chance = random.Random(3)
    kinds = Innocent(20261129).kinds()
    for _ in range(3_000):
        text = kinds[chance.choice(list(kinds))]()
        if find(text) is None:
            assert masked(text) is text
    for iban in IBANS:
        assert masked(iban) is iban, "a payer's transfer goes to it"
        assert iban not in cleared(f"to {iban}")


def test_a_masked_text_is_masked_once() -> None:
    for number in generated(5, 500):
        once = masked(f"a {fours(number)} b {number}")
        assert masked(once) is once


def test_a_value_keeps_its_shape() -> None:
    number = NUMBERS[0]
    value = {
        "id": "evt_1Mq",
        "amount": int(number),
        "livemode": False,
        "nothing": None,
        "description": f"for {number}",
        "reference": int(number),
        "metadata": {number: "x", "order": [1, 2, {"deep": fours(number)}]},
        "digits": list(number),
        "to": {"clabe": number},
    }
    kept, texts = masked_in(json.loads(json.dumps(value)), lambda path, _: path.startswith("to."))
    assert texts == 5
    assert kept == value | {
        "description": "for ************4242",
        "reference": "************4242",
        "metadata": {"************4242": "x", "order": [1, 2, {"deep": "************4242"}]},
        "digits": [MASKED],
    }
    innocent = {"id": "pi_3MtwBwLkdIwHu7ix28a3tqPa", "created": 1764421258, "list": [1, 2.5, "a"]}
    assert masked_in(innocent, nothing) == (innocent, 0)


def test_a_value_too_deep_is_told() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        masked_in(deep, nothing)
