"""The gateway's main job, from an empty directory, as a merchant's program would see it.

Starts `paygate up` in a temporary directory, talks to it over HTTPS with nothing but Python's
standard library, and checks every end state - at the gateway and in the provider's own books.
Exit status 0 means that each of them was as it must be.
"""

import base64
import hmac
import json
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")

WAIT_SECONDS = 60
RETURN_URL = "https://shop.example/thanks?order=7"


class DemoFailed(Exception):
    """An end state was not as it must be."""


def check(holds: object, what: str) -> None:
    if not holds:
        raise DemoFailed(what)
    print(f"     ok  {what}")


def wait_for(what: str, look: Callable[[], T | None]) -> T:
    """The first result that is not None."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise DemoFailed(f"timed out: {what}")


class StayHere(urllib.request.HTTPRedirectHandler):
    """Does not follow: the demo looks at where a browser is sent."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Merchant:
    """A merchant's program: the gateway's API, and a look into the provider's books."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self._ready = ready
        self.url = str(ready["api_url"])
        self._tls = ssl.create_default_context(cafile=ready["ca_file"])

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str | None = None
    ) -> dict[str, Any]:
        """One call of the gateway's API; one that changes something has an idempotency key."""
        request = urllib.request.Request(
            self._ready["api_url"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._ready['secret_key']}",
                "Content-Type": "application/json",
                "Paygate-Actor": "make demo",
                "Idempotency-Key": key or str(uuid.uuid4()),
            },
        )
        try:
            with urllib.request.urlopen(request, context=self._tls) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))

    def sandbox(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The sandbox's own doors: its ledger, its faults, Stripe's API."""
        request = urllib.request.Request(
            self._ready["sandbox_url"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._ready['sandbox_secret_key']}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request) as response:
            return dict(json.load(response))

    def create(self, amount: int, currency: str, **more: Any) -> dict[str, Any]:
        intent = self.call(
            "POST",
            "/payment-intents",
            {"amount": amount, "currency": currency, "reference": f"order-{uuid.uuid4()}"} | more,
        )
        check(intent.get("status") == "created", f"created {intent.get('id')}: {amount} {currency}")
        return intent

    def confirm(
        self, intent: dict[str, Any], token: str, *, key: str | None = None
    ) -> dict[str, Any]:
        return self.confirm_with(intent, {"type": "card", "token": token}, key=key)

    def confirm_with(
        self, intent: dict[str, Any], method: dict[str, Any], *, key: str | None = None
    ) -> dict[str, Any]:
        body = {"payment_method": method, "return_url": RETURN_URL}
        return self.call("POST", f"/payment-intents/{intent['id']}/confirm", body, key=key)

    def browse(self, url: str, form: dict[str, str] | None = None) -> str:
        """What a payer's browser does with an address: where it is sent on to, or else the page."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=self._tls), StayHere()
        )
        try:
            with opener.open(url, data) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            return str(error.headers["Location"])

    def send_money(self, intent: dict[str, Any], amount: int) -> None:
        """What a payer's bank does: the sandbox's test helper, as Stripe has it."""
        theirs = self.sandbox("GET", f"/v1/payment_intents/{intent['provider_reference']}")
        path = f"/v1/test_helpers/customers/{theirs['customer']}/fund_cash_balance"
        self.sandbox_form(path, {"amount": str(amount), "currency": intent["currency"]})

    def sandbox_form(self, path: str, form: dict[str, str]) -> None:
        request = urllib.request.Request(
            self._ready["sandbox_url"] + path,
            data=urllib.parse.urlencode(form).encode(),
            headers={"Authorization": f"Bearer {self._ready['sandbox_secret_key']}"},
        )
        urllib.request.urlopen(request).close()

    def read(self, intent: dict[str, Any]) -> dict[str, Any]:
        return self.call("GET", f"/payment-intents/{intent['id']}")

    def charges(self, intent: dict[str, Any]) -> list[dict[str, Any]]:
        """What the provider's own ledger says was charged for an intent of ours."""
        ledger = self.sandbox("GET", "/_sandbox/ledger")
        return [
            charge
            for charge in ledger["charges"]
            if charge["metadata"].get("paygate_intent") == intent["id"]
        ]

    def acknowledged(self, intent: dict[str, Any], kind: str) -> bool | None:
        """Whether the gateway has accepted the provider's signed webhook of this kind."""
        for event in self.sandbox("GET", f"/v1/events?type={kind}&limit=100")["data"]:
            metadata = event["data"]["object"].get("metadata", {})
            if metadata.get("paygate_intent") == intent["id"] and event["pending_webhooks"] == 0:
                return True
        return None


def card_payment(merchant: Merchant) -> None:
    print("\n  1  A card payment")
    intent = merchant.create(1999, "eur")
    answer = merchant.confirm(intent, "pm_card_visa")
    check(answer.get("status") == "succeeded", "confirmed with a card: succeeded")
    check(answer["payment_method"]["last4"] == "4242", "only brand and last4 of the card are known")
    wait_for("webhook", lambda: merchant.acknowledged(intent, "payment_intent.succeeded"))
    print("     ok  the provider's signed webhook was accepted")
    final = merchant.read(intent)
    check(final["status"] == "succeeded", "read: succeeded")
    check(final["amount_received"] == 1999, "read: 19.99 EUR received")
    charges = merchant.charges(intent)
    check(
        [(c["amount"], c["currency"], c["captured"]) for c in charges] == [(1999, "eur", True)],
        "the provider's own ledger has this one charge",
    )


def three_d_secure(merchant: Merchant) -> None:
    print("\n  2  The payer's bank asks first: 3D Secure")
    intent = merchant.create(12900, "eur")
    asked = merchant.confirm(intent, "pm_card_threeDSecure2Required")
    check(asked.get("status") == "requires_action", "confirmed: requires_action")
    page = asked["next_action"]["redirect_to_url"]["url"]
    callback = merchant.browse(page, {"outcome": "complete"})
    check(callback.startswith(merchant.url), "the payer answers the bank, and comes to the gateway")
    home = merchant.browse(callback)
    expected = f"{RETURN_URL}&payment_intent={intent['id']}&status=succeeded"
    check(home == expected, "which asks the provider, and sends them on to the shop")
    check(merchant.read(intent)["status"] == "succeeded", "read: succeeded")
    check(len(merchant.charges(intent)) == 1, "charged once")


def decline(merchant: Merchant) -> None:
    print("\n  3  A decline")
    intent = merchant.create(700, "usd")
    answer = merchant.confirm(intent, "pm_card_visa_chargeDeclinedInsufficientFunds")
    error = answer.get("last_payment_error") or {}
    check(answer.get("status") == "failed", "confirmed: failed, and the shop can say why:")
    check(error.get("decline_code") == "insufficient_funds", f"{error.get('message')}")
    check(not any(c["captured"] for c in merchant.charges(intent)), "nothing was taken")
    closed = wait_for("the close", lambda: _closed_there(merchant, answer))
    check(closed, "final here is final there: the provider's object is closed too")


def bank_transfer(merchant: Merchant) -> None:
    print("\n  4  A bank transfer, in two parts")
    intent = merchant.create(5000, "eur", payment_method_types=["bank_transfer"])
    method = {"type": "bank_transfer", "flow": "push", "country": "DE"}
    asked = merchant.confirm_with(intent, method)
    check(asked.get("status") == "requires_action", "confirmed: the payer is told where to pay")
    pay_to = asked["next_action"]["bank_transfer"]
    iban = next(account["iban"] for account in pay_to["accounts"] if account["scheme"] == "iban")
    check(pay_to["amount_remaining"] == 5000, f"50.00 EUR to {iban[:4]}..., {pay_to['reference']}")
    merchant.send_money(asked, 2000)
    partly = wait_for("the first part", lambda: _received(merchant, intent, 2000))
    check(partly["status"] == "requires_action", "20.00 EUR came: 30.00 EUR remain")
    merchant.send_money(asked, 3000)
    final = wait_for("the rest", lambda: _succeeded(merchant, intent))
    check(final["amount_received"] == 5000, "then succeeded: 50.00 EUR received")


def manual_capture(merchant: Merchant) -> None:
    print("\n  5  A hold, and half of it captured")
    intent = merchant.create(8000, "eur", capture_method="manual")
    held = merchant.confirm(intent, "pm_card_visa")
    check(held.get("status") == "requires_capture", "80.00 EUR are held, none is taken")
    taken = merchant.call("POST", f"/payment-intents/{intent['id']}/capture", {"amount": 3000})
    check(taken.get("status") == "succeeded", "captured 30.00 EUR: succeeded")
    check(taken["amount_received"] == 3000, "the rest is released")
    charges = [(c["captured"], c["amount_captured"]) for c in merchant.charges(intent)]
    check(charges == [(True, 3000)], "the provider's own ledger says the same")
    other = merchant.create(8000, "eur", capture_method="manual")
    merchant.confirm(other, "pm_card_visa")
    cancelled = merchant.call("POST", f"/payment-intents/{other['id']}/cancel", {})
    check(cancelled.get("status") == "cancelled", "another hold is released: cancelled")
    check(not merchant.charges(other)[0]["captured"], "and nothing was taken")


def lost_answer(merchant: Merchant) -> None:
    print("\n  6  The provider's answer is lost on the way, and the webhook brings the truth")
    fault = {"on": "confirm", "kind": "drop_reply", "count": 1}
    merchant.sandbox("POST", "/_sandbox/faults", fault)
    intent = merchant.create(4200, "usd")
    answer = merchant.confirm(intent, "pm_card_mastercard")
    check(
        (answer.get("status"), answer.get("pending_operation"))
        in (("processing", "confirm"), ("succeeded", None)),
        f"unknown is not failed: {answer.get('status')}",
    )
    final = wait_for("the truth", lambda: _succeeded(merchant, intent))
    check(final["amount_received"] == 4200, "then succeeded: 42.00 USD received")
    check(len(merchant.charges(intent)) == 1, "charged once")
    faults = merchant.sandbox("GET", "/_sandbox/faults")
    check("drop_reply" in json.dumps(faults), "the fault really happened")


def impatient_customer(merchant: Merchant) -> None:
    print("\n  7  An impatient customer clicks Pay twenty times")
    intent = merchant.create(2500, "eur")
    with ThreadPoolExecutor(20) as clicks:
        answers = list(
            clicks.map(lambda _: merchant.confirm(intent, "pm_card_visa", key="pay"), range(20))
        )
    check(all(answer == answers[0] for answer in answers), "all twenty were given one answer")
    check(answers[0].get("status") == "succeeded", "and it is: succeeded")
    check(len(merchant.charges(intent)) == 1, "charged once")
    other = merchant.confirm(intent, "pm_card_mastercard", key="pay")
    check(
        other["error"]["code"] == "idempotency_key_reused",
        "the same key with another card is refused",
    )


class Hooks(BaseHTTPRequestHandler):
    """The merchant's own server: keeps what is posted to it."""

    came: ClassVar[list[tuple[bytes, dict[str, str]]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.came.append((body, dict(self.headers)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def told_by_webhook(merchant: Merchant) -> None:
    print("\n  8  The merchant's own server is told, signed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hooks)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/hooks"
    body = {"url": url, "events": ["payment_intent.succeeded"]}
    endpoint = merchant.call("POST", "/webhook-endpoints", body)
    check(endpoint.get("status") == "enabled", f"a webhook endpoint: {endpoint.get('id')}")
    intent = merchant.create(3100, "eur")
    merchant.confirm(intent, "pm_card_visa")
    event, headers = wait_for("the webhook", lambda: _verified(endpoint["secret"]))
    check(event["data"]["object"]["id"] == intent["id"], f"told of it: {event['type']}")
    check(headers["webhook-id"] == event["id"], "its signature is right, by Standard Webhooks")
    forged = {**headers, "webhook-signature": "v1,AAAA"}
    check(not _is_signed(endpoint["secret"], Hooks.came[0][0], forged), "a forged one is not")
    path = f"/webhook-endpoints/{endpoint['id']}"
    done = wait_for("the log", lambda: _delivered(merchant, path))
    check(done["attempts"][0]["status_code"] == 204, "the delivery log says that it was taken")
    server.shutdown()


def _is_signed(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    """What a Standard Webhooks library does, in the standard library's words."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    given = (text.partition(",")[2] for text in headers["webhook-signature"].split(" "))
    return any(hmac.compare_digest(wanted, signature) for signature in given)


def _verified(secret: str) -> tuple[dict[str, Any], dict[str, str]] | None:
    for body, headers in Hooks.came:
        if _is_signed(secret, body, headers):
            return dict(json.loads(body)), headers
    return None


def _delivered(merchant: Merchant, path: str) -> dict[str, Any] | None:
    found = merchant.call("GET", f"{path}/deliveries?status=delivered")["data"]
    return dict(found[0]) if found else None


def _begun(merchant: Merchant) -> dict[str, Any] | None:
    """A reconciliation, unless the clock has begun one just now: there is one at a time."""
    run = merchant.call("POST", "/reconciliations", {})
    return None if "error" in run else run


def _ended(merchant: Merchant, run: dict[str, Any]) -> dict[str, Any] | None:
    found = merchant.call("GET", f"/reconciliations/{run['id']}")
    return None if found["status"] == "running" else found


def _succeeded(merchant: Merchant, intent: dict[str, Any]) -> dict[str, Any] | None:
    found = merchant.read(intent)
    return found if found["status"] == "succeeded" else None


def _received(merchant: Merchant, intent: dict[str, Any], amount: int) -> dict[str, Any] | None:
    found = merchant.read(intent)
    action = found["next_action"] or {"bank_transfer": {"amount_received": 0}}
    return found if action["bank_transfer"]["amount_received"] == amount else None


def _closed_there(merchant: Merchant, intent: dict[str, Any]) -> bool | None:
    theirs = merchant.sandbox("GET", f"/v1/payment_intents/{intent['provider_reference']}")
    return True if theirs["status"] == "canceled" else None


def lost_webhooks(merchant: Merchant) -> None:
    print("\n  9  Not one webhook comes any more, and the payer never comes back")
    for on in ("webhook", "events"):
        fault = {"on": on, "kind": "lose", "count": 1_000_000}
        merchant.sandbox("POST", "/_sandbox/faults", fault)
    paid, held = merchant.create(3300, "eur"), merchant.create(6000, "eur", capture_method="manual")
    asked = merchant.confirm(paid, "pm_card_threeDSecure2Required")
    merchant.browse(asked["next_action"]["redirect_to_url"]["url"], {"outcome": "complete"})
    check(merchant.read(paid)["status"] == "requires_action", "the bank approved; we know nothing")
    there = merchant.confirm(held, "pm_card_visa")["provider_reference"]
    merchant.sandbox_form(f"/v1/payment_intents/{there}/capture", {})
    check(merchant.read(held)["status"] == "requires_capture", "a hold, captured in the dashboard")
    run = wait_for("a reconciliation of ours", lambda: _begun(merchant))
    done = wait_for("its end", lambda: _ended(merchant, run))
    print(
        f"     --  reconciliation {done['id']}: {done['examined']['ours']} of ours and"
        f" {done['examined']['theirs']} of the provider's examined with {done['provider_calls']}"
        f" calls,\n         {done['in_step']} in step, {done['healed']} healed,"
        f" {done['held']} held, {done['orphans']} orphans, {done['foreign']} foreign"
    )
    listed = merchant.call("GET", f"/reconciliations/{done['id']}/findings?limit=100")["data"]
    for found in listed:
        print(
            f"     --  {found['action']}: {found['payment_intent']}"
            f" {found['ours'].get('status')} -> {found['theirs'].get('status')}"
        )
    healed = {found["payment_intent"] for found in listed if found["action"] == "healed"}
    check({paid["id"], held["id"]} <= healed, "both were found and healed")
    for intent, amount in ((paid, 3300), (held, 6000)):
        final = merchant.read(intent)
        check((final["status"], final["amount_received"]) == ("succeeded", amount), "succeeded")
    merchant.sandbox("DELETE", "/_sandbox/faults")


STEPS = (
    card_payment,
    three_d_secure,
    decline,
    bank_transfer,
    manual_capture,
    lost_answer,
    impatient_customer,
    told_by_webhook,
    lost_webhooks,
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="paygate-demo-") as folder:
        data = Path(folder)
        print("starting paygate: database, sandbox, API over TLS, worker ...")
        command = [sys.executable, "-P", "-m", "paygate.cli", "up", "--data", str(data / "data")]
        command += ["--port", "0", "--sandbox-port", "0", "--ready-file", str(data / "ready.json")]
        with (data / "log").open("w") as log:
            gateway = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 -- our own
        try:
            ready = wait_for("paygate up", lambda: _ready(gateway, data))
            print(f"the gateway is at {ready['api_url']}")
            merchant = Merchant(ready)
            for step in STEPS:
                step(merchant)
        except DemoFailed as error:
            print(f"\nFAILED: {error}\n--- the gateway's log ---\n{(data / 'log').read_text()}")
            return 1
        finally:
            gateway.terminate()
            gateway.wait()
    print(f"\nAll {len(STEPS)} parts ended as they must.")
    return 0


def _ready(gateway: subprocess.Popen[bytes], data: Path) -> dict[str, Any] | None:
    if gateway.poll() is not None:
        raise DemoFailed(f"paygate up ended with status {gateway.returncode}")
    path = data / "ready.json"
    return dict(json.loads(path.read_text())) if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
