"""The merchant's own server, which is told."""

import base64
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from demo_parts.merchant import Merchant, check, wait_for


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
