"""The outermost layer: a request gets an id, a clock and an exchange; its answer their headers.

A refusal leaves its audit entry before it is sent, if the database answers. Those of callers who
proved nothing are written once per network and minute, and those of a key that asks too often once
per key and minute, so that a flood of them cannot fill the log.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from litestar.types import ASGIApp, Message, Receive, Send

from paygate.api.addresses import TrustedProxies
from paygate.api.buckets import network_of
from paygate.api.cors import Cors, preflight_answer
from paygate.api.endpoint import Desk
from paygate.api.exchange import KEY, Exchange
from paygate.api.shortcut import Shortcut
from paygate.domain.access import Actor, Caller
from paygate.domain.audit import AuditEntry, Result, Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.ids import PREFIXES, is_id, make_id
from paygate.flows.receive_provider_event import ACCOUNT
from paygate.storage.change import Change, StorageError
from paygate.telemetry import log, timing

NAMES: Final = 10_000
"""Remembered per minute; beyond it the memory starts anew and some are audited twice."""

_SINGLE: Final = frozenset(
    {
        "authorization",
        "content-type",
        "idempotency-key",
        "paygate-actor",
        "paygate-client-secret",
        "paygate-session",
    }
)

_FIXED: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    # An address may carry a secret of the provider's, or a state of ours.
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=63072000"),
)


class Edge:
    """Wraps the application."""

    def __init__(
        self,
        app: ASGIApp,
        shortcut: Shortcut,
        desk: Callable[[], Desk],
        trusted_proxies: TrustedProxies,
        cors: Cors,
    ) -> None:
        self._app = app
        self._shortcut = shortcut
        self._desk = desk
        self._trusted_proxies = trusted_proxies
        self._cors = cors
        self._refused: dict[tuple[str, int], int] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection; the scope gets our key, so it is not only ASGI's."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        clock = timing.begin()
        headers = _headers(scope)
        exchange = Exchange(
            self._new_request_id(), headers, self._trusted_proxies.client_address(scope), clock
        )
        exchange.method, exchange.target = scope["method"], scope["path"]
        if len(headers) != len(scope["headers"]):
            exchange.repeated = _repeated(scope)
        exchange.query = scope["query_string"].decode("latin-1")
        scope[KEY] = exchange
        shared = self._cors.headers(scope["method"], scope["path"], headers)

        async def send_dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                if exchange.refusal is not None:
                    await self._audit(exchange, exchange.refusal)
                message["headers"] = [
                    *message["headers"],
                    *_FIXED,
                    *shared,
                    (b"request-id", exchange.request_id.encode()),
                    (b"server-timing", clock.header().encode()),
                ]
            await send(message)

        if self._cors.is_preflight(scope["method"], scope["path"], headers):
            for message in preflight_answer():
                await send_dressed(message)
            return
        endpoint = self._shortcut.match(scope["method"], scope["path"], exchange)
        if endpoint is None:
            await self._app(scope, receive, send_dressed)
        else:
            await self._shortcut.serve(endpoint, exchange, receive, send_dressed)

    def _new_request_id(self) -> str:
        ctx = self._desk().ctx
        return make_id("req_", int(ctx.now().timestamp() * 1000), ctx.random_bytes(10))

    async def _audit(self, exchange: Exchange, refusal: Refusal) -> None:
        """Write the refusal down. One that cannot be written is refused all the same."""
        ctx, caller = self._desk().ctx, exchange.caller
        if exchange.action is None:
            return  # no route, so no access was asked for
        details = {"code": str(refusal.code)}
        if caller is None:
            if self._count(network_of(exchange.address)) > 1:
                return
            caller = Caller(Actor("client"), ACCOUNT, exchange.request_id, exchange.address)
        elif refusal.code is ErrorCode.RATE_LIMITED and self._count(str(caller.actor.id)) > 1:
            return
        entry = ctx.audit(
            caller, exchange.action, _subject(exchange), result=Result.REFUSED, details=details
        )
        writing = self._write(entry, exchange.request_id)
        if refusal.code is not ErrorCode.OUTCOME_UNKNOWN:
            await writing
            return
        # The database has kept the caller waiting already: the entry is written when it is back.
        task = asyncio.create_task(writing)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, entry: AuditEntry, request_id: str) -> None:
        try:
            await self._desk().ctx.door.commit(Change(entry))
        except StorageError as error:
            log.logger().error("refusal_not_audited", request_id=request_id, error=error)

    def _count(self, name: str) -> int:
        """How many such refusals this network or key has had in this minute."""
        key = (name, int(time.monotonic() // 60))
        if len(self._refused) >= NAMES:
            self._refused.clear()
        self._refused[key] = self._refused.get(key, 0) + 1
        return self._refused[key]


def _subject(exchange: Exchange) -> Subject | None:
    """What was asked for, there or not; text that is no id of ours is not written down."""
    kind = str(exchange.action).partition(".")[0]
    name = exchange.path.get("id", "")
    return Subject(kind, name) if is_id(PREFIXES[kind], name) else None


def _headers(scope: Any) -> Mapping[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _repeated(scope: Any) -> str | None:
    """A header that came more than once, though two of its values would contradict each other."""
    names = [name.decode("latin-1") for name, _ in scope["headers"]]
    return next((name for name in sorted(_SINGLE) if names.count(name) > 1), None)
