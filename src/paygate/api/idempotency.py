"""`Idempotency-Key` on the wire: the header, the scope, and a request in one spelling.

(https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header, and Stripe's habits.)
"""

import unicodedata
from types import MappingProxyType
from typing import Any, Final

import msgspec

from paygate.api.exchange import Exchange
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.idempotency import KEY_LENGTH

HEADER: Final = "idempotency-key"
REPLAYED: Final = MappingProxyType({"Idempotent-Replayed": "true"})
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


def idempotency_key(exchange: Exchange) -> str | None:
    """The request's key, if it has one.

    Raises:
        Refusal: it is not 1 to 255 printable characters.
    """
    key = exchange.headers.get(HEADER)
    if key is not None and not (1 <= len(key) <= KEY_LENGTH and key.isprintable()):
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            f"Idempotency-Key must be 1 to {KEY_LENGTH} printable characters",
            param="Idempotency-Key",
        )
    return key


def scope(exchange: Exchange) -> str:
    """Where a key is one of a kind: side, method and path, of one merchant."""
    side = "pk" if exchange.client_side else "sk"
    return f"{side} {exchange.method} {exchange.target}"


def spell(body: Any) -> bytes:
    """A parsed request in one spelling: defaults filled in, keys in order, text in NFC."""
    plain = _ENCODER.encode(body)
    if plain.isascii():
        return plain
    return unicodedata.normalize("NFC", plain.decode()).encode()
