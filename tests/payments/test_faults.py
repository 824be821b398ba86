"""Fifty payments under each fault that a provider has; then its books and ours agree, one to one.

The clients do what real ones do: a key for each payment, and the same key again when they are told
to come again. Faults are drawn from a seed, and a case whose fault never struck fails.
"""

import asyncio
import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from paygate.domain.audit import Result
from tests.api.shops import Shop, audited
from tests.gateway import Response, until
from tests.payments.agreement import agrees_with_provider, shops_charges
from tests.payments.steps import (
    LATE,
    SEED,
    SOON,
    all_fired,
    fault,
    ledger_agrees,
    order,
    persist,
    resolve,
)

PAYMENTS = 50
AT_ONCE = 10
TOKENS = {
    "pm_card_visa": 12,
    "pm_card_mastercard": 4,
    "pm_card_chargeDeclinedInsufficientFunds": 3,
    "pm_card_radarBlock": 1,
    "pm_card_threeDSecureRequired": 2,
}
"""How often each card is used."""
DECLINED = {"pm_card_chargeDeclinedInsufficientFunds", "pm_card_radarBlock"}
CHALLENGED = {"pm_card_threeDSecureRequired"}


class Case(NamedTuple):
    """Which faults, and when the sweep looks after them."""

    faults: tuple[dict[str, Any], ...]
    sweeps: tuple[int, ...] = SOON
    may_never_arrive: bool = False
    at_once: int = AT_ONCE


class Payment(NamedTuple):
    """What a shop wants to be paid."""

    number: int
    amount: int
    currency: str
    token: str
    capture_method: str


LOST_EVENTS = fault("webhook", "lose", probability=1.0)
LOST_REPLIES = fault("confirm", "drop_reply")

CASES = {
    "drop_reply": Case((LOST_REPLIES,)),
    "every_reply_and_event_lost": Case(
        (fault("confirm", "drop_reply", probability=1.0), LOST_EVENTS)
    ),
    "drop_reply_looked_up": Case((LOST_REPLIES, LOST_EVENTS), LATE),
    "error_before": Case((fault("confirm", "error_before"),)),
    "error_before_looked_up": Case(
        (fault("confirm", "error_before", count=30),), LATE, may_never_arrive=True
    ),
    "error_after": Case((fault("confirm", "error_after"),)),
    "error_after_looked_up": Case((fault("confirm", "error_after"), LOST_EVENTS), SOON + LATE),
    "hang": Case((fault("confirm", "hang", seconds=2.5),), at_once=25),
    "hang_after": Case((fault("confirm", "hang", seconds=2.5, hold="after"),), at_once=25),
    "slow": Case((fault("confirm", "slow", seconds=0.2),)),
    "rate_limit": Case((fault("confirm", "rate_limit"),)),
    "rate_limit_at_first": Case((fault("confirm", "rate_limit", count=60),)),
    "rate_limit_and_drop_reply": Case((fault("confirm", "rate_limit"), LOST_REPLIES)),
    "captures_that_are_not_answered": Case((fault("capture", "drop_reply", probability=1.0),)),
    "captures_that_fail_after": Case((fault("capture", "error_after", probability=1.0),)),
    "captures_that_fail_before": Case((fault("capture", "error_before", count=2), LOST_EVENTS)),
    "whatever_is_asked_is_not_answered": Case((fault("*", "drop_reply", probability=0.3),)),
    "lose": Case((fault("webhook", "lose"), LOST_REPLIES)),
    "duplicate": Case((fault("webhook", "duplicate"), LOST_REPLIES)),
    "reorder": Case((fault("webhook", "reorder", seconds=1), LOST_REPLIES)),
    "delay": Case((fault("webhook", "delay", seconds=1), LOST_REPLIES)),
    "forge": Case((fault("webhook", "forge"), LOST_REPLIES)),
}


def payments(seed: int) -> list[Payment]:
    """No two of the same amount, in several currencies; a few of them holds."""
    chance = random.Random(seed)
    amounts = chance.sample(range(100, 90_000), PAYMENTS)
    tokens = chance.choices(list(TOKENS), list(TOKENS.values()), k=PAYMENTS - len(TOKENS))
    return [
        Payment(
            number,
            amounts[number],
            chance.choice(["eur", "usd", "gbp", "jpy"]),
            token,
            "manual" if number % 6 == 0 else "automatic",
        )
        for number, token in enumerate([*TOKENS, *tokens])
    ]


async def pay(shop: Shop, payment: Payment) -> Response:
    """Create, confirm, and capture part of every second hold; the confirm's answer."""
    number = payment.number
    create = {"amount": payment.amount, "currency": payment.currency, "reference": f"o-{number}"}
    create["capture_method"] = payment.capture_method
    intent = (await persist(shop, "/payment-intents", create, f"create {number}")).json
    path = f"/payment-intents/{intent['id']}"
    answer = await persist(shop, f"{path}/confirm", confirm_body(payment), f"confirm {number}")
    assert answer.json["id"] == intent["id"]
    if answer.json["status"] == "requires_capture" and number % 12 == 0:
        part = {"amount": payment.amount // 3}
        taken = await persist(shop, f"{path}/capture", part, f"capture {number}")
        unknown = taken.json["pending_operation"] == "capture"
        assert unknown or taken.json["status"] == "succeeded", taken
    return answer


def confirm_body(payment: Payment) -> dict[str, Any]:
    method = {"type": "card", "token": payment.token}
    return {"payment_method": method, "return_url": "https://shop.example/done"}


async def pay_all(shop: Shop, wanted: list[Payment], at_once: int) -> list[Response]:
    """All of them, so many at once; their answers in order."""
    room = asyncio.Semaphore(at_once)

    async def one(payment: Payment) -> Response:
        async with room:
            return await pay(shop, payment)

    return await asyncio.gather(*(one(payment) for payment in wanted))


def ends(payment: Payment, *, may_never_arrive: bool) -> set[tuple[str, str | None]]:
    """How a payment may end: its status, and the code of its error."""
    manual = payment.capture_method == "manual"
    lost = {("failed", "provider_unavailable")} if may_never_arrive else set()
    if payment.token in DECLINED:
        return lost | {("failed", "card_declined")}
    if payment.token in CHALLENGED:
        return lost | {("requires_action", None)}
    held = {("requires_capture", None)} if manual else set()
    taken = {("succeeded", None)} if not manual or payment.number % 12 == 0 else set()
    return lost | held | taken


async def have_ended(shop: Shop, wanted: list[Payment], *, may_never_arrive: bool) -> None:
    """Every payment is there once, for its own money, and ended as its card ends."""
    intents = await agrees_with_provider(shop)
    of = {intent["reference"]: intent for intent in intents}
    assert (len(of), len(intents)) == (len(wanted), len(wanted))
    for payment in wanted:
        intent = of[f"o-{payment.number}"]
        assert (intent["amount"], intent["currency"]) == (payment.amount, payment.currency)
        error = intent["last_payment_error"]
        end = (intent["status"], None if error is None else error["code"])
        assert end in ends(payment, may_never_arrive=may_never_arrive), (payment, intent)
        if payment.token in CHALLENGED and end == ("requires_action", None):
            assert intent["next_action"]["redirect_to_url"]["url"], intent


@pytest.mark.parametrize("name", CASES)
async def test_payments_under_a_fault(shop: Shop, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    wanted = payments(SEED)
    await order(shop, case.faults)
    answers = await pay_all(shop, wanted, case.at_once)
    await all_fired(shop, case.faults)
    await resolve(shop, tmp_path, case.sweeps)
    await have_ended(shop, wanted, may_never_arrive=case.may_never_arrive)
    before = await shops_charges(shop)
    again = await pay_all(shop, wanted, AT_ONCE)
    assert [a.body for a in again] == [a.body for a in answers], "the same keys, the same bytes"
    assert await shops_charges(shop) == before
    await asyncio.to_thread(ledger_agrees, shop, tmp_path)


async def test_a_forged_event_was_refused_at_the_door(shop: Shop, tmp_path: Path) -> None:
    """The forgeries came, and were seen for what they are."""
    await order(shop, (fault("webhook", "forge", count=1),))
    await pay(shop, payments(SEED)[0])

    async def refused() -> bool:
        entries = [e for found in (await audited(shop.gateway)).values() for e in found]
        codes = [e.details.get("code") for e in entries if e.result is Result.REFUSED]
        return "signature_invalid" in codes

    await until(refused)
    await resolve(shop, tmp_path, SOON)
    await agrees_with_provider(shop)
