"""Payment methods of a customer at the sandbox."""

import stripe as official

from paygate_sandbox.server import Sandbox
from tests.sandbox.caller import SECRET_KEY, Caller, card_payment

METHODS = "/v1/payment_methods"


async def test_one_that_is_attached_is_used_again_by_its_customer(stripe: Caller) -> None:
    customer = (await stripe.post("/v1/customers"))["id"]
    method = await stripe.post(f"{METHODS}/pm_card_visa/attach", {"customer": customer})
    assert method["customer"] == customer
    assert await stripe.get(f"{METHODS}/{method['id']}") == method
    assert (await stripe.get(f"/v1/customers/{customer}/payment_methods"))["data"] == [method]
    for _ in range(2):
        paid = await stripe.post(
            "/v1/payment_intents", card_payment(method["id"], customer=customer)
        )
        assert paid["status"] == "succeeded"
    stranger = await stripe.refused("/v1/payment_intents", card_payment(method["id"]))
    assert stranger["param"] == "payment_method"
    await stripe.refused(f"{METHODS}/{method['id']}/attach", {"customer": customer})
    detached = await stripe.post(f"{METHODS}/{method['id']}/detach")
    assert detached["customer"] is None
    assert (await stripe.get(f"/v1/customers/{customer}/payment_methods"))["data"] == []
    types = [each for each in await stripe.event_types() if each.startswith("payment_method.")]
    assert types == ["payment_method.attached", "payment_method.detached"]
    for path, order in (
        (f"{METHODS}/{method['id']}/attach", {"customer": customer}),
        (f"{METHODS}/{method['id']}/detach", {}),
        ("/v1/payment_intents", card_payment(method["id"], customer=customer)),
    ):
        await stripe.refused(path, order)


async def test_what_cannot_be_attached(stripe: Caller) -> None:
    customer = (await stripe.post("/v1/customers"))["id"]
    await stripe.refused(f"{METHODS}/pm_none/attach", {"customer": customer}, 404)
    await stripe.refused(f"{METHODS}/x/attach", {"customer": customer}, 404)
    await stripe.refused(f"{METHODS}/pm_card_visa/attach", {"customer": "cus_none"})
    missing = await stripe.refused(f"{METHODS}/pm_card_visa/attach")
    assert missing["param"] == "customer"
    used = (await stripe.post("/v1/payment_intents", card_payment()))["payment_method"]
    await stripe.refused(f"{METHODS}/{used}/attach", {"customer": customer})
    await stripe.refused(f"{METHODS}/pm_none/detach", status=404)


async def test_by_the_official_client(sandbox: Sandbox, http: official.AIOHTTPClient) -> None:
    client = official.StripeClient(
        SECRET_KEY,
        base_addresses={"api": sandbox.parts.base_url},
        http_client=http,
        max_network_retries=0,
    )
    customer = await client.v1.customers.create_async()
    methods = client.v1.payment_methods
    method = await methods.attach_async("pm_card_visa", {"customer": customer.id})
    assert method.customer == customer.id
    assert (await methods.detach_async(method.id)).customer is None
