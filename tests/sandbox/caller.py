"""A plain caller of the sandbox whose every answer is checked against Stripe's description.

It must never use the official client: that one has tests of its own.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec

from tests.stripe_oracle import oracle

SECRET_KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
PUBLISHABLE_KEY = "pk_test_TYooMQauvdEDq54NiTphI7jx"

NOT_DESCRIBED = "radar.early_fraud_warning."
"""The description that lies beside the repository is cut, and lacks these objects."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Response:
    status: int
    body: Json
    raw: bytes
    headers: dict[str, str]

    @property
    def error(self) -> Json:
        error: Json = self.body["error"]
        return error


def form_pairs(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested values as the official client writes them: a[b], a[0]."""
    if isinstance(value, dict):
        return [
            pair
            for key, child in value.items()
            for pair in form_pairs(child, f"{name}[{key}]" if name else key)
        ]
    if isinstance(value, list):
        return [
            pair
            for index, child in enumerate(value)
            for pair in form_pairs(child, f"{name}[{index}]")
        ]
    return [(name, str(value).lower() if isinstance(value, bool) else str(value))]


def judge(method: str, path: str, status: int, body: Any) -> None:
    """Fail on anything that Stripe's description does not know."""
    judge_of = oracle()
    if judge_of is None or path.startswith("/v1/radar/"):
        return
    if judge_of.op(method, path)[0] is None:
        wrong = judge_of.schema("error", body)
    else:
        wrong = judge_of.response(method, path, status, body)
    assert not wrong, f"{method} {path} {status}: {wrong}"
    items = body.get("data") if body.get("object") == "list" else [body]
    for item in items or []:
        if item.get("object") == "event":
            judge_event(item)


def judge_event(event: Json) -> None:
    judge_of = oracle()
    if judge_of is not None and not event["type"].startswith(NOT_DESCRIBED):
        wrong = judge_of.schema("event", event)
        quoted = event["data"]["object"]
        wrong += judge_of.schema(quoted["object"], quoted)
        assert not wrong, f"{event['type']}: {wrong}"


class Caller:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def call(
        self,
        method: str,
        path: str,
        params: Json | None = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        body: str | None = None,
    ) -> Response:
        sent = {"Authorization": f"Bearer {SECRET_KEY}", **(headers or {})}
        if key is not None:
            sent["Idempotency-Key"] = key
        text = urlencode(form_pairs(params or {})) if body is None else body
        url = f"{self.url}{path}"
        if method == "POST":
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif text:
            url = f"{url}?{text}"
        data = BytesIO(text.encode()) if method == "POST" else None
        async with self.session.request(method, url, headers=sent, data=data) as response:
            raw = await response.read()
            answer = Response(
                response.status, msgspec.json.decode(raw), raw, dict(response.headers)
            )
        if path.startswith("/v1/"):
            judge(method, path, answer.status, answer.body)
        return answer

    async def get(self, path: str, **params: Any) -> Json:
        answer = await self.call("GET", path, params)
        assert answer.status == 200, answer.body
        return answer.body

    async def post(self, path: str, params: Json | None = None, **more: Any) -> Json:
        answer = await self.call("POST", path, params, **more)
        assert answer.status == 200, answer.body
        return answer.body

    async def refused(self, path: str, params: Json | None = None, status: int = 400) -> Json:
        answer = await self.call("POST", path, params)
        assert answer.status == status, answer.body
        return answer.error

    async def control(self, method: str, path: str, order: Any = None) -> Any:
        data = None if order is None else msgspec.json.encode(order)
        async with self.session.request(
            method, f"{self.url}/_sandbox/{path}", data=data
        ) as response:
            body = msgspec.json.decode(await response.read())
            assert response.status in {200, 201}, body
            return body

    async def fault(self, on: str, kind: str, **more: Any) -> None:
        more.setdefault("count", None if "probability" in more else 1)
        await self.control("POST", "faults", {"on": on, "kind": kind, **more})

    async def fired(self, kind: str) -> int:
        return int((await self.control("GET", "faults"))["fired"].get(kind, 0))

    async def upload(
        self,
        name: str,
        content: bytes,
        *,
        key: str | None = None,
        purpose: str = "dispute_evidence",
    ) -> Response:
        """A file, as a browser's form or an SDK sends one."""
        form = aiohttp.FormData()
        form.add_field("purpose", purpose)
        form.add_field(
            "file", BytesIO(content), filename=name, content_type="application/octet-stream"
        )
        sent = {"Authorization": f"Bearer {SECRET_KEY}"}
        if key is not None:
            sent["Idempotency-Key"] = key
        async with self.session.post(f"{self.url}/v1/files", headers=sent, data=form) as response:
            raw = await response.read()
            answer = Response(
                response.status, msgspec.json.decode(raw), raw, dict(response.headers)
            )
        judge("POST", "/v1/files", answer.status, answer.body)
        return answer

    async def charges(self) -> list[Json]:
        ledger: dict[str, list[Json]] = await self.control("GET", "ledger")
        return ledger["charges"]

    async def advance(self, seconds: int) -> None:
        await self.control("POST", "clock", {"advance_seconds": seconds})

    async def event_types(self) -> list[str]:
        """All of them, oldest first."""
        events = await self.get("/v1/events", limit=100)
        return [event["type"] for event in reversed(events["data"])]


def card_payment(token: str = "pm_card_visa", **more: Any) -> Json:
    """The parameters of a payment that is created and confirmed in one call."""
    return {
        "amount": 1000,
        "currency": "eur",
        "payment_method_types": ["card"],
        "payment_method": token,
        "confirm": True,
        **more,
    }
