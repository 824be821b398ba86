"""The commit door as one request under an idempotency key sees it.

The door adds the key to each commit of a flow: the first claims the key, later ones advance it,
the last stores the response. So no key is held before there is something to hold it for, and a
worker whose lease was taken over can write nothing more.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple

import msgspec

from paygate.domain import idempotency
from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import AuditEntry
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.flows.context import Context, Patience, RequestKey
from paygate.storage.change import (
    Change,
    Conflict,
    OutcomeUnknown,
    StorageError,
    Unavailable,
    Verdict,
)
from paygate.storage.tables import IDEMPOTENCY_KEY
from paygate.telemetry import log

RENEWALS_PER_LEASE: Final = 3
"""How often a lease is renewed: two renewals may fail before the lease is lost."""
APART: Final = frozenset({Action.ALERT_RAISE, Action.REFUND_RELEASE})
"""Commits that are no step of a request: a refusal after them leaves its key free."""

Flow = Callable[[Context], Awaitable[Any]]
"""A flow that lacks only its context; returns the value of the response."""
Render = Callable[[Any], bytes]
"""Makes the response's body of a flow's value."""


class KeyedRequest(NamedTuple):
    """What makes two requests the same one."""

    caller: Caller
    action: Action
    scope: str
    """Side, method and path: a browser never gets the server's response."""
    key: str
    parameters: bytes
    """The one text of the parsed request, whatever its white space and order were."""


class KeyTaken(Exception):
    """Another request has the key: the flow of this request ends here, and nothing was written."""


class KeyedDoor:
    """The commit door of one request. Holds the key's newest version that this request knows."""

    def __init__(
        self,
        ctx: Context,
        request: KeyedRequest,
        render: Render,
        key: IdempotencyKey,
        request_key: RequestKey,
    ) -> None:
        self._ctx = ctx
        self._request = request
        self._render = render
        self._key = key
        self._request_key = request_key
        self.claimed = False
        """Whether the key stands in the database with this request as its holder."""
        self._turn = asyncio.Lock()
        self._renewing: asyncio.TimerHandle | asyncio.Task[None] | None = None
        """The timer of the next renewal, or a renewal under way."""

    async def take_over(self) -> None:
        """Take the key over from a holder that died or gave up.

        Raises:
            KeyTaken: another was quicker.
        """
        holder, lease = self._request.caller.request_id, self._ctx.policy.lock_ttl
        held = idempotency.held(self._key, holder, lease, self._ctx.now())
        change = Change(self._audit("taken_over"), advances=(held,))
        if isinstance(await self._ctx.door.commit(change), Conflict):
            raise KeyTaken
        self._key, self.claimed = held, True
        self._renew_in_time()

    async def run(self, flow: Flow) -> bytes:
        """Run the flow against this door, under the lease; returns the body that is now kept."""
        try:
            value = await flow(
                msgspec.structs.replace(
                    self._ctx, door=self, claim=self._key.claim, request_key=self._request_key
                )
            )
            patience = Patience("a key kept changing while its answer was kept")
            while self._key.body is None:
                # The flow returned without a last commit: another brought the truth.
                concluded = Change(self._audit("concluded"), response=value)
                if isinstance(await self.commit(concluded), Conflict):
                    await patience.pause()
        except KeyTaken:
            raise
        except (OutcomeUnknown, Unavailable):
            raise  # a database that does not answer takes no release: the lease ends by itself
        except BaseException:
            await self._give_up()
            raise
        finally:
            if self._renewing is not None:
                self._renewing.cancel()
        assert self._key.body is not None, "the conclusion is kept"
        return self._key.body

    async def commit(self, change: Change) -> Verdict:
        """Commit with the key in the same statement, and return the verdict. After the request's
        last commit the key is left out: the response is stored, and the key is nobody's any more.
        What is no step of the request (`APART`) goes without the key too.

        Raises:
            KeyTaken: another request has it.
        """
        async with self._turn:
            if self._key.state is KeyState.FINISHED or change.audit.action in APART:
                return await self._ctx.door.commit(change)
            return await self._commit(change)

    async def _commit(self, change: Change) -> Verdict:
        key = self._next(change)
        if self.claimed:
            keyed = msgspec.structs.replace(change, advances=(*change.advances, key))
        else:
            keyed = msgspec.structs.replace(change, creates=(*change.creates, key))
        verdict = await self._ctx.door.commit(keyed)
        if isinstance(verdict, Conflict):
            await self._check_fence(verdict)
        else:
            self._key, self.claimed = key, True
            if self._renewing is None and key.state is KeyState.WORKING:
                self._renew_in_time()
        return verdict

    def _next(self, change: Change) -> IdempotencyKey:
        """The key as this commit leaves it."""
        now, response = self._ctx.now(), change.response
        key = msgspec.structs.replace(self._key, about=change.audit.subject or self._key.about)
        body = None if response is None else self._render(response)
        if not self.claimed:
            return key if body is None else idempotency.finished_at_once(key, body)
        if body is None:
            return idempotency.held(key, key.holder, self._ctx.policy.lock_ttl, now)
        return idempotency.finished(key, body, now)

    async def _check_fence(self, conflict: Conflict) -> None:
        """Raise `KeyTaken` when the key is another's; other conflicts are the flow's to see.

        A conflict names one cause of several, so the key is looked at whatever the cause.
        """
        found = await self._ctx.keys.find(self._key.merchant, self._key.id)
        if self.claimed and found.key is not None and found.key.holder == self._key.holder:
            # Only a renewal of ours, written unheard, can have advanced the key.
            self._key = found.key
            return
        known = self._key.version if self.claimed else 0
        if conflict.table == IDEMPOTENCY_KEY.name or (
            found.key is not None and found.key.version > known
        ):
            if self.claimed:
                log.logger().warning("fenced_out", request_id=self._request.caller.request_id)
            raise KeyTaken

    def _renew_in_time(self) -> None:
        """Schedule the lease's renewal before the lease ends; most requests end first."""
        seconds = self._ctx.policy.lock_ttl.total_seconds() / RENEWALS_PER_LEASE
        self._renewing = asyncio.get_running_loop().call_later(seconds, self._begin_renewal)

    def _begin_renewal(self) -> None:
        self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        # A fault here shows in the flow's next commit, or passes.
        with suppress(KeyTaken, StorageError):
            async with self._turn_to_write() as ours:
                if ours:
                    await self._commit(Change(self._audit("renewed")))
        self._renew_in_time()

    async def _give_up(self) -> None:
        """Release the key, so that a retry goes on at once. Should this fail, the lease ends by
        itself.
        """
        async with self._turn_to_write() as ours:
            if ours:
                free = idempotency.released(self._key, self._ctx.now())
                with suppress(StorageError):
                    await self._ctx.door.commit(Change(self._audit("released"), advances=(free,)))

    @asynccontextmanager
    async def _turn_to_write(self) -> AsyncIterator[bool]:
        """Wait for the turn to write; yields whether there is a claim to write about."""
        async with self._turn:
            yield self.claimed and self._key.state is KeyState.WORKING

    def _audit(self, what: str) -> AuditEntry:
        details = {"idempotency": what}
        return self._ctx.audit(self._request.caller, self._request.action, details=details)
