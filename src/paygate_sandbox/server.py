"""The sandbox as a server: assembled, listening, stopped cleanly.

It must never serve anything but plain HTTP, nor know what the parts do.
"""

import asyncio
import gc
import logging
import signal
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from paygate_sandbox.api import Api
from paygate_sandbox.clock import real_time
from paygate_sandbox.control import handler as control
from paygate_sandbox.engine import Engine
from paygate_sandbox.hosted import authentication, instructions
from paygate_sandbox.hosted.card_fields import CardFields
from paygate_sandbox.parts import assemble
from paygate_sandbox.protocol.authentication import Authentication
from paygate_sandbox.protocol.errors import unrecognized_url
from paygate_sandbox.protocol.replies import Envelope, refuse, to_response
from paygate_sandbox.resources.catalogue import ENDPOINTS, TIMER_HANDLERS
from paygate_sandbox.routes import Routes
from paygate_sandbox.store.database import Database
from paygate_sandbox.webhooks.deliveries import TIMEOUT_SECONDS, Deliverer

_log = logging.getLogger(__name__)

# Timers count whole seconds; five looks a second keep them punctual.
_TICK_SECONDS = 0.2
_TICKS_BETWEEN_PRUNINGS = 300
# What is under way when a stop comes gets this long.
_SHUTDOWN_SECONDS = 2.0
# Every request leaves thousands of short-lived objects and no cycles worth finding: looking less
# often for them saves a tenth of a confirm (measured).
_GC_THRESHOLDS = (20_000, 20, 50)


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """How to run one sandbox.

    `port` 0 takes any free one, `seed` makes ids repeatable, `ca_file` is trusted for https
    webhook endpoints beside the system's authorities, `reading` is what its clock counts from.
    """

    host: str
    port: int
    data_dir: Path
    secret_key: str
    publishable_key: str
    ca_file: Path | None = None
    seed: str | None = None
    reading: Callable[[], float] = real_time

    def __post_init__(self) -> None:
        for name, key in (("sk_test_", self.secret_key), ("pk_test_", self.publishable_key)):
            if not key.startswith(name) or not key.isascii():
                raise ValueError(f"a sandbox's keys are test keys: {name}...")


class Sandbox:
    """One running sandbox. `start` returns its base address."""

    def __init__(self, options: SandboxOptions) -> None:
        self._options = options
        self._stopping = asyncio.Event()

    async def start(self) -> str:
        options = self._options
        trust = _trust(options.ca_file)
        self._database = Database(options.data_dir)
        self.parts = assemble(self._database, options.seed, options.reading)
        self._engine = Engine(self.parts, TIMER_HANDLERS)
        await self._listen()
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            connector=aiohttp.TCPConnector(limit=0, ssl=trust),
            auto_decompress=False,
        )
        parts = self.parts
        self._deliverer = Deliverer(
            parts.database,
            parts.events,
            subscriptions=parts.subscriptions,
            faults=parts.faults,
            ids=parts.ids,
            session=self._session,
        )
        self._engine.wake = self._deliverer.wake
        self._deliverer.start()
        self._ticker = asyncio.create_task(self._tick())
        return parts.base_url

    async def _listen(self) -> None:
        options = self._options
        keys = Authentication(options.secret_key, options.publishable_key)
        self._api = Api(self._engine, Routes(ENDPOINTS), keys, self._stopping)
        self._control = control.Control(self._engine)
        self._authentication_page = authentication.AuthenticationPage(self._engine)
        self._instructions_page = instructions.InstructionsPage(self._engine)
        self._card_fields = CardFields()
        self._runner = web.ServerRunner(
            web.Server(self._dispatch, access_log=None), shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, options.host, options.port).start()
        except OSError:
            await self._runner.cleanup()
            self._database.close()
            raise
        host, port = self._runner.addresses[0][:2]
        bracketed = f"[{host}]" if ":" in host else host
        self.parts.base_url = f"http://{bracketed}:{port}"

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/v1/"):
            return await self._api.handle(request)
        if request.path.startswith(control.PREFIX):
            return await self._control.handle(request)
        if request.path.startswith(authentication.PREFIX):
            return await self._authentication_page.handle(request)
        if request.path.startswith(instructions.PREFIX):
            return await self._instructions_page.handle(request)
        if self._card_fields.serves(request):
            return self._card_fields.respond(request.path)
        envelope = Envelope(self.parts.ids.request(), self.parts.clock.now())
        refusal = unrecognized_url(request.method, request.path)
        return to_response(refuse(refusal, envelope), envelope)

    async def _tick(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                await self._engine.catch_up_politely()
                ticks += 1
                if ticks % _TICKS_BETWEEN_PRUNINGS == 0:
                    self._engine.prune_keys()
            except Exception:  # noqa: BLE001 - a broken timer must not end all the others
                _log.exception("a timer broke; it is tried again")

    async def stop(self) -> None:
        self._stopping.set()
        self._ticker.cancel()
        with suppress(asyncio.CancelledError):
            await self._ticker
        await self._runner.cleanup()
        await self._deliverer.stop()
        await self._session.close()
        self._database.close()


async def serve(options: SandboxOptions, ready: Callable[[str], None] | None = None) -> None:
    """Run until SIGINT or SIGTERM; `ready` is told the base address once it answers.

    It takes the process for its own: signals and the garbage collector are set for it.
    """
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    sandbox = Sandbox(options)
    url = await sandbox.start()
    try:
        if ready is not None:
            ready(url)
        await stop.wait()
    finally:
        await sandbox.stop()


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            raise OSError(f"cannot trust {ca_file}: {error}") from None
    return context
