"""`Idempotency-Key` on the wire: the header, the scope, and the one text of a request.

(https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header, and Stripe's habits.)
"""

import unicodedata
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import msgspec

from paygate.api.edge.endpoint import Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.idempotency import KEY_LENGTH

HEADER: Final = "idempotency-key"
REPLAYED: Final = MappingProxyType({"Idempotent-Replayed": "true"})
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


def idempotency_key(exchange: Exchange) -> str | None:
    """The request's key, if it has one.

    Raises:
        Refusal: the key is not 1 to 255 printable characters.
    """
    key = exchange.headers.get(HEADER)
    if key is not None and not (1 <= len(key) <= KEY_LENGTH and key.isprintable()):
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            f"Idempotency-Key must be 1 to {KEY_LENGTH} printable characters",
            param="Idempotency-Key",
        )
    return key


def scope_of(endpoint: Endpoint, exchange: Exchange) -> str:
    """The scope in which a key is unique: side, method and path, of one merchant."""
    side = "pk" if exchange.client_side else "sk"
    return f"{side} {endpoint.method} {endpoint.path.format_map(exchange.path)}"


def canonical(body: Any) -> bytes:
    """The one JSON text of a parsed request: defaults left out, keys in order, text in NFC.

    A version that adds a parameter, with a default, writes what was sent before as the version
    before it did: a retry across the upgrade is the same request.
    """
    text = _ENCODER.encode(_without_defaults(body))
    return text if text.isascii() else unicodedata.normalize("NFC", text.decode()).encode()


def _without_defaults(value: Any) -> Any:
    """Plain values of a struct, without the fields that equal their defaults."""
    if isinstance(value, msgspec.Struct):
        tag, defaults = _shape(type(value))
        plain = dict(tag)
        for name, default in defaults:
            if (given := getattr(value, name)) != default:
                plain[name] = _without_defaults(given)
        return plain
    if isinstance(value, tuple | list):
        return [_without_defaults(item) for item in value]
    return value


@cache
def _shape(kind: type[msgspec.Struct]) -> tuple[dict[str, Any], tuple[tuple[str, Any], ...]]:
    """The tag of a struct, and its fields with the default of each; NODEFAULT equals nothing."""
    config = kind.__struct_config__
    tag = {} if config.tag_field is None else {config.tag_field: config.tag}
    return tag, tuple(
        (
            field.name,
            field.default
            if field.default_factory is msgspec.NODEFAULT
            else field.default_factory(),
        )
        for field in msgspec.structs.fields(kind)
    )
