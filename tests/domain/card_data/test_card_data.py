"""What is card data, however it is spelled, and what is not."""

import gc
import random
import sys
from types import FrameType

import pytest

from paygate.domain.card_data.search import CardData, find, may_hold
from tests.domain.card_data.card_numbers import (
    IBANS,
    NUMBERS,
    SPELLINGS,
    Innocent,
    fours,
    generated,
)

BUDGET = 0.001
"""Of texts that hold no card data: so few may be refused."""
MISSED = 0.0005
"""Of numbers in a spelling that is promised: so few may be overlooked."""


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_number_is_found_in_every_spelling(spelling: str) -> None:
    for number in NUMBERS:
        spelled = SPELLINGS[spelling](number)
        for text in (spelled, f"Order 12, {spelled}, thank you", f"Größe 42: {spelled}"):
            assert find(text) is CardData.CARD_NUMBER, text


def test_no_generated_number_is_missed_in_any_spelling() -> None:
    """But for one in a thousand of Diners' 14 digits, which are a SIRET too."""
    chance, missed, count = random.Random(20261128), [], 0
    for number in generated(20261128, 200):
        for spelling, spell in SPELLINGS.items():
            text = chance.choice(("{}", "no. {} of today", "\u2116 {}!")).format(spell(number))
            count += 1
            missed += [(spelling, text)] if find(text) is not CardData.CARD_NUMBER else []
    assert len(missed) <= count * MISSED, (len(missed), count, missed[:5])


def test_a_number_of_fourteen_digits_is_rarely_taken_for_a_company() -> None:
    numbers = [number for number in generated(7, 30_000) if len(number) == 14]
    missed = [number for number in numbers if find(number) is None]
    assert len(missed) <= len(numbers) * 0.003, (len(missed), len(numbers))


def test_an_old_visa_is_found_where_a_card_is_named() -> None:
    """Elsewhere thirteen digits are an article, a person or an order."""
    old = "4222222222222"
    for text, name in ((old, "card.number"), (old, "pan"), (f"card no. {old}", "note")):
        assert find(text, name) is CardData.CARD_NUMBER, (text, name)
    assert find(old) is None


@pytest.mark.parametrize(
    "name", ["card.kid", "kidney", "metadata.note", "ocr.note", "product_card"]
)
def test_a_name_excuses_nothing_else(name: str) -> None:
    assert find("36227206271667", name) is CardData.CARD_NUMBER
    assert find(f"our kids paid {NUMBERS[0]}", name) is CardData.CARD_NUMBER


@pytest.mark.parametrize("iban", IBANS)
def test_every_iban_is_found(iban: str) -> None:
    for spelled in (iban, iban.lower(), fours(iban), fours(iban, "-"), "\u200b".join(iban)):
        for text in (spelled, f"pay to {spelled} now", f"IBAN: {spelled}", f"IBAN{spelled}."):
            assert find(text) is CardData.IBAN, text


def test_a_wrong_check_digit_is_no_card_data() -> None:
    for number in NUMBERS:
        wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
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
        texts = [make() for _ in range(4_000)]
        alarms = [text for text in texts if find(text)]
        assert len(alarms) / len(texts) < BUDGET, (kind, alarms[:3])


def test_numbers_under_their_names_raise_no_alarm() -> None:
    for name, make in Innocent(20261128).named().items():
        alarms = [text for text in (make() for _ in range(5_000)) if find(text, name)]
        assert len(alarms) / 5_000 < BUDGET, (name, alarms[:3])


BARE = {12: 0.0, 13: 0.0, 14: 0.005, 15: 0.004, 16: 0.038, 17: 0.015, 18: 0.013, 19: 0.03}


@pytest.mark.parametrize("length", BARE)
def test_bare_random_digits_are_refused_as_rarely_as_the_docs_say(length: int) -> None:
    innocent = Innocent(length)
    alarms = sum(find(innocent.digits(length)) is not None for _ in range(20_000))
    assert alarms / 20_000 <= BARE[length]


def test_a_random_identifier_is_never_refused() -> None:
    """Clients make idempotency keys of them: one wrong refusal in thousands would be many."""
    kinds = Innocent(7).kinds()
    for kind in ("uuid", "our id", "provider token", "client secret"):
        assert not any(find(kinds[kind]()) for _ in range(10_000)), kind
    assert sum(find(kinds["uuid in hex"]()) is not None for _ in range(10_000)) <= 3


HEX = b"4242424242424242".hex()
PAIRS = [HEX[at : at + 2] for at in range(0, len(HEX), 2)]


@pytest.mark.parametrize("said", ["\\x", "%", "\\u00", "&#x"])
def test_hexadecimal_that_says_so_is_read(said: str) -> None:
    end = ";" if said.startswith("&") else ""
    text = "".join(f"{said}{pair}{end}" for pair in PAIRS)
    assert find(text) is CardData.CARD_NUMBER


@pytest.mark.parametrize("text", [HEX, f"0x{HEX}", " ".join(PAIRS)])
def test_bare_hexadecimal_is_not_read_as_the_docs_say(text: str) -> None:
    assert find(text) is None


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


@pytest.mark.parametrize("invisible", ["\x00", "\x1b", "\x7f", "\u00ad", "\u200b"])
def test_what_shows_nothing_hides_nothing(invisible: str) -> None:
    for number in NUMBERS:
        assert find(invisible.join((number[:7], number[7:]))) is CardData.CARD_NUMBER


def test_an_ordinary_body_is_only_glanced_at() -> None:
    body = (
        b'{"amount":1999,"currency":"eur","reference":"order-2026-11-24","description":"2 books",'
        b'"metadata":{"cart":"c-20261","at":"2026-11-24T10:22:46Z"}}'
    )
    assert not may_hold(body)


HOSTILE = (
    *(
        "4",
        "4 ",
        "42 ",
        "424 ",
        "4242 ",
        "4242-",
        "4,",
        "04",
        "0 ",
        "%34",
        "%2525",
        "&#52;",
        "\\x34",
    ),
    *(
        "DE12",
        "DE12 ",
        "4:",
        "\u0664",
        "\u0301\u0323",
        "\ufdfa",
        "NDI",
        "RF12",
        "kid 4242 4242 ",
        "1.",
    ),
    *("IBAN", "%", "&", "\\", "AT61 1904 3002 ", "a-"),
)


@pytest.mark.parametrize("unit", HOSTILE, ids=ascii)
def test_work_grows_with_the_text_and_no_faster(unit: str) -> None:
    """Counted in calls: of ours, and of the interpreter's."""
    calls = [_calls(unit * (size // len(unit))) for size in (4_000, 8_000, 16_000)]
    assert calls[1] <= 2.1 * calls[0] + 200, calls
    assert calls[2] <= 2.1 * calls[1] + 200, calls


def _calls(text: str) -> int:
    count = 0

    def profile(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event.endswith("call")

    before = sys.getprofile()
    gc.disable()  # what else is in memory has finalizers that are calls too
    sys.setprofile(profile)
    try:
        find(text)
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def test_a_megabyte_of_digits_is_a_single_group_to_look_into() -> None:
    assert _calls("4" * 1_000_000) < 200


@pytest.mark.parametrize(
    "filler",
    ["\\" * 200_000, "&#" + "1" * 200_000, "&#" + "0" * 200_000, "&#0" * 60_000],
    ids=["backslashes", "a reference of digits", "of zeros", "references"],
)
def test_no_run_of_signs_holds_up_or_breaks_the_look(filler: str) -> None:
    """16,000 backslashes and ten digits, in a body of 32 KB, held a process for eight seconds, and
    four times as many for two minutes; a reference of 5,000 digits was a fault of ours.
    """
    assert find(f"1234567890 {filler}") is None
    assert find(f"{filler} {NUMBERS[0]}") is CardData.CARD_NUMBER


def test_a_coded_digit_is_read_whatever_fills_it() -> None:
    for coded in ("&#0000000052;", "\\\\\\\\u0034", "\\\\x34"):
        assert find(f"{coded}242424242424242") is CardData.CARD_NUMBER
