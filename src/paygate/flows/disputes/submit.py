"""Submit the evidence of a dispute: once, before its deadline, and never blindly a second time.

The order is written down first. Then each file goes up once, its id at the provider durable before
the next; the evidence last. Whoever goes on with the order - the same request again, or the sweep -
finds what was done.
"""

from functools import partial
from typing import assert_never

import msgspec

from paygate.domain.access.roles import Action, Caller
from paygate.domain.disputes.dispute import Dispute, DisputeOperation, EvidenceFile, move
from paygate.domain.disputes.outcome import (
    ComplianceNetwork,
    DisputeAnswer,
    DisputeRejected,
    EvidenceRefusal,
    FileOutcome,
    FileUploaded,
    RejectionCode,
)
from paygate.domain.disputes.staging import check_answerable, is_in_time
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context, Patience
from paygate.flows.disputes.evidence_files import read_evidence_file
from paygate.flows.disputes.orders import (
    LONG_AFTER,
    STANDING,
    advance_order,
    begin_order,
    conclude_order,
    end_order,
    is_of_this_request,
    is_under_way,
    key_of,
    provider_now,
    reread,
    send_order,
)
from paygate.flows.disputes.read import find_dispute
from paygate.providers.dispute_orders import EvidenceOrder, UploadOrder
from paygate.storage.unreadable import Unreadable
from paygate.telemetry import timing

TOO_LATE = "The deadline passed before the evidence could be submitted."
NOT_READ = "The file that is kept here cannot be read any more: send it again."


async def submit_evidence(
    ctx: Context,
    caller: Caller,
    dispute_id: str,
    fees_acknowledged: tuple[ComplianceNetwork, ...] = (),
) -> Dispute:
    """The dispute after the provider's answer; `pending_operation` while that is not known, and
    `refusals` when the provider does not take the evidence.

    Raises:
        Refusal: not found, not answerable any more, nothing staged, `fee_not_acknowledged`,
            answered elsewhere, or `provider_unavailable` when certainly nothing was submitted.
    """
    patience = Patience("a dispute kept changing while its evidence was submitted")
    begun: Dispute | None = None
    while begun is None:
        before = await find_dispute(ctx, caller.merchant, dispute_id)
        if is_of_this_request(ctx, before, done=_is_counted(before)):
            if before.pending_operation is not DisputeOperation.SUBMIT:
                return before
            begun = before
            break
        _check(ctx, before, fees_acknowledged)
        operation = DisputeOperation.SUBMIT
        begun = await begin_order(
            ctx, caller, Action.DISPUTE_SUBMIT, before, operation, fees_acknowledged
        )
        if begun is None:
            await patience.pause()
    after, outcome = await send_evidence(ctx, caller, Action.DISPUTE_SUBMIT, begun)
    _refuse_if_not(after, outcome)
    return after


async def send_evidence(
    ctx: Context, caller: Caller, action: Action, dispute: Dispute
) -> tuple[Dispute, object]:
    """Go on with an order to submit: upload what is not there yet, then submit. The dispute after
    that, and what the last call came to.
    """
    for file in dispute.files:
        if file.provider_reference is not None:
            continue
        try:
            outcome = await _upload(ctx, dispute, file)
        except Unreadable as fault:
            # The deadline does not wait for a hand in the database: the file is sent anew.
            await report_unreadable(ctx, caller, fault)
            lost = (EvidenceRefusal(file.field, NOT_READ),)
            return await end_order(ctx, caller, action, dispute, lost, last=True), None
        uploaded = await _uploaded(ctx, caller, action, dispute, file, outcome)
        if uploaded is None:
            return await reread(ctx, dispute), outcome
        dispute = uploaded
    if not is_in_time(dispute, provider_now(ctx)):
        late = (EvidenceRefusal(None, TOO_LATE),)
        return await end_order(ctx, caller, action, dispute, late, last=True), None
    return await send_order(ctx, caller, action, dispute, partial(_submit, ctx))


def _is_counted(dispute: Dispute) -> bool:
    """Whether evidence was submitted since the order was given."""
    return dispute.order is not None and dispute.submission_count > dispute.order.expected_count


def _check(
    ctx: Context, dispute: Dispute, fees_acknowledged: tuple[ComplianceNetwork, ...]
) -> None:
    """Raises a refusal when the evidence cannot be submitted."""
    check_answerable(dispute, provider_now(ctx))
    if dispute.staged_at is None:
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            "no evidence is staged, and it is submitted once: stage it first",
            subject=dispute,
        )
    for case in dispute.compliance:
        if not case.fee_acknowledged and case.network not in fees_acknowledged:
            raise Refusal(
                ErrorCode.FEE_NOT_ACKNOWLEDGED,
                f"answering this compliance case costs a large fee of {case.network}'s own, which"
                f' comes back only when it is won: say "fees_acknowledged": ["{case.network}"]',
                param="fees_acknowledged",
                subject=dispute,
            )


async def _upload(ctx: Context, dispute: Dispute, file: EvidenceFile) -> FileOutcome:
    """What becomes of a file, under the key that is the file's own; long after the order was begun,
    under another one too when the first tells nothing: it may be spent on a fault. A file that lies
    at the provider twice is evidence once.
    """
    assert dispute.order is not None, "an order is under way"
    order = UploadOrder(
        key=file.id,
        name=file.name,
        content_type=file.content_type,
        content=await read_evidence_file(ctx, dispute, file),
    )
    outcome = await _uploading(ctx, order)
    times = (ctx.now() - dispute.order.begun_at) // LONG_AFTER
    if isinstance(outcome, Unknown) and times > 0:
        outcome = await _uploading(ctx, msgspec.structs.replace(order, key=f"{file.id}-{times}"))
    return outcome


async def _uploading(ctx: Context, order: UploadOrder) -> FileOutcome:
    with timing.spent(timing.Part.PROVIDER):
        return await ctx.provider.upload_file(
            order, timeout_seconds=ctx.policy.provider_timeout_seconds
        )


async def _uploaded(
    ctx: Context,
    caller: Caller,
    action: Action,
    dispute: Dispute,
    file: EvidenceFile,
    outcome: FileOutcome,
) -> Dispute | None:
    """The dispute with the file's id at the provider; None when the order does not go on, now or at
    all.
    """
    match outcome:
        case FileUploaded():
            return await _named(ctx, caller, action, dispute, file, outcome.provider_reference)
        case DisputeRejected(code=RejectionCode.FILE_REFUSED):
            refusals = (EvidenceRefusal(file.field, outcome.message),)
            await end_order(ctx, caller, action, dispute, refusals, last=True)
        case DisputeRejected():
            answer = DisputeAnswer(outcome=outcome)
            await conclude_order(ctx, caller, action, dispute, answer, first=False)
        case NotSent() | Unknown():
            pass
        case _:
            assert_never(outcome)
    return None


async def _named(
    ctx: Context,
    caller: Caller,
    action: Action,
    dispute: Dispute,
    file: EvidenceFile,
    reference: str,
) -> Dispute | None:
    """The dispute with the file's id at the provider, while the order is under way."""
    patience = Patience("a dispute kept changing while a file was uploaded")
    known = msgspec.structs.replace(file, provider_reference=reference)
    newest = dispute
    while is_under_way(newest, dispute.order):
        files = tuple(known if each.id == file.id else each for each in newest.files)
        after = move(newest, ctx.now(), files=files)
        if (committed := await advance_order(ctx, caller, action, after)) is not None:
            return committed
        await patience.pause()
        newest = await reread(ctx, dispute)
    return None


async def _submit(ctx: Context, dispute: Dispute) -> DisputeAnswer:
    """What the provider says of the evidence, which was written down as sent."""
    assert dispute.order is not None, "what is sent was ordered"
    order = EvidenceOrder(
        key=key_of(dispute),
        provider_reference=dispute.provider_reference,
        texts=dispute.texts,
        files={file.field: str(file.provider_reference) for file in dispute.files},
        expected_submission_count=dispute.order.expected_count,
        fees_acknowledged=dispute.order.fees_acknowledged,
    )
    timeout_seconds = ctx.policy.provider_timeout_seconds
    return await ctx.provider.submit_evidence(order, timeout_seconds=timeout_seconds)


def _refuse_if_not(dispute: Dispute, outcome: object) -> None:
    """Raises a refusal when certainly nothing was submitted, and the caller can do something."""
    match outcome:
        case NotSent():
            raise Refusal(
                ErrorCode.PROVIDER_UNAVAILABLE,
                "the provider could not be reached; the order to submit stands and is tried again,"
                " also by the same request with the same Idempotency-Key",
                subject=dispute,
                retry_after_seconds=outcome.retry_after_seconds,
            )
        case DisputeRejected(code=RejectionCode.ALREADY_SUBMITTED):
            raise Refusal(
                ErrorCode.DISPUTE_ANSWERED,
                "the dispute was answered elsewhere; nothing was submitted from here",
                subject=dispute,
            )
        case DisputeRejected(code=code) if code in STANDING:
            raise Refusal(ErrorCode.STATE_CONFLICT, outcome.message, subject=dispute)
