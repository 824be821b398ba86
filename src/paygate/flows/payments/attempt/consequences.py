"""Puts together what is committed with a move of a payment: both records, the audit entry, the
merchant's event, the transfer in the ledger, the correction, the alert, the job that follows. Every
flow that moves a payment commits here.
"""

from typing import Final, NamedTuple

from paygate.domain import event, ledger
from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.payments import events
from paygate.domain.payments.attempt import AttemptState
from paygate.domain.payments.confirmation import Moved
from paygate.domain.payments.correction import correction_of
from paygate.domain.payments.outcome import Answer, Approved, Cancelled, Rejected
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.alerts.raise_alert import occurrence, to_raise
from paygate.flows.context import Context, intent_subject
from paygate.jobs.messages import CloseFailedPayment, Job
from paygate.storage.change import Appended, Change, Committed, Versioned

UNUSED_MONEY: Final = (
    "The money lies with the provider, on the payer's account there: send it back, or let it pay"
    " for another intent of the same customer."
)
"""What to do about money that pays for nothing."""
REASON: Final = "captured_after_the_end"
"""The reason of every correction: there is one only."""


class Consequences(NamedTuple):
    """The parts of a change, beside its audit entry."""

    creates: tuple[Versioned | Appended, ...] = ()
    advances: tuple[Versioned, ...] = ()
    jobs: tuple[Job, ...] = ()

    def also(self, more: "Consequences") -> "Consequences":
        """These consequences and `more`, for one commit."""
        return Consequences(
            self.creates + more.creates, self.advances + more.advances, self.jobs + more.jobs
        )


NOTHING: Final = Consequences()
"""No consequences: there is nothing to commit."""


async def commit_move(
    ctx: Context,
    caller: Caller,
    action: Action,
    moved: Moved,
    *,
    answer: Answer | None = None,
    response: PaymentIntent | None = None,
) -> bool:
    """Commit a move with all that belongs to it. Returns whether the move is durable: False when
    the payment has moved on meanwhile. `answer` is the provider's, when an answer made the move.
    """
    commits = of_move(ctx, moved, request_id=caller.request_id, answer=answer)
    change = change_of(ctx, caller, action, moved.before, commits, response=response)
    return isinstance(await ctx.door.commit(change), Committed)


def change_of(
    ctx: Context,
    caller: Caller,
    action: Action,
    intent: PaymentIntent,
    commits: Consequences,
    *,
    response: PaymentIntent | None = None,
    details: dict[str, str] | None = None,
) -> Change:
    """The change for what a caller did to an intent; a `response` ends the request. `details` are
    for the audit log.
    """
    audit = ctx.audit(caller, action, intent_subject(intent.id), details=details)
    return Change(audit, *commits, response=response)


def of_move(
    ctx: Context,
    moved: Moved,
    *,
    request_id: str | None,
    answer: Answer | None = None,
    rival: PaymentIntent | None = None,
) -> Consequences:
    """The consequences of a move; `answer` is the provider's, when an answer made the move, and
    `rival` is another intent with the reference of a corrected one.
    """
    before, intent, attempt = moved.before, moved.intent, moved.attempt
    corrects = moved.proof is not None
    records = (intent,) if attempt is None else (intent, attempt)
    creates: list[Versioned | Appended] = [each for each in records if each.version == 1]
    if corrects:
        correction_id = ctx.new_id("correction")
        creates.append(
            correction_of(
                before, intent, correction_id=correction_id, reason=REASON, proof=moved.proof
            )
        )
    if (type_ := events.news(before, intent)) is not None:
        news = event.of(
            intent,
            type_,
            event_id=ctx.new_id("event"),
            at=intent.updated_at,
            request_id=request_id,
            correction=corrects,
        )
        creates.append(news)
    if intent.money_seq != before.money_seq:
        transfer_id = ctx.new_id("ledger_transfer")
        paid_by = answer.attempt if corrects and answer is not None else intent.attempt
        creates.append(ledger.capture(before, intent, transfer_id=transfer_id, attempt=paid_by))
    advances = tuple(each for each in records if each.version > 1)
    done = Consequences(tuple(creates), advances, _to_do_next(moved))
    problem = None if answer is None else _problem(ctx, moved, answer, rival)
    return done if problem is None else done.also(alert_about(ctx, intent.merchant, problem))


def alert_about(ctx: Context, merchant: str, problem: Problem) -> Consequences:
    """The occurrence of a problem and its job, durable with the fact that they tell of."""
    found = occurrence(ctx, merchant, problem)
    return Consequences((found,), (), to_raise(found))


def _to_do_next(moved: Moved) -> tuple[Job, ...]:
    """The jobs after a move: what has failed is closed at the provider too, lest it be paid."""
    intent, attempt = moved.intent, moved.attempt
    failed = intent.status is Status.FAILED and moved.before.status is not Status.FAILED
    if not failed or intent.attempt is None or intent.provider_reference is None:
        return ()
    if attempt is not None and attempt.state is AttemptState.CANCELLED:
        return ()  # given up, and the provider has closed it
    return (Job(CloseFailedPayment(intent.merchant, intent.attempt)),)


def _problem(
    ctx: Context, moved: Moved, answer: Answer, rival: PaymentIntent | None
) -> Problem | None:
    """The problem, if any, that a person must hear of after an answer moved a payment."""
    before = moved.before
    match answer.outcome:
        case Approved() if moved.proof is not None:
            return _corrected(before, rival)
        case Rejected(reason="provider_configuration"):
            return misconfigured(ctx, answer.outcome.message)
        case Cancelled() if events.received(before):
            given_up = moved.attempt is not None and moved.attempt.given_up
            return _partly_paid(before, given_up=given_up)
        case _:
            return None


def _corrected(intent: PaymentIntent, rival: PaymentIntent | None) -> Problem:
    """The problem of a correction: a person must hear of each, for none should happen."""
    message = f"money was taken, though it had {intent.status}"
    what_to_do = "Decide with the payer whether the order is still wanted; refund it if not."
    if rival is not None:
        message += f"; and {rival.id}, a payment intent of the same reference, is {rival.status}"
        what_to_do = (
            "The order may be paid twice: decide with the payer which of the two is wanted, and"
            " refund or cancel the other."
        )
    return Problem(
        type=AlertType.STATE_CORRECTION,
        subject=intent_subject(intent.id),
        severity="critical",
        message=message,
        what_to_do=what_to_do,
    )


def misconfigured(ctx: Context, message: str) -> Problem:
    """The problem of a provider that rejects our key."""
    return Problem(
        type=AlertType.PROVIDER_MISCONFIGURED,
        subject=Subject("provider", ctx.provider.name),
        severity="critical",
        message=f"payments fail: {message}",
        what_to_do="Look at the provider's key and account; failed payments are not tried again.",
    )


def _partly_paid(intent: PaymentIntent, *, given_up: bool) -> Problem:
    kind = AlertType.TRANSFER_PARTLY_FUNDED if given_up else AlertType.TRANSFER_EXCESS
    came = f"{events.received(intent)} of {intent.amount} {intent.currency} (smallest units)"
    return Problem(
        type=kind,
        subject=intent_subject(intent.id),
        severity="warning",
        message=f"a transfer was closed after {came} had come",
        what_to_do=UNUSED_MONEY,
    )
