"""What the adapter sends in a dispute, and what it makes of Stripe's answers and refusals."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from paygate.domain.disputes.outcome import (
    ComplianceNetwork,
    DisputeAnswer,
    Disputed,
    DisputeRejected,
    DisputeStatus,
    EvidenceRefusal,
    FileUploaded,
    FraudWarning,
    RejectionCode,
)
from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.providers.absence import Absent, ProviderSilent
from paygate.providers.dispute_orders import AcceptOrder, EvidenceOrder, UploadOrder
from paygate.providers.stripe import dispute_rejections, files, multipart
from paygate.providers.stripe.adapter import StripeProvider
from tests.providers.conftest import API_KEY
from tests.providers.stripe_objects import METADATA, charge, dispute, fraud_warning
from tests.providers.stripe_server import StripeServer, answer, error, hang, reset

INVALID: Final = "invalid_request_error"
PAST: Final = {"Idempotent-Replayed": "true"}
EVIDENCE: Final = EvidenceOrder(
    key="dp_01-1",
    provider_reference="du_1",
    texts={"product_description": "A pot & lid", "customer_name": "Ada"},
    files={"receipt": "file_1"},
    expected_submission_count=0,
)
ACCEPT: Final = AcceptOrder(key="dp_01-2", provider_reference="du_1")
UPLOAD: Final = UploadOrder(
    key="ev_01",
    name="Quittung (ü) 1.pdf",
    content_type="application/pdf",
    content=b"%PDF-1.7\r\n--paygate\r\n",
)
SHOWN: Final = dispute(charge=charge(id="ch_3Q", payment_intent="pi_3Q", metadata=METADATA))


def counted(count: int, status: str = "under_review", **changes: Any) -> dict[str, Any]:
    """The dispute after so many submissions."""
    told = {**SHOWN["evidence_details"], "submission_count": count, "has_evidence": count > 0}
    return {**SHOWN, "evidence_details": told, "status": status, **changes}


async def submit(provider: StripeProvider, order: EvidenceOrder = EVIDENCE) -> DisputeAnswer:
    return await provider.submit_evidence(order, timeout_seconds=5)


async def accept(provider: StripeProvider) -> DisputeAnswer:
    return await provider.accept_dispute(ACCEPT, timeout_seconds=5)


def rejected(found: DisputeAnswer) -> DisputeRejected:
    assert isinstance(found.outcome, DisputeRejected)
    return found.outcome


async def test_a_submission_reads_and_then_sends_this(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.extend([answer(SHOWN), answer(counted(1))])
    found = await submit(provider)
    assert isinstance(found.outcome, Disputed)
    assert (found.outcome.status, found.outcome.submission_count) == (
        DisputeStatus.UNDER_REVIEW,
        1,
    )
    assert found.attempt == METADATA["paygate_attempt"]
    look, sent = server.requests
    assert (look.method, look.path, look.form) == (
        "GET",
        "/v1/disputes/du_1",
        {"expand[0]": "charge"},
    )
    assert (sent.method, sent.path, sent.headers["idempotency-key"]) == (
        "POST",
        "/v1/disputes/du_1",
        "dp_01-1",
    )
    assert list(sent.form.items()) == [
        ("evidence[customer_name]", "Ada"),
        ("evidence[product_description]", "A pot & lid"),
        ("evidence[receipt]", "file_1"),
        ("submit", "true"),
        ("expand[0]", "charge"),
    ]


async def test_a_networks_fee_is_agreed_to_in_a_truth_value(
    server: StripeServer, provider: StripeProvider
) -> None:
    """D23: 0 and 1 are refused."""
    case = {
        "enhanced_eligibility_types": ["visa_compliance"],
        "evidence_details": {
            **SHOWN["evidence_details"],
            "enhanced_eligibility": {"visa_compliance": {"status": "requires_fee_acknowledgement"}},
        },
    }
    server.otherwise = answer({**SHOWN, **case})
    refused = rejected(await submit(provider))
    assert refused.code is RejectionCode.FEE_NOT_ACKNOWLEDGED
    assert len(server.requests) == 1, "nothing is submitted"
    agreed = EvidenceOrder(
        key="dp_01-3",
        provider_reference="du_1",
        texts={"customer_name": "Ada"},
        files={},
        expected_submission_count=0,
        fees_acknowledged=(ComplianceNetwork.VISA,),
    )
    await submit(provider, agreed)
    field = "evidence[enhanced_evidence][visa_compliance][fee_acknowledged]"
    assert server.requests[-1].form[field] == "true"


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        (counted(1), RejectionCode.ALREADY_SUBMITTED),
        (counted(1, "won"), RejectionCode.DISPUTE_CLOSED),
        (counted(0, "lost"), RejectionCode.DISPUTE_CLOSED),
        (counted(0, "warning_closed"), RejectionCode.DISPUTE_CLOSED),
        (counted(0, "arbitration"), RejectionCode.ORDER_REFUSED),
    ],
)
async def test_how_it_stands_may_be_in_the_way(
    server: StripeServer, provider: StripeProvider, shown: dict[str, Any], code: RejectionCode
) -> None:
    server.otherwise = answer(shown)
    refused = rejected(await submit(provider))
    assert refused.code is code
    assert len(server.requests) == 1, "nothing is submitted"


@pytest.mark.parametrize("behave", [answer(b"{"), reset, error(404, type=INVALID), answer({})])
async def test_what_was_not_read_is_not_submitted(
    server: StripeServer, provider: StripeProvider, behave: Any
) -> None:
    server.otherwise = behave
    found = await submit(provider)
    assert isinstance(found.outcome, NotSent)
    assert {request.method for request in server.requests} == {"GET"}


async def test_the_look_leaves_time_for_the_submission(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.extend([hang, answer(SHOWN)])
    found = await provider.submit_evidence(EVIDENCE, timeout_seconds=1)
    assert isinstance(found.outcome, NotSent)
    assert [request.method for request in server.requests] == ["GET"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_is_refused(
    server: StripeServer, provider: StripeProvider, status: int
) -> None:
    server.otherwise = error(status, type=INVALID)
    for found in (await submit(provider), await accept(provider)):
        assert rejected(found).code is RejectionCode.PROVIDER_CONFIGURATION


@pytest.mark.parametrize("behave", [reset, error(500, type="api_error"), answer(b"{"), answer([])])
async def test_a_submission_without_a_clear_answer_is_unknown_and_sent_once(
    server: StripeServer, provider: StripeProvider, behave: Any
) -> None:
    server.script.append(answer(SHOWN))
    server.otherwise = behave
    found = await submit(provider)
    assert isinstance(found.outcome, Unknown)
    assert [request.method for request in server.requests] == ["GET", "POST"]


async def test_an_answer_that_is_given_again_is_looked_up(
    server: StripeServer, provider: StripeProvider
) -> None:
    """It shows the dispute as it was when the key was first used."""
    server.script.extend([answer(SHOWN), answer(counted(1), headers=PAST)])
    server.otherwise = answer(counted(1, "won"))
    found = await submit(provider)
    assert isinstance(found.outcome, Disputed)
    assert (found.outcome.status, found.as_of is None) == (DisputeStatus.WON, False)
    server.script.extend([answer(SHOWN), answer(counted(1), headers=PAST)])
    server.otherwise = error(500, type="api_error")
    found = await submit(provider)
    assert isinstance(found.outcome, Disputed)
    assert (found.outcome.status, found.as_of) == (DisputeStatus.UNDER_REVIEW, None)


async def test_another_dispute_is_no_answer(server: StripeServer, provider: StripeProvider) -> None:
    server.script.extend([answer(SHOWN), answer({**counted(1), "id": "du_2"})])
    assert isinstance((await submit(provider)).outcome, Unknown)


async def test_accepting_sends_this(server: StripeServer, provider: StripeProvider) -> None:
    server.otherwise = answer(counted(0, "lost"))
    found = await accept(provider)
    assert isinstance(found.outcome, Disputed)
    assert found.outcome.status is DisputeStatus.LOST
    (sent,) = server.requests
    assert (sent.method, sent.path, sent.form) == (
        "POST",
        "/v1/disputes/du_1/close",
        {"expand[0]": "charge"},
    )
    assert sent.headers["idempotency-key"] == "dp_01-2"


async def test_taken_without_an_effect_is_told_as_it_stands(
    server: StripeServer, provider: StripeProvider
) -> None:
    """D19: an acceptance is answered 200, and the dispute still needs a response."""
    server.otherwise = answer(SHOWN)
    found = await accept(provider)
    assert isinstance(found.outcome, Disputed)
    assert found.outcome.status is DisputeStatus.NEEDS_RESPONSE


async def test_a_closed_one_says_how_it_ended(
    server: StripeServer, provider: StripeProvider
) -> None:
    closed = error(400, type=INVALID, message="This dispute is already closed")
    server.script.extend([closed, answer(counted(1, "won"))])
    refused = rejected(await accept(provider))
    assert refused.code is RejectionCode.DISPUTE_CLOSED
    assert refused.stands is not None
    assert refused.stands.status is DisputeStatus.WON
    server.script.extend([closed, error(500, type="api_error")])
    assert rejected(await accept(provider)).code is RejectionCode.ORDER_REFUSED


SENT: Final = ("A pot & lid", "Ada", "ada@shop.example")


@pytest.mark.parametrize(
    ("told", "refusal"),
    [
        (
            {"param": "evidence[receipt]", "code": "resource_missing", "message": "No such file"},
            EvidenceRefusal("receipt", "The provider does not know the file."),
        ),
        (
            {
                "param": "evidence[product_description]",
                "message": "Invalid string: must be at most 20000 characters",
            },
            EvidenceRefusal(
                "product_description", "Invalid string: must be at most 20000 characters"
            ),
        ),
        (
            {"param": "evidence", "message": "The combined character count is too large."},
            EvidenceRefusal(None, "The combined character count is too large."),
        ),
        # Whatever quotes what was sent, or a key, is not repeated.
        *(
            (
                {"param": "evidence[customer_name]", "code": "invalid", "message": quoting},
                EvidenceRefusal("customer_name", "The provider does not take this (invalid)."),
            )
            for quoting in (
                "Invalid string: A pot...",
                "Invalid string: ADA@SHOP",
                "Invalid API Key provided: sk_test_1234",
                "two\nlines",
                "x" * 301,
                "Grüße",
                None,
                7,
            )
        ),
    ],
)
def test_what_is_refused_of_the_evidence(told: Mapping[str, Any], refusal: EvidenceRefusal) -> None:
    found = dispute_rejections.of_order(400, {"error": {"type": INVALID, **told}}, SENT)
    assert isinstance(found, DisputeRejected)
    assert (found.code, found.refusals) == (RejectionCode.EVIDENCE_REFUSED, (refusal,))


@pytest.mark.parametrize(
    ("status", "told", "code"),
    [
        (400, {"type": INVALID}, RejectionCode.ORDER_REFUSED),
        (400, {"type": INVALID, "param": "metadata[evidence]"}, RejectionCode.ORDER_REFUSED),
        (
            400,
            {
                "type": INVALID,
                "param": "evidence[enhanced_evidence][visa_compliance][fee_acknowledged]",
            },
            RejectionCode.FEE_NOT_ACKNOWLEDGED,
        ),
        (404, {"type": INVALID, "code": "resource_missing", "param": "dispute"}, None),
        (400, {"type": "idempotency_error"}, None),
        (400, {"type": "api_error"}, None),
        (402, {"type": "card_error"}, None),
        (400, {}, None),
    ],
)
def test_what_another_refusal_means(
    status: int, told: Mapping[str, Any], code: RejectionCode | None
) -> None:
    found = dispute_rejections.of_order(status, {"error": told})
    assert (found.code if isinstance(found, DisputeRejected) else None) is code


async def test_look_ups(server: StripeServer, provider: StripeProvider) -> None:
    server.script.extend(
        [
            answer(SHOWN),
            error(404, type=INVALID, code="resource_missing"),
            error(404, type=INVALID),
            error(403, type=INVALID),
        ]
    )
    found = [await provider.retrieve_dispute("du_1", timeout_seconds=5) for _ in range(4)]
    assert isinstance(found[0], DisputeAnswer)
    assert isinstance(found[0].outcome, Disputed)
    assert found[1] == Absent()
    for each in found[2:]:
        assert isinstance(each, DisputeAnswer)
        assert isinstance(each.outcome, Unknown)
    strange = await provider.retrieve_dispute("../refunds", timeout_seconds=5)
    assert (strange, len(server.requests)) == (Absent(), 4)


async def test_lists(server: StripeServer, provider: StripeProvider) -> None:
    older = {**SHOWN, "id": "du_0"}
    pages = [
        {"object": "list", "data": [SHOWN], "has_more": True},
        {"object": "list", "data": [older], "has_more": False},
    ]
    server.script.extend(answer(page) for page in pages)
    found = [each async for each in provider.list_disputes("pi_3Q", timeout_seconds=5)]
    assert [each.provider_reference for each in found] == ["du_1", "du_0"]
    asked = {"payment_intent": "pi_3Q", "limit": "100", "expand[0]": "data.charge"}
    assert [request.form for request in server.requests] == [
        asked,
        {**asked, "starting_after": "du_1"},
    ]
    server.script.append(answer(pages[1]))
    since = datetime(2026, 11, 24, 3, 0, 0, 500_000, tzinfo=UTC)
    window = provider.list_disputes_created(since, since + timedelta(hours=1), timeout_seconds=5)
    assert [each.provider_reference async for each in window] == ["du_0"]
    assert server.requests[-1].form == {
        "created[gte]": str(int(since.timestamp())),
        "created[lte]": str(int(since.timestamp()) + 3601),
        "limit": "100",
        "expand[0]": "data.charge",
    }
    with pytest.raises(ProviderSilent):
        _ = [each async for each in provider.list_disputes("pi_3Q", timeout_seconds=1)]


async def test_a_warning_is_looked_up_with_its_charge(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.extend(
        [
            answer(fraud_warning(charge=charge(disputed=False))),
            error(404, type=INVALID, code="resource_missing"),
            answer(fraud_warning(id="issfr_2")),
            error(500, type="api_error"),
        ]
    )

    async def look() -> FraudWarning | Absent | Unknown:
        return await provider.retrieve_fraud_warning("issfr_1", timeout_seconds=1)

    assert isinstance(await look(), FraudWarning)
    request = server.requests[0]
    assert (request.path, request.form) == (
        "/v1/radar/early_fraud_warnings/issfr_1",
        {"expand[0]": "charge"},
    )
    assert await look() == Absent()
    assert isinstance(await look(), Unknown)
    assert isinstance(await look(), Unknown)


def uploaded(**changes: Any) -> dict[str, Any]:
    return {"id": "file_1", "object": "file", "purpose": "dispute_evidence"} | changes


async def upload(provider: StripeProvider) -> Any:
    return await provider.upload_file(UPLOAD, timeout_seconds=5)


async def test_an_upload_sends_this_and_the_same_again(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(uploaded())
    assert await upload(provider) == FileUploaded("file_1")
    await upload(provider)
    first, second = server.requests
    assert (first.method, first.path, first.headers["idempotency-key"]) == (
        "POST",
        "/v1/files",
        "ev_01",
    )
    assert first.headers["authorization"] == f"Bearer {API_KEY}"
    assert (first.headers["content-type"], first.body) == (
        second.headers["content-type"],
        second.body,
    )
    boundary = first.headers["content-type"].removeprefix("multipart/form-data; boundary=")
    assert (
        first.body
        == (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="purpose"\r\n\r\n'
            "dispute_evidence\r\n"
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="file"; filename="Quittung _ 1.pdf"\r\n'
            "Content-Type: application/pdf\r\n\r\n"
            "%PDF-1.7\r\n--paygate\r\n"
            f"\r\n--{boundary}--\r\n"
        ).encode()
    )


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        (error(400, type=INVALID, param="file", message="Too large."), RejectionCode.FILE_REFUSED),
        (error(401, type=INVALID), RejectionCode.PROVIDER_CONFIGURATION),
        (error(404, type=INVALID), None),
        (error(400, type="idempotency_error"), None),
        (answer({}), None),
        (answer(uploaded(id=None)), None),
        (answer(uploaded(purpose="identity_document")), None),
        (reset, None),
    ],
)
async def test_what_becomes_of_an_upload(
    server: StripeServer, provider: StripeProvider, behave: Any, code: RejectionCode | None
) -> None:
    server.otherwise = behave
    found = await upload(provider)
    if code is None:
        assert isinstance(found, Unknown)
    else:
        assert isinstance(found, DisputeRejected)
        assert found.code is code


@pytest.mark.parametrize(
    ("name", "kind", "sent"),
    [
        ("receipt.pdf", "application/pdf", "receipt.pdf"),
        ("beleg.PDF", "image/png", "beleg.png"),
        ("Quittung (ü) 1.pdf", "application/pdf", "Quittung _ 1.pdf"),
        ("scan", "image/jpeg", "scan.jpg"),
        ("../../etc/passwd", "application/pdf", "passwd.pdf"),
        ("C:\\files\\a.b.pdf", "application/pdf", "a.b.pdf"),
        ('a"; filename="x.exe', "application/pdf", "a_ filename_x.pdf"),
        ("a\r\nX-Evil: 1", "application/pdf", "a_X-Evil_ 1.pdf"),
        ("", "application/pdf", "evidence.pdf"),
        ("üüü", "application/pdf", "evidence.pdf"),
        (".pdf", "application/pdf", "pdf.pdf"),
        ("x" * 500, "image/png", "x" * 80 + ".png"),
    ],
)
def test_the_name_that_a_file_is_sent_by(name: str, kind: str, sent: str) -> None:
    """D14."""
    found = files.wire_name(name, kind)
    assert found == sent
    multipart.encode({}, "file", found, kind, b"x")


@pytest.mark.parametrize(
    ("base", "wanted"),
    [
        ("https://api.stripe.com", "https://files.stripe.com"),
        ("https://api.stripe.com:443", "https://files.stripe.com"),
        ("http://127.0.0.1:8444", "http://127.0.0.1:8444"),
        ("https://stripe-proxy.internal", "https://stripe-proxy.internal"),
    ],
)
def test_where_files_go(base: str, wanted: str) -> None:
    assert files.base_of(base) == wanted
