"""Stripe's idempotency: one key, one execution, one answer byte for byte.

Saved is what came of a request once its endpoint began to execute, 500s included. Refused
parameters, 429 and a concurrent conflict leave the key free. It must never execute anything.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from paygate_sandbox.protocol.errors import IDEMPOTENCY_ERROR, StripeError
from paygate_sandbox.protocol.replies import Reply
from paygate_sandbox.store.keys import IdempotencyKeys, SavedResponse

MAX_KEY_LENGTH = 255

_canonical = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to execute under a key, held until `Idempotency.release`."""

    key: str
    path: str
    fingerprint: bytes
    request_id: str

    def response(self, reply: Reply) -> SavedResponse:
        return SavedResponse(self.path, self.fingerprint, self.request_id, reply.status, reply.body)


class Idempotency:
    def __init__(self, keys: IdempotencyKeys) -> None:
        self._keys = keys
        self._in_flight: set[str] = set()

    def claim(
        self, key: str, path: str, form: dict[str, Any], request_id: str, now: int
    ) -> Claim | SavedResponse:
        """The claim, or the answer already given. The form is compared after parsing."""
        if key in self._in_flight:
            raise StripeError(
                "There is currently another in-progress request using this Idempotent Key (that "
                "probably means you submitted twice, and the other request is still going "
                f"through): {key}. Please try again later.",
                status=409,
                kind=IDEMPOTENCY_ERROR,
                code="idempotency_key_in_use",
            )
        fingerprint = hashlib.sha256(_canonical(form)).digest()
        saved = self._keys.find(key, now)
        if saved is None:
            self._in_flight.add(key)
            return Claim(key, path, fingerprint, request_id)
        if saved.path != path:
            raise _mismatch(f"for the same endpoint they were first used for ('{saved.path}')", key)
        if saved.fingerprint != fingerprint:
            raise _mismatch("with the same parameters they were first used with", key)
        return saved

    def release(self, claim: Claim) -> None:
        self._in_flight.discard(claim.key)


def check_key(key: str | None) -> str | None:
    if key is not None and not 0 < len(key) <= MAX_KEY_LENGTH:
        raise StripeError(
            f"Idempotency keys must be between 1 and {MAX_KEY_LENGTH} characters long.",
            kind=IDEMPOTENCY_ERROR,
        )
    return key


def _mismatch(how: str, key: str) -> StripeError:
    return StripeError(
        f"Keys for idempotent requests can only be used {how}. Try using a key other than '{key}' "
        "if you meant to execute a different request.",
        kind=IDEMPOTENCY_ERROR,
    )
