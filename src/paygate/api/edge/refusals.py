"""Writes refusals to the audit log, each before its response; a flood of them is counted.

Each refusal of a secret key is an entry of its own. Refusals that anybody can cause - strangers,
holders of a publishable key, a key that calls too often - are one entry a minute for a network or
key, call and code: the first one at once, and then each minute one that says how many more there
were (`repeated`). So nobody can fill the log, and no refusal goes uncounted.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from paygate.api.edge.buckets import network_of
from paygate.api.edge.exchange import Exchange
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.audit import AuditEntry, Result, Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.ids import kind_of
from paygate.flows.context import Context
from paygate.flows.provider_events.receive import ACCOUNT
from paygate.storage.change import Change, OutcomeUnknown, StorageError
from paygate.telemetry import log

EVERY_SECONDS: Final = 60.0
KINDS: Final = 1000
"""The most kinds counted apart in one process, and so the entries a minute. Refusals of further
kinds are counted together, as nobody's: an attacker with that many networks is not told apart by
them.
"""


class Kind(NamedTuple):
    """Refusals that are counted as one."""

    who: str
    action: Action
    code: ErrorCode


class Tally:
    """How often a kind came since its last entry; and the last exchange and refusal of the kind."""

    __slots__ = ("caller", "details", "kind", "repeated")

    def __init__(self, kind: Kind, caller: Caller, details: dict[str, str]) -> None:
        self.kind = kind
        self.caller = caller
        self.details = details
        self.repeated = 0


class RefusalLog:
    """The refusals of one API process."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._tallies: dict[Kind, Tally] = {}
        self._writing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        """While the server runs: write the counts down each minute, and in the end."""
        telling = asyncio.create_task(self._tell_each_minute())
        try:
            yield
        finally:
            telling.cancel()
            await self.tell()

    async def write(self, exchange: Exchange, refusal: Refusal) -> None:
        """Write a refusal down, or count it. One that cannot be written is refused all the same."""
        if exchange.action is None:
            return  # no route, so no access was asked for
        caller, action, tally = _caller(exchange), exchange.action, None
        details = _details(refusal)
        if (who := _counted_as(exchange, refusal)) is not None:
            kind = Kind(who, action, refusal.code)
            if kind not in self._tallies and len(self._tallies) >= KINDS:
                kind = kind._replace(who="")
                caller = Caller(Actor("client"), ACCOUNT, exchange.request_id)
            if (tally := self._tallies.get(kind)) is not None:
                tally.repeated, tally.caller, tally.details = tally.repeated + 1, caller, details
                return
            tally = self._tallies[kind] = Tally(kind, caller, details)
        entry = self._ctx.audit(
            caller,
            action,
            _subject(exchange),
            result=Result.REFUSED,
            details=details,
        )
        writing = self._write(entry, tally, 1)
        if refusal.code is ErrorCode.OUTCOME_UNKNOWN:
            # The database has kept the caller waiting already: the entry is written when it is
            # back.
            self._in_background(writing)
        else:
            await writing

    async def tell(self) -> None:
        """Write down the kinds that came again since their last entry; forget the others."""
        for kind, tally in list(self._tallies.items()):
            if not tally.repeated:
                del self._tallies[kind]
                continue
            count, tally.repeated = tally.repeated, 0
            entry = self._ctx.audit(
                tally.caller,
                kind.action,
                result=Result.REFUSED,
                details=tally.details | {"repeated": str(count)},
            )
            self._in_background(self._write(entry, tally, count))
        await asyncio.gather(*self._writing)

    async def _tell_each_minute(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self.tell()

    def _in_background(self, writing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(writing)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, entry: AuditEntry, tally: Tally | None, count: int) -> None:
        """Commit an entry for `count` refusals; an entry that was not written stays counted."""
        try:
            await self._ctx.door.commit(Change(entry))
        except StorageError as error:
            log.logger().error("refusal_not_audited", request_id=entry.request_id, error=error)
            if tally is not None and not isinstance(error, OutcomeUnknown):
                self._tallies.setdefault(tally.kind, tally).repeated += count


def _caller(exchange: Exchange) -> Caller:
    if exchange.caller is not None:
        return exchange.caller
    return Caller(Actor("client"), ACCOUNT, exchange.request_id, exchange.address)


def _counted_as(exchange: Exchange, refusal: Refusal) -> str | None:
    """The network, the key, or both, that a refusal counts for; None: an entry of its own."""
    caller, network = exchange.caller, network_of(exchange.address)
    if caller is None:
        return network
    if exchange.client_side:
        return f"{caller.actor.id}@{network}"
    return caller.actor.id if refusal.code is ErrorCode.RATE_LIMITED else None


def _details(refusal: Refusal) -> dict[str, str]:
    """The code of a refusal; for card data also the path of the field, so that its sender is found.
    Such a path was itself searched for card data, which other paths were not.
    """
    details = {"code": str(refusal.code)}
    if refusal.code is ErrorCode.CARD_DATA_REFUSED and refusal.param is not None:
        details["param"] = refusal.param
    return details


def _subject(exchange: Exchange) -> Subject | None:
    """The object that was asked for, there or not; text that is no id of ours is left out."""
    name = exchange.path.get("id", "")
    kind = kind_of(name)
    return None if kind is None else Subject(kind, name)
