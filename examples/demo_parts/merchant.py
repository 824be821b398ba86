"""A merchant's program as the demo plays it, and how each part checks what it sees."""

import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

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
        self.data = str(ready["data_dir"])
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
        return self._answer(request)

    def send_file(self, path: str, field: str, content: bytes, name: str) -> dict[str, Any]:
        """One file as multipart/form-data."""
        boundary = uuid.uuid4().hex
        head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'
        body = f"--{boundary}\r\n{head}\r\n\r\n".encode() + content
        request = urllib.request.Request(
            self._ready["api_url"] + path,
            method="POST",
            data=body + f"\r\n--{boundary}--\r\n".encode(),
            headers={
                "Authorization": f"Bearer {self._ready['secret_key']}",
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Paygate-Actor": "make demo",
                "Idempotency-Key": str(uuid.uuid4()),
            },
        )
        return self._answer(request)

    def _answer(self, request: urllib.request.Request) -> dict[str, Any]:
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

    def succeeded(self, intent: dict[str, Any]) -> dict[str, Any] | None:
        """The intent, once it has succeeded."""
        found = self.read(intent)
        return found if found["status"] == "succeeded" else None

    def charges(self, intent: dict[str, Any]) -> list[dict[str, Any]]:
        """What the provider's own ledger says was charged for an intent of ours."""
        ledger = self.sandbox("GET", "/_sandbox/ledger")
        return [
            charge
            for charge in ledger["charges"]
            if charge["metadata"].get("paygate_intent") == intent["id"]
        ]

    def given_back(self, intent: dict[str, Any]) -> list[dict[str, Any]]:
        """The refunds in the provider's own ledger of an intent of ours, the oldest first."""
        ledger = self.sandbox("GET", "/_sandbox/ledger")
        there = intent["provider_reference"]
        return [refund for refund in ledger["refunds"] if refund["payment_intent"] == there]

    def acknowledged(self, intent: dict[str, Any], kind: str) -> bool | None:
        """Whether the gateway has accepted the provider's signed webhook of this kind."""
        for event in self.sandbox("GET", f"/v1/events?type={kind}&limit=100")["data"]:
            metadata = event["data"]["object"].get("metadata", {})
            if metadata.get("paygate_intent") == intent["id"] and event["pending_webhooks"] == 0:
                return True
        return None
