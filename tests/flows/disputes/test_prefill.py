"""A dispute begins with what our own records say of the payment, as it was then."""

from typing import Any

import pytest

from paygate.domain.customer import Payer
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.disputes.find import apply_dispute
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from tests.flows.disputes.answering import REFERENCE, shown
from tests.flows.world import APPROVED, World, answer

ADA = Payer(email="ada@example.com", name="Ada")


async def paid(world: World, **more: Any) -> PaymentIntent:
    new = NewPaymentIntent(amount=1999, currency="eur", **more)
    created = (await create_payment_intent(world.ctx, world.caller, new)).intent
    world.provider.answers.append(answer(APPROVED))
    intent = await world.confirm(created)
    world.clock.forward(60)
    return intent


async def heard_of(world: World) -> Dispute:
    world.provider.disputes_shown[REFERENCE] = said = shown(world, amount=1999)
    found = await apply_dispute(world.ctx, world.caller, said)
    assert found.dispute is not None
    return found.dispute


async def test_what_we_hold_is_there_and_nothing_more(world: World) -> None:
    await paid(world, customer=ADA, reference="order-1", description="A red hat")
    dispute = await heard_of(world)
    assert dispute.texts == {
        "customer_name": "Ada",
        "customer_email_address": "ada@example.com",
        "product_description": "A red hat",
        "uncategorized_text": "Payment of 19.99 EUR on 2026-11-24 12:00:00 UTC."
        " Merchant's reference: order-1. Card: visa, ending in 4242.",
    }
    assert dispute.staged_at is None, "it was not put together by anybody"


async def test_without_customer_and_description_nothing_is_said_of_them(world: World) -> None:
    await paid(world)
    assert set((await heard_of(world)).texts) == {"uncategorized_text"}


async def test_a_customer_who_was_changed_since_is_not_who_paid(world: World) -> None:
    intent = await paid(world, customer=ADA)
    changed = NewPaymentIntent(
        amount=1, currency="eur", customer=Payer(id=intent.customer, name="Grace")
    )
    await create_payment_intent(world.ctx, world.caller, changed)
    assert set((await heard_of(world)).texts) == {"uncategorized_text"}


@pytest.mark.parametrize("spoil", ["sealed = '\\x00'::bytea", None])
async def test_a_customer_that_cannot_be_read_hinders_nothing(
    world: World, spoil: str | None
) -> None:
    """The optional part is left out; the dispute and its deadline are there."""
    intent = await paid(world, customer=ADA, description="A red hat")
    await world.connection.execute("SET session_replication_role = replica")
    change = f"UPDATE customer SET {spoil}" if spoil else "DELETE FROM customer"
    await world.connection.execute("ALTER TABLE customer DISABLE TRIGGER ALL")
    await world.connection.execute(change)
    dispute = await heard_of(world)
    assert set(dispute.texts) == {"product_description", "uncategorized_text"}
    assert dispute.answer_due_at is not None
    assert intent.customer is not None
