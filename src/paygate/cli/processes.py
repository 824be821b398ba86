"""Keeps child processes running: started, restarted when they die, stopped together.

One that dies before it was ever ready cannot work here, and ends the start, however slow the
machine is; one that was ready before is started again.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from paygate.cli.lifeline import READY
from paygate.telemetry import log

RESTART_SECONDS: Final = 0.2
"""Before the first restart; twice as long after each further quick death."""
QUICK_DEATH_SECONDS: Final = 2.0
QUICK_DEATHS: Final = 5
"""So many deaths in a row, each this soon after the start, and the child cannot work."""
STOP_SECONDS: Final = 15.0
"""Longer than the API drains and the worker finishes its jobs; then they are killed."""

KEPT: Final = frozenset(
    (
        # Who we are, where programs, homes and temporary files are, the language and the time.
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TEMP", "TMP", "LANG", "LANGUAGE", "TZ"),
        "NO_COLOR",
        # Whose certificates are trusted, and the way out.
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    )
)
KEPT_PREFIXES: Final = ("LC_",)
SETTINGS_PREFIXES: Final = ("PAYGATE_", "PG")
"""Ours, and libpq's, which the driver reads too; both can be secrets."""


@dataclass(frozen=True, slots=True)
class Program:
    """A `paygate` command to keep running; `settings`: whether it is shown ours; `reloads`: whether
    SIGHUP has it read its files again.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    pass_fds: Sequence[int] = ()
    settings: bool = True
    reloads: bool = False

    def command(self) -> list[str]:
        """The command line. Nothing is imported from the working directory (`-P`)."""
        interpreter = os.path.abspath(sys.executable)  # noqa: PTH100 -- a venv's link is kept
        return [interpreter, "-P", "-m", "paygate.cli", "--lifeline", *self.arguments]

    def variables(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The environment: of the inherited one what is listed, so that no variable loads code."""
        prefixes = KEPT_PREFIXES + (SETTINGS_PREFIXES if self.settings else ())
        kept = {k: v for k, v in inherited.items() if k in KEPT or k.startswith(prefixes)}
        return kept | dict(self.environment)


class Supervisor:
    """Children of this process. They see its end on their standard input."""

    def __init__(self) -> None:
        self._keepers: list[asyncio.Task[None]] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._ready: list[asyncio.Future[None]] = []
        """Of each program: done when it was ready for the first time."""
        self._stopping = asyncio.Event()
        self._fault: BaseException | None = None
        self._reloading: dict[asyncio.subprocess.Process, float] = {}
        """Children that may be told to reload, and when they were started."""

    def keep(self, program: Program) -> None:
        """Start a program, and start it again whenever it dies after it was ready once."""
        ready = asyncio.get_running_loop().create_future()
        self._ready.append(ready)
        keeper = asyncio.create_task(self._keep(program, ready))
        keeper.add_done_callback(self._ended)
        self._keepers.append(keeper)

    def watch(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` beside the children until they are stopped; a fault of it ends them."""
        watcher = asyncio.create_task(work)
        watcher.add_done_callback(self._ended)
        self._watchers.append(watcher)

    async def ready(self) -> None:
        """Until every child was ready once; to be waited for `during` the start."""
        for ready in self._ready:
            await asyncio.shield(ready)

    async def during(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Do `work`, unless SIGINT or SIGTERM comes first; returns whether it was done.

        Raises:
            ChildProcessError: a child cannot be kept. Work is cut off then, too.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        task = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            task.cancel()
        await asyncio.wait([task])
        if self._fault is not None:
            raise self._fault
        if task.cancelled():
            return False
        task.result()
        return True

    async def wait(self) -> None:
        """Until SIGINT or SIGTERM, or until a child cannot be kept."""
        await self.during(self._stopping.wait())

    def reload(self) -> None:
        """Have children read their files again. One that was started just now does not listen yet,
        and has read them just now.
        """
        now = asyncio.get_running_loop().time()
        for child, started in self._reloading.items():
            if now - started >= QUICK_DEATH_SECONDS:
                child.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """Stop every child, the last started first is not promised."""
        self._stopping.set()
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, *self._keepers, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = self._fault or fault
            self._stopping.set()

    async def _keep(self, program: Program, ready: asyncio.Future[None]) -> None:
        deaths = 0
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            started = loop.time()
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    child = await asyncio.create_subprocess_exec(
                        *program.command(),
                        stdin=theirs.fileno(),
                        env=program.variables(os.environ),
                        pass_fds=program.pass_fds,
                        # Ctrl-C is the parent's to pass on, in order.
                        start_new_session=True,
                    )
                if program.reloads:
                    self._reloading[child] = started
                hearing = asyncio.create_task(_hear(ours, ready))
                await self._until_over(child)
                self._reloading.pop(child, None)
                hearing.cancel()
                await asyncio.wait([hearing])  # the loop lets go of the socket before it is closed
            if self._stopping.is_set():
                return
            if not ready.done():
                raise ChildProcessError(
                    f"the {program.name} process ended before it was ready"
                    f" (status {child.returncode}); what it said last is why"
                )
            quick = loop.time() - started < QUICK_DEATH_SECONDS
            deaths = deaths + 1 if quick else 0
            log.logger().warning("process_died", process=program.name, status=child.returncode)
            if deaths >= QUICK_DEATHS:
                raise ChildProcessError(f"the {program.name} process keeps dying; its log says why")
            await self._pause(RESTART_SECONDS * 2 ** max(deaths - 1, 0))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _until_over(self, child: asyncio.subprocess.Process) -> None:
        over = asyncio.create_task(child.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([over, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not over.done():
            child.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await asyncio.shield(over)
            except TimeoutError:
                child.kill()
        await over


async def _hear(child: socket.socket, ready: asyncio.Future[None]) -> None:
    """Listen to a child until its end."""
    child.setblocking(False)
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while said := await loop.sock_recv(child, len(READY)):
            if said == READY and not ready.done():
                ready.set_result(None)
