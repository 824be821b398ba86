"""Evidence from our own records, as of the payment: a beginning that the merchant may change.

Only what we hold is claimed. A customer who was changed since the payment may not be who paid, so
nothing is said of them. A record that cannot be read leaves its part out, and the dispute is there.
"""

from collections.abc import Mapping

from paygate.domain.customer import Customer
from paygate.domain.disputes.evidence import TEXTS
from paygate.domain.money import major_units
from paygate.domain.payments.outcome import Card
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.context import Context
from paygate.storage.change import StorageError
from paygate.storage.unreadable import Unreadable
from paygate.telemetry import log


async def prefilled_texts(ctx: Context, intent: PaymentIntent) -> Mapping[str, str]:
    """The texts of a new dispute of this payment."""
    customer: Customer | None = None
    if intent.customer is not None:
        try:
            customer = await ctx.read.customer(intent.merchant, intent.customer)
        except (StorageError, Unreadable) as error:
            log.logger().warning("evidence_not_prefilled", error=error)
    texts = {"product_description": intent.description, "uncategorized_text": _payment(intent)}
    if customer is not None and _is_as_it_paid(customer, intent):
        texts |= {"customer_name": customer.name, "customer_email_address": customer.email}
    return {field: text[: TEXTS[field]] for field, text in texts.items() if text}


def _is_as_it_paid(customer: Customer, intent: PaymentIntent) -> bool:
    paid_at = intent.final_at or intent.updated_at
    return customer.erased_at is None and customer.updated_at <= paid_at


def _payment(intent: PaymentIntent) -> str:
    """What was paid, when, and by which reference the merchant knows it."""
    paid_at = intent.final_at or intent.updated_at
    amount = major_units(intent.amount_received, intent.currency)
    said = [f"Payment of {amount} on {paid_at:%Y-%m-%d %H:%M:%S} UTC."]
    if intent.reference is not None:
        said.append(f"Merchant's reference: {intent.reference}.")
    if isinstance(intent.payment_method, Card):
        said.append(
            f"Card: {intent.payment_method.brand}, ending in {intent.payment_method.last4}."
        )
    return " ".join(said)
