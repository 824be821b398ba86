"""What can be paid with at Stripe, known before anything is sent, and how a call says it."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import msgspec
import pytest

from paygate.domain.money import EXPONENTS, Currency
from paygate.domain.payments.payment_intent import CaptureMethod
from paygate.domain.payments.payment_method import (
    CardToken,
    DirectDebit,
    Instrument,
    Mandate,
    PushTransfer,
)
from paygate.providers.contract import ConfirmOrder
from paygate.providers.stripe import orders
from paygate.providers.stripe.instruments import debit_problem, parameters, transfer_problem
from tests.providers.conftest import order
from tests.providers.stripe_objects import INSTALLATION

ACCEPTED: Final = datetime(2026, 11, 24, 3, 42, 0, 900_000, tzinfo=UTC)
MANDATE: Final = Mandate(ACCEPTED, "203.0.113.7", "Browser/1 (ü)")
DEBIT: Final = DirectDebit("pm_1", MANDATE)


@pytest.mark.parametrize(
    ("currency", "country"),
    [
        *(("eur", country) for country in ("BE", "DE", "ES", "FR", "IE", "NL")),
        ("gbp", None),
        ("gbp", "GB"),
        ("jpy", None),
        ("jpy", "JP"),
        ("mxn", None),
        ("mxn", "MX"),
        ("usd", None),
        ("usd", "US"),
    ],
)
def test_transfers_that_can_be(currency: str, country: str | None) -> None:
    assert transfer_problem(Currency(currency), country) is None


@pytest.mark.parametrize(
    ("currency", "country", "problem"),
    [
        ("chf", None, "the provider takes transfers in eur, gbp, jpy, mxn or usd, not in chf"),
        ("chf", "CH", "the provider takes transfers in eur, gbp, jpy, mxn or usd, not in chf"),
        (
            "eur",
            None,
            "a transfer in eur goes to an account in BE, DE, ES, FR, IE or NL: say which country",
        ),
        (
            "eur",
            "AT",
            "a transfer in eur goes to an account in BE, DE, ES, FR, IE or NL, not in AT",
        ),
        (
            "eur",
            "de",
            "a transfer in eur goes to an account in BE, DE, ES, FR, IE or NL, not in de",
        ),
        ("eur", "", "a transfer in eur goes to an account in BE, DE, ES, FR, IE or NL, not in "),
        ("gbp", "DE", "a transfer in gbp goes to an account in GB, not in DE"),
    ],
)
def test_transfers_that_cannot_be(currency: str, country: str | None, problem: str) -> None:
    assert transfer_problem(Currency(currency), country) == problem


def test_debits_are_in_euro_and_dollars() -> None:
    possible = {each for each in EXPONENTS if debit_problem(Currency(each)) is None}
    assert possible == {"eur", "usd"}
    assert debit_problem(Currency("gbp")) == (
        "the provider debits bank accounts in eur or usd, not in gbp"
    )


TRANSFER: Final = {
    "payment_method_types": ["customer_balance"],
    "payment_method_data": {"type": "customer_balance"},
}


def _asked(transfer: dict[str, Any]) -> dict[str, Any]:
    options = {"funding_type": "bank_transfer", "bank_transfer": transfer}
    return {**TRANSFER, "payment_method_options": {"customer_balance": options}}


@pytest.mark.parametrize(
    ("instrument", "currency", "expected"),
    [
        (
            CardToken("pm_1"),
            "eur",
            {"payment_method_types": ["card"], "payment_method": "pm_1"},
        ),
        (
            PushTransfer("NL"),
            "eur",
            _asked({"type": "eu_bank_transfer", "eu_bank_transfer": {"country": "NL"}}),
        ),
        (PushTransfer(), "gbp", _asked({"type": "gb_bank_transfer"})),
        (PushTransfer("GB"), "gbp", _asked({"type": "gb_bank_transfer"})),
        (PushTransfer(), "jpy", _asked({"type": "jp_bank_transfer"})),
        (PushTransfer(), "mxn", _asked({"type": "mx_bank_transfer"})),
        (PushTransfer(), "usd", _asked({"type": "us_bank_transfer"})),
    ],
)
def test_an_instrument_in_stripes_words(
    instrument: Instrument, currency: str, expected: dict[str, Any]
) -> None:
    assert parameters(instrument, Currency(currency)) == expected


@pytest.mark.parametrize(("currency", "kind"), [("eur", "sepa_debit"), ("usd", "us_bank_account")])
def test_a_debit_bears_its_mandate(currency: str, kind: str) -> None:
    acceptance = {
        "type": "online",
        "accepted_at": ACCEPTED,
        "online": {"ip_address": "203.0.113.7", "user_agent": "Browser/1 (ü)"},
    }
    assert parameters(DEBIT, Currency(currency)) == {
        "payment_method_types": [kind],
        "payment_method": "pm_1",
        "mandate_data": {"customer_acceptance": acceptance},
    }


def test_a_mandates_time_is_the_same_wherever_it_was_given() -> None:
    there = msgspec.structs.replace(
        MANDATE, accepted_at=ACCEPTED.astimezone(timezone(timedelta(hours=9)))
    )
    eur = Currency("eur")
    assert parameters(DirectDebit("pm_1", there), eur) == parameters(DEBIT, eur)


@pytest.mark.parametrize(
    "changes",
    [
        {"instrument": PushTransfer(), "customer": "cus_1"},
        {"instrument": PushTransfer("AT"), "customer": "cus_1"},
        {"instrument": PushTransfer("DE")},
        {"instrument": PushTransfer(), "customer": "cus_1", "currency": Currency("chf")},
        {"instrument": DEBIT, "currency": Currency("gbp")},
        {"instrument": DEBIT, "capture_method": CaptureMethod.MANUAL},
        {
            "instrument": PushTransfer("DE"),
            "customer": "cus_1",
            "capture_method": CaptureMethod.MANUAL,
        },
    ],
)
def test_what_the_flow_must_have_refused_is_a_bug(changes: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        orders.confirm(order(**changes), INSTALLATION)


@pytest.mark.parametrize(
    ("instrument", "name"),
    [
        (CardToken("pm_1"), "statement_descriptor_suffix"),
        (DEBIT, "statement_descriptor"),
        (PushTransfer("DE"), None),
    ],
)
def test_the_statements_text_goes_where_stripe_takes_it(
    instrument: Instrument, name: str | None
) -> None:
    asked = order(instrument=instrument, customer="cus_1", statement_descriptor="TEA")
    sent = orders.confirm(asked, INSTALLATION)
    assert {key for key in sent if key.startswith("statement")} == ({name} if name else set())


@pytest.mark.parametrize("instrument", [CardToken("pm_1"), PushTransfer("DE"), DEBIT])
def test_an_order_from_its_row_is_the_same(instrument: Instrument) -> None:
    first = order(instrument=instrument, customer="cus_1")
    stored = msgspec.json.decode(msgspec.json.encode(first), type=ConfirmOrder)
    assert repr(orders.confirm(first, "i")) == repr(orders.confirm(stored, "i"))
