"""Forged, late, early and malformed deliveries are refused; true ones are read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.crypto.secret import Secret
from paygate.domain.payments.outcome import Approved, Declined, Unknown
from paygate.providers.contract import SignatureError
from paygate.providers.stripe.events import HEADER, read, verify
from tests.providers.stripe_objects import CREATED, event, payment, refused, signature
from tests.providers.test_stripe_translate import JSON_ISH

NOW: Final = datetime(2026, 11, 24, 3, 42, tzinfo=UTC)
STAMP: Final = int(NOW.timestamp())
SECRET: Final = "whsec_one"
OTHER: Final = "whsec_two"
BODY: Final = event(payment())
GOOD: Final = signature(BODY, SECRET, NOW)
V1: Final = GOOD.partition(",")[2]


def check(
    header: str | None,
    body: bytes = BODY,
    *,
    now: datetime = NOW,
    secrets: tuple[str, ...] = (SECRET,),
) -> None:
    headers = {} if header is None else {HEADER: header}
    verify(body, headers, [Secret(s) for s in secrets], now=now, tolerance_seconds=300)


@pytest.mark.parametrize(
    "header",
    [
        GOOD,
        f"{GOOD},v0={'0' * 64}",
        f"{V1},t={STAMP}",
        f"t={STAMP},v1={'0' * 64},{V1}",
        f"t={STAMP},{V1},v1={'0' * 64}",
        f"{GOOD},v9=whatever=of=a=later=scheme",
    ],
)
def test_a_signed_delivery_holds(header: str) -> None:
    check(header)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe not utf-8 \x00", BODY + b"\n", b"x" * 1_048_576])
def test_the_bytes_are_signed_whatever_they_are(body: bytes) -> None:
    check(signature(body, SECRET, NOW), body)


def test_any_of_several_secrets_holds() -> None:
    for secret in (SECRET, OTHER):
        check(signature(BODY, secret, NOW), secrets=(SECRET, OTHER))
    rolled = signature(BODY, SECRET, NOW) + "," + signature(BODY, OTHER, NOW).partition(",")[2]
    check(rolled, secrets=(OTHER,))


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_the_tolerance_is_inclusive_either_way(seconds: int) -> None:
    check(GOOD, now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-86_400, -301, 301, 86_400])
def test_out_of_time_either_way_is_refused(seconds: int) -> None:
    with pytest.raises(SignatureError, match="out of time"):
        check(GOOD, now=NOW + timedelta(seconds=seconds))


def test_a_new_timestamp_does_not_revive_an_old_signature() -> None:
    late = NOW + timedelta(hours=1)
    with pytest.raises(SignatureError, match="wrong"):
        check(f"t={int(late.timestamp())},{V1}", now=late)


@pytest.mark.parametrize(
    "forged",
    [
        signature(BODY, OTHER, NOW),
        signature(BODY, SECRET.removeprefix("whsec_"), NOW),
        signature(BODY + b" ", SECRET, NOW),
        signature(BODY.replace(b"1999", b"9999"), SECRET, NOW),
    ],
)
def test_another_secret_or_body_is_refused(forged: str) -> None:
    with pytest.raises(SignatureError, match="wrong"):
        check(forged)


DIGEST: Final = V1.removeprefix("v1=")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t",
        "t=",
        "=",
        ",",
        f"t={STAMP}",
        f"{V1}",
        signature(BODY, SECRET, NOW, scheme="v0"),
        f"t={STAMP},v1=",
        f"t={STAMP},v1",
        f"t={STAMP},v1={DIGEST.upper()}",
        f"t={STAMP},v1={DIGEST[:-1]}",
        f"t={STAMP},v1={DIGEST}0",
        f"t={STAMP},v1={DIGEST[:-1]}é",
        f"t={STAMP}, {V1}",
        f"t={STAMP},{V1},",
        f"t={STAMP},t={STAMP},{V1}",
        f"t={STAMP},t={STAMP + 1},{V1}",
        f"t={STAMP},{V1},{V1}",
        f"t={STAMP}.0,{V1}",
        f"t=-{STAMP},{V1}",
        f"t=+{STAMP},{V1}",
        f"t= {STAMP},{V1}",
        f"t=١٢٣,{V1}",
        f"t={'9' * 4000},{V1}",
        f"T={STAMP},V1={DIGEST}",
        GOOD + ",v0=" + "0" * 5_000,
        f"t={STAMP}," + ",".join(f"v1={n:064x}" for n in range(17)),
        GOOD + "\x00",
    ],
)
def test_a_malformed_signature_is_refused(header: str | None) -> None:
    with pytest.raises(SignatureError):
        check(header)


def test_a_refusal_quotes_nothing() -> None:
    for header in (f"t={STAMP},v1={'0' * 64}", "t=1,v1=leak", None, f"t=1,{V1}"):
        with pytest.raises(SignatureError) as caught:
            check(header)
        shown = repr(caught.value) + repr(caught.value.__cause__)
        for secret in (SECRET, DIGEST, "leak", str(STAMP), "pi_3Q"):
            assert secret not in shown


@given(st.text(max_size=200))
def test_no_header_makes_it_raise_otherwise(header: str) -> None:
    with pytest.raises(SignatureError):
        check(header)


def test_an_event_is_read() -> None:
    notice = read(BODY)
    assert notice.provider_reference == "evt_1"
    assert notice.type == "payment_intent.succeeded"
    assert notice.created_at == datetime.fromtimestamp(CREATED + 1, UTC)
    assert notice.livemode is False
    assert notice.exact
    assert notice.answer is not None
    assert isinstance(notice.answer.outcome, Approved)
    assert notice.answer.as_of == notice.created_at


def test_a_failed_payments_event_says_why() -> None:
    answer = read(event(refused(), type="payment_intent.payment_failed")).answer
    assert answer is not None
    assert isinstance(answer.outcome, Declined)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "payment_intent.created"},
        {"type": "customer.created"},
        {"type": "balance.available"},
        {"type": "brand.new"},
    ],
)
def test_an_event_of_another_kind_has_no_answer(changes: dict[str, Any]) -> None:
    notice = read(event(payment(), **changes))
    assert notice.answer is None
    assert notice.exact


@pytest.mark.parametrize("version", [None, "2024-06-20", 7])
def test_an_event_of_another_version_is_not_exact(version: object) -> None:
    assert not read(event(payment(), api_version=version)).exact


@pytest.mark.parametrize(
    "body", [None, "pi_3Q", {}, payment(status="brand_new"), payment(livemode=True)]
)
def test_an_event_that_cannot_be_read_is_not_exact(body: object) -> None:
    notice = read(event(body))
    assert not notice.exact
    assert notice.answer is not None
    assert isinstance(notice.answer.outcome, Unknown)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "payment_intent.money_teleported", "created": CREATED},
        {"type": "v2.core.account[configuration.merchant].capability_status_updated"},
        {"type": "Payment Intent!"},
        {"type": "charge.updated", "created": "2026-11-28T15:13:32Z"},
        {"type": "charge.updated", "created": None},
        {"type": "v1.payment_intent.succeeded", "object": "v2.core.event", "created": "2026-11-28"},
        {"type": "payment_intent.succeeded", "object": "v2.core.event", "created": "2026-11-28"},
        {"type": "charge.updated", "data": None},
        {"type": "charge.updated", "data": {"object": {"description": "a\x00b"}}},
    ],
)
def test_an_event_that_we_do_not_use_is_read_however_odd(changes: dict[str, Any]) -> None:
    notice = read(event(None, **changes))
    assert (notice.provider_reference, notice.type) == ("evt_1", changes["type"])
    assert notice.answer is None or isinstance(notice.answer.outcome, Unknown)


@pytest.mark.parametrize(
    "described",
    [
        rb"\ud83d",
        rb"\uDE00 and \ude00\ud83d",
        rb"\ud83d\u0041",
        rb"\ud83d\ud83d\ude00",
        rb"\\\ud83d",
    ],
)
def test_half_a_character_costs_nothing_else(described: bytes) -> None:
    body = BODY.replace(b'"object": "payment_intent"', b'"x": "' + described + b'"', 1)
    assert body != BODY
    odd = body.replace(b'"x"', b'"object": "payment_intent", "x"')
    assert read(odd) == read(BODY)


def test_a_whole_character_beside_a_half_stays_whole() -> None:
    kind = rb'"\ud83d\ude00 \\ud83d \u00e9 \ud83d"'
    odd = BODY.replace(b'"payment_intent.succeeded"', kind)
    assert read(odd).type == "\U0001f600 \\ud83d \xe9 \ufffd"


@pytest.mark.parametrize(
    "odd",
    [
        b"\xef\xbb\xbf" + BODY,
        BODY.replace(b'"pending_webhooks": 1', b'"pending_webhooks": 1e400'),
        BODY.replace(b'"pending_webhooks": 1', b'"pending_webhooks": -1e400'),
    ],
)
def test_a_mark_or_a_number_that_nobody_reads_costs_nothing_else(odd: bytes) -> None:
    assert odd != BODY
    assert read(odd) == read(BODY)


def test_an_amount_beyond_floats_is_no_amount() -> None:
    answer = read(BODY.replace(b"1999", b"1e400")).answer
    assert answer is not None
    assert isinstance(answer.outcome, Unknown)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        json.dumps(payment()).encode(),
        event(payment(), id=None),
        event(payment(), id="evt 1"),
        event(payment(), created=None),
        event(payment(), created="now"),
        event(payment(), created=10**40),
        event(payment(), livemode=None),
        event(payment(), livemode="false"),
        event(payment(), type=None),
        event(payment(), type=""),
        event(payment(), type="x" * 256),
        event(payment(), object="v3.core.event"),
        event(payment(), type="cash_balance.funds_available", created="now"),
        b"\xff\xfe" + event(payment()).decode().encode("utf-16-le"),
        event(payment()).replace(b"1999", b"1" * 5_000),
        event(payment()).replace(b'"evt_1"', b'"evt_1'),
        event(payment()).replace(b'"evt_1"', b'"evt_1\\ud8"'),
    ],
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="event"):
        read(body)


@given(st.binary(max_size=200) | JSON_ISH.map(lambda tree: json.dumps(tree).encode()))
def test_no_bytes_make_it_raise_otherwise(body: bytes) -> None:
    with pytest.raises(ValueError, match="event"):
        read(body)


@given(st.sampled_from(["id", "created", "type", "livemode", "data", "api_version"]), JSON_ISH)
def test_no_replaced_field_makes_it_raise_otherwise(field: str, value: object) -> None:
    try:
        read(event(payment(), **{field: value}))
    except ValueError as error:
        assert "event" in str(error)  # noqa: PT017 -- most replacements do not raise at all
