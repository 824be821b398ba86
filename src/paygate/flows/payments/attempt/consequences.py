"""What is committed with a move of a payment: the merchant's event, the transfer in the ledger, the
alert, the job that follows. Every flow that moves a payment asks here.
"""

from typing import Final, NamedTuple

from paygate.domain import ledger
from paygate.domain.alert import AlertType, Concern
from paygate.domain.audit import Subject
from paygate.domain.payments import events
from paygate.domain.payments.attempt import AttemptState
from paygate.domain.payments.confirmation import Moved
from paygate.domain.payments.outcome import Answer, Cancelled, Rejected
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.alerts.raise_alert import occurrence, to_raise
from paygate.flows.context import Context, intent_subject
from paygate.jobs.messages import CloseFailedPayment, Job
from paygate.storage.change import Appended, Versioned

UNUSED_MONEY: Final = (
    "The money lies with the provider, on the payer's account there: send it back, or let it pay"
    " for another intent of the same customer."
)
"""What to do about money that pays for nothing."""


class Consequences(NamedTuple):
    """The parts of a change, beside its audit entry."""

    creates: tuple[Versioned | Appended, ...] = ()
    advances: tuple[Versioned, ...] = ()
    jobs: tuple[Job, ...] = ()

    def also(self, more: "Consequences") -> "Consequences":
        """Both together, in one commit."""
        return Consequences(
            self.creates + more.creates, self.advances + more.advances, self.jobs + more.jobs
        )


NOTHING: Final = Consequences()
"""There is nothing to commit."""


def of_move(
    ctx: Context,
    before: PaymentIntent,
    moved: Moved,
    *,
    request_id: str | None,
    answer: Answer | None = None,
) -> Consequences:
    """What is committed with a move; `answer` is the provider's, when that moved it."""
    intent, attempt = moved.intent, moved.attempt
    creates: list[Appended] = []
    if (type_ := events.news(before, intent)) is not None:
        event = events.of_intent(
            intent,
            event_id=ctx.new_id("event"),
            at=intent.updated_at,
            request_id=request_id,
            type_=type_,
        )
        creates.append(event)
    if intent.money_seq != before.money_seq:
        transfer_id = ctx.new_id("ledger_transfer")
        creates.append(
            ledger.capture(before, intent, transfer_id=transfer_id, attempt=intent.attempt)
        )
    advances = (intent,) if attempt is None else (intent, attempt)
    told = Consequences(tuple(creates), advances, _to_do_next(before, moved))
    concern = None if answer is None else _concern(ctx, before, moved, answer)
    return told if concern is None else told.also(of_concern(ctx, intent.merchant, concern))


def of_concern(ctx: Context, merchant: str, concern: Concern) -> Consequences:
    """An alert that is durable with the fact that it tells of."""
    found = occurrence(ctx, merchant, concern)
    return Consequences((found,), (), to_raise(found))


def _to_do_next(before: PaymentIntent, moved: Moved) -> tuple[Job, ...]:
    """The provider's object of a payment that has failed is closed too, lest it be paid still."""
    intent, attempt = moved.intent, moved.attempt
    failed = intent.status is Status.FAILED and before.status is not Status.FAILED
    if not failed or intent.attempt is None or intent.provider_reference is None:
        return ()
    if attempt is not None and attempt.state is AttemptState.CANCELLED:
        return ()  # given up, and the provider has closed it
    return (Job(CloseFailedPayment(intent.merchant, intent.attempt)),)


def _concern(ctx: Context, before: PaymentIntent, moved: Moved, answer: Answer) -> Concern | None:
    """What a person must hear of an answer that moved a payment."""
    match answer.outcome:
        case Rejected(reason="provider_configuration"):
            return misconfigured(ctx, answer.outcome.message)
        case Cancelled() if events.received(before):
            given_up = moved.attempt is not None and moved.attempt.given_up
            return _partly_paid(before, given_up=given_up)
        case _:
            return None


def misconfigured(ctx: Context, message: str) -> Concern:
    """The alert about a provider that refuses our key."""
    return Concern(
        type=AlertType.PROVIDER_MISCONFIGURED,
        subject=Subject("provider", ctx.provider.name),
        severity="critical",
        message=f"payments fail: {message}",
        what_to_do="Look at the provider's key and account; failed payments are not tried again.",
    )


def _partly_paid(intent: PaymentIntent, *, given_up: bool) -> Concern:
    kind = AlertType.TRANSFER_PARTLY_FUNDED if given_up else AlertType.TRANSFER_EXCESS
    came = f"{events.received(intent)} of {intent.amount} {intent.currency} (smallest units)"
    return Concern(
        type=kind,
        subject=intent_subject(intent.id),
        severity="warning",
        message=f"a transfer was closed after {came} had come",
        what_to_do=UNUSED_MONEY,
    )
