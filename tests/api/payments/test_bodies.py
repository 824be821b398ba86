"""Bodies of `/payment-intents`: what no text may hold, and what becomes of each field."""

import msgspec
import pytest

from paygate.api.payments.bodies import (
    BankTransferMethod,
    CardMethod,
    ConfirmPaymentIntent,
    CreatePaymentIntent,
    CustomerDetails,
    MandateDetails,
    Method,
    instrument_of,
)
from paygate.domain.customer import Payer
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.payment_intent import CaptureMethod, PaymentMethodType
from paygate.domain.payments.payment_method import (
    CardToken,
    DirectDebit,
    Instrument,
    Mandate,
    PushTransfer,
)
from paygate.flows.payments.create import NewPaymentIntent
from tests.making import START

MANDATE = MandateDetails(accepted_at=START, ip_address="203.0.113.9", user_agent="Mozilla/5.0")


@pytest.mark.parametrize(
    ("shape", "name", "fine"),
    [
        (CardMethod, "token", "pm_1"),
        (BankTransferMethod, "country", "DE"),
        (MandateDetails, "user_agent", "Mozilla/5.0"),
        (ConfirmPaymentIntent, "return_url", "https://shop.example/done"),
        (CreatePaymentIntent, "statement_descriptor", "SHOP 17"),
        (CustomerDetails, "email", "ana@shop.example"),
    ],
)
def test_no_text_of_a_pattern_ends_in_a_line_end(
    shape: type[msgspec.Struct], name: str, fine: str
) -> None:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(shape)}
    assert msgspec.convert(fine, fields[name]) == fine
    for end in ("\n", "\r\n", "\r"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(fine + end, fields[name])


def test_a_flow_is_given_every_field_of_a_new_intent() -> None:
    *same, sent_as = CreatePaymentIntent.__struct_fields__
    assert (*same, "instrument") == NewPaymentIntent.__struct_fields__
    assert sent_as == "payment_method"
    sent = CreatePaymentIntent(
        amount=1,
        currency="jpy",
        capture_method=CaptureMethod.MANUAL,
        payment_method_types=(PaymentMethodType.BANK_TRANSFER,),
        reference="r",
        description="d",
        statement_descriptor="SHOP 17",
        metadata={"a": "b"},
        customer=CustomerDetails(id="cus_1", email="ana@shop.example", name="Ana"),
        session_id="9f2c4e6a8b0d1f3e",
        payment_method=CardMethod("tok_1"),
    )
    assert sent.value() == NewPaymentIntent(
        amount=1,
        currency="jpy",
        capture_method=CaptureMethod.MANUAL,
        payment_method_types=(PaymentMethodType.BANK_TRANSFER,),
        reference="r",
        description="d",
        statement_descriptor="SHOP 17",
        metadata={"a": "b"},
        customer=Payer(id="cus_1", email="ana@shop.example", name="Ana"),
        session_id="9f2c4e6a8b0d1f3e",
        instrument=CardToken("tok_1"),
    )
    least = CreatePaymentIntent(amount=1, currency="jpy")
    assert least.value() == NewPaymentIntent(amount=1, currency="jpy")


@pytest.mark.parametrize(
    ("method", "instrument"),
    [
        (CardMethod("pm_1"), CardToken("pm_1")),
        (BankTransferMethod(flow="push"), PushTransfer()),
        (BankTransferMethod(flow="push", country="DE"), PushTransfer("DE")),
        (
            BankTransferMethod(flow="debit", token="ba_1", mandate=MANDATE),
            DirectDebit("ba_1", Mandate(START, "203.0.113.9", "Mozilla/5.0")),
        ),
    ],
)
def test_each_method_is_an_instrument(method: Method, instrument: Instrument) -> None:
    assert instrument_of(method) == instrument


@pytest.mark.parametrize(
    ("method", "code", "param"),
    [
        (BankTransferMethod(flow="push", token="ba_1"), ErrorCode.PARAMETER_INVALID, "token"),
        (BankTransferMethod(flow="push", mandate=MANDATE), ErrorCode.PARAMETER_INVALID, "mandate"),
        (
            BankTransferMethod(flow="debit", country="DE", token="ba_1", mandate=MANDATE),
            ErrorCode.PARAMETER_INVALID,
            "country",
        ),
        (BankTransferMethod(flow="debit", mandate=MANDATE), ErrorCode.PARAMETER_MISSING, "token"),
        (BankTransferMethod(flow="debit", token="ba_1"), ErrorCode.PARAMETER_MISSING, "mandate"),
    ],
)
def test_a_method_has_all_its_parts_and_no_other(
    method: BankTransferMethod, code: ErrorCode, param: str
) -> None:
    with pytest.raises(Refusal) as refused:
        instrument_of(method)
    assert (refused.value.code, refused.value.param) == (code, f"payment_method.{param}")


@pytest.mark.parametrize(
    "address", ["fe80::1%eth0", "fe80::1%\r\nX-Header: 1", "::1%\x00", "203.0.113", ""]
)
def test_an_address_of_a_mandate_has_no_text_in_it(address: str) -> None:
    mandate = msgspec.structs.replace(MANDATE, ip_address=address)
    with pytest.raises(Refusal) as refused:
        instrument_of(BankTransferMethod(flow="debit", token="ba_1", mandate=mandate))
    assert refused.value.param == "payment_method.mandate.ip_address"
