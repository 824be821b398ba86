"""Refunds on Stripe's wire: each direction held to literals of its own, so that two wrongs never
look like one right.
"""

from typing import Any

import pytest

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Unknown
from paygate.domain.refunds.conclusion import CONFIGURATION
from paygate.domain.refunds.outcome import (
    RefundAnswer,
    Refunded,
    RefundFailed,
    RefundOutcome,
    RefundPending,
    RefundRejected,
)
from paygate.domain.refunds.refund import RefundReason
from paygate.providers.contract import RefundOrder
from paygate.providers.stripe import orders, refund_answers
from paygate.providers.stripe.events import ENABLED_EVENTS, read
from tests.providers.stripe_objects import INSTALLATION, event

OURS = {
    "paygate_installation": INSTALLATION,
    "paygate_merchant": "default",
    "paygate_refund": "re_01j000000000000000000000",
}
AMOUNTS = [
    # currency, what we say, what Stripe says
    ("jpy", 500, 500),  # 50,000 would be accepted of a payment of 98,990, and paid
    ("krw", 1000, 1000),
    ("eur", 1250, 1250),
    ("isk", 500, 50_000),
    ("ugx", 500, 50_000),
    ("kwd", 1230, 1230),
    ("bhd", 10, 10),
]


def order(amount: int, currency: str, **changes: Any) -> RefundOrder:
    return RefundOrder(
        refund="re_01j000000000000000000000",
        merchant="default",
        payment_reference="pi_3Q",
        amount=amount,
        currency=Currency(currency),
        **changes,
    )


def refund(**changes: Any) -> dict[str, Any]:
    """A refund as Stripe renders it."""
    return {
        "id": "re_3Q",
        "object": "refund",
        "amount": 500,
        "charge": "ch_3Q",
        "created": 1_790_000_000,
        "currency": "eur",
        "metadata": OURS,
        "payment_intent": "pi_3Q",
        "reason": "requested_by_customer",
        "status": "succeeded",
        **changes,
    }


@pytest.mark.parametrize(("currency", "ours", "theirs"), AMOUNTS)
def test_what_goes_out(currency: str, ours: int, theirs: int) -> None:
    sent = orders.refund(order(ours, currency), INSTALLATION)
    assert (sent["amount"], sent["payment_intent"]) == (theirs, "pi_3Q")
    assert sent["metadata"] == OURS
    assert "reason" not in sent


@pytest.mark.parametrize("reason", list(RefundReason))
def test_the_reason_goes_out(reason: RefundReason) -> None:
    sent = orders.refund(order(5, "eur", reason=reason), INSTALLATION)
    assert sent["reason"] == str(reason)


@pytest.mark.parametrize(("currency", "ours", "theirs"), AMOUNTS)
def test_what_comes_back(currency: str, ours: int, theirs: int) -> None:
    said = refund_answers.refund(refund(amount=theirs, currency=currency), as_of=None)
    assert (said.amount, said.currency, said.outcome) == (ours, currency, Refunded())


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Refunded()),
        ({"status": "pending"}, RefundPending()),
        (
            {"status": "pending", "pending_reason": "insufficient_funds"},
            RefundPending("The provider's balance is too short: it refunds when it can."),
        ),
        (
            {"status": "requires_action"},
            RefundPending("The provider waits for the payer's bank details."),
        ),
        (
            {"status": "failed", "failure_reason": "lost_or_stolen_card"},
            RefundFailed("lost_or_stolen_card", "The payer's card is gone: pay them another way."),
        ),
        (
            {"status": "canceled"},
            RefundFailed("cancelled", "The refund was cancelled at the provider."),
        ),
    ],
)
def test_what_its_status_means(changes: dict[str, Any], outcome: RefundOutcome) -> None:
    said = refund_answers.refund(refund(**changes), as_of=None)
    assert said.outcome == outcome
    assert (said.provider_reference, said.payment_reference) == ("re_3Q", "pi_3Q")
    assert (said.refund, said.installation) == (OURS["paygate_refund"], INSTALLATION)


@pytest.mark.parametrize(
    "body",
    [
        refund(status="a_later_word"),
        refund(status=None),
        refund(amount=None),
        refund(amount=0),
        refund(amount=-5),
        refund(amount="500"),
        refund(amount=5.5),
        refund(amount=10**30),
        refund(currency="xxx"),
        refund(currency="isk", amount=501),  # not whole, as Stripe has them
        refund(id=None),
        refund(object="charge"),
        {},
        [],
        None,
        "refund",
    ],
)
def test_what_is_not_understood_is_not_known(body: object) -> None:
    """Never the whole payment for want of an amount (R9)."""
    said = refund_answers.refund(body, as_of=None)
    assert isinstance(said.outcome, Unknown)
    assert said.amount is None or said.amount == 500


INVALID = "invalid_request_error"


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        (400, {"type": INVALID, "code": "charge_already_refunded"}, "charge_already_refunded"),
        (400, {"type": INVALID, "code": "charge_disputed"}, "charge_disputed"),
        (400, {"type": INVALID, "code": "balance_insufficient"}, "balance_insufficient"),
        (400, {"type": INVALID, "param": "amount"}, "amount_too_large"),
        (400, {"type": INVALID, "code": "a_later_word"}, "order_refused"),
        (401, {"type": INVALID}, CONFIGURATION),
        (403, {"type": INVALID}, CONFIGURATION),
        (404, {"type": INVALID, "code": "resource_missing"}, None),
        (400, {"type": "idempotency_error"}, None),
        (400, {"type": "api_error"}, None),
        (400, {}, None),
    ],
)
def test_what_a_refusal_means(status: int, error: dict[str, Any], outcome: str | None) -> None:
    said = refund_answers.rejection(status, {"error": error})
    if outcome is None:
        assert isinstance(said, Unknown)
    else:
        assert isinstance(said, RefundRejected)
        assert said.code == outcome


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 600},
        {"currency": "usd"},
        {"payment_intent": "pi_other"},
        {"metadata": {**OURS, "paygate_refund": "re_other"}},
        {"metadata": {}},
    ],
)
def test_an_answer_with_another_refund_is_no_answer(changes: dict[str, Any]) -> None:
    asked = order(500, "eur")
    said = refund_answers.refund(refund(**changes), as_of=None)
    found = refund_answers.to_refund(asked, INSTALLATION, said)
    assert isinstance(found.outcome, Unknown)
    assert found.provider_reference is None


@pytest.mark.parametrize(
    "kind", ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"]
)
def test_an_event_of_a_refund_tells_of_it(kind: str) -> None:
    notice = read(event(refund(), type=kind))
    assert isinstance(notice.refund, RefundAnswer)
    assert (notice.refund.amount, notice.refund.provider_reference) == (500, "re_3Q")
    assert (notice.answer, notice.exact) == (None, True)


def test_a_running_total_is_nobodys_refund() -> None:
    charge = {"id": "ch_1", "object": "charge", "payment_intent": "pi_3Q", "amount_refunded": 700}
    notice = read(event(charge, type="charge.refunded"))
    assert (notice.refund, notice.answer) == (None, None)


def test_a_refund_that_an_event_does_not_show_whole_is_fetched() -> None:
    notice = read(event(refund(amount=None), type="refund.updated"))
    assert notice.exact is False


def test_the_endpoint_subscribes_to_refunds() -> None:
    assert {"refund.created", "refund.failed", "refund.updated"} <= set(ENABLED_EVENTS)
