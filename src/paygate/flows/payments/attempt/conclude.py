"""Conclude an attempt: what the provider said becomes true in one commit, once.

The third beat of a payment: `domain/payments/conclusion.py` decides, this file commits.
"""

from collections.abc import Callable
from typing import Final

from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.payments.attempt import Attempt, state_of
from paygate.domain.payments.confirmation import Moved
from paygate.domain.payments.outcome import Answer, NotSent, PaymentError, Rejected, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status, Trigger, advance
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience, intent_subject
from paygate.flows.payments.attempt.apply_answer import Applied, apply_answer
from paygate.flows.payments.attempt.consequences import (
    NOTHING,
    Consequences,
    change_of,
    commit_move,
)
from paygate.flows.payments.attempt.work import Work, reread, take_up
from paygate.providers.absence import Absent
from paygate.storage.change import Committed, Impossible, OutcomeUnknown
from paygate.storage.tables import REFERENCE_TAKEN

Beside = Callable[[Applied], Consequences]

MISSING: Final = "missing"
"""The stage of the alert for a payment that the provider says it has not."""


def _alone(_: Applied) -> Consequences:
    return NOTHING


async def conclude_attempt(ctx: Context, work: Work, answer: Answer) -> PaymentIntent:
    """The intent once `answer` was applied, or as whoever came first left it."""
    return (await conclude_with(ctx, work, answer)).intent


async def conclude_with(
    ctx: Context, work: Work, answer: Answer, beside: Beside = _alone
) -> Applied:
    """What became of `answer`; what stands `beside` it is committed with what it changes."""
    # The attempt stays open beyond it: its event or the sweep brings the answer again.
    patience = Patience(
        "an intent kept changing while its attempt was concluded",
        end=OutcomeUnknown,
        seconds=CONCLUDING_SECONDS,
    )
    while True:
        applied = await apply_answer(ctx, work, answer)
        if applied.commits == NOTHING:
            # No commit proves that the records were the newest: others may have ended them.
            newest = await reread(ctx, work)
            if newest == work:
                return applied
            work = newest
            continue
        # What was certainly not sent is no answer yet: the same request may go on with it.
        response = None if isinstance(answer.outcome, NotSent) else applied.intent
        commits = applied.commits.also(beside(applied))
        change = change_of(
            ctx,
            work.caller,
            work.action,
            work.intent,
            commits,
            response=response,
            details={"outcome": state_of(applied.answer.outcome)},
        )
        try:
            committed = isinstance(await ctx.door.commit(change), Committed)
        except Impossible as error:
            if error.constraint != REFERENCE_TAKEN:
                raise
            answer = await _of_another_intent(ctx, work.caller, work.intent, answer)
            committed = False
        if committed:
            return applied
        await patience.pause()
        work = await reread(ctx, work)


async def fail_unsent(
    ctx: Context, caller: Caller, action: Action, attempt: Attempt, answer: Answer
) -> bool:
    """Fail an intent whose last attempt was certainly not sent, and that nobody tries again.
    Returns whether the intent failed: not when somebody has tried since `attempt` was read, for
    nothing is certain of that new try.
    """
    work = await take_up(ctx, caller, action, attempt.merchant, attempt.id)
    intent, newest = work.intent, work.attempt
    assert isinstance(answer.outcome, Rejected), "it failed"
    waits = intent.status is Status.PROCESSING and intent.attempt == attempt.id
    if not waits or newest.version != attempt.version:
        return False
    error = PaymentError(code=answer.outcome.reason, message=answer.outcome.message)
    changes = {"pending_operation": None, "last_payment_error": error}
    after = advance(intent, Trigger.FAIL, ctx.now(), **changes)
    return await commit_move(ctx, caller, action, Moved(intent, after))


async def ask_how_it_stands(ctx: Context, work: Work) -> PaymentIntent:
    """Fetch the payment at the provider and conclude by that; returns the intent after it."""
    intent = work.intent
    assert intent.provider_reference is not None, "what is under way is known to the provider"
    found = await ctx.provider.retrieve(
        intent.provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(found, Absent):
        await raise_alert(ctx, work.caller, payment_missing(intent))
        return intent
    return await conclude_attempt(ctx, work, found)


def payment_missing(intent: PaymentIntent) -> Problem:
    """The problem of a payment that the provider gave an id, and denies now: nothing may be
    concluded from that, for a key of another account sees the same.
    """
    return Problem(
        type=AlertType.ATTEMPT_UNRESOLVED,
        subject=intent_subject(intent.id),
        stage=MISSING,
        severity="critical",
        message=f"the provider says that it has no payment {intent.provider_reference}, the id that"
        " it gave us for this payment intent, which stays as it is",
        what_to_do="See whether the provider's key is of the account that has this payment.",
    )


async def _of_another_intent(
    ctx: Context, caller: Caller, intent: PaymentIntent, answer: Answer
) -> Answer:
    """The answer to apply in place of one whose payment stands under another intent of ours: that
    payment is never this intent's outcome, and an alert has a person look.
    """
    problem = Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=intent_subject(intent.id),
        severity="critical",
        message="the provider answered with the payment of another payment intent",
        what_to_do=f"Look {answer.provider_reference} up in the provider's dashboard, and the two"
        " payment intents that it is given for.",
    )
    await raise_alert(ctx, caller, problem)
    return Answer(Unknown("the provider answered with the payment of another intent"))
