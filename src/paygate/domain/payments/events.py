"""What a change of a payment intent is worth telling the merchant."""

from paygate.domain.payments.outcome import TransferInstructions
from paygate.domain.payments.payment_intent import PaymentIntent


def news(before: PaymentIntent, after: PaymentIntent) -> str | None:
    """The type of the event that a change of an intent is worth, if it is worth one."""
    if after.status is not before.status:
        return status_of(after)
    if received(after) > received(before):
        return "payment_intent.partially_funded"
    return None


def status_of(intent: PaymentIntent) -> str:
    """The type of the event that tells of an intent's status."""
    return f"payment_intent.{intent.status}"


def received(intent: PaymentIntent) -> int:
    """How much of a transfer has come, while it is waited for."""
    action = intent.next_action
    return action.amount_received if isinstance(action, TransferInstructions) else 0
