"""An idempotency key: who works on its request, under which lease, and the answer once given.

`version` is the fence. Whoever works on the request advances the key in every commit, so a
worker whose lease was taken over can write nothing more.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from paygate.domain.audit import Subject
from paygate.domain.record import Recorded

KEY_LENGTH: Final = 255


class KeyState(StrEnum):
    """Whether the request with the key has been answered for good."""

    WORKING = "working"
    FINISHED = "finished"


class IdempotencyKey(Recorded, frozen=True, kw_only=True):
    """`id` is a keyed hash of scope and key, `fingerprint` one of the parameters.

    `claim` names the request that claimed it, `holder` the one that works on it now.
    `lease` is how long the holder may be silent; None when nobody works on the request. `about` is
    the object that its last commit was about.
    """

    id: str
    merchant: str
    state: KeyState
    fingerprint: bytes
    claim: str
    holder: str
    created_at: datetime
    updated_at: datetime
    version: int = 1
    lease: timedelta | None = None
    about: Subject | None = None
    body: bytes | None = None
    erased: bool = False
    """The response is gone with the customer that it was about; the request is not made again."""

    @property
    def about_id(self) -> str | None:
        """The id of the object that its last commit was about."""
        return None if self.about is None else self.about.id


def held(key: IdempotencyKey, holder: str, lease: timedelta, at: datetime) -> IdempotencyKey:
    """The key with `holder` working on its request: one version on, so anyone else is fenced."""
    return _next(key, at, holder=holder, lease=lease)


def finished_at_once(key: IdempotencyKey, body: bytes) -> IdempotencyKey:
    """A new key whose request is claimed and answered in one commit."""
    return msgspec.structs.replace(key, state=KeyState.FINISHED, lease=None, body=body)


def released(key: IdempotencyKey, at: datetime) -> IdempotencyKey:
    """The key when its holder gave up: a retry may go on at once."""
    return _next(key, at, lease=None)


def finished(key: IdempotencyKey, body: bytes, at: datetime) -> IdempotencyKey:
    """The key with the answer that every replay will get."""
    return _next(key, at, state=KeyState.FINISHED, lease=None, body=body)


def without_response(key: IdempotencyKey, at: datetime) -> IdempotencyKey:
    """A finished key whose response is kept no longer."""
    assert key.state is KeyState.FINISHED, "a request under way has no response yet"
    return msgspec.structs.replace(
        key, version=key.version + 1, updated_at=max(at, key.updated_at), body=None, erased=True
    )


def _next(key: IdempotencyKey, at: datetime, **changes: object) -> IdempotencyKey:
    assert key.state is KeyState.WORKING, "a finished key stays as it is"
    return msgspec.structs.replace(
        key, version=key.version + 1, updated_at=max(at, key.updated_at), **changes
    )
