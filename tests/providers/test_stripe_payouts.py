"""A payout as Stripe shows it: how it stands, when it arrives, and whether its lines are told."""

from datetime import UTC, date, datetime
from typing import Any, Final

import pytest

from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.outcome import Payout, PayoutStatus
from paygate.providers.stripe import payout_answers
from tests.providers.stripe_lines import payout

AS_OF: Final = datetime(2026, 11, 24, 3, 42, tzinfo=UTC)
S = PayoutStatus


def read(**changes: Any) -> Payout:
    found = payout_answers.payout(payout(**changes), livemode=False, as_of=AS_OF)
    assert isinstance(found, Payout)
    return found


def test_a_payout() -> None:
    assert read() == Payout(
        provider_reference="po_3Q",
        amount=9_000,
        currency="eur",
        status=S.IN_TRANSIT,
        automatic=True,
        itemised=True,
        lines_complete=True,
        arrival_date=date(2026, 2, 28),
        created_at=datetime(2026, 2, 26, 0, 2, 3, tzinfo=UTC),
        own_reference="txn_own",
        livemode=False,
        as_of=AS_OF,
    )


@pytest.mark.parametrize(
    ("currency", "theirs", "ours"),
    [
        ("eur", -2_000, -2_000),  # refunds above sales: the bank account is debited
        ("eur", 0, 0),
        ("jpy", 500, 500),
        ("isk", 100_000, 1_000),
        ("ugx", -100_000, -1_000),
        ("kwd", 5_120, 5_120),
    ],
)
def test_amounts_are_told_in_our_smallest_units(currency: str, theirs: int, ours: int) -> None:
    assert read(amount=theirs, currency=currency).amount == ours


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("pending", S.PENDING),
        ("in_transit", S.IN_TRANSIT),
        ("paid", S.PAID),
        ("failed", S.FAILED),
        ("canceled", S.CANCELLED),
    ],
)
def test_how_a_payout_stands(theirs: str, ours: PayoutStatus) -> None:
    assert read(status=theirs).status is ours


@pytest.mark.parametrize(
    ("changes", "itemised", "complete"),
    [
        ({}, True, True),
        ({"reconciliation_status": "in_progress"}, True, False),
        ({"reconciliation_status": "a_later_word"}, True, False),
        ({"reconciliation_status": None}, True, False),
        ({"automatic": False, "reconciliation_status": "not_applicable"}, False, False),
        ({"method": "instant", "reconciliation_status": "not_applicable"}, False, False),
        ({"method": "instant"}, False, True),
        ({"reconciliation_status": "not_applicable"}, False, False),
    ],
)
def test_whether_its_lines_are_told(
    changes: dict[str, Any], itemised: bool, complete: bool
) -> None:
    """Instant payouts are not itemised on an automatic schedule either."""
    found = read(**changes)
    assert (found.itemised, found.lines_complete) == (itemised, complete)


@pytest.mark.parametrize("shown", ["txn_back", {"id": "txn_back", "object": "balance_transaction"}])
def test_a_payout_that_failed_names_why_and_its_row(shown: object) -> None:
    found = read(status="failed", failure_code="account_closed", failure_balance_transaction=shown)
    assert (found.status, found.failure_code) == (S.FAILED, "account_closed")
    assert found.failure_reference == "txn_back"


def test_a_payout_and_its_reversal_name_each_other() -> None:
    assert read(original_payout="po_first").reverses == "po_first"
    assert read(reversed_by={"id": "po_back", "object": "payout"}).reversed_by == "po_back"


@pytest.mark.parametrize(
    ("trace", "told"),
    [
        ({"status": "supported", "value": "20260228-AB/1"}, "20260228-AB/1"),
        ({"status": "pending", "value": None}, None),
        ({"status": "supported", "value": ""}, None),
        ({"status": "supported", "value": 7}, None),
        ({"status": "supported", "value": "x" * 5_000}, None),
        (None, None),
        ("x", None),
    ],
)
def test_the_banks_own_id(trace: object, told: str | None) -> None:
    assert read(trace_id=trace).trace_id == told


@pytest.mark.parametrize(
    "changes",
    [
        {"object": "transfer"},
        {"id": None},
        {"id": "po/3Q"},
        {"livemode": True},
        {"livemode": None},
        {"status": None},
        {"status": "PAID!"},
        {"amount": None},
        {"amount": 1.5},
        {"amount": 10**15 + 1},
        {"currency": "lunar"},
        {"arrival_date": None},
        {"arrival_date": 10**18},
        {"created": None},
        {"automatic": None},
        {"automatic": "yes"},
    ],
)
def test_a_payout_that_makes_no_sense_is_not_known(changes: dict[str, Any]) -> None:
    found = payout_answers.payout(payout(**changes), livemode=False, as_of=AS_OF)
    assert isinstance(found, Unknown)
    assert not found.unfamiliar
    for value in changes.values():
        assert str(value) not in found.message or value is None


def test_a_status_that_is_not_known_is_no_status_of_ours() -> None:
    found = payout_answers.payout(payout(status="returned"), livemode=False, as_of=AS_OF)
    assert found == Unknown("the status of the payout po_3Q is returned", unfamiliar=True)
