"""One request, one answer: every call with an `Idempotency-Key` goes through here; no flow knows.

A refused request leaves its key free. Of several requests at once one works and the others wait;
all get the same bytes. A request that follows a dead holder resumes from the holder's last commit.
"""

import asyncio
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from paygate.crypto.encoding import length_prefixed
from paygate.domain.audit import Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.ids import kind_of
from paygate.flows.context import Context, RequestKey
from paygate.flows.idempotency.keyed_door import Flow, KeyedDoor, KeyedRequest, KeyTaken, Render
from paygate.storage.change import Change
from paygate.storage.idempotency import Found
from paygate.telemetry import timing

WAIT_SECONDS: Final = 10.0
"""How long a request waits for another with its key."""
LOOK_AGAIN_SECONDS: Final = 1.0
"""How often a waiting request looks, should a notification be lost."""
CLAIMING_SECONDS: Final = 0.02
"""The wait for a key that is just being claimed, and not seen yet; a commit takes a fraction."""
RETRY_AFTER_SECONDS: Final = 1


class StoredResponse(NamedTuple):
    """The body of a response, and whether it was given before."""

    body: bytes
    replayed: bool


async def idempotently(
    ctx: Context, request: KeyedRequest, flow: Flow, render: Render
) -> StoredResponse:
    """The response of `flow`, or the stored one of an earlier request with the key.

    Raises:
        Refusal: the flow's own; `idempotency_key_reused` for other parameters;
            `idempotency_key_in_use` when the first request takes too long; `response_erased`.
    """
    merchant = request.caller.merchant
    name = length_prefixed(request.scope, request.key).decode()
    # The same on every node at any moment of a rotation: no request runs under two of them.
    key_id = ctx.index.name_of(merchant, "idempotency_key", name).hex()
    fingerprint = _fingerprint(ctx, request)
    end = asyncio.get_running_loop().time() + WAIT_SECONDS
    key, _, earlier = await _standing(ctx, request, key_id, fingerprint, end)
    while True:
        if key is not None and key.erased:
            raise Refusal(
                ErrorCode.RESPONSE_ERASED,
                "this request was answered, and its answer was erased with the customer",
                param="Idempotency-Key",
            )
        if key is not None and key.body is not None:
            return await _replay(ctx, request, key.body)
        held = key or _new(ctx, request, key_id, fingerprint)
        door = KeyedDoor(ctx, request, render, held, RequestKey(key_id, earlier))
        try:
            if key is not None:
                await door.take_over()
            return StoredResponse(await door.run(flow), replayed=False)
        except (KeyTaken, Refusal) as cause:
            if door.claimed and isinstance(cause, Refusal):
                raise
            # Another may have claimed the key meanwhile, and caused the refusal.
            key, _, earlier = await _standing(ctx, request, key_id, fingerprint, end)
            if key is None and isinstance(cause, Refusal):
                raise
            if key is None:
                _left(end)
                await asyncio.sleep(CLAIMING_SECONDS)


def _fingerprint(ctx: Context, request: KeyedRequest) -> bytes:
    """The request's fingerprint, parameters included."""
    data = length_prefixed(request.caller.merchant, request.scope) + request.parameters
    return ctx.index.name(data)


async def _standing(
    ctx: Context, request: KeyedRequest, key_id: str, fingerprint: bytes, end: float
) -> Found:
    """The key once it is finished, or once nobody works on its request; None when it is new."""
    while True:
        found = await ctx.keys.find(request.caller.merchant, key_id)
        key, lease_left, _ = found
        if key is None:
            return found
        if key.fingerprint != fingerprint:
            raise _reused()
        if key.state is KeyState.FINISHED or lease_left <= 0:
            return found
        await _wait(ctx, key, min(lease_left, _left(end)))


async def _wait(ctx: Context, key: IdempotencyKey, seconds: float) -> None:
    """Wait until the key may have changed, for `seconds` at most."""
    with timing.spent(timing.Part.LOCK):
        async with ctx.keys.waiting(key.id) as rung:
            # A change from before we listened is seen by looking once more.
            found = (await ctx.keys.find(key.merchant, key.id)).key
            if found is not None and found.version == key.version:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(seconds, LOOK_AGAIN_SECONDS)):
                        await rung.wait()


async def _replay(ctx: Context, request: KeyedRequest, body: bytes) -> StoredResponse:
    """The stored response, after an audit entry: a commit is on the standby only after all commits
    before it, so the response is as safe as it was the first time.
    """
    details = {"idempotency": "replayed"}
    entry = ctx.audit(request.caller, request.action, _subject(body), details=details)
    await ctx.door.commit(Change(entry))
    return StoredResponse(body, replayed=True)


def _subject(body: bytes) -> Subject | None:
    """The object that a stored response shows, as the audit log names it."""
    shown = msgspec.json.decode(body)
    name = shown.get("id") if isinstance(shown, dict) else None
    kind = kind_of(str(name))
    return None if kind is None else Subject(kind, str(name))


def _new(ctx: Context, request: KeyedRequest, key_id: str, fingerprint: bytes) -> IdempotencyKey:
    now = ctx.now()
    return IdempotencyKey(
        id=key_id,
        merchant=request.caller.merchant,
        state=KeyState.WORKING,
        fingerprint=fingerprint,
        claim=request.caller.request_id,
        holder=request.caller.request_id,
        lease=ctx.policy.lock_ttl,
        created_at=now,
        updated_at=now,
    )


def _left(end: float) -> float:
    """The seconds left until `end`."""
    left = end - asyncio.get_running_loop().time()
    if left <= 0:
        raise Refusal(
            ErrorCode.IDEMPOTENCY_KEY_IN_USE,
            "the first request with this Idempotency-Key is still under way: try it again",
            param="Idempotency-Key",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )
    return left


def _reused() -> Refusal:
    return Refusal(
        ErrorCode.IDEMPOTENCY_KEY_REUSED,
        "this Idempotency-Key was used with other parameters: a new request needs a new key",
        param="Idempotency-Key",
    )
