"""An idempotency key as we keep it: who claimed it, for what, and the answer once there is one."""

from datetime import datetime
from enum import StrEnum

import msgspec


class KeyState(StrEnum):
    """Whether the first request with the key has been answered."""

    WORKING = "working"
    FINISHED = "finished"


class IdempotencyKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`id` is a keyed hash of scope and key; `version` is the fence of whoever works on it."""

    id: str
    merchant: str
    state: KeyState
    fingerprint: bytes
    created_at: datetime
    updated_at: datetime
    version: int = 1
    body: bytes | None = None
