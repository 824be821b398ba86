"""Ask the provider about a payment that has an id there, when nobody waits: how the payment stands,
or that it be closed.

Such a payment exists. A provider that denies it was asked with another account's key, which says
nothing of the money: an alert is raised, and the payment stays as it is.
"""

from datetime import timedelta
from typing import Final

import msgspec

from paygate.domain.payments.attempt import Attempt, Operation, to_be_closed
from paygate.domain.payments.outcome import Answer, Unknown
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.flows.payments.attempt.begin import commit_progress
from paygate.flows.payments.attempt.conclude import payment_missing
from paygate.flows.payments.attempt.work import Work
from paygate.flows.payments.sweeps.look_up import CLOCK_UNKNOWN
from paygate.flows.provider.clock import by_the_provider, is_in_step
from paygate.providers.absence import Absent
from paygate.providers.contract import CancelOrder

MARGIN: Final = timedelta(seconds=5)
"""Beyond the provider's deadline nobody is still waiting for a sending's reply."""


async def ask_provider(ctx: Context, provider_reference: str) -> Answer | Absent:
    """How the payment stands; `Unknown` when the provider did not tell."""
    await ctx.pace.turn()
    return await ctx.provider.retrieve(
        provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )


async def make_sure(ctx: Context, provider_reference: str, answer: Answer) -> Answer | Absent:
    """The answer to a call; where the answer tells nothing, how the payment stands: the provider
    keeps a 500 of its own under a key, and would repeat it for a day.
    """
    if not isinstance(answer.outcome, Unknown):
        return answer
    return await ask_provider(ctx, provider_reference)


async def close_at_provider(
    ctx: Context, attempt: Attempt, provider_reference: str
) -> Answer | Absent:
    """Have the provider close the payment; returns what became of the payment, or how it stands."""
    # The provider remembers a no under its key, so each try has its own; a cancel takes no money.
    key = f"{attempt.id}-close-{int(ctx.now().timestamp())}"
    order = CancelOrder(key=key, provider_reference=provider_reference)
    await ctx.pace.turn()
    answer = await ctx.provider.cancel(order, timeout_seconds=ctx.policy.provider_timeout_seconds)
    return await make_sure(ctx, provider_reference, answer)


async def give_up(ctx: Context, work: Work, idle: Answer) -> Work | None:
    """Commit the wish to close a confirm that the provider never went on with, and return the work:
    whoever brings the confirm's end then makes the same of it.

    None when a request of ours may still confirm it, or the intent has moved on.
    """
    if not _is_over(ctx, work.attempt):
        return None
    reference = idle.provider_reference or work.intent.provider_reference
    attempt = to_be_closed(work.attempt, ctx.now(), reason=None, given_up=True)
    attempt = msgspec.structs.replace(attempt, provider_reference=reference)
    return await commit_progress(
        ctx,
        work,
        attempt,
        provider_reference=reference,
        pending_operation=Operation.CANCEL.value,
    )


def _is_over(ctx: Context, attempt: Attempt) -> bool:
    """Whether no sending of the attempt is under way any longer, by a clock that is right."""
    now = by_the_provider(ctx, ctx.now())
    if now is None or not is_in_step(ctx):
        return False
    # The sweep may repeat the first sending for the resend window; the last is written down.
    sent = [(attempt.first_sent_as_of, attempt.first_sent_at, ctx.policy.resend_window)]
    if attempt.sent_again_at is not None:
        sent.append((attempt.sent_again_as_of, attempt.sent_again_at, timedelta(0)))
    last = max((as_of or at + CLOCK_UNKNOWN) + repeats for as_of, at, repeats in sent)
    return now >= last + timedelta(seconds=ctx.policy.provider_timeout_seconds) + MARGIN


async def alert_absent(ctx: Context, work: Work) -> None:
    """Raise an alert: the provider denies a payment that it gave an id."""
    await raise_alert(ctx, work.caller, payment_missing(work.intent))
