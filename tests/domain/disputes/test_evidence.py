"""What a reason asks for, and what files are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.domain.disputes.evidence import FILES, TEXTS, missing, safe_name
from paygate.domain.disputes.outcome import DisputeReason

R = DisputeReason
SHIPMENT = {
    *("shipping_address", "shipping_carrier", "shipping_date", "shipping_tracking_number"),
    "shipping_documentation",
}


@pytest.mark.parametrize("reason", list(R))
def test_every_reason_asks_for_fields_that_there_are(reason: DisputeReason) -> None:
    asked = missing(reason, ())
    assert len(asked) == len(set(asked)) > 0
    assert set(asked) <= set(TEXTS) | FILES
    assert missing(reason, asked) == ()


def test_goods_that_are_sent_need_their_shipment() -> None:
    assert set(missing(R.PRODUCT_NOT_RECEIVED, ())) >= SHIPMENT
    given = {"shipping_carrier", "product_description"}
    assert set(missing(R.PRODUCT_NOT_RECEIVED, given)) & SHIPMENT == SHIPMENT - given


@pytest.mark.parametrize(
    ("field", "others"),
    [
        ("access_activity_log", set()),
        ("service_date", {"service_documentation"}),
        ("service_documentation", {"service_date"}),
    ],
)
def test_digital_goods_and_services_get_no_shipping_fields(field: str, others: set[str]) -> None:
    for reason in (R.FRAUDULENT, R.PRODUCT_NOT_RECEIVED, R.PRODUCT_UNACCEPTABLE):
        asked = set(missing(reason, {field}))
        assert not asked & SHIPMENT
        assert asked >= others


def test_a_duplicate_is_told_apart_from_the_first() -> None:
    assert {"duplicate_charge_id", "duplicate_charge_explanation"} <= set(missing(R.DUPLICATE, ()))


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("beleg.PDF", "beleg.pdf"),
        ("Quittung (ü) 1.pdf", "Quittung_u_1.pdf"),
        ("../../etc/passwd", "passwd.pdf"),
        ("C:\\Users\\ada\\r.pdf", "r.pdf"),
        ("r", "r.pdf"),
        ("漢字.pdf", "receipt.pdf"),
        ("...", "receipt.pdf"),
        ("", "receipt.pdf"),
        (None, "receipt.pdf"),
    ],
)
def test_names_are_plain_and_say_what_the_file_is(sent: str | None, name: str) -> None:
    assert safe_name(sent, "receipt", "pdf") == name


@given(st.text(max_size=300))
def test_no_name_is_a_path_or_hidden(sent: str) -> None:
    name = safe_name(sent, "receipt", "png")
    assert name.isascii()
    assert name.endswith(".png")
    assert not set(name) & set("/\\\0\r\n\"' ")
    assert not name.startswith((".", "-"))
    assert len(name) < 100
