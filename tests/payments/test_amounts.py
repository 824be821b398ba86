"""F30: amounts at their bounds, to the smallest unit on both sides.

What the provider counts in is written by hand here: it is the one place where a factor of a
hundred goes unseen by everything that compares our numbers with our numbers.
"""

from typing import Any

import pytest

from tests.gateway import Gateway

MOST = 99_999_999
"""`PAYGATE_MAX_AMOUNT` as it is unless set, and the most that the sandbox charges."""


async def refusal(gateway: Gateway, amount: Any, currency: str) -> tuple[int, str]:
    body = {"amount": amount, "currency": currency, "reference": f"refused-{currency}"}
    answer = await gateway.call("POST", "/payment-intents", body)
    assert answer.json["error"]["param"] == "amount", answer
    found = await gateway.call("GET", f"/payment-intents?reference=refused-{currency}")
    assert found.json["data"] == []
    return answer.status, answer.code


@pytest.mark.parametrize(
    ("currency", "ours", "theirs"),
    [
        ("eur", 50, 50),
        ("eur", MOST, MOST),
        ("usd", MOST - 1, MOST - 1),
        ("jpy", 50, 50),
        ("jpy", 1999, 1999),
        ("jpy", MOST, MOST),
        ("kwd", 10, 10),
        ("kwd", 1230, 1230),
        ("kwd", 99_999_990, 99_999_990),
        ("isk", 5, 500),
        ("isk", 999_999, 99_999_900),
        ("mga", 500, 5),
    ],
)
async def test_an_amount_is_charged_to_the_smallest_unit(
    gateway: Gateway, currency: str, ours: int, theirs: int
) -> None:
    intent = await gateway.create(ours, currency)
    answer = (await gateway.confirm(intent["id"])).json
    assert (answer["status"], answer["amount_received"]) == ("succeeded", ours)
    (charge,) = await gateway.charges(intent["id"])
    amounts = (charge["amount"], charge["amount_captured"], charge["currency"])
    assert amounts == (theirs, theirs, currency)


@pytest.mark.parametrize(
    ("currency", "held", "ours", "theirs"),
    [
        ("eur", MOST, 1, 1),
        ("eur", 1999, 1998, 1998),
        ("jpy", 1999, 7, 7),
        ("kwd", 5120, 10, 10),
        ("kwd", 5120, 5110, 5110),
        ("isk", 500, 3, 300),
    ],
)
async def test_a_part_is_captured_to_the_smallest_unit(
    gateway: Gateway, currency: str, held: int, ours: int, theirs: int
) -> None:
    intent = await gateway.create(held, currency, capture_method="manual")
    assert (await gateway.confirm(intent["id"])).json["amount_capturable"] == held
    path = f"/payment-intents/{intent['id']}/capture"
    answer = await gateway.call("POST", path, {"amount": ours})
    assert answer.status == 200, answer
    taken = answer.json
    assert (taken["amount_received"], taken["amount_capturable"], taken["amount"]) == (
        ours,
        0,
        held,
    )
    (charge,) = await gateway.charges(intent["id"])
    assert (charge["captured"], charge["amount_captured"]) == (True, theirs)


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (0, "eur", "amount_too_small"),
        (-1, "jpy", "amount_too_small"),
        (MOST + 1, "eur", "amount_too_large"),
        (2**31, "eur", "amount_too_large"),
        (2**53, "jpy", "amount_too_large"),
        (2**63 - 1, "kwd", "amount_too_large"),
        (2**63, "kwd", "amount_too_large"),
        (2**64, "eur", "amount_too_large"),
        (1235, "kwd", "amount_not_representable"),
        (1, "kwd", "amount_not_representable"),
        (501, "mga", "amount_not_representable"),
        (1000, "clf", "amount_not_representable"),
        (19.99, "eur", "parameter_invalid"),
        (2000.0, "jpy", "parameter_invalid"),
    ],
)
async def test_what_cannot_be_charged_exactly_is_refused(
    gateway: Gateway, amount: Any, currency: str, code: str
) -> None:
    assert await refusal(gateway, amount, currency) == (400, code)


@pytest.mark.parametrize(
    ("amount", "code"),
    [(1235, "amount_not_representable"), (5121, "amount_too_large"), (0, "amount_too_small")],
)
async def test_a_part_that_does_not_exist_is_refused(
    gateway: Gateway, amount: int, code: str
) -> None:
    """The hold stays, whole."""
    intent = await gateway.create(5120, "kwd", capture_method="manual")
    held = (await gateway.confirm(intent["id"])).json
    path = f"/payment-intents/{intent['id']}/capture"
    refused = await gateway.call("POST", path, {"amount": amount})
    assert (refused.status, refused.code) == (400, code)
    assert await gateway.read(intent["id"]) == held
    (charge,) = await gateway.charges(intent["id"])
    assert (charge["captured"], charge["amount"]) == (False, 5120)


async def test_less_than_the_provider_charges_fails_with_its_reason(gateway: Gateway) -> None:
    """The least of each currency is the provider's own to know: nothing is charged."""
    intent = await gateway.create(1, "eur")
    answer = (await gateway.confirm(intent["id"])).json
    assert (answer["status"], answer["amount_received"]) == ("failed", 0)
    assert answer["last_payment_error"]["code"]
    assert await gateway.charges(intent["id"]) == []
