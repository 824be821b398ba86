"""What is said of a wrong body helps whoever wrote it, and quotes nothing but an amount."""

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from paygate.api.edge.body_faults import refused_body
from paygate.api.edge.query import parse_query
from paygate.api.payments.bodies import ConfirmPaymentIntent, CreatePaymentIntent
from paygate.api.routes import ENDPOINTS
from paygate.domain.errors import ErrorCode, Refusal
from tests.api.edge.asgi import Door
from tests.flows.world import World

GOOD = {"amount": 1999, "currency": "eur"}
CARD = {"type": "card", "token": "pm_card_visa"}


def refused(shape: type[msgspec.Struct], body: Any) -> Refusal:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(msgspec.MsgspecError) as fault:
        msgspec.json.decode(content, type=shape)
    refusal = refused_body(fault.value, shape, content)
    assert "hunter2" not in refusal.message
    return refusal


WRITTEN = "is written {} (an integer of the currency's smallest unit)"


@pytest.mark.parametrize(
    ("amount", "currency", "shown", "written"),
    [
        ("19.99", "eur", "19.99 EUR", "1999"),
        ("7.5", "eur", "7.50 EUR", "750"),
        ("1.0", "jpy", "1 JPY", "1"),
        ("1.999", "kwd", "1.999 KWD", "1999"),
        ("0.07", "usd", "0.07 USD", "7"),
        ("1e3", "usd", "1000.00 USD", "100000"),
        # What is no amount of that currency, or none at all, gets an example.
        ("1.999", "eur", "19.99 EUR", "1999"),
        ("1.5", "jpy", "1999 JPY", "1999"),
        ("-19.99", "eur", "19.99 EUR", "1999"),
        ("0.0", "eur", "19.99 EUR", "1999"),
        ("4242424242424242.5", "eur", "19.99 EUR", "1999"),
        ("1e999999999", "eur", "19.99 EUR", "1999"),
        ("19.99", "hunter2", "19.99 EUR", "1999"),
        ('"hunter2"', "usd", "19.99 USD", "1999"),
        ('"1999"', "eur", "19.99 EUR", "1999"),
        ("true", "eur", "19.99 EUR", "1999"),
        ("null", "eur", "19.99 EUR", "1999"),
        ("[1]", "eur", "19.99 EUR", "1999"),
    ],
)
def test_an_amount_is_shown_as_it_is_written(
    amount: str, currency: str, shown: str, written: str
) -> None:
    content = f'{{"amount": {amount}, "currency": "{currency}"}}'.encode()
    refusal = refused(CreatePaymentIntent, content)
    assert (refusal.code, refusal.param) == (ErrorCode.PARAMETER_INVALID, "amount")
    assert refusal.message == f"amount: {shown} {WRITTEN.format(written)}"


def test_an_amount_without_a_currency_is_an_example_in_euros() -> None:
    refusal = refused(
        ConfirmPaymentIntent, b'{"payment_method": {"type": "card", "token": "x"}, "amount": 5.5}'
    )
    assert refusal.message == f"amount: 5.50 EUR {WRITTEN.format('550')}"


@pytest.mark.parametrize(
    ("shape", "body", "param", "meant"),
    [
        (CreatePaymentIntent, {**GOOD, "ammount": 1}, "ammount", "amount"),
        (CreatePaymentIntent, {**GOOD, "captureMethod": "x"}, "captureMethod", "capture_method"),
        (
            CreatePaymentIntent,
            {**GOOD, "customer": {"e_mail": 1}},
            "customer.e_mail",
            "customer.email",
        ),
        (CreatePaymentIntent, {**GOOD, "hunter2": "hunter2"}, "hunter2", None),
        (
            ConfirmPaymentIntent,
            {"payment_method": {**CARD, "tokn": 1}},
            "payment_method.tokn",
            "payment_method.token",
        ),
        (ConfirmPaymentIntent, {"payment_method": CARD, "returnUrl": 1}, "returnUrl", "return_url"),
    ],
)
def test_an_unknown_parameter_shows_the_one_that_is_meant(
    shape: type[msgspec.Struct], body: Any, param: str, meant: str | None
) -> None:
    refusal = refused(shape, body)
    assert (refusal.code, refusal.param) == (ErrorCode.PARAMETER_UNKNOWN, param)
    said = "this call takes no such parameter"
    assert refusal.message == (f"{said}: did you mean {meant}?" if meant else said)


@pytest.mark.parametrize(
    ("shape", "body", "message"),
    [
        (
            CreatePaymentIntent,
            {**GOOD, "capture_method": "hunter2"},
            "capture_method: must be one of automatic, manual",
        ),
        (
            CreatePaymentIntent,
            {**GOOD, "payment_method_types": ["hunter2"]},
            "payment_method_types[0]: must be one of card, bank_transfer",
        ),
        (
            ConfirmPaymentIntent,
            {"payment_method": {"type": "hunter2"}},
            "payment_method.type: must be one of card, bank_transfer",
        ),
        (
            ConfirmPaymentIntent,
            {"payment_method": {"type": "bank_transfer", "flow": "hunter2"}},
            "payment_method.flow: must be one of debit, push",
        ),
        (
            CreatePaymentIntent,
            {**GOOD, "reference": 5},
            "reference: must be a string or null, not an integer",
        ),
        (CreatePaymentIntent, [], "the body: must be an object, not an array"),
        (CreatePaymentIntent, {"amount": 5}, "currency is required"),
        (CreatePaymentIntent, b"{", "the body must be one JSON object in UTF-8"),
    ],
)
def test_what_a_parameter_takes_is_said(
    shape: type[msgspec.Struct], body: Any, message: str
) -> None:
    assert refused(shape, body).message == message


def test_a_query_that_nobody_takes_shows_the_one_that_is_meant() -> None:
    kinds = {e.path: e.query for e in ENDPOINTS if e.query is not None}
    with pytest.raises(Refusal, match=r"no such parameter: did you mean limit\?"):
        parse_query(kinds["/payment-intents"], "limits=5")


async def test_an_error_leads_to_its_row_in_the_docs(world: World) -> None:
    address = "https://pay.example/gateway"
    policy = msgspec.structs.replace(world.ctx.policy, public_url=address)
    here = Door(world)
    ctx = msgspec.structs.replace(world.ctx, policy=policy)
    there = Door(dataclasses.replace(world, ctx=ctx))
    for door, base in ((here, ""), (there, address)):
        answer = await door.call("GET", "/nowhere")
        assert answer.json["error"]["doc_url"] == f"{base}/docs#route_unknown"
    assert 'id="route_unknown"' in (await here.call("GET", "/docs")).body.decode()


async def test_the_root_points_to_the_docs(world: World) -> None:
    answer = await Door(world).call("GET", "/")
    assert (answer.status, answer.headers["location"]) == (303, "/docs")
