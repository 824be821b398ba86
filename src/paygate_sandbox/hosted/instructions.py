"""The page that tells a customer where to transfer money, and lets a tester send some.

Its address carries a nonce that only the payment's own next_action knows. It must never ask for
the API's key.
"""

import hmac
import re
from html import escape
from string import Template
from urllib.parse import parse_qsl

from aiohttp import web

from paygate_sandbox.books import Origin
from paygate_sandbox.engine import Engine
from paygate_sandbox.hosted.page import html
from paygate_sandbox.resources.currencies import MAXIMUM_AMOUNT, display
from paygate_sandbox.resources.payment_intents.funding import receive
from paygate_sandbox.store.objects import JsonObject, Record

PREFIX = "/bank_transfers/"

_TITLE = "Bank transfer test page"
_INSTRUCTIONS = Template(
    """<p>Please transfer <strong>$amount</strong>. This is a sandbox; no money moves.</p>
<dl>$details</dl>
<form method="post">
<label>Smallest units <input name="amount" inputmode="numeric" value="$units" required></label>
<button>Send</button>
</form>"""
)
_OVER = "<p>No transfer is awaited here. You can close this page.</p>"


class InstructionsPage:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parts = engine.parts

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._engine.catch_up()
        if request.method == "POST":
            sent = dict(parse_qsl((await request.read()).decode(errors="replace"))).get("amount")
            intent = self._waiting(request.path)
            if intent is not None and not self._send(intent, sent or ""):
                return html(_TITLE, _instructions(intent), 400)
            await self._parts.database.committed()
        elif request.method != "GET":
            return html(_TITLE, _OVER, 405)
        intent = self._waiting(request.path)
        if intent is None:
            return html(_TITLE, _OVER, 200 if request.method == "POST" else 410)
        return html(_TITLE, _instructions(intent))

    def _waiting(self, path: str) -> Record | None:
        intent_id, _, nonce = path.removeprefix(PREFIX).partition("/")
        intent = self._parts.objects.find("payment_intent", intent_id)
        transfer = intent.private.get("transfer") if intent is not None else None
        if transfer is None:
            return None
        return intent if hmac.compare_digest(transfer["nonce"].encode(), nonce.encode()) else None

    def _send(self, intent: Record, amount: str) -> bool:
        if not re.fullmatch(r"[0-9]{1,8}", amount) or not 0 < int(amount) <= MAXIMUM_AMOUNT:
            return False
        with self._engine.change(Origin()) as books:
            customer = books.find("customer", intent.body["customer"])
            assert customer is not None, "a customer is known even when deleted"
            currency, reference = intent.body["currency"], intent.private["reference"]
            receive(books, customer, currency, int(amount), reference)
        return True


def _instructions(intent: Record) -> str:
    shown: JsonObject = intent.body["next_action"]["display_bank_transfer_instructions"]
    [address] = shown["financial_addresses"]
    details = {name: value for name, value in address[address["type"]].items() if value}
    lines = {name: value for name, value in details.items() if isinstance(value, str)}
    lines["reference"] = shown["reference"]
    return _INSTRUCTIONS.substitute(
        amount=escape(display(shown["amount_remaining"], shown["currency"])),
        details="".join(
            f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(value)}</dd>"
            for name, value in lines.items()
        ),
        units=shown["amount_remaining"],
    )
