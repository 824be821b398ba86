"""Keeps child processes running: started, restarted when they die, stopped together."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

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
        self._stopping = asyncio.Event()
        self._reloading: dict[asyncio.subprocess.Process, float] = {}
        """Children that may be told to reload, and when they were started."""
        self.pids: dict[str, int] = {}

    def keep(self, program: Program) -> None:
        """Start a program, and start it again whenever it dies."""
        self._keepers.append(asyncio.create_task(self._keep(program)))

    async def wait(self) -> None:
        """Until SIGINT or SIGTERM, or until a child cannot be kept."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        stopping = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait(
            [stopping, *self._keepers], return_when=asyncio.FIRST_COMPLETED
        )
        stopping.cancel()
        for task in done - {stopping}:
            task.result()

    def reload(self) -> None:
        """Have children read their files again. One that was started just now does not listen yet,
        and has read them just now.
        """
        now = asyncio.get_running_loop().time()
        for child, started in self._reloading.items():
            if now - started >= QUICK_DEATH_SECONDS:
                child.send_signal(signal.SIGHUP)

    def check(self) -> None:
        """Raises what a keeper raised, if one gave up."""
        for keeper in self._keepers:
            if keeper.done():
                keeper.result()

    async def stop(self) -> None:
        """Stop every child, the last started first is not promised."""
        self._stopping.set()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _keep(self, program: Program) -> None:
        deaths = 0
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            started = loop.time()
            child = await asyncio.create_subprocess_exec(
                *program.command(),
                stdin=asyncio.subprocess.PIPE,
                env=program.variables(os.environ),
                pass_fds=program.pass_fds,
                # Ctrl-C is the parent's to pass on, in order.
                start_new_session=True,
            )
            self.pids[program.name] = child.pid
            if program.reloads:
                self._reloading[child] = started
            await self._until_over(child)
            self._reloading.pop(child, None)
            if self._stopping.is_set():
                return
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
