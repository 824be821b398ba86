"""The page of the customer's bank: complete or fail the 3D Secure challenge.

Its address carries a nonce that only the payment's own next_action knows. It must never ask for
the API's key, nor show more of the payment than its amount.
"""

import hmac
from html import escape
from string import Template
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web

from paygate_sandbox.books import Origin
from paygate_sandbox.engine import Engine
from paygate_sandbox.hosted.page import html
from paygate_sandbox.resources.currencies import display
from paygate_sandbox.resources.endpoint import PaymentFailure
from paygate_sandbox.resources.payment_intents.attempt import finish_challenge
from paygate_sandbox.store.objects import Record

PREFIX = "/3ds/"

_TITLE = "3D Secure test page"
_QUESTION = Template(
    """<p>Your bank asks you to confirm a payment of <strong>$amount</strong>. This is a sandbox;
no money moves.</p>
<form method="post">
<button name="outcome" value="complete">Complete</button>
<button name="outcome" value="fail">Fail</button>
</form>"""
)
_OVER = "<p>This authentication is not pending. You can close this page.</p>"
_DONE = "<p>Thank you. You can close this page and return to the shop.</p>"


class AuthenticationPage:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parts = engine.parts

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._engine.catch_up()
        intent = self._pending(request.path.removeprefix(PREFIX))
        if request.method == "GET":
            if intent is None:
                return _html(_OVER, 410)
            amount = display(intent.body["amount"], intent.body["currency"])
            return _html(_QUESTION.substitute(amount=escape(amount)))
        if request.method != "POST":
            return _html(_OVER, 405)
        outcome = dict(parse_qsl((await request.read()).decode(errors="replace"))).get("outcome")
        # Read again after the await: another answer may have come first.
        intent = self._pending(request.path.removeprefix(PREFIX))
        if intent is None:
            return _html(_OVER, 410)
        if outcome not in {"complete", "fail"}:
            return _html(_OVER, 400)
        response = self._finish(intent, passed=outcome == "complete")
        await self._parts.database.committed()
        return response

    def _pending(self, rest: str) -> Record | None:
        intent_id, _, nonce = rest.partition("/")
        intent = self._parts.objects.find("payment_intent", intent_id)
        challenge = intent.private.get("challenge") if intent is not None else None
        if challenge is None:
            return None
        return intent if hmac.compare_digest(challenge["nonce"].encode(), nonce.encode()) else None

    def _finish(self, intent: Record, *, passed: bool) -> web.StreamResponse:
        return_url = intent.private["challenge"]["return_url"]
        with self._engine.change(Origin()) as books:
            result = finish_challenge(books, intent, passed=passed)
        if return_url is None:
            return _html(_DONE)
        target = with_query(
            return_url,
            {
                "payment_intent": intent.id,
                "payment_intent_client_secret": intent.body["client_secret"],
                "redirect_status": "failed" if isinstance(result, PaymentFailure) else "succeeded",
            },
        )
        return web.Response(status=303, headers={"Location": target, "Cache-Control": "no-store"})


def with_query(url: str, added: dict[str, str]) -> str:
    """The merchant's own query is kept."""
    parts = urlsplit(url)
    query = "&".join(piece for piece in (parts.query, urlencode(added)) if piece)
    return urlunsplit(parts._replace(query=query))


def _html(content: str, status: int = 200) -> web.Response:
    return html(_TITLE, content, status)
