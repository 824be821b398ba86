"""What is card data, however it is spelled, and what is not."""

import random

import pytest

from paygate.domain.card_data import CardData, find, is_card_number, may_hold
from tests.domain.card_numbers import IBANS, NUMBERS, SPELLINGS, Innocent, fours

BUDGET = 0.001


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_number_is_found_in_every_spelling(spelling: str) -> None:
    for number in NUMBERS:
        spelled = SPELLINGS[spelling](number)
        for text in (spelled, f"Order 12, {spelled}, thank you", f"Größe 42: {spelled}"):
            assert find(text) is CardData.CARD_NUMBER, text


@pytest.mark.parametrize("iban", IBANS)
def test_every_iban_is_found(iban: str) -> None:
    for spelled in (iban, iban.lower(), fours(iban), fours(iban, "-"), "\u200b".join(iban)):
        for text in (spelled, f"pay to {spelled} now", f"IBAN: {spelled}", f"IBAN{spelled}."):
            assert find(text) is CardData.IBAN, text


def test_a_wrong_check_digit_is_no_card_data() -> None:
    for number in NUMBERS:
        wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
        assert is_card_number(number)
        assert not is_card_number(wrong)
        assert find(wrong) is None
    for iban in IBANS:
        wrong = iban[:2] + f"{(int(iban[2:4]) + 1) % 98:02}" + iban[4:]
        assert find(wrong) is not CardData.IBAN


@pytest.mark.parametrize(
    "number",
    ["0000000000000000", "1111111111111117", "424242424242", "42424242424242424242", "7" * 16],
)
def test_what_no_card_begins_with_or_is_as_long_as(number: str) -> None:
    assert find(number) is None


def test_false_alarms_are_rarer_than_one_in_a_thousand_of_every_kind() -> None:
    for kind, make in Innocent(20261124).kinds().items():
        texts = [make() for _ in range(10_000)]
        alarms = [text for text in texts if find(text)]
        assert len(alarms) / len(texts) < BUDGET, (kind, alarms[:3])


def test_a_random_identifier_is_never_refused() -> None:
    """Clients make idempotency keys of them: one wrong refusal in thousands would be many."""
    kinds = Innocent(7).kinds()
    for kind in ("uuid", "our id", "provider token", "client secret"):
        assert not any(find(kinds[kind]()) for _ in range(30_000)), kind
    assert sum(find(kinds["uuid in hex"]()) is not None for _ in range(30_000)) <= 3


@pytest.mark.parametrize("around", ["{}" + "a" * 16, "a" * 8 + "{}" + "b" * 8, "abc-{}-abc"])
def test_letters_around_a_number_do_not_hide_it(around: str) -> None:
    assert find(around.format(NUMBERS[0])) is CardData.CARD_NUMBER


def test_the_quick_look_never_overlooks() -> None:
    """Any valid number in any spelling, at any place of a body."""
    chance = random.Random(1)
    for _ in range(5_000):
        number = chance.choice(NUMBERS)
        spelled = SPELLINGS[chance.choice(list(SPELLINGS))](number)
        body = '{"a":"' + "x" * chance.randrange(9) + spelled + '","b":"c"}'
        assert may_hold(body.encode())
    for number in NUMBERS:
        assert may_hold(("[" + ", ".join(number) + "]").encode())


def test_an_ordinary_body_is_only_glanced_at() -> None:
    body = (
        b'{"amount":1999,"currency":"eur","reference":"order-2026-11-24","description":"2 books",'
        b'"metadata":{"cart":"c-20261","at":"2026-11-24T10:22:46Z"}}'
    )
    assert not may_hold(body)


def test_nothing_makes_it_slow() -> None:
    """Texts of a body's greatest size, made to have as many candidates as can be."""
    for text in ("4 " * 32_000, "42 " * 21_000, "4" * 64_000, "DE12" * 16_000, "%34" * 21_000):
        find(text)
