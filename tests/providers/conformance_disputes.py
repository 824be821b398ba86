"""What the port promises of disputes: what is told of one, evidence that is submitted once, and
what a warning is worth.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from paygate.domain.disputes.outcome import (
    Compliance,
    ComplianceNetwork,
    DisputeAnswer,
    Disputed,
    DisputeKind,
    DisputeReason,
    DisputeRejected,
    DisputeStatus,
    FileUploaded,
    FraudWarning,
    RejectionCode,
    RowKind,
)
from paygate.domain.money import Currency
from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.domain.payments.payment_method import CardToken
from paygate.providers.absence import Absent
from paygate.providers.dispute_orders import AcceptOrder, EvidenceOrder, UploadOrder
from tests.making import new_id
from tests.providers.conformance import PATIENCE, Subject
from tests.providers.conformance_refunds import pay

TAKEN = 1999
CONTENT = b"%PDF-1.7\nthe customer's receipt"


async def listed(subject: Subject, payment_reference: str) -> list[DisputeAnswer]:
    found = subject.provider.list_disputes(payment_reference, timeout_seconds=PATIENCE)
    return [each async for each in found]


async def dispute_of(subject: Subject, payment_reference: str) -> tuple[DisputeAnswer, Disputed]:
    """The one dispute of a payment."""
    (answer,) = await listed(subject, payment_reference)
    assert isinstance(answer.outcome, Disputed)
    return answer, answer.outcome


async def disputed(subject: Subject, token: str, **changes: Any) -> tuple[DisputeAnswer, Disputed]:
    """The dispute of a new payment with a token that is disputed."""
    reference = await pay(subject, instrument=CardToken(token), **changes)
    return await dispute_of(subject, reference)


async def retrieve(subject: Subject, answer: DisputeAnswer) -> Disputed:
    assert answer.provider_reference is not None
    found = await subject.provider.retrieve_dispute(
        answer.provider_reference, timeout_seconds=PATIENCE
    )
    assert isinstance(found, DisputeAnswer)
    assert isinstance(found.outcome, Disputed)
    return found.outcome


def evidence(answer: DisputeAnswer, **changes: Any) -> EvidenceOrder:
    assert answer.provider_reference is not None
    given: dict[str, Any] = {
        "key": new_id("attempt"),
        "provider_reference": answer.provider_reference,
        "texts": {"product_description": "A pot, sent in March."},
        "files": {},
        "expected_submission_count": 0,
    }
    return EvidenceOrder(**(given | changes))


async def submit(subject: Subject, order: EvidenceOrder) -> DisputeAnswer:
    return await subject.provider.submit_evidence(order, timeout_seconds=PATIENCE)


async def accept(subject: Subject, answer: DisputeAnswer) -> DisputeAnswer:
    assert answer.provider_reference is not None
    order = AcceptOrder(key=new_id("attempt"), provider_reference=answer.provider_reference)
    return await subject.provider.accept_dispute(order, timeout_seconds=PATIENCE)


def refused(answer: DisputeAnswer) -> DisputeRejected:
    assert isinstance(answer.outcome, DisputeRejected)
    return answer.outcome


def upload(**changes: Any) -> UploadOrder:
    given: dict[str, Any] = {
        "key": new_id("attempt"),
        "name": "receipt.pdf",
        "content_type": "application/pdf",
        "content": CONTENT,
    }
    return UploadOrder(**(given | changes))


class DisputeConformance:
    @pytest.mark.parametrize(("amount", "currency"), [(1999, "eur"), (500, "jpy"), (50, "isk")])
    async def test_a_chargeback_is_told_whole(
        self, subject: Subject, amount: int, currency: str
    ) -> None:
        reference = await pay(
            subject,
            instrument=CardToken(subject.token_disputed),
            amount=amount,
            currency=Currency(currency),
        )
        answer, stands = await dispute_of(subject, reference)
        assert answer.payment_reference == reference
        assert answer.charge_reference is not None
        assert (answer.installation, answer.merchant) == (subject.installation, "default")
        assert (answer.livemode, answer.as_of is None) == (subject.provider.livemode, False)
        assert (stands.kind, stands.status) == (
            DisputeKind.CHARGEBACK,
            DisputeStatus.NEEDS_RESPONSE,
        )
        assert (stands.amount, stands.currency) == (amount, currency)
        assert (stands.reason, stands.network_reason_code) == (DisputeReason.FRAUDULENT, "10.4")
        assert (stands.refundable, stands.submission_count, stands.has_evidence) == (
            False,
            0,
            False,
        )
        assert stands.evidence_due_by is not None
        assert stands.evidence_due_by > stands.created_at + timedelta(days=7)
        (row,) = stands.rows
        assert (row.kind, row.amount, row.currency) == (RowKind.WITHDRAWN, -amount, currency)
        assert row.fee > 0
        assert await retrieve(subject, answer) == stands

    async def test_an_inquiry_has_moved_nothing(self, subject: Subject) -> None:
        _, stands = await disputed(subject, subject.token_inquired)
        assert (stands.kind, stands.rows, stands.refundable) == (DisputeKind.INQUIRY, (), True)
        assert stands.status is DisputeStatus.WARNING_NEEDS_RESPONSE

    async def test_won_with_a_file_gives_the_money_back_and_keeps_the_fee(
        self, subject: Subject
    ) -> None:
        answer, before = await disputed(subject, subject.token_disputed)
        file = await subject.provider.upload_file(upload(), timeout_seconds=PATIENCE)
        assert isinstance(file, FileUploaded)
        assert await subject.uploaded(file.provider_reference) == sha256(CONTENT).hexdigest()
        order = evidence(
            answer, texts=subject.winning_texts, files={"receipt": file.provider_reference}
        )
        sent = await submit(subject, order)
        assert isinstance(sent.outcome, Disputed)
        assert (sent.outcome.status, sent.outcome.submission_count) == (
            DisputeStatus.UNDER_REVIEW,
            1,
        )
        assert sent.outcome.has_evidence
        await subject.banks_answer()
        won = await retrieve(subject, answer)
        assert (won.status, won.refundable) == (DisputeStatus.WON, True)
        rows = {row.kind: row for row in won.rows}
        assert rows[RowKind.WITHDRAWN] == before.rows[0]
        back = rows[RowKind.REINSTATED]
        assert (back.amount, back.fee) == (TAKEN, 0)

    async def test_evidence_is_submitted_once(self, subject: Subject) -> None:
        answer, _ = await disputed(subject, subject.token_disputed)
        await submit(subject, evidence(answer))
        again = refused(await submit(subject, evidence(answer)))
        assert again.code is RejectionCode.ALREADY_SUBMITTED
        assert again.stands is not None
        assert again.stands.submission_count == 1
        assert await subject.submissions(str(answer.provider_reference)) == 1

    @pytest.mark.parametrize("fault", ["reply_lost", "error_after"])
    async def test_a_submission_without_a_reply_is_unknown_and_never_made_twice(
        self, subject: Subject, fault: Any
    ) -> None:
        answer, _ = await disputed(subject, subject.token_disputed)
        order = evidence(answer)
        await subject.fault("dispute", fault, 1)
        assert isinstance((await submit(subject, order)).outcome, Unknown)
        assert (await retrieve(subject, answer)).submission_count == 1
        assert refused(await submit(subject, order)).code is RejectionCode.ALREADY_SUBMITTED
        assert await subject.submissions(order.provider_reference) == 1

    async def test_what_certainly_did_not_begin_can_be_sent_again(self, subject: Subject) -> None:
        answer, _ = await disputed(subject, subject.token_disputed)
        order = evidence(answer)
        await subject.fault("dispute", "rate_limited", 100)
        assert isinstance((await submit(subject, order)).outcome, NotSent)
        assert isinstance((await accept(subject, answer)).outcome, NotSent)
        await subject.calm()
        assert isinstance((await submit(subject, order)).outcome, Disputed)
        assert await subject.submissions(order.provider_reference) == 1

    async def test_what_is_not_taken_is_told_by_its_field(self, subject: Subject) -> None:
        answer, _ = await disputed(subject, subject.token_disputed)
        for field, order in {
            "product_description": {"texts": {"product_description": "x" * 20_001}},
            "receipt": {"files": {"receipt": "file_absent"}},
        }.items():
            rejected = refused(await submit(subject, evidence(answer, **order)))
            assert rejected.code is RejectionCode.EVIDENCE_REFUSED
            assert [refusal.field for refusal in rejected.refusals] == [field]
        assert (await retrieve(subject, answer)).submission_count == 0

    async def test_accepting_is_losing_and_says_so_again(self, subject: Subject) -> None:
        answer, _ = await disputed(subject, subject.token_disputed)
        lost = await accept(subject, answer)
        assert isinstance(lost.outcome, Disputed)
        assert lost.outcome.status is DisputeStatus.LOST
        for later in (await accept(subject, answer), await submit(subject, evidence(answer))):
            rejected = refused(later)
            assert rejected.code is RejectionCode.DISPUTE_CLOSED
            assert rejected.stands is not None
            assert rejected.stands.status is DisputeStatus.LOST

    async def test_a_lost_reply_to_an_acceptance_is_unknown(self, subject: Subject) -> None:
        answer, _ = await disputed(subject, subject.token_disputed)
        await subject.fault("dispute", "reply_lost", 1)
        assert isinstance((await accept(subject, answer)).outcome, Unknown)
        assert (await retrieve(subject, answer)).status is DisputeStatus.LOST

    async def test_a_networks_fee_is_agreed_to_first(self, subject: Subject) -> None:
        answer, stands = await disputed(subject, subject.token_compliance)
        assert stands.compliance == (Compliance(ComplianceNetwork.VISA, fee_acknowledged=False),)
        rejected = refused(await submit(subject, evidence(answer)))
        assert rejected.code is RejectionCode.FEE_NOT_ACKNOWLEDGED
        agreed = evidence(answer, fees_acknowledged=(ComplianceNetwork.VISA,))
        sent = await submit(subject, agreed)
        assert isinstance(sent.outcome, Disputed)
        assert sent.outcome.compliance == (Compliance(ComplianceNetwork.VISA, True),)
        fees = [row for row in sent.outcome.rows if row.kind is RowKind.OTHER]
        assert [(row.amount, row.fee > 0) for row in fees] == [(0, True)]

    async def test_a_file_is_uploaded_once_per_key(self, subject: Subject) -> None:
        order = upload()
        await subject.fault("file", "reply_lost", 1)
        first = await subject.provider.upload_file(order, timeout_seconds=PATIENCE)
        assert isinstance(first, Unknown)
        second = await subject.provider.upload_file(order, timeout_seconds=PATIENCE)
        third = await subject.provider.upload_file(order, timeout_seconds=PATIENCE)
        assert isinstance(second, FileUploaded)
        assert third == second

    async def test_what_is_no_such_file_is_refused(self, subject: Subject) -> None:
        order = upload(content=b"GIF89a")
        found = await subject.provider.upload_file(order, timeout_seconds=PATIENCE)
        assert isinstance(found, DisputeRejected)
        assert found.code is RejectionCode.FILE_REFUSED

    async def test_a_key_that_is_refused_says_so(self, subject: Subject) -> None:
        answer = DisputeAnswer(outcome=Unknown(""), provider_reference="du_absent")
        stranger = subject.unauthorised
        for found in (
            (await stranger.submit_evidence(evidence(answer), timeout_seconds=PATIENCE)).outcome,
            await stranger.upload_file(upload(), timeout_seconds=PATIENCE),
            (
                await stranger.accept_dispute(
                    AcceptOrder(key="k", provider_reference="du_absent"), timeout_seconds=PATIENCE
                )
            ).outcome,
        ):
            assert isinstance(found, DisputeRejected)
            assert found.code is RejectionCode.PROVIDER_CONFIGURATION

    async def test_one_that_is_not_there(self, subject: Subject) -> None:
        provider = subject.provider
        absent = await provider.retrieve_dispute("du_absent", timeout_seconds=PATIENCE)
        assert absent == Absent()
        answer = DisputeAnswer(outcome=Unknown(""), provider_reference="du_absent")
        assert isinstance((await accept(subject, answer)).outcome, Unknown)
        assert isinstance((await submit(subject, evidence(answer))).outcome, NotSent)
        none = await provider.retrieve_fraud_warning("issfr_absent", timeout_seconds=PATIENCE)
        assert none == Absent()

    async def test_those_of_a_window_are_listed(self, subject: Subject) -> None:
        made = [(await disputed(subject, subject.token_disputed))[0] for _ in range(3)]
        now, window = datetime.now(UTC), timedelta(days=2)
        found = subject.provider.list_disputes_created(
            now - window, now + window, timeout_seconds=PATIENCE
        )
        listed_references = [each.provider_reference async for each in found]
        wanted = [each.provider_reference for each in reversed(made)]
        assert [each for each in listed_references if each in wanted] == wanted

    async def test_a_delivery_tells_of_a_dispute(self, subject: Subject) -> None:
        answer, stands = await disputed(subject, subject.token_disputed)
        for body, headers in await subject.delivered(str(answer.payment_reference)):
            subject.provider.verify_event(body, headers, datetime.now(UTC))
            notice = subject.provider.read_event(body)
            if notice.dispute is not None:
                assert notice.exact
                assert notice.dispute.outcome == stands
                assert notice.dispute.payment_reference == answer.payment_reference
                return
        raise AssertionError("the provider told nothing of a dispute")

    async def test_a_warning_and_its_charge(self, subject: Subject) -> None:
        reference = await pay(subject, instrument=CardToken(subject.token_warned))
        bodies = [body for body, _ in await subject.delivered(reference)]
        told = [subject.provider.read_event(body).fraud_warning for body in bodies]
        (warned,) = [each for each in told if each is not None]
        assert (warned.payment_reference, warned.actionable) == (reference, True)
        found = await subject.provider.retrieve_fraud_warning(
            warned.provider_reference, timeout_seconds=PATIENCE
        )
        assert isinstance(found, FraudWarning)
        assert (found.charge_amount, found.charge_refunded, found.charge_disputed) == (
            TAKEN,
            0,
            False,
        )
        assert (found.charge_currency, found.installation) == ("eur", subject.installation)
        assert found.fraud_type == "made_with_stolen_card"
