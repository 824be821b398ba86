"""Stripe's events without card numbers: what is read of them stays the same."""

import json
from typing import Any

from paygate.providers.stripe import events, fields
from paygate.providers.stripe.masking import masked_event
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
