"""Applies an answer of the provider's, whichever way the answer came: a call's reply, an event, a
look-up by a sweep. Each answer gets one verdict, and all that is committed for that verdict.

The reply, an event and the sweep may all bring the same truth, in any order: the second one finds
the attempt concluded, and changes nothing.
"""

from enum import StrEnum
from typing import Final, NamedTuple, assert_never

import msgspec

from paygate.domain.alert import AlertType, Problem
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.conclusion import CORRECTABLE, conclude
from paygate.domain.payments.confirmation import AHEAD, Moved, Unmoved
from paygate.domain.payments.outcome import Answer, Approved, Cancelled, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.context import Context, intent_subject
from paygate.flows.payments.attempt.claim_reference import reclaim_reference
from paygate.flows.payments.attempt.consequences import NOTHING, Consequences, alert_about, of_move
from paygate.flows.payments.attempt.correct import corrected, give_back
from paygate.flows.payments.attempt.work import Work
from paygate.providers.absence import Absent
from paygate.telemetry import timing


class Verdict(StrEnum):
    """What became of an answer; the words stand in a provider event's record."""

    APPLIED = "applied"
    CORRECTED = "corrected"
    """Captured money was found under an intent that had ended without."""
    HOLD_VOIDED = "hold_voided"
    """Money was held by a payment that does not count, and was given back."""
    ORPHAN_CHARGE = "orphan_charge"
    """Money was captured by a payment that does not count."""
    ALREADY_SETTLED = "already_settled"
    NOTHING_NEW = "nothing_new"
    STALE = "older_than_applied"
    MISMATCH = "amount_or_currency_mismatch"
    UNRESOLVED = "provider_unreachable"
    """The provider must be asked first, and did not answer."""


_QUIET: Final = {
    Unmoved.CONCLUDED: Verdict.ALREADY_SETTLED,
    Unmoved.NOTHING_NEW: Verdict.NOTHING_NEW,
    Unmoved.STALE: Verdict.STALE,
}
"""Verdicts on answers that change nothing, and raise no alert."""


class Applied(NamedTuple):
    """A verdict, the intent as the commit leaves it, what is committed (`NOTHING`: no commit)."""

    verdict: Verdict
    intent: PaymentIntent
    answer: Answer
    """The answer that was applied: the fetched one, where one was fetched instead."""
    commits: Consequences = NOTHING


async def apply_answer(
    ctx: Context, work: Work, answer: Answer, *, proof: str | None = None
) -> Applied:
    """Decide what `answer` makes of a payment: its verdict, and what to commit for that. Nothing is
    committed here.

    `proof` names what a correction rests on; None: the provider's payment itself.
    """
    caller, _, intent, attempt = work
    effect, answer, asks = _conclude(ctx, intent, attempt, answer)
    if asks is not None:
        effect, answer = await _ask(ctx, intent, attempt, answer, asks)
    match effect:
        case Moved():
            moves = of_move(ctx, effect, request_id=caller.request_id, answer=answer)
            return Applied(Verdict.APPLIED, effect.intent, answer, moves)
        case Unmoved.CONCLUDED | Unmoved.NOTHING_NEW | Unmoved.STALE:
            return Applied(_QUIET[effect], intent, answer)
        case Unmoved.TIE:
            return Applied(Verdict.UNRESOLVED, intent, answer)
        case Unmoved.MISMATCH:
            alert = alert_about(ctx, intent.merchant, mismatch_problem(intent, answer))
            return Applied(Verdict.MISMATCH, intent, answer, alert)
        case Unmoved.MONEY_AFTER_THE_END:
            return await _after_the_end(ctx, intent, answer, proof)
        case Unmoved.MONEY_ELSEWHERE:
            return await _elsewhere(ctx, intent, answer)
        case _:
            assert_never(effect)


class Glance(NamedTuple):
    """A verdict that needs no call to the provider."""

    verdict: Verdict | None
    """The verdict on an answer that changes nothing; None: the answer may change something."""
    asks: bool
    """Whether the provider must be asked before anything is said."""


def glance(ctx: Context, intent: PaymentIntent, attempt: Attempt, answer: Answer) -> Glance:
    """The verdict of `apply_answer` on an answer that changes nothing. A glance asks nobody and
    writes nothing.
    """
    effect, _, asks = _conclude(ctx, intent, attempt, answer)
    if asks is not None:
        return Glance(None, asks=True)
    return Glance(None if isinstance(effect, Moved) else _QUIET.get(effect), asks=False)


def _conclude(
    ctx: Context, intent: PaymentIntent, attempt: Attempt, answer: Answer
) -> tuple[Moved | Unmoved, Answer, str | None]:
    """The answer's effect by itself, the answer with a usable time, and the payment to ask the
    provider about first, where that time does not tell.
    """
    answer, dated = _dated(ctx, answer)
    effect = conclude(intent, attempt, answer, ctx.now())
    if effect is not Unmoved.TIE and (dated or not isinstance(effect, Moved)):
        return effect, answer, None
    return effect, answer, answer.provider_reference


async def _ask(
    ctx: Context, intent: PaymentIntent, attempt: Attempt, answer: Answer, provider_reference: str
) -> tuple[Moved | Unmoved, Answer]:
    """The effect of the payment as it stands at the provider now, in place of the answer's."""
    with timing.spent(timing.Part.PROVIDER):
        fetched = await ctx.provider.retrieve(
            provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
        )
    if isinstance(fetched, Absent):
        return Unmoved.TIE, answer
    if isinstance(fetched.outcome, Unknown):
        return Unmoved.TIE, fetched if fetched.outcome.unfamiliar else answer
    fetched, _ = _dated(ctx, fetched)
    return conclude(intent, attempt, fetched, ctx.now(), fetched=True), fetched


def _dated(ctx: Context, answer: Answer) -> tuple[Answer, bool]:
    """The answer, without a time that lies in the future, which orders nothing; and whether the
    answer kept its time.
    """
    now = ctx.now()
    if answer.as_of is None or answer.as_of <= max(now, ctx.provider_time() or now) + AHEAD:
        return answer, True
    return msgspec.structs.replace(answer, as_of=None), False


async def _after_the_end(
    ctx: Context, intent: PaymentIntent, answer: Answer, proof: str | None
) -> Applied:
    """Money under an intent that had ended without any: a correction, or a hold to give back."""
    assert isinstance(answer.outcome, Approved), "only money is found after the end"
    if not answer.outcome.captured:
        return await _given_back(ctx, intent, answer)
    proof = proof or answer.provider_reference or intent.id
    moved = corrected(intent, answer, ctx.now(), proof=proof)
    claim, rival = await reclaim_reference(ctx, moved.intent)
    commits = of_move(ctx, moved, request_id=None, answer=answer, rival=rival)
    return Applied(Verdict.CORRECTED, moved.intent, answer, commits.also(claim))


async def _elsewhere(ctx: Context, intent: PaymentIntent, answer: Answer) -> Applied:
    """Money of another payment than the one that counts: a hold is given back, else an alert."""
    assert isinstance(answer.outcome, Approved), "only money is found elsewhere"
    if not answer.outcome.captured:
        return await _given_back(ctx, intent, answer)
    alert = alert_about(ctx, intent.merchant, orphan_problem(intent, answer))
    return Applied(Verdict.ORPHAN_CHARGE, intent, answer, alert)


async def _given_back(ctx: Context, intent: PaymentIntent, answer: Answer) -> Applied:
    """Give a hold back: void it once the provider says that the hold is closed, and raise an alert
    while that is not known, since nobody else may ever ask again.
    """
    given = await give_back(ctx, answer)
    if isinstance(given.outcome, Cancelled):
        return Applied(Verdict.HOLD_VOIDED, intent, answer)
    if isinstance(given.outcome, Approved) and given.outcome.captured:
        # Somebody has captured the hold meanwhile.
        taken = msgspec.structs.replace(answer, outcome=given.outcome, as_of=given.as_of)
        if intent.status in CORRECTABLE:
            return await _after_the_end(ctx, intent, taken, proof=None)
        return await _elsewhere(ctx, intent, taken)
    alert = alert_about(ctx, intent.merchant, _hold_left(intent, answer))
    return Applied(Verdict.UNRESOLVED, intent, answer, alert)


def mismatch_problem(intent: PaymentIntent, answer: Answer) -> Problem:
    """The alert about a payment of another amount or currency than was asked for."""
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=intent_subject(intent.id),
        severity="critical",
        message=f"the provider's payment is of another amount: {answer.amount} {answer.currency}"
        f"{_taken(answer)}, for {intent.amount} {intent.currency} (smallest units); the payment"
        " intent stays as it is",
        what_to_do=f"Look {answer.provider_reference} up in the provider's dashboard.",
    )


def _taken(answer: Answer) -> str:
    outcome = answer.outcome
    return f" with {outcome.amount_received} taken" if isinstance(outcome, Approved) else ""


def orphan_problem(intent: PaymentIntent, answer: Answer) -> Problem:
    """The alert about money that was taken by a second payment of an intent."""
    return Problem(
        type=AlertType.ORPHAN_CHARGE,
        subject=intent_subject(intent.id),
        severity="critical",
        message="the provider took money a second time for this payment intent",
        what_to_do=f"Refund {answer.provider_reference} at the provider; the payment intent itself"
        f" rests on {intent.provider_reference}.",
    )


def _hold_left(intent: PaymentIntent, answer: Answer) -> Problem:
    return Problem(
        type=AlertType.ORPHAN_CHARGE,
        subject=intent_subject(intent.id),
        stage="hold",
        severity="warning",
        message="the provider holds money that this payment intent does not rest on, and did not"
        " say that it gave it back",
        what_to_do=f"Cancel {answer.provider_reference} at the provider, unless it is cancelled"
        " there by now.",
    )
