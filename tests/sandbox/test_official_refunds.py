"""Refunds, and methods that a customer keeps, by the official client, unmodified."""

from typing import Any

import pytest
import stripe as official

from paygate_sandbox.server import Sandbox
from tests.sandbox.caller import SECRET_KEY, Caller, card_payment


@pytest.fixture
def client(sandbox: Sandbox, http: official.AIOHTTPClient) -> official.StripeClient:
    return official.StripeClient(
        SECRET_KEY,
        base_addresses={"api": sandbox.parts.base_url},
        http_client=http,
        max_network_retries=0,
    )


async def paid(client: official.StripeClient, **more: Any) -> official.PaymentIntent:
    """A payment of 1000 that succeeded."""
    params: Any = card_payment(**more)
    intent = await client.v1.payment_intents.create_async(params)
    assert intent.status == "succeeded"
    return intent


async def test_a_refund_is_made_read_listed_and_marked(client: official.StripeClient) -> None:
    refunds, intent = client.v1.refunds, await paid(client)
    asked: Any = {
        "payment_intent": intent.id,
        "amount": 300,
        "reason": "requested_by_customer",
        "metadata": {"order": "7"},
    }
    part = await refunds.create_async(asked, {"idempotency_key": "part"})
    shown = (part.object, part.status, part.amount, part.currency)
    assert shown == ("refund", "succeeded", 300, "eur")
    again = await refunds.create_async(asked, {"idempotency_key": "part"})
    assert again.id == part.id
    marked = await refunds.update_async(part.id, {"metadata": {"seen": "yes", "order": ""}})
    assert marked.metadata is not None
    assert marked.metadata.to_dict() == {"seen": "yes"}
    read = await refunds.retrieve_async(part.id, {"expand": ["charge", "payment_intent"]})
    assert isinstance(read.charge, official.Charge)
    assert isinstance(read.payment_intent, official.PaymentIntent)
    assert (read.charge.amount_refunded, read.charge.refunded) == (300, False)
    rest = await refunds.create_async({"charge": read.charge.id})
    assert rest.amount == 700
    listed = await refunds.list_async({"payment_intent": intent.id, "limit": 1})
    pages = [each.id async for each in listed.auto_paging_iter()]
    assert pages == [rest.id, part.id]


async def test_refunds_that_are_refused(client: official.StripeClient) -> None:
    refunds, intent = client.v1.refunds, await paid(client)
    with pytest.raises(official.InvalidRequestError) as over:
        await refunds.create_async({"payment_intent": intent.id, "amount": 1001})
    assert over.value.param == "amount"
    whole = await refunds.create_async({"payment_intent": intent.id})
    with pytest.raises(official.InvalidRequestError) as again:
        await refunds.create_async({"payment_intent": intent.id, "amount": 1})
    assert again.value.code == "charge_already_refunded"
    with pytest.raises(official.InvalidRequestError) as cancelled:
        await refunds.cancel_async(whole.id)
    assert cancelled.value.http_status == 400
    with pytest.raises(official.InvalidRequestError) as missing:
        await refunds.retrieve_async("re_none")
    assert missing.value.code == "resource_missing"


async def test_a_refund_that_fails_later(client: official.StripeClient, stripe: Caller) -> None:
    intent = await paid(client, token="pm_card_refundFail")
    refund = await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    await stripe.advance(200)
    after = await client.v1.refunds.retrieve_async(refund.id)
    assert (after.status, after.failure_reason) == ("failed", "expired_or_canceled_card")
    events = await client.v1.events.list_async({"type": "refund.failed"})
    assert [event.data.object["id"] for event in events.data] == [refund.id]


async def test_a_method_that_a_customer_keeps_pays_twice(client: official.StripeClient) -> None:
    methods = client.v1.payment_methods
    customer = await client.v1.customers.create_async({"email": "ada@example.com"})
    kept = await methods.attach_async("pm_card_visa", {"customer": customer.id})
    assert (kept.customer, kept.id.startswith("pm_")) == (customer.id, True)
    for _ in range(2):
        intent = await paid(client, token=kept.id, customer=customer.id)
        assert intent.payment_method == kept.id
    other = await client.v1.customers.create_async({})
    strangers: list[Any] = [card_payment(kept.id), card_payment(kept.id, customer=other.id)]
    for stranger in strangers:
        with pytest.raises(official.InvalidRequestError):
            await client.v1.payment_intents.create_async(stranger)
    with pytest.raises(official.InvalidRequestError):
        await methods.attach_async(kept.id, {"customer": other.id})
    gone = await methods.detach_async(kept.id)
    assert gone.customer is None
    params: Any = card_payment(kept.id, customer=customer.id)
    with pytest.raises(official.InvalidRequestError) as used:
        await client.v1.payment_intents.create_async(params)
    assert "may not be used again" in str(used.value)
    with pytest.raises(official.InvalidRequestError):
        await methods.detach_async(kept.id)
    events = await client.v1.events.list_async({"limit": 100})
    types = [event.type for event in events.data if event.type.startswith("payment_method.")]
    assert types == ["payment_method.detached", "payment_method.attached"]


async def test_what_has_paid_unkept_is_not_kept_later(
    client: official.StripeClient, stripe: Caller
) -> None:
    intent = await paid(client)
    customer = await client.v1.customers.create_async({})
    for name, params in (
        (str(intent.payment_method), {"customer": customer.id}),
        ("pm_card_visa", {"customer": "cus_none"}),
        ("pm_none", {"customer": customer.id}),
    ):
        with pytest.raises(official.InvalidRequestError):
            await client.v1.payment_methods.attach_async(name, params)  # type: ignore[arg-type]
    refused = await stripe.refused("/v1/payment_methods/pm_card_visa/attach", {})
    assert refused["code"] == "parameter_missing"
