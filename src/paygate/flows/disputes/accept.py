"""Accept a dispute: give the money up, for ever.

The provider's answer is not the end: the dispute is accepted once the provider shows it as lost,
and the sweep looks until it does.
"""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.disputes.dispute import Dispute, DisputeOperation
from paygate.domain.disputes.outcome import (
    DisputeAnswer,
    DisputeKind,
    DisputeRejected,
    DisputeStatus,
    RejectionCode,
)
from paygate.domain.disputes.staging import check_answerable
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.outcome import NotSent
from paygate.flows.context import Context, Patience
from paygate.flows.disputes.orders import (
    begin_order,
    is_of_this_request,
    key_of,
    provider_now,
    send_order,
)
from paygate.flows.disputes.read import find_dispute
from paygate.providers.dispute_orders import AcceptOrder


async def accept_dispute(ctx: Context, caller: Caller, dispute_id: str) -> Dispute:
    """The dispute after the provider's answer: lost, or with `pending_operation` until it is.

    Raises:
        Refusal: not found, an inquiry, not answerable any more, refused by the provider, or
            `provider_unavailable` when certainly nothing was accepted.
    """
    patience = Patience("a dispute kept changing while it was accepted")
    begun: Dispute | None = None
    while begun is None:
        before = await find_dispute(ctx, caller.merchant, dispute_id)
        if is_of_this_request(ctx, before, done=before.status is DisputeStatus.LOST):
            if before.pending_operation is not DisputeOperation.ACCEPT:
                return before
            begun = before
            break
        _check(ctx, before)
        operation = DisputeOperation.ACCEPT
        begun = await begin_order(ctx, caller, Action.DISPUTE_ACCEPT, before, operation)
        if begun is None:
            await patience.pause()
    after, outcome = await send_acceptance(ctx, caller, Action.DISPUTE_ACCEPT, begun)
    if isinstance(outcome, NotSent):
        raise Refusal(
            ErrorCode.PROVIDER_UNAVAILABLE,
            "the provider could not be reached; the order to accept stands and is tried again, also"
            " by the same request with the same Idempotency-Key",
            subject=after,
            retry_after_seconds=outcome.retry_after_seconds,
        )
    if isinstance(outcome, DisputeRejected) and outcome.code is RejectionCode.DISPUTE_CLOSED:
        raise Refusal(ErrorCode.STATE_CONFLICT, outcome.message, subject=after)
    return after


async def send_acceptance(
    ctx: Context, caller: Caller, action: Action, dispute: Dispute
) -> tuple[Dispute, object]:
    """Go on with an order to accept: the dispute after that, and what the call came to."""

    async def ask(sent: Dispute) -> DisputeAnswer:
        order = AcceptOrder(key=key_of(sent), provider_reference=sent.provider_reference)
        timeout_seconds = ctx.policy.provider_timeout_seconds
        return await ctx.provider.accept_dispute(order, timeout_seconds=timeout_seconds)

    return await send_order(ctx, caller, action, dispute, ask)


def _check(ctx: Context, dispute: Dispute) -> None:
    """Raises a refusal when the dispute cannot be accepted."""
    check_answerable(dispute, provider_now(ctx))
    if dispute.kind is DisputeKind.INQUIRY:
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            "an inquiry is not accepted: a refund of all that is left of the payment closes it",
            subject=dispute,
        )
