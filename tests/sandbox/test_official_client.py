"""The official client, unmodified, both ways of using it."""

from io import BytesIO

import pytest
import stripe as official

from paygate_sandbox.server import Sandbox
from tests.sandbox.caller import SECRET_KEY, card_payment


@pytest.fixture
def client(sandbox: Sandbox, http: official.AIOHTTPClient) -> official.StripeClient:
    return official.StripeClient(
        SECRET_KEY,
        base_addresses={"api": sandbox.parts.base_url},
        http_client=http,
        max_network_retries=0,
    )


async def test_a_payment(client: official.StripeClient) -> None:
    intents = client.v1.payment_intents
    intent = await intents.create_async(
        {
            "amount": 1000,
            "currency": "eur",
            "payment_method_types": ["card"],
            "capture_method": "manual",
            "metadata": {"paygate_attempt": "att_1"},
        },
        {"idempotency_key": "create"},
    )
    held = await intents.confirm_async(
        intent.id,
        {"payment_method": "pm_card_visa", "expand": ["latest_charge"]},
        {"idempotency_key": "confirm"},
    )
    assert held.status == "requires_capture"
    assert isinstance(held.latest_charge, official.Charge)
    taken = await intents.capture_async(intent.id, {"amount_to_capture": 600})
    assert taken.amount_received == 600
    listed = await intents.list_async({"created": {"gte": intent.created - 1}, "limit": 1})
    assert [each.id for each in listed.data] == [intent.id]
    events = [
        event.type async for event in (await client.v1.events.list_async()).auto_paging_iter()
    ]
    assert events[0] == "payment_intent.succeeded"


async def test_a_transfer(client: official.StripeClient) -> None:
    customer = await client.v1.customers.create_async({"email": "ada@example.com"})
    intent = await client.v1.payment_intents.create_async(
        {
            "amount": 1000,
            "currency": "eur",
            "customer": customer.id,
            "payment_method_types": ["customer_balance"],
            "payment_method_data": {"type": "customer_balance", "customer_balance": {}},
            "payment_method_options": {
                "customer_balance": {
                    "funding_type": "bank_transfer",
                    "bank_transfer": {
                        "type": "eu_bank_transfer",
                        "eu_bank_transfer": {"country": "DE"},
                    },
                }
            },
            "confirm": True,
        }
    )
    assert intent.next_action is not None
    shown = intent.next_action.display_bank_transfer_instructions
    assert shown is not None
    assert shown.amount_remaining == 1000
    await client.v1.test_helpers.customers.fund_cash_balance_async(
        customer.id, {"amount": 1200, "currency": "eur"}
    )
    paid = await client.v1.payment_intents.retrieve_async(intent.id)
    assert paid.status == "succeeded"
    cash = await client.v1.customers.cash_balance.retrieve_async(customer.id)
    assert cash.available is not None
    assert cash.available["eur"] == 200


async def test_a_debit(client: official.StripeClient) -> None:
    method = await client.v1.payment_methods.create_async(
        {
            "type": "sepa_debit",
            "sepa_debit": {"iban": "AT611904300234573201"},
            "billing_details": {"name": "Ada", "email": "ada@example.com"},
        }
    )
    intent = await client.v1.payment_intents.create_async(
        {
            "amount": 1000,
            "currency": "eur",
            "payment_method_types": ["sepa_debit"],
            "payment_method": method.id,
            "mandate_data": {"customer_acceptance": {"type": "offline", "offline": {}}},
            "confirm": True,
        }
    )
    assert intent.status == "processing"


async def test_errors(client: official.StripeClient) -> None:
    with pytest.raises(official.CardError) as declined:
        await client.v1.payment_intents.create_async(
            {**card_payment("pm_card_visa_chargeDeclinedInsufficientFunds")}  # type: ignore[typeddict-item]
        )
    error = declined.value.error
    assert error is not None
    assert error.decline_code == "insufficient_funds"
    assert error.payment_intent is not None
    assert error.payment_intent.status == "requires_payment_method"
    with pytest.raises(official.InvalidRequestError) as missing:
        await client.v1.payment_intents.retrieve_async("pi_none")
    assert missing.value.code == "resource_missing"
    await client.v1.payment_intents.create_async(
        {"amount": 1000, "currency": "eur"}, {"idempotency_key": "k"}
    )
    with pytest.raises(official.IdempotencyError):
        await client.v1.payment_intents.create_async(
            {"amount": 1001, "currency": "eur"}, {"idempotency_key": "k"}
        )


async def test_a_wrong_key(sandbox: Sandbox, http: official.AIOHTTPClient) -> None:
    client = official.StripeClient(
        "sk_test_wrong", base_addresses={"api": sandbox.parts.base_url}, http_client=http
    )
    with pytest.raises(official.AuthenticationError):
        await client.v1.accounts.retrieve_current_async()


async def test_the_old_global_way(
    sandbox: Sandbox, http: official.AIOHTTPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(official, "api_base", sandbox.parts.base_url)
    monkeypatch.setattr(official, "api_key", SECRET_KEY)
    monkeypatch.setattr(official, "default_http_client", http)
    intent = await official.PaymentIntent.create_async(amount=1000, currency="usd")
    again = await official.PaymentIntent.retrieve_async(intent.id)
    assert again.client_secret == intent.client_secret


async def test_its_retries_meet_a_lost_reply(
    sandbox: Sandbox, http: official.AIOHTTPClient
) -> None:
    client = official.StripeClient(
        SECRET_KEY,
        base_addresses={"api": sandbox.parts.base_url},
        http_client=http,
        max_network_retries=2,
    )
    sandbox.parts.faults.add(
        on="confirm",
        kind="drop_reply",
        count=1,
        probability=None,
        seed=None,
        seconds=None,
        hold="before",
    )
    intent = await client.v1.payment_intents.create_async({**card_payment()})  # type: ignore[typeddict-item]
    assert intent.status == "succeeded"
    charges = await client.v1.charges.list_async()
    assert len(charges.data) == 1


async def test_a_dispute(sandbox: Sandbox, http: official.AIOHTTPClient) -> None:
    address = sandbox.parts.base_url
    client = official.StripeClient(
        SECRET_KEY,
        base_addresses={"api": address, "files": address},
        http_client=http,
        max_network_retries=0,
    )
    paid = await client.v1.payment_intents.create_async(
        card_payment("pm_card_createDispute")  # type: ignore[arg-type]
    )
    disputes = client.v1.disputes
    (found,) = (await disputes.list_async({"payment_intent": paid.id})).data
    assert (await disputes.retrieve_async(found.id)).status == "needs_response"
    receipt = BytesIO(b"%PDF-1.7")
    receipt.name = "receipt.pdf"
    file = await client.v1.files.create_async({"purpose": "dispute_evidence", "file": receipt})
    assert (file.filename, file.type) == ("receipt.pdf", "pdf")
    sent = await disputes.update_async(
        found.id,
        {"evidence": {"receipt": file.id, "customer_name": "Ada"}, "submit": True},
        {"idempotency_key": "submit"},
    )
    assert (sent.status, sent.evidence.receipt) == ("under_review", file.id)
    assert sent.evidence_details.submission_count == 1
    assert (await disputes.close_async(found.id)).status == "lost"
    await client.v1.payment_intents.create_async(
        card_payment("pm_card_createIssuerFraudRecord")  # type: ignore[arg-type]
    )
    (warning,) = (await client.v1.radar.early_fraud_warnings.list_async()).data
    assert warning.actionable
