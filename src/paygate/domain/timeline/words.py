"""Words that several kinds of entries share."""

from paygate.domain.access.roles import Actor, Role
from paygate.domain.money import major_units
from paygate.domain.payments.outcome import BankTransfer, Card, PaymentError, PaymentMethod
from paygate.domain.payments.payment_method import (
    CardToken,
    DirectDebit,
    Instrument,
    PushTransfer,
)

money = major_units


def who(actor: Actor) -> str:
    """Who acted, for a sentence."""
    if actor.type == "job":
        return f"The job {actor.name}"
    if actor.type == "provider":
        return f"The provider {actor.id}"
    if actor.type == "command":
        return f"{actor.name}, on the command line,"
    if actor.name is not None:
        return actor.name
    if actor.type == "client" or actor.role is Role.PUBLISHABLE:
        return "The payer's browser"
    return f"A key of the role {actor.role}" if actor.role is not None else f"The key {actor.id}"


def name_of(actor: Actor) -> str:
    """Who acted: the person or system that was named, else the key that was used."""
    return actor.name or actor.id or actor.type


def method(shown: PaymentMethod | None) -> str | None:
    """What a payment was made with."""
    match shown:
        case Card():
            known = [shown.brand or "card", f"ending in {shown.last4}" if shown.last4 else ""]
            return " ".join(filter(None, known))
        case BankTransfer():
            ending = f" from an account ending in {shown.last4}" if shown.last4 else ""
            return f"bank {'debit' if shown.flow == 'debit' else 'transfer'}{ending}"
        case None:
            return None


def instrument(given: Instrument | None) -> str:
    """What the provider was asked to take a payment from."""
    match given:
        case CardToken():
            return "by card"
        case DirectDebit():
            return "by bank debit"
        case PushTransfer():
            return "by bank transfer"
        case None:
            return ""


def failure(error: PaymentError) -> str:
    """Why a payment did not go through."""
    code = error.code if error.decline_code is None else f"{error.code}, {error.decline_code}"
    return f"{error.message.rstrip('.')} ({code})"
