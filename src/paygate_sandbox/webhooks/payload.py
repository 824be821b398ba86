"""An event as Stripe shows and sends it, put together from bytes that never change.

It must never render the object inside again: an event quotes the object as it was.
"""

import hashlib
import hmac

import msgspec

from paygate_sandbox.protocol.versions import API_VERSION
from paygate_sandbox.store.events import EventRow

_encode = msgspec.json.Encoder().encode

# Stripe signs test events under a second, fake scheme too, for receivers to ignore.
_FAKE_SCHEME_KEY = b"v0 is not to be trusted"


def event_json(row: EventRow) -> bytes:
    return _encode(
        {
            "id": row.id,
            "object": "event",
            "api_version": API_VERSION,
            "created": row.created,
            "data": msgspec.Raw(row.data),
            "livemode": False,
            "pending_webhooks": row.pending_webhooks,
            "request": msgspec.Raw(row.request),
            "type": row.type,
        }
    )


def signature(payload: bytes, secret: str, timestamp: int) -> str:
    """The Stripe-Signature header. The whole secret, its whsec_ included, is the key."""
    signed = b"%d.%s" % (timestamp, payload)
    v1 = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    v0 = hmac.new(_FAKE_SCHEME_KEY, signed, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={v1},v0={v0}"
