"""A small shop that takes cards, with nothing but Python's standard library.

It creates the payment with its secret key and gives the page the payment's client secret. The
card goes from the page's frame to the provider, and the page confirms with the token that comes
back: no card number passes through here. Run it beside `paygate up` (README.md).
"""

import argparse
import base64
import hashlib
import html
import json
import secrets
import ssl
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from typing import Any

HERE = Path(__file__).parent
HOST = "127.0.0.1"
COOKIE = "__Host-shop"
BOOK = {"name": "A book on double-entry bookkeeping", "amount": 1999, "currency": "eur"}
PAID = ("succeeded", "requires_capture")
FAILED = ("failed", "cancelled")
FILES = {
    "/checkout.js": ("checkout.js", "text/javascript"),
    "/checkout.css": ("checkout.css", "text/css"),
}


@dataclass
class Order:
    """One customer's order, and its payments: one after another, until one is not refused."""

    id: str
    visitor: str
    payments: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Gateway:
    """paygate, as the shop's server calls it."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.url: str = ready["api_url"]
        self._key: str = ready["secret_key"]
        self._tls = ssl.create_default_context(cafile=ready["ca_file"])

    def create(self, order: Order) -> dict[str, Any]:
        """A payment for the order. The same try of the same order is always the same payment."""
        body = {
            "amount": BOOK["amount"],
            "currency": BOOK["currency"],
            "reference": order.id,
            "description": BOOK["name"],
            "session_id": session_of(order.visitor),
        }
        key = f"order-{order.id}-{len(order.payments) + 1}"
        return self._call("POST", "/payment-intents", body, {"Idempotency-Key": key})

    def read(self, payment: str) -> dict[str, Any]:
        return self._call("GET", f"/payment-intents/{payment}")

    def _call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._key}",
                "Content-Type": "application/json",
                "Paygate-Actor": "shop.py",
            }
            | (headers or {}),
        )
        with urllib.request.urlopen(request, context=self._tls, timeout=30) as response:
            return dict(json.load(response))


def session_of(visitor: str) -> str:
    """What binds a payment to this visitor: made from their cookie, which the page cannot read."""
    digest = hashlib.sha256(b"paygate session:" + visitor.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()


class Shop:
    """The orders, and what the pages say. In memory: it is an example."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.gateway = Gateway(ready)
        self._orders: dict[str, Order] = {}
        self._page = Template((HERE / "checkout.html").read_text(encoding="utf-8"))
        self._fields = f"{ready['sandbox_url']}/js/sandbox-fields.js"
        self._public = {
            "api": ready["api_url"],
            "publishable-key": ready["publishable_key"],
            "fields-key": ready["sandbox_publishable_key"],
        }
        # Scripts from here and the provider's one file, frames of the provider's one page.
        self.policy = (
            f"default-src 'none'; script-src 'self' {self._fields}; style-src 'self'; "
            f"frame-src {ready['sandbox_url']}/card-fields; connect-src 'self' {ready['api_url']}; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )

    def order(self, visitor: str) -> Order:
        """A new order with its first payment."""
        order = Order(secrets.token_urlsafe(12), visitor)
        order.payments.append(self.gateway.create(order))
        self._orders[order.id] = order
        return order

    def find(self, name: str, visitor: str | None) -> Order | None:
        """The order of that name, for the visitor who made it and nobody else."""
        order = self._orders.get(name)
        return order if order is not None and order.visitor == visitor else None

    def try_again(self, order: Order) -> None:
        """Another payment for the order, if the last one is over without money."""
        with order.lock:
            if self.gateway.read(order.payments[-1]["id"])["status"] in FAILED:
                order.payments.append(self.gateway.create(order))

    def status(self, order: Order) -> dict[str, Any]:
        """What to believe when goods are sent: the gateway's word, never the page's."""
        status = self.gateway.read(order.payments[-1]["id"])["status"]
        return {"status": status, "paid": status in PAID}

    def page(self, order: Order | None) -> bytes:
        data: dict[str, str] = {}
        if order is not None:
            payment = order.payments[-1]
            data = self._public | {
                "order": order.id,
                "payment": payment["id"],
                "client-secret": payment["client_secret"],
                "session": session_of(order.visitor),
            }
        text = self._page.substitute(
            name=html.escape(str(BOOK["name"])),
            price=f"{int(str(BOOK['amount'])) / 100:.2f} {str(BOOK['currency']).upper()}",
            data=" ".join(f'data-{name}="{html.escape(value)}"' for name, value in data.items()),
            fields=html.escape(self._fields),
            order=order.id if order else "",
            shop_hidden="hidden" if order else "",
            checkout_hidden="" if order else "hidden",
        )
        return text.encode()


class Visit(BaseHTTPRequestHandler):
    """One request of a browser's."""

    shop: Shop
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in FILES:
            name, kind = FILES[path]
            self._answer(200, (HERE / name).read_bytes(), kind)
        elif path == "/":
            self._answer(200, self.shop.page(None), "text/html")
        elif path.startswith("/orders/"):
            self._show_order(*path.split("/")[2:])
        else:
            self._lost()

    def do_POST(self) -> None:
        self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 4096))
        visitor = self._visitor()
        try:
            if self.path == "/orders":
                visitor = visitor or secrets.token_urlsafe(32)
                order = self.shop.order(visitor)
                cookie = f"{COOKIE}={visitor}; Path=/; Secure; HttpOnly; SameSite=Lax"
                self._go(f"/orders/{order.id}", cookie)
                return
            _, _, name, *rest = (*self.path.split("/"), "", "")[:4]
            found = self.shop.find(name, visitor)
            if found is None or rest != ["again"]:
                self._lost()
                return
            self.shop.try_again(found)
            self._go(f"/orders/{found.id}")
        except urllib.error.URLError as error:
            self._broken(error)

    def _show_order(self, name: str, *rest: str) -> None:
        order = self.shop.find(name, self._visitor())
        if order is None or rest not in ((), ("status",)):
            self._lost()
        elif rest:
            try:
                status = json.dumps(self.shop.status(order)).encode()
            except urllib.error.URLError as error:
                self._broken(error)
            else:
                self._answer(200, status, "application/json")
        else:
            self._answer(200, self.shop.page(order), "text/html")

    def _visitor(self) -> str | None:
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            return None
        return cookie.value if cookie else None

    def _go(self, path: str, cookie: str | None = None) -> None:
        self.send_response(303)
        self.send_header("Location", path)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _lost(self) -> None:
        self._answer(404, b"There is no such page.\n", "text/plain")

    def _broken(self, error: urllib.error.URLError) -> None:
        status = error.code if isinstance(error, urllib.error.HTTPError) else "no answer"
        self.log_message("the gateway: %s", status)
        self._answer(502, b"Payments are not possible just now. Please try again.\n", "text/plain")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", self.shop.policy)
        self.send_header("Referrer-Policy", "same-origin")
        self.send_header("Strict-Transport-Security", "max-age=63072000")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ready-file", type=Path, required=True, help="what `paygate up` wrote")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--cert", type=Path, help="default: the development certificate")
    parser.add_argument("--key", type=Path)
    options = parser.parse_args()
    ready = json.loads(options.ready_file.read_text(encoding="utf-8"))
    development = Path(ready["data_dir"]) / "tls"
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(
        options.cert or development / "server.pem", options.key or development / "server.key"
    )
    handler = type("ShopVisit", (Visit,), {"shop": Shop(ready)})
    server = ThreadingHTTPServer((HOST, options.port), handler)
    # The handshake is made by each visit's own thread: a silent visitor holds up nobody.
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(f"the shop is open at https://{HOST}:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
