"""Every kind of event that tells of money or a state is understood, and whose payment it is of."""

from typing import Any

import pytest

from paygate.domain.payments.outcome import (
    Approved,
    Cancelled,
    Declined,
    Outcome,
    Pending,
    Unknown,
)
from paygate.providers.stripe.events import ACTED_UPON, ENABLED_EVENTS, read
from tests.providers.stripe_objects import event

OURS = {
    "paygate_installation": "inst_test",
    "paygate_merchant": "default",
    "paygate_attempt": "at_1",
    "paygate_intent": "pi_ours",
}


def charge(**changes: Any) -> dict[str, Any]:
    return {
        "id": "ch_1",
        "object": "charge",
        "payment_intent": "pi_3Q",
        "amount": 1999,
        "amount_captured": 1999,
        "captured": True,
        "currency": "eur",
        "refunded": False,
        "status": "succeeded",
        "metadata": OURS,
        **changes,
    }


TAKEN = Approved(captured=True, amount_received=1999, amount_capturable=0)
HELD = Approved(captured=False, amount_received=0, amount_capturable=1999)
NOT_CAPTURED: dict[str, Any] = {"captured": False, "amount_captured": 0}


@pytest.mark.parametrize(
    ("kind", "changes", "outcome"),
    [
        ("succeeded", {}, TAKEN),
        ("captured", {}, TAKEN),
        ("updated", {"status": "a_later_word"}, Unknown),
        ("updated", {"amount": "much"}, Unknown),
        ("updated", {"currency": "xxx"}, Unknown),
        ("succeeded", NOT_CAPTURED, HELD),
        ("expired", NOT_CAPTURED | {"refunded": True}, Cancelled()),
        ("pending", NOT_CAPTURED | {"status": "pending"}, Pending()),
        ("failed", NOT_CAPTURED | {"status": "failed", "failure_code": "card_declined"}, Declined),
        ("failed", NOT_CAPTURED | {"status": "failed"}, Declined),
        ("invented_later", {"new_field": {"a": 1}}, TAKEN),
    ],
)
def test_a_charge_shows_how_its_payment_stands(
    kind: str, changes: dict[str, Any], outcome: Outcome | type[Outcome]
) -> None:
    notice = read(event(charge(**changes), type=f"charge.{kind}"))
    answer = notice.answer
    assert answer is not None
    if isinstance(outcome, type):
        assert isinstance(answer.outcome, outcome)
    else:
        assert answer.outcome == outcome
    assert (notice.of_a_part, notice.handled, notice.exact) == (True, True, True)
    named = (answer.provider_reference, answer.installation, answer.merchant, answer.attempt)
    assert named == ("pi_3Q", "inst_test", "default", "at_1")
    assert answer.as_of == notice.created_at


def test_a_charge_of_its_own_names_no_payment() -> None:
    answer = read(event(charge(payment_intent=None, metadata={}), type="charge.succeeded")).answer
    assert answer is not None
    assert (answer.provider_reference, answer.installation) == (None, None)


def test_a_charge_of_another_version_is_not_exact() -> None:
    assert not read(event(charge(), type="charge.succeeded", api_version="2019-01-01")).exact


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("charge.dispute.created", {"object": "dispute", "payment_intent": "pi_3Q"}),
        ("charge.dispute.of_a_later_kind", {"object": "dispute", "payment_intent": "pi_3Q"}),
        ("radar.early_fraud_warning.created", {"payment_intent": "pi_3Q", "charge": "ch_1"}),
    ],
)
def test_what_tells_of_a_dispute_names_its_payment(kind: str, body: dict[str, Any]) -> None:
    notice = read(event(body, type=kind))
    assert notice.handled
    assert notice.answer is not None
    assert notice.answer.provider_reference == "pi_3Q"
    assert isinstance(notice.answer.outcome, Unknown)


PAYOUTS = [kind for kind in ENABLED_EVENTS if kind.startswith("payout.")]


@pytest.mark.parametrize("kind", [*PAYOUTS, "payout.of_a_later_kind"])
def test_news_of_a_payout_names_it_and_says_no_more(kind: str) -> None:
    """Such events come in any order: how the payout stands is looked up."""
    notice = read(event({"object": "payout", "id": "po_1", "status": "no_such_word"}, type=kind))
    assert (notice.payout, notice.handled, notice.answer) == ("po_1", True, None)
    connected = read(event({"object": "payout", "id": "po_1"}, type=kind, account="acct_connected"))
    assert connected.of_another_account


def test_every_event_of_a_payout_is_subscribed_to_and_acted_upon() -> None:
    said = {"canceled", "created", "failed", "paid", "reconciliation_completed", "updated"}
    assert set(PAYOUTS) == {f"payout.{word}" for word in said}
    assert set(PAYOUTS) <= set(ACTED_UPON)


@pytest.mark.parametrize("named", [None, "", 7, "po 1", "x" * 300, {"id": "po_1"}])
def test_a_payout_that_is_not_named_is_nothing(named: object) -> None:
    notice = read(event({"object": "payout", "id": named}, type="payout.paid"))
    assert (notice.payout, notice.handled) == (None, True)


def test_a_mandate_is_acted_upon_by_nobody() -> None:
    notice = read(event({"object": "mandate", "id": "mandate_1"}, type="mandate.updated"))
    assert (notice.handled, notice.answer) == (False, None)


@pytest.mark.parametrize("way", ["applied_to_payment", "unapplied_from_payment"])
def test_what_moves_between_a_balance_and_a_payment_is_fetched(way: str) -> None:
    body = {"customer": "cus_1", "type": way, way: {"payment_intent": "pi_3Q"}}
    notice = read(event(body, type="customer_cash_balance_transaction.created"))
    assert notice.answer is not None
    assert notice.answer.provider_reference == "pi_3Q"
    assert (notice.exact, notice.handled) == (False, True)


@pytest.mark.parametrize("way", ["funded", "return_canceled", "a_later_word"])
def test_another_movement_on_a_balance_is_nobodys_payment(way: str) -> None:
    body = {"customer": "cus_1", "type": way, "applied_to_payment": None}
    notice = read(event(body, type="customer_cash_balance_transaction.created"))
    assert (notice.handled, notice.answer) == (False, None)


@pytest.mark.parametrize("account", ["acct_connected", "", 7])
def test_an_event_of_a_connected_account_says_so(account: object) -> None:
    assert read(event(charge(), type="charge.succeeded", account=account)).of_another_account
    assert not read(event(charge(), type="charge.succeeded", account=None)).of_another_account


@pytest.mark.parametrize("body", [None, [], "x", {}, {"payment_intent": 7, "amount": None}])
@pytest.mark.parametrize("kind", ENABLED_EVENTS)
def test_an_object_of_no_shape_is_no_fault(kind: str, body: Any) -> None:
    assert read(event(body, type=kind)).type == kind


def test_what_is_acted_upon_is_what_is_read_so() -> None:
    """Events that an earlier version kept are taken up by these names."""
    assert {"refund.created", "refund.updated", "refund.failed"} < set(ACTED_UPON)
    for kind in ENABLED_EVENTS:
        body = event({"id": "obj_1", "object": "any"}, type=kind)
        assert read(body).handled is (kind in ACTED_UPON), kind
