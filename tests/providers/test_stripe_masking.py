"""Stripe's events without card numbers: what is read of them stays the same."""

import json
import random
from typing import Any

import pytest

from paygate.domain.card_data.mask import Masked, masked, masked_in
from paygate.domain.card_data.search import find
from paygate.providers.stripe import events, fields
from paygate.providers.stripe.decoding import decoded, encoded
from paygate.providers.stripe.masking import masked_event
from tests.domain.card_data.card_numbers import NUMBERS, SPELLINGS, Innocent
from tests.providers.stripe_objects import event, payment

NUMBER, STARS = "4000056655665556", "************5556"


def with_texts(**texts: Any) -> bytes:
    told = json.loads(event(payment()))
    told["data"]["object"] |= texts
    return json.dumps(told).encode()


def test_an_event_reads_the_same_without_the_numbers_in_its_texts() -> None:
    plain = with_texts(description="for Ada", metadata={"note": "x"})
    body = with_texts(description=f"for {NUMBER}", metadata={"note": NUMBER})
    left = masked_event(body)
    assert left.texts == 2
    assert NUMBER.encode() not in left.body
    assert left.body.count(STARS.encode()) == 2
    assert events.read(left.body) == events.read(body)
    assert masked_event(left.body) == (left.body, 0)
    untouched = masked_event(plain)
    assert untouched.body is plain


def test_accounts_to_pay_to_stay() -> None:
    addresses = [{"type": "spei", "spei": {"clabe": NUMBER, "bank_code": "002"}}]
    given = {"display_bank_transfer_instructions": {"financial_addresses": addresses}}
    body = with_texts(next_action=given)
    assert masked_event(body) == (body, 0)


UNLUCKY = "pi_30010000521743fd0qmY2yn5"
"""An id whose first fourteen digits are a card's number, by its brand and check digit."""


def test_ids_stay_whatever_their_digits_are() -> None:
    assert find(UNLUCKY) is not None
    body = event(payment(id=UNLUCKY, client_secret=f"{UNLUCKY}_secret_x8Yz"))
    assert masked_event(body) == (body, 0)
    assert fields.identifier(UNLUCKY) == UNLUCKY
    ours = with_texts(metadata={"paygate_attempt": UNLUCKY})
    assert masked_event(ours) == (ours, 0)
    for texts in ({"description": UNLUCKY}, {"metadata": {"id": UNLUCKY}}, {"source": NUMBER}):
        assert masked_event(with_texts(**texts)).texts == 1
    assert masked_event(with_texts(source=f"card_{NUMBER}")).texts == 1


def test_what_is_no_event_is_masked_as_a_text() -> None:
    for body in (f"card {NUMBER}", f'{{"id": "{NUMBER}"', f'["{NUMBER}"]'):
        left = masked_event(body.encode())
        assert left.texts == 1
        assert left.body.decode() == body.replace(NUMBER, STARS)
    deep = b'{"a":' * 50_000 + f'"{NUMBER}"'.encode() + b"}" * 50_000
    assert NUMBER.encode() not in masked_event(deep).body


def test_amounts_and_fractions_are_written_as_they_were() -> None:
    body = with_texts(description=NUMBER, amount=4000056655665556, rate=0.1)
    left = json.loads(masked_event(body).body)["data"]["object"]
    assert (left["amount"], left["rate"]) == (4000056655665556, 0.1)


def test_no_code_or_id_is_a_cards_number() -> None:
    assert fields.code("insufficient_funds") == "insufficient_funds"
    for code in (NUMBER, f"declined_{NUMBER}", "4000_0566_5566_5556"):
        assert fields.code(code) is None
    assert fields.identifier("pi_3MtwBwLkdIwHu7ix28a3tqPa") == "pi_3MtwBwLkdIwHu7ix28a3tqPa"
    for reference in (NUMBER, f"cus_{NUMBER}"):
        assert fields.identifier(reference) is None
    assert fields.words({"name": f"Ada {NUMBER}"}, "name") == f"Ada {STARS}"


def looked_through(body: bytes) -> tuple[bytes, int]:
    """The body masked without a look at the whole of it before."""
    try:
        left: Masked = masked_in(decoded(body), lambda _path, _text: False)
        return (encoded(left.value) if left.texts else body), left.texts
    except (ValueError, RecursionError):
        text = body.decode(errors="replace")
        return masked(text).encode(), int(masked(text) is not text)


class Hostile:
    """Bodies whose numbers, if any, are spelled, coded, cut up and put among other things."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.innocent = Innocent(seed)

    def body(self) -> bytes:
        chance = self.chance
        ascii_only, indent = chance.random() < 0.5, chance.choice((None, None, 2))
        text = json.dumps(self.value(4), ensure_ascii=ascii_only, indent=indent)
        if chance.random() < 0.1:
            text = text[: chance.randrange(len(text) + 1)]  # is no JSON
        return text.encode(errors="replace")

    def value(self, depth: int) -> Any:
        kind = self.chance.randrange(12)
        if depth and kind < 3:
            names = [self.text()[:40] for _ in range(self.chance.randrange(4))]
            return {name: self.value(depth - 1) for name in names}
        if depth and kind < 6:
            return self.pieces() if kind == 3 else [self.value(depth - 1) for _ in range(kind - 2)]
        if kind < 9:
            return self.text()
        number = int(self.chance.choice(NUMBERS))
        return self.chance.choice((None, True, number, -number, 0.5, float(number), number % 10**9))

    def text(self) -> str:
        kind = self.chance.randrange(6)
        if kind > 3:
            return "created"
        if kind > 1:
            return str(self.chance.randrange(10 ** self.chance.randrange(20)))
        if kind:
            return self.innocent.place()
        return SPELLINGS[self.chance.choice(list(SPELLINGS))](self.chance.choice(NUMBERS))

    def pieces(self) -> list[Any]:
        """A number in pieces, with something else between some of them."""
        number, size = self.chance.choice(NUMBERS), self.chance.choice((1, 4, 4, 8))
        pieces: list[Any] = [number[at : at + size] for at in range(0, len(number), size)]
        others: tuple[Any, ...] = (
            {},
            [],
            None,
            True,
            1.5,
            "",
            1e21,
            float("nan"),
            float("-inf"),
            {"a": 1},
        )
        for _ in range(self.chance.randrange(3)):
            pieces.insert(self.chance.randrange(len(pieces)), self.chance.choice(others))
        return pieces


@pytest.mark.parametrize("seed", range(4))
def test_a_look_at_the_whole_overlooks_nothing(seed: int) -> None:
    hostile, found = Hostile(seed), 0
    for _ in range(5_000):
        body = hostile.body()
        left = looked_through(body)
        assert masked_event(body) == left, body
        found += left[1] > 0
    assert 500 < found < 4_500, "some bodies hold numbers, and some hold none"
