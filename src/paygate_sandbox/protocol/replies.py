"""An answer on its way out: status, body and Stripe's headers.

It must never know how the answer came about.
"""

from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import Any

import msgspec
from aiohttp import web

from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.versions import API_VERSION

_encode = msgspec.json.Encoder().encode

_CONFLICT, _RATE_LIMITED = 409, 429


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the headers tell about the request that is answered."""

    request_id: str
    now: int
    idempotency_key: str | None = None
    original_request: str | None = None
    replayed: bool = False


def render_error(status: int, error: dict[str, Any], envelope: Envelope) -> Reply:
    log = f"https://dashboard.stripe.com/test/logs/{envelope.request_id}?t={envelope.now}"
    members = {**error, "request_log_url": log}
    return Reply(status, _encode({"error": {name: members[name] for name in sorted(members)}}))


def refuse(refusal: StripeError, envelope: Envelope) -> Reply:
    return render_error(refusal.status, refusal.error, envelope)


@lru_cache(maxsize=8)
def _date(now: int) -> str:
    return formatdate(now, usegmt=True)


def to_response(reply: Reply, envelope: Envelope) -> web.Response:
    # The Date is the sandbox's own: clients order what they read by it and by event times.
    headers = {
        "Content-Type": reply.content_type,
        "Date": _date(envelope.now),
        "Request-Id": envelope.request_id,
        "Stripe-Version": API_VERSION,
        "Cache-Control": "no-cache, no-store",
    }
    if envelope.idempotency_key is not None:
        headers["Idempotency-Key"] = envelope.idempotency_key
        headers["Original-Request"] = envelope.original_request or envelope.request_id
    if envelope.replayed:
        headers["Idempotent-Replayed"] = "true"
    # A 500 or 429 carries no advice: whether it took effect is for the client to find out.
    if reply.status == _CONFLICT:
        headers["Stripe-Should-Retry"] = "true"
    elif reply.status == _RATE_LIMITED:
        headers["Stripe-Rate-Limited-Reason"] = "global-rate"
    elif _CONFLICT > reply.status >= 400:  # noqa: PLR2004 - the 4xx class
        headers["Stripe-Should-Retry"] = "false"
    return web.Response(body=reply.body, status=reply.status, headers=headers)
