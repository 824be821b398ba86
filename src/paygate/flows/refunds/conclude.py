"""Conclude a refund: what the provider said becomes true in one commit, once, whichever way it
came.

`domain/refunds/conclusion.py` decides, this file commits. Whoever is second finds it concluded.
"""

from typing import Final

from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.payments.outcome import Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.conclusion import RefundMoved, RefundUnmoved, conclude_refund
from paygate.domain.refunds.outcome import RefundAnswer
from paygate.domain.refunds.refund import Refund, RefundState
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience
from paygate.flows.refunds.commit import commit_refund, refund_subject
from paygate.providers.absence import Absent
from paygate.storage.change import Impossible, OutcomeUnknown

REFERENCE_TAKEN: Final = "refund_provider_reference"
"""What a commit runs into whose refund of the provider's is another one of ours already."""


async def conclude(
    ctx: Context,
    caller: Caller,
    action: Action,
    intent: PaymentIntent,
    refund: Refund,
    answer: RefundAnswer,
) -> tuple[Refund, RefundUnmoved | None]:
    """The refund once `answer` was applied, or as whoever came first left it; and why nothing
    moved, when nothing did.
    """
    patience = Patience(
        "a payment kept changing while its refund was concluded",
        end=OutcomeUnknown,
        seconds=CONCLUDING_SECONDS,
    )
    fetched = False
    while True:
        effect = conclude_refund(intent, refund, answer, ctx.now(), fetched=fetched)
        if effect is RefundUnmoved.TIE and answer.provider_reference is not None:
            answer, fetched = await _fetched(ctx, answer.provider_reference), True
            continue
        if not isinstance(effect, RefundMoved):
            # No commit proves that the records were the newest: others may have moved them.
            newest = await reread(ctx, refund)
            if newest != (intent, refund):
                (intent, refund), fetched = newest, False
                continue
            if effect is RefundUnmoved.MISMATCH:
                await raise_alert(ctx, caller, _mismatch(refund, answer))
            return refund, effect
        response = None if effect.refund.state is RefundState.NOT_SENT else effect.refund
        try:
            if await commit_refund(ctx, caller, action, effect, response=response):
                return effect.refund, None
        except Impossible as error:
            if error.constraint != REFERENCE_TAKEN:
                raise
            await raise_alert(ctx, caller, _of_another(refund, answer))
            answer = RefundAnswer(Unknown("the provider answered with another refund"))
        await patience.pause()
        # What others have applied meanwhile may be newer than what was asked for before.
        (intent, refund), fetched = await reread(ctx, refund), False


async def reread(ctx: Context, refund: Refund) -> tuple[PaymentIntent, Refund]:
    """Both records as they stand now."""
    found = await ctx.refunds.refund_with_intent(refund.merchant, refund.id)
    assert found is not None, "payments and refunds are never deleted"
    return found


async def _fetched(ctx: Context, reference: str) -> RefundAnswer:
    """The refund as it stands at the provider now; where that does not tell, nothing is known."""
    found = await ctx.provider.retrieve_refund(
        reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(found, Absent):
        return RefundAnswer(Unknown("the provider says that it has no such refund"))
    return found


def _mismatch(refund: Refund, answer: RefundAnswer) -> Problem:
    theirs = f"{answer.amount} {answer.currency}"
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=refund_subject(refund.id),
        severity="critical",
        message=f"the provider's refund is of {theirs}, for {refund.amount} {refund.currency}"
        " (smallest units), or of more than is left of the payment; it stays as it is here",
        what_to_do=f"Look {answer.provider_reference} up in the provider's dashboard.",
    )


def _of_another(refund: Refund, answer: RefundAnswer) -> Problem:
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=refund_subject(refund.id),
        severity="critical",
        message="the provider answered with a refund that stands here as another one",
        what_to_do=f"Look {answer.provider_reference} up in the provider's dashboard, and the two"
        " refunds that it is given for.",
    )
