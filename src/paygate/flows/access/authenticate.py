"""Find out who calls: from an API key to a caller, and what their role lets them do."""

import asyncio
import time
from typing import Final

from paygate.crypto.api_keys import ApiKeyFormatError, KeyMode, KeySide, ParsedApiKey, parse_api_key
from paygate.domain.access.api_key import ApiKey
from paygate.domain.access.roles import Action, Actor, Caller, may
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.context import Context

CACHE_SECONDS: Final = 0.5
"""A revoked key must stop within a second on every node (ASVS 8.3.2), look-up included."""
CACHE_KEYS: Final = 10_000
"""Known and unknown ids alike; a flood of random ones then costs memory for none but these."""


class Authenticator:
    """Looks keys up, and remembers them for less than a second."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._cache: dict[str, tuple[float, asyncio.Task[ApiKey | None]]] = {}

    async def caller(
        self,
        authorization: str | None,
        *,
        request_id: str,
        address: str | None,
    ) -> Caller:
        """The caller that an `Authorization` header proves.

        Raises:
            Refusal: `api_key_missing`, or `api_key_invalid` for every other fault alike.
        """
        if authorization is None:
            raise Refusal(
                ErrorCode.API_KEY_MISSING, "send your API key as `Authorization: Bearer KEY`"
            )
        scheme, _, text = authorization.partition(" ")
        try:
            parsed = parse_api_key(text.strip())
        except ApiKeyFormatError:
            raise _invalid() from None
        key = await self._find(parsed.key_id)
        # The hash is compared even when there is no such key: both take the same time.
        genuine = self._ctx.hasher.api_key_matches(parsed, key.secret_hash if key else None)
        if key is None or not genuine or scheme.lower() != "bearer" or not self._opens(key, parsed):
            raise _invalid()
        self._ctx.key_use.note(key.id, self._ctx.now())
        actor = Actor("api_key", id=key.id, role=key.role)
        return Caller(actor, key.merchant, request_id, address)

    async def _find(self, key_id: str) -> ApiKey | None:
        now = time.monotonic()
        looked_up, task = self._cache.get(key_id, (-CACHE_SECONDS, None))
        if task is None or now - looked_up >= CACHE_SECONDS:
            # One look-up for all requests that come while it lasts.
            task = asyncio.create_task(self._ctx.read.api_key(key_id))
            if len(self._cache) >= CACHE_KEYS:
                self._cache.clear()
            self._cache[key_id] = (now, task)
        try:
            return await asyncio.shield(task)
        except Exception:
            self._cache.pop(key_id, None)
            raise

    def _opens(self, key: ApiKey, parsed: ParsedApiKey) -> bool:
        mode = KeyMode.LIVE if self._ctx.provider.livemode else KeyMode.TEST
        return (
            parsed.mode is mode
            and parsed.side is KeySide(key.side)
            and key.valid_at(self._ctx.now())
        )


def authorize(caller: Caller, action: Action) -> None:
    """Raises `role_not_allowed` unless the matrix lets the caller's role do it."""
    role = caller.actor.role
    if role is None or not may(role, action):
        raise Refusal(ErrorCode.ROLE_NOT_ALLOWED, f"the role {role} may not do {action}")


def _invalid() -> Refusal:
    return Refusal(
        ErrorCode.API_KEY_INVALID, "the API key is malformed, unknown, expired or revoked"
    )
