"""One key, one execution, one answer byte for byte."""

import asyncio

from tests.sandbox.caller import Caller, card_payment

INTENTS = "/v1/payment_intents"


async def test_replayed_byte_for_byte(stripe: Caller) -> None:
    first = await stripe.call("POST", INTENTS, card_payment(), key="k")
    again = await stripe.call("POST", INTENTS, card_payment(), key="k")
    assert again.raw == first.raw
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Request-Id"] != first.headers["Request-Id"]
    assert len(await stripe.charges()) == 1


async def test_the_order_of_parameters_does_not_matter(stripe: Caller) -> None:
    params = card_payment(metadata={"a": "1", "b": "2"})
    first = await stripe.call("POST", INTENTS, params, key="k")
    turned = {**dict(reversed(params.items())), "metadata": {"b": "2", "a": "1"}}
    again = await stripe.call("POST", INTENTS, turned, key="k")
    assert again.raw == first.raw


async def test_other_parameters_or_another_path_are_refused(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, {"amount": 1000, "currency": "eur"}, key="k")
    answer = await stripe.call("POST", INTENTS, {"amount": 1001, "currency": "eur"}, key="k")
    assert answer.status == 400
    assert answer.error["type"] == "idempotency_error"
    assert "Try using a key other than 'k'" in answer.error["message"]
    answer = await stripe.call("POST", f"{INTENTS}/{intent['id']}/cancel", key="k")
    assert answer.error["type"] == "idempotency_error"
    assert "same endpoint" in answer.error["message"]


async def test_declines_and_wrong_states_are_saved(stripe: Caller) -> None:
    declined = card_payment("pm_card_chargeDeclined")
    first = await stripe.call("POST", INTENTS, declined, key="k")
    again = await stripe.call("POST", INTENTS, declined, key="k")
    assert (first.status, again.raw) == (402, first.raw)
    assert len(await stripe.charges()) == 1
    intent = await stripe.post(INTENTS, {"amount": 1000, "currency": "eur"})
    path = f"{INTENTS}/{intent['id']}/capture"
    early = await stripe.call("POST", path, key="c")
    assert early.status == 400
    replay = await stripe.call("POST", path, key="c")
    assert replay.headers["Idempotent-Replayed"] == "true"


async def test_refused_parameters_are_not_saved(stripe: Caller) -> None:
    bad = await stripe.call("POST", INTENTS, {"amount": 1}, key="k")
    assert bad.status == 400
    good = await stripe.call("POST", INTENTS, card_payment(), key="k")
    assert good.status == 200
    assert "Idempotent-Replayed" not in good.headers


async def test_a_hundred_at_once_execute_once(stripe: Caller) -> None:
    answers = await asyncio.gather(
        *(stripe.call("POST", INTENTS, card_payment(), key="k") for _ in range(100))
    )
    assert len(await stripe.charges()) == 1
    good = [answer for answer in answers if answer.status == 200]
    assert good
    assert {answer.raw for answer in good} == {good[0].raw}
    for answer in answers:
        if answer.status != 200:
            assert answer.status == 409
            assert answer.error["code"] == "idempotency_key_in_use"
            assert answer.headers["Stripe-Should-Retry"] == "true"


async def test_a_key_in_use_conflicts_while_the_first_is_held(stripe: Caller) -> None:
    await stripe.fault("confirm", "slow", seconds=0.3)
    first = asyncio.create_task(stripe.call("POST", INTENTS, card_payment(), key="k"))
    while await stripe.fired("slow") == 0:
        await asyncio.sleep(0.01)
    conflict = await stripe.call("POST", INTENTS, card_payment(), key="k")
    assert conflict.status == 409
    assert (await first).status == 200
    again = await stripe.call("POST", INTENTS, card_payment(), key="k")
    assert again.raw == (await first).raw


async def test_a_key_is_free_again_after_a_day(stripe: Caller) -> None:
    first = await stripe.call("POST", INTENTS, card_payment(), key="k")
    await stripe.advance(23 * 3600)
    assert (await stripe.call("POST", INTENTS, card_payment(), key="k")).raw == first.raw
    await stripe.advance(3600)
    anew = await stripe.call("POST", INTENTS, card_payment(), key="k")
    assert anew.body["id"] != first.body["id"]
    assert len(await stripe.charges()) == 2


async def test_without_a_key_each_post_is_new_and_a_get_ignores_it(stripe: Caller) -> None:
    first = await stripe.post(INTENTS, card_payment())
    second = await stripe.post(INTENTS, card_payment())
    assert first["id"] != second["id"]
    answer = await stripe.call("GET", INTENTS, key="k")
    assert "Idempotency-Key" not in answer.headers
    assert (await stripe.call("POST", INTENTS, card_payment(), key="k")).status == 200


async def test_keys_have_a_length(stripe: Caller) -> None:
    assert (await stripe.call("POST", INTENTS, card_payment(), key="k" * 255)).status == 200
    assert (await stripe.call("POST", INTENTS, card_payment(), key="k" * 256)).status == 400
