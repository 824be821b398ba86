"""What a PaymentIntent paid by a bank is taken to say: instructions, parts, debits, refusals."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.domain.payments.outcome import (
    ActionRequired,
    Approved,
    BankAccount,
    BankTransfer,
    Cancelled,
    Declined,
    Outcome,
    PaymentError,
    Pending,
    RedirectToUrl,
    Rejected,
    TransferInstructions,
    Unknown,
)
from paygate.providers.contract import MoneyLeft
from paygate.providers.stripe.answers import to_money_left
from paygate.providers.stripe.api_errors import of_cancel, of_capture, of_confirm, of_customer
from paygate.providers.stripe.declines import payment_error
from paygate.providers.stripe.events import ENABLED_EVENTS, read
from paygate.providers.stripe.translate import payment as translate
from tests.providers.stripe_objects import (
    asked_to_transfer,
    cancelled,
    charge,
    debited,
    decline,
    event,
    failed_debit,
    held,
    iban_account,
    payment,
    refused,
)
from tests.providers.test_stripe_translate import JSON_ISH, NOW

INVALID: Final = "invalid_request_error"
PUSHED: Final = BankTransfer("push", "DE")
IBAN: Final = BankAccount(
    "iban", "Shop", "DE", {"iban": "DE00123456789012345678", "bic": "CITIIE2X"}
)
VERIFICATION: Final = "https://payments.stripe.com/microdeposit/x"
DEPOSITS: Final = {
    "type": "verify_with_microdeposits",
    "verify_with_microdeposits": {
        "arrival_date": 1_795_000_000,
        "hosted_verification_url": VERIFICATION,
        "microdeposit_type": "amounts",
    },
}
HOSTED: Final = "https://payments.stripe.com/bank_transfers/x"


def outcome(body: object) -> Outcome:
    return translate(body, livemode=False, as_of=NOW).outcome


def changed_instructions(**changes: Any) -> TransferInstructions | None:
    """What is made of changed instructions; None when they are not believed."""
    return instructions(asked_to_transfer(instructions=changes))


def instructions(body: dict[str, Any]) -> TransferInstructions | None:
    found = outcome(body)
    if isinstance(found, Unknown):
        return None
    assert isinstance(found, ActionRequired)
    assert isinstance(found.next_action, TransferInstructions)
    return found.next_action


def test_instructions_are_read() -> None:
    expected = TransferInstructions(
        amount_remaining=1999,
        amount_received=0,
        currency="eur",
        reference="X7K",
        hosted_url=HOSTED,
        accounts=(IBAN,),
    )
    assert outcome(asked_to_transfer()) == ActionRequired(expected, PUSHED)


@pytest.mark.parametrize(
    ("currency", "amount", "remaining", "expected"),
    [
        ("eur", 1999, 1499, (1499, 500)),
        ("eur", 1999, 1, (1, 1998)),
        ("jpy", 500, 120, (120, 380)),
        ("mga", 5, 2, (200, 300)),  # not a rail of Stripe's: the scale is what is tested
        ("isk", 5000, 1200, (12, 38)),
    ],
)
def test_what_came_in_part_is_told_in_our_units(
    currency: str, amount: int, remaining: int, expected: tuple[int, int]
) -> None:
    body = asked_to_transfer(
        currency=currency, amount=amount, instructions={"amount_remaining": remaining}
    )
    found = instructions(body)
    assert found is not None
    assert (found.amount_remaining, found.amount_received) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_remaining": None},
        {"amount_remaining": 0},
        {"amount_remaining": -1},
        {"amount_remaining": 2000},
        {"amount_remaining": 10**30},
        {"amount_remaining": "1999"},
        {"amount_remaining": True},
        {"currency": "usd"},
        {"currency": None},
        {"financial_addresses": [], "hosted_instructions_url": None},
        {"financial_addresses": [{"type": "iban"}], "hosted_instructions_url": "javascript:x"},
    ],
)
def test_instructions_that_make_no_sense_are_unknown(changes: dict[str, Any]) -> None:
    assert changed_instructions(**changes) is None


@pytest.mark.parametrize("value", ["javascript:alert(1)", None, 7, "https://x/" + "x" * 3000])
def test_a_strange_link_is_no_link(value: object) -> None:
    found = changed_instructions(hosted_instructions_url=value)
    assert found is not None
    assert found.hosted_url is None
    assert found.accounts == (IBAN,)


RECORD: Final = {"account_holder_name": "Shop", "bank_address": {"country": "GB"}}


@pytest.mark.parametrize(
    ("scheme", "record", "numbers"),
    [
        ("sort_code", {"sort_code": "200000", "account_number": "12345678"}, None),
        ("aba", {"routing_number": "110000000", "account_number": "1", "bank_name": "B"}, None),
        (
            "aba",
            {"routing_number": "1", "account_number": "2", "account_type": 7, "secret": "x"},
            {"routing_number": "1", "account_number": "2"},
        ),
        ("spei", {"clabe": "646", "bank_code": "646", "bank_name": "STP"}, None),
        ("spei", {"clabe": "646", "bank_code": None}, {"clabe": "646"}),
        (
            "zengin",
            {
                "bank_code": "9999",
                "branch_code": "001",
                "account_number": "7",
                "account_type": "futsu",
                "bank_name": "B",
                "branch_name": "M",
            },
            None,
        ),
    ],
)
def test_accounts_of_every_scheme(
    scheme: Any, record: dict[str, Any], numbers: dict[str, str] | None
) -> None:
    found = changed_instructions(financial_addresses=[{"type": scheme, scheme: RECORD | record}])
    assert found is not None
    assert found.accounts == (BankAccount(scheme, "Shop", "GB", numbers or record),)


@pytest.mark.parametrize(
    "address",
    [
        {"type": "swift", "swift": {"swift_code": "X", "account_number": "1"}},
        {"type": "aba", "aba": {"routing_number": "1"}},
        {"type": "aba", "aba": {"routing_number": "1", "account_number": ""}},
        {"type": "iban", "sort_code": {"sort_code": "1", "account_number": "1"}},
        {"type": "zengin", "zengin": {"bank_code": "1", "account_number": "1"}},
        {"type": ["iban"]},
        iban_account(iban=7),
        "iban",
        None,
    ],
)
def test_an_account_that_nobody_could_pay_to_is_left_out(address: object) -> None:
    found = changed_instructions(financial_addresses=[address, iban_account()])
    assert found is not None
    assert found.accounts == (IBAN,)


def test_other_schemes_and_many_accounts_are_bounded() -> None:
    found = changed_instructions(financial_addresses=[iban_account()] * 1000)
    assert found is not None
    assert len(found.accounts) == 10


DEBITED: Final = BankTransfer("debit", "AT", "3201")
US: Final = {"type": "us_bank_account", "us_bank_account": {"last4": "6789", "bank_name": "T"}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (debited(), Pending(DEBITED)),
        (debited(latest_charge="py_1"), Pending()),
        (
            debited(latest_charge=charge(payment_method_details=US)),
            Pending(BankTransfer("debit", None, "6789")),
        ),
        (debited(status="succeeded", amount_received=1999), Approved(True, 1999, 0, DEBITED)),
        (
            debited(latest_charge=None, payment_method=US),
            Pending(BankTransfer("debit", None, "6789")),
        ),
        (
            debited(status="requires_action", next_action={"type": "verify_with_microdeposits"}),
            ActionRequired(None, DEBITED),
        ),
        (
            debited(status="requires_action", latest_charge=None, next_action=DEPOSITS),
            ActionRequired(RedirectToUrl(VERIFICATION), BankTransfer("debit")),
        ),
        (
            debited(
                status="requires_action",
                next_action=DEPOSITS | {"verify_with_microdeposits": {"arrival_date": 1}},
            ),
            ActionRequired(None, DEBITED),
        ),
        (
            debited(
                status="requires_action",
                next_action={
                    "type": "verify_with_microdeposits",
                    "verify_with_microdeposits": {"hosted_verification_url": "javascript:alert(1)"},
                },
            ),
            ActionRequired(None, DEBITED),
        ),
        (
            asked_to_transfer(status="succeeded", amount_received=1999, next_action=None),
            Approved(True, 1999, 0, PUSHED),
        ),
        (asked_to_transfer(next_action=None), ActionRequired(None, PUSHED)),
        (
            asked_to_transfer(status="succeeded", amount_received=1999, payment_method_options={}),
            Approved(True, 1999, 0, BankTransfer("push")),
        ),
        (cancelled(payment_method_types=["customer_balance"]), Cancelled("requested_by_customer")),
        (held(payment_method_types=["card"], latest_charge=None), Approved(False, 0, 1999)),
    ],
)
def test_statuses(body: dict[str, Any], expected: Outcome) -> None:
    assert outcome(body) == expected


@pytest.mark.parametrize("value", [7, "de", "DEU", "<b>", None, ["DE"]])
def test_a_strange_country_is_no_country(value: object) -> None:
    details = {"type": "sepa_debit", "sepa_debit": {"last4": "3201", "country": value}}
    found = outcome(debited(latest_charge=charge(payment_method_details=details)))
    assert found == Pending(BankTransfer("debit", None, "3201"))


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (failed_debit(), "account_closed", "The bank account is closed."),
        (
            failed_debit(code="no_account"),
            "no_account",
            "The bank account could not be found.",
        ),
        (
            failed_debit(code="insufficient_funds"),
            "insufficient_funds",
            "The account has insufficient funds.",
        ),
        (
            failed_debit(code="debit_not_authorized"),
            "debit_not_authorized",
            "The payer did not authorise the debit.",
        ),
        (
            failed_debit(code="generic_could_not_process"),
            "debit_failed",
            "The bank could not process the debit.",
        ),
        (failed_debit(code="brand_new"), "debit_failed", "The bank could not process the debit."),
        (
            failed_debit(
                code="payment_intent_payment_attempt_failed", decline_code="bank_account_closed"
            ),
            "account_closed",
            "The bank account is closed.",
        ),
        (
            {"type": INVALID, "code": "account_closed"},
            "account_closed",
            "The bank account is closed.",
        ),
        (
            {"type": "card_error", "code": "x", "payment_method_type": "us_bank_account"},
            "debit_failed",
            "The bank could not process the debit.",
        ),
        (
            decline(payment_method={"type": "card"}, decline_code="insufficient_funds"),
            "card_declined",
            "The card has insufficient funds.",
        ),
        (decline(payment_method={"type": ["x"]}), "card_declined", "The card was declined."),
    ],
)
def test_why_a_debit_failed(error: dict[str, Any], code: str, message: str) -> None:
    found = payment_error(error)
    assert (found.code, found.message) == (code, message)
    body = refused(last_payment_error=error, payment_method_types=["sepa_debit"])
    assert outcome(body) == Declined(found)


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {"code": "payment_intent_mandate_invalid"}, "mandate_invalid"),
        (
            400,
            {"param": "mandate_data[customer_acceptance][online][ip_address]"},
            "mandate_invalid",
        ),
        (400, {"param": "statement_descriptor"}, "statement_descriptor_invalid"),
        (400, {"code": "bank_account_unusable"}, "payment_method_rejected"),
        (400, {"code": "payment_method_bank_account_blocked"}, "payment_method_rejected"),
        (400, {"code": "resource_missing", "param": "customer"}, "customer_refused"),
        (400, {"param": "payment_method_options[customer_balance]"}, "provider_configuration"),
    ],
)
def test_what_a_bank_order_is_refused_for(
    status: int, error: dict[str, Any], expected: str
) -> None:
    body = {"error": {"type": INVALID} | error}
    found = of_confirm(status, body, livemode=False, as_of=NOW).outcome
    assert isinstance(found, Declined | Rejected)
    assert (found.error.code if isinstance(found, Declined) else found.reason) == expected


def test_a_refusal_may_leave_the_payment_unconfirmed() -> None:
    made = debited(status="requires_confirmation", latest_charge=None)
    error = {"type": INVALID, "code": "payment_intent_mandate_invalid", "payment_intent": made}
    found = of_confirm(400, {"error": error}, livemode=False, as_of=NOW)
    assert isinstance(found.outcome, Declined)
    assert found.provider_reference == "pi_3Q"


BODIES: Final[dict[str, tuple[dict[str, Any], type[Outcome]]]] = {
    "payment_intent.amount_capturable_updated": (held(), Approved),
    "payment_intent.canceled": (cancelled(), Cancelled),
    "payment_intent.partially_funded": (
        asked_to_transfer(instructions={"amount_remaining": 500}),
        ActionRequired,
    ),
    "payment_intent.payment_failed": (refused(last_payment_error=failed_debit()), Declined),
    "payment_intent.processing": (debited(latest_charge="py_1"), Pending),
    "payment_intent.requires_action": (asked_to_transfer(), ActionRequired),
    "payment_intent.succeeded": (payment(), Approved),
}


def test_every_event_that_is_asked_for_tells_of_a_payment() -> None:
    assert set(BODIES) == {kind for kind in ENABLED_EVENTS if kind.startswith("payment_intent.")}
    for kind, (body, expected) in BODIES.items():
        notice = read(event(body, type=kind))
        assert notice.exact
        assert notice.answer is not None
        assert isinstance(notice.answer.outcome, expected)
        assert not read(event(body, type=kind, api_version="2024-06-20")).exact


@given(JSON_ISH)
def test_no_instructions_make_it_raise_or_promise_nonsense(shown: object) -> None:
    kind = "display_bank_transfer_instructions"
    outcome(asked_to_transfer(next_action={"type": kind, kind: shown}))
    outcome(asked_to_transfer(payment_method_options=shown, payment_method_types=shown))
    outcome(debited(latest_charge={"payment_method_details": {"sepa_debit": shown}}))


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("amount_remaining", "currency", "financial_addresses", "reference"), JSON_ISH
        ),
    ),
    JSON_ISH,
)
def test_no_replaced_instruction_makes_it_raise(changes: dict[str, Any], record: object) -> None:
    accounts = [
        {"type": "iban", "iban": record},
        {"type": "aba", "aba": {"account_number": record}},
    ]
    for body in (changes, {"financial_addresses": accounts}):
        found = changed_instructions(**body)
        if found is not None:
            assert 0 < found.amount_remaining <= 1999
            assert found.amount_remaining + found.amount_received == 1999


@given(st.sampled_from([400, 401, 402, 403, 404, 418]), JSON_ISH, JSON_ISH)
def test_no_refusal_makes_it_raise(status: int, body: object, inner: object) -> None:
    error = {"error": {"type": inner, "code": body, "param": inner, "payment_method": inner}}
    for shaped in (body, error):
        for read_as in (of_capture, of_cancel, of_customer):
            assert isinstance(read_as(status, shaped), Rejected | Unknown)


def test_stripes_sentences_are_not_repeated() -> None:
    for status in (400, 401, 402, 403, 404):
        error = {"error": {"type": INVALID, "message": "No such customer: 'cus_secret'"}}
        for read_as in (of_capture, of_cancel, of_customer):
            assert "secret" not in repr(read_as(status, error))
    assert payment_error(failed_debit(message="cus_secret")) == PaymentError(
        "account_closed", "The bank account is closed."
    )


MONEY_LEFT: Final = "cash_balance.funds_available"


def balance(**changes: Any) -> dict[str, Any]:
    given = {"object": "cash_balance", "customer": "cus_Q", "available": {"eur": 501, "jpy": 7}}
    return given | changes


def owner(**changes: Any) -> dict[str, Any]:
    marks = {
        "paygate_installation": "inst_test",
        "paygate_merchant": "default",
        "paygate_customer": "cus_01",
    }
    return {"object": "customer", "id": "cus_Q", "metadata": marks} | changes


def test_money_left_is_told_in_our_smallest_units_and_without_zeros() -> None:
    found = to_money_left("cus_Q", balance(available={"eur": 501, "isk": 700, "usd": 0}), owner())
    assert isinstance(found, MoneyLeft)
    assert found.amounts == {"eur": 501, "isk": 7}
    assert (found.installation, found.merchant) == ("inst_test", "default")
    assert found.customer == "cus_01"


@pytest.mark.parametrize("nothing", [None, {}, [], "eur", 7])
def test_no_money_left_is_none(nothing: object) -> None:
    found = to_money_left("cus_Q", balance(available=nothing), owner(metadata=None))
    assert found == MoneyLeft(amounts={}, customer=None, merchant=None, installation=None)


@pytest.mark.parametrize(
    ("shown", "whose"),
    [
        (balance(customer="cus_other"), owner()),
        (balance(), owner(id="cus_other")),
        (balance(available={"eur": -1}), owner()),
        (balance(available={"eur": True}), owner()),
        (balance(available={"eur": "501"}), owner()),
        (balance(available={"eur": 10**18}), owner()),
        (balance(available={"doubloon": 1}), owner()),
        (balance(available={"isk": 1}), owner()),
    ],
)
def test_what_makes_no_sense_of_money_left_is_unknown(shown: Any, whose: Any) -> None:
    assert isinstance(to_money_left("cus_Q", shown, whose), Unknown)


@pytest.mark.parametrize("customer", [None, 7, "", "../x", ["cus_Q"]])
def test_an_event_about_nobody_tells_of_no_money(customer: object) -> None:
    notice = read(event({"object": "cash_balance", "customer": customer}, type=MONEY_LEFT))
    assert (notice.money_left_with, notice.answer) == (None, None)
    assert read(event(balance(), type="cash_balance.other")).money_left_with is None
    assert read(event(balance(), type=MONEY_LEFT)).money_left_with == "cus_Q"
