"""What Stripe's disputes and warnings say, held to literals: money row by row, words that are not
known, and the ways in which others have misread them.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from paygate.domain.disputes.outcome import (
    Compliance,
    ComplianceNetwork,
    DisputeAnswer,
    Disputed,
    DisputeKind,
    DisputeReason,
    DisputeStatus,
    DisputeUnfamiliar,
    FraudWarning,
    RowKind,
)
from paygate.domain.payments.outcome import Unknown
from paygate.providers.stripe import dispute_answers, fraud_warnings
from paygate.providers.stripe.events import ENABLED_EVENTS, read
from tests.providers.stripe_objects import (
    CREATED,
    INSTALLATION,
    METADATA,
    charge,
    dispute,
    event,
    fraud_warning,
    row,
)

AT = datetime(2026, 11, 24, 3, 42, tzinfo=UTC)
W, R, O = RowKind.WITHDRAWN, RowKind.REINSTATED, RowKind.OTHER  # noqa: E741 -- a table's words
KINDS = ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"]


def read_dispute(body: object) -> DisputeAnswer:
    return dispute_answers.dispute(body, livemode=False, as_of=AT)


def stands(**changes: Any) -> Disputed:
    outcome = read_dispute(dispute(**changes)).outcome
    assert isinstance(outcome, Disputed), outcome
    return outcome


def details(**changes: Any) -> dict[str, Any]:
    return {"evidence_details": {**dispute()["evidence_details"], **changes}}


def method(kind: str, **said: Any) -> dict[str, Any]:
    return {"payment_method_details": {"type": kind, kind: said}}


def test_a_chargeback() -> None:
    answer = read_dispute(dispute())
    assert (answer.provider_reference, answer.payment_reference, answer.charge_reference) == (
        "du_1",
        "pi_3Q",
        "ch_3Q",
    )
    assert (answer.as_of, answer.livemode, answer.installation) == (AT, False, None)
    found = stands()
    assert (found.kind, found.status) == (DisputeKind.CHARGEBACK, DisputeStatus.NEEDS_RESPONSE)
    assert (found.amount, found.currency, found.refundable) == (1999, "eur", False)
    assert (found.reason, found.provider_reason) == (DisputeReason.FRAUDULENT, "fraudulent")
    assert (found.network_reason_code, found.case_type) == ("10.4", "chargeback")
    assert found.created_at == datetime.fromtimestamp(CREATED, UTC)
    assert found.evidence_due_by == datetime.fromtimestamp(CREATED + 700_000, UTC)
    assert (found.past_due, found.submission_count, found.has_evidence) == (False, 0, False)
    (withdrawn,) = found.rows
    assert (withdrawn.provider_reference, withdrawn.kind) == ("txn_1", W)
    assert (withdrawn.amount, withdrawn.fee, withdrawn.currency) == (-1999, 1500, "eur")


@pytest.mark.parametrize(
    ("currency", "theirs", "ours"),
    [("jpy", 500, 500), ("krw", 1000, 1000), ("eur", 1250, 1250), ("isk", 50_000, 500)],
)
def test_amounts_come_back_by_their_own_currency(currency: str, theirs: int, ours: int) -> None:
    found = stands(
        amount=theirs,
        currency=currency,
        balance_transactions=[row(-theirs, 1500, currency=currency)],
    )
    assert found.amount == ours
    assert found.rows[0].amount == -ours


ROWS: list[tuple[list[dict[str, Any]], list[tuple[RowKind, int, int]]]] = [
    ([], []),
    # An international card brings a conversion row (D5): -108.00, -0.37, fee 15.00.
    (
        [row(-10_800, 1500, currency="usd"), row(-37, currency="usd", id="txn_2")],
        [(W, -10_800, 1500), (W, -37, 0)],
    ),
    (
        [row(-10_800, 1500), row(-37, type="stripe_fx_fee", reporting_category="fee")],
        [(W, -10_800, 1500), (O, 0, 37)],
    ),
    # A second fee for an answer, which comes back to who wins (D7).
    (
        [
            row(-10_000, 1500),
            row(-1500, type="stripe_fee", reporting_category="fee"),
            row(10_000),
            row(1500, type="stripe_fee", reporting_category="fee"),
        ],
        [(W, -10_000, 1500), (O, 0, 1500), (R, 10_000, 0), (O, 0, -1500)],
    ),
    # The same told as the fee of a row without an amount, or under another name.
    ([row(0, 1500)], [(O, 0, 1500)]),
    ([row(0, -1500)], [(O, 0, -1500)]),
    ([row(-50, type="adjustment", reporting_category="network_cost")], [(O, 0, 50)]),
    # A fee that is given back with the money, as it once was.
    ([row(10_000, -1500)], [(R, 10_000, -1500)]),
    # What is not known moves as its sign says.
    ([row(-70, type="lunar_fee", reporting_category="lunar")], [(O, -70, 0)]),
    ([row(70, reporting_category="dispute")], [(O, 70, 0)]),
    ([row(-70, reporting_category="dispute_reversal")], [(O, -70, 0)]),
]


@pytest.mark.parametrize(("theirs", "ours"), ROWS)
@pytest.mark.parametrize("text", ["Dispute fee", None, "Streitgebühr", 7])
def test_every_row_of_money_by_its_type_never_by_its_text(
    theirs: list[dict[str, Any]], ours: list[tuple[RowKind, int, int]], text: object
) -> None:
    """D5, D6, D7: none, one or several, in the currency that the account is kept in."""
    told = [{**each, "description": text, "fee_details": text} for each in theirs]
    found = stands(amount=100, currency="gbp", balance_transactions=told)
    assert [(each.kind, each.amount, each.fee) for each in found.rows] == ours
    net = sum(each["net"] for each in theirs)
    assert sum(each.amount - each.fee for each in found.rows) == net


@pytest.mark.parametrize(
    "rows",
    [
        [row(-1999, 1500), {**row(0), "amount": None}],
        [row(-1999, id=None)],
        [row(-1999, currency="xxx")],
        [row(-1999, currency="isk")],
        [row(-(10**16))],
        [row(-1999, fee=None)],
        ["txn_1"],
        "txn_1",
        {"data": []},
        [row(-1)] * 101,
    ],
)
def test_a_part_of_the_money_is_no_sum(rows: Any) -> None:
    answer = read_dispute(dispute(balance_transactions=rows))
    assert isinstance(answer.outcome, Unknown)
    assert answer.provider_reference == "du_1"


@pytest.mark.parametrize("status", ["needs_response", "under_review", "won", "lost"])
def test_a_chargeback_by_its_status(status: str) -> None:
    """An inquiry that escalates is told so by its status, whatever its case says (D2)."""
    for case_type in ("chargeback", "inquiry", "a_later_word"):
        found = stands(status=status, **method("card", case_type=case_type))
        assert (found.kind, found.status) == (DisputeKind.CHARGEBACK, status)


@pytest.mark.parametrize("word", ["needs_response", "under_review", "closed"])
def test_an_inquiry_by_its_status(word: str) -> None:
    found = stands(status=f"warning_{word}", balance_transactions=[], is_charge_refundable=True)
    assert (found.kind, found.rows, found.refundable) == (DisputeKind.INQUIRY, (), True)


@pytest.mark.parametrize(
    ("case_type", "kind"),
    [("inquiry", DisputeKind.INQUIRY), ("block", DisputeKind.CHARGEBACK)],
)
def test_one_that_was_prevented_moves_nothing(case_type: str, kind: DisputeKind) -> None:
    found = stands(
        status="prevented", balance_transactions=[], **method("card", case_type=case_type)
    )
    assert (found.status, found.kind, found.rows) == (DisputeStatus.PREVENTED, kind, ())


def test_a_status_that_is_not_known_is_kept_raw() -> None:
    """D20: it keeps the state, and it is no fault of the event's."""
    answer = read_dispute(dispute(status="arbitration"))
    assert answer.outcome == DisputeUnfamiliar("arbitration")
    assert (answer.provider_reference, answer.payment_reference) == ("du_1", "pi_3Q")
    notice = read(event(dispute(status="arbitration"), type="charge.dispute.updated"))
    assert notice.dispute is not None
    assert (notice.exact, notice.dispute.outcome) == (True, DisputeUnfamiliar("arbitration"))


@pytest.mark.parametrize("status", [None, 7, "", "Won!", ["won"]])
def test_a_missing_outcome_is_no_loss(status: object) -> None:
    assert isinstance(read_dispute(dispute(status=status)).outcome, Unknown)


@pytest.mark.parametrize("due_by", [0, None, "tomorrow", -5, True, 10**12])
def test_no_deadline(due_by: object) -> None:
    """D8: 0 is no first of January 1970."""
    assert stands(status="lost", **details(due_by=due_by)).evidence_due_by is None
    assert "due_by" in details(due_by=due_by)["evidence_details"]


def test_past_due_says_that_an_answer_came_late() -> None:
    """D10: the deadline passed, nothing was submitted, and the flag is false."""
    found = stands(**details(due_by=CREATED - 1, past_due=False))
    assert (found.past_due, found.submission_count) == (False, 0)
    assert found.evidence_due_by is not None
    late = stands(status="under_review", **details(past_due=True, submission_count=1))
    assert (late.past_due, late.submission_count) == (True, 1)


@pytest.mark.parametrize("reference", ["du_1", "dp_1", "pdp_1"])
def test_it_is_linked_by_its_charge_then_its_payment(reference: str) -> None:
    """D4: no metadata of ours is on it, and its payment may not be named."""
    bare = dispute(id=reference, payment_intent=None, metadata={})
    answer = read_dispute(bare)
    assert (answer.payment_reference, answer.charge_reference) == (None, "ch_3Q")
    notice = read(event(bare, type="charge.dispute.created"))
    assert notice.exact is False
    shown = {**bare, "charge": charge(id="ch_3Q", payment_intent="pi_3Q", metadata=METADATA)}
    answer = read_dispute(shown)
    assert (answer.payment_reference, answer.charge_reference) == ("pi_3Q", "ch_3Q")
    assert (answer.installation, answer.attempt) == (INSTALLATION, METADATA["paygate_attempt"])
    assert answer.intent == METADATA["paygate_intent"]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("product_not_received", DisputeReason.PRODUCT_NOT_RECEIVED),
        ("noncompliant", DisputeReason.NONCOMPLIANT),
        ("a_later_word", DisputeReason.GENERAL),
        (None, DisputeReason.GENERAL),
        (7, DisputeReason.GENERAL),
    ],
)
def test_reasons(word: Any, reason: DisputeReason) -> None:
    found = stands(reason=word)
    assert found.reason is reason
    assert found.provider_reason == (word if isinstance(word, str) else None)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (method("card", network_reason_code="4853"), "4853"),
        (method("paypal", reason_code="INR", case_id="PP-1"), "INR"),
        (method("klarna", reason_code=None), None),
        (method("amazon_pay", dispute_type="claim"), "claim"),
        (method("a_later_method", word=1), None),
        ({"payment_method_details": None}, None),
        ({"payment_method_details": {"type": "card", "card": "visa"}}, None),
    ],
)
def test_reason_codes(said: dict[str, Any], code: str | None) -> None:
    assert stands(**said).network_reason_code == code


def test_a_compliance_case_is_told_by_its_eligibility_never_by_its_reason() -> None:
    """D23."""
    needed = {"visa_compliance": {"status": "requires_fee_acknowledgement"}}
    found = stands(
        enhanced_eligibility_types=["visa_compelling_evidence_3", "visa_compliance", "later"],
        **details(enhanced_eligibility=needed),
    )
    assert found.compliance == (Compliance(ComplianceNetwork.VISA, fee_acknowledged=False),)
    agreed = {"mastercard_compliance": {"status": "fee_acknowledged"}}
    found = stands(
        enhanced_eligibility_types=["mastercard_compliance"],
        **details(enhanced_eligibility=agreed),
    )
    assert found.compliance == (Compliance(ComplianceNetwork.MASTERCARD, fee_acknowledged=True),)
    assert stands(reason="noncompliant").compliance == ()
    assert stands(enhanced_eligibility_types="visa_compliance").compliance == ()


def test_what_is_added_later_is_not_looked_at() -> None:
    more = {"intended_submission_method": "smart", "smart_disputes": {"status": "x"}, "x": [1]}
    assert stands(**more) == stands()


@pytest.mark.parametrize(
    "body",
    [
        dispute(amount=None),
        dispute(amount=-1),
        dispute(amount=19.99),
        dispute(amount=10**30),
        dispute(currency="xxx"),
        dispute(currency=None),
        dispute(currency="isk", amount=501),
        dispute(created=None),
        dispute(id=None),
        dispute(id="du 1"),
        dispute(object="charge"),
        dispute(livemode=True),
        dispute(livemode=None),
        {},
        [],
        None,
    ],
)
def test_what_is_not_understood_is_not_known(body: object) -> None:
    assert isinstance(read_dispute(body).outcome, Unknown)


@pytest.mark.parametrize("word", KINDS)
def test_an_event_tells_of_its_dispute(word: str) -> None:
    kind = f"charge.dispute.{word}"
    assert kind in ENABLED_EVENTS
    notice = read(event(dispute(), type=kind))
    assert notice.dispute is not None
    assert notice.dispute.outcome == stands()
    assert notice.dispute.as_of == notice.created_at
    assert (notice.exact, notice.refund, notice.fraud_warning) == (True, None, None)
    assert not read(event(dispute(), type=kind, api_version="2019-01-01")).exact
    assert not read(event(dispute(amount=None), type=kind)).exact


@pytest.mark.parametrize("word", ["created", "updated"])
def test_an_event_tells_of_a_warning(word: str) -> None:
    kind = f"radar.early_fraud_warning.{word}"
    assert kind in ENABLED_EVENTS
    notice = read(event(fraud_warning(), type=kind))
    warned = notice.fraud_warning
    assert warned is not None
    assert (warned.provider_reference, warned.fraud_type) == ("issfr_1", "made_with_stolen_card")
    assert (warned.payment_reference, warned.charge_reference) == ("pi_3Q", "ch_3Q")
    assert (warned.actionable, warned.charge_amount, warned.charge_disputed) == (True, None, None)
    assert notice.dispute is None


def test_a_warning_with_its_charge() -> None:
    """D25: what the advice depends on."""
    of = charge(
        payment_intent="pi_3Q",
        currency="eur",
        amount_captured=200,
        amount_refunded=50,
        disputed=True,
        metadata=METADATA,
    )
    found = fraud_warnings.warning(
        fraud_warning(charge=of, payment_intent=None, actionable=False), livemode=False, as_of=AT
    )
    assert isinstance(found, FraudWarning)
    assert (found.charge_amount, found.charge_refunded, found.charge_currency) == (200, 50, "eur")
    assert (found.charge_disputed, found.actionable) == (True, False)
    assert (found.payment_reference, found.installation) == ("pi_3Q", INSTALLATION)


@pytest.mark.parametrize("actionable", [None, "true", 1])
def test_nobody_is_advised_by_a_guess(actionable: object) -> None:
    body = fraud_warning(actionable=actionable, fraud_type="a_later_word")
    found = fraud_warnings.warning(body, livemode=False, as_of=AT)
    assert isinstance(found, FraudWarning)
    assert (found.actionable, found.fraud_type) == (False, "a_later_word")


@pytest.mark.parametrize(
    "body", [None, {}, fraud_warning(id=None), fraud_warning(livemode=True), dispute()]
)
def test_what_is_no_warning(body: object) -> None:
    assert isinstance(fraud_warnings.warning(body, livemode=False, as_of=AT), Unknown)
