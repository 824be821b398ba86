"""What people are told of provider events: the words of their alerts."""

from collections.abc import Mapping

from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.payments.outcome import Answer
from paygate.domain.provider_event import ProviderEvent
from paygate.flows.payments.attempt.consequences import UNUSED_MONEY


def given_up(event: ProviderEvent) -> Problem:
    """An event that could not be applied."""
    return Problem(
        type=AlertType.WEBHOOK_DEAD_LETTER,
        subject=_subject(event),
        severity="critical",
        message=f"an event could not be applied: {event.last_error or event.verdict}",
        what_to_do="Look the event up at the provider, and the payment that it is about.",
    )


def orphaned(event: ProviderEvent) -> Problem:
    """Money that bears our mark, and that is not recorded here."""
    return Problem(
        type=AlertType.ORPHAN_CHARGE,
        subject=_subject(event),
        severity="critical",
        message="the provider tells of a payment that bears this installation's mark, and nothing"
        " of it is recorded here",
        what_to_do="Look the event up at the provider. Was the database put back to a backup? Then"
        " see docs/restores.md; else refund the payment there.",
    )


def stranger(event: ProviderEvent, answer: Answer) -> Problem:
    """Money that somebody else took on an account that is ours alone."""
    amount = "" if answer.amount is None else f": {answer.amount} {answer.currency}"
    return Problem(
        type=AlertType.ORPHAN_CHARGE,
        subject=_subject(event),
        severity="critical",
        message=f"a payment was made on the provider's account that is not ours{amount}",
        what_to_do="Find out who uses the account's keys: PAYGATE_EXCLUSIVE_ACCOUNT says that"
        " nobody else does.",
    )


def excess(payer: Subject, amounts: Mapping[str, int]) -> Problem:
    """Money that came and pays for nothing; smallest units by currency."""
    lies = ", ".join(f"{amount} {currency}" for currency, amount in sorted(amounts.items()))
    return Problem(
        type=AlertType.TRANSFER_EXCESS,
        subject=payer,
        severity="warning",
        message=f"a payer sent more than was asked for: {lies} (smallest units) lie unused",
        what_to_do=UNUSED_MONEY,
    )


def _subject(event: ProviderEvent) -> Subject:
    return Subject("provider_event", event.id)
