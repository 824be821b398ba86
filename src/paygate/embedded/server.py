"""A PostgreSQL server of our own in a data directory, for development and tests: no installation,
no account, no TCP port, durable all the same.

Start-up code: it blocks, and knows nothing of tables, of who connects, or of production. POSIX
only. Tables and pools see a DSN, from here or from PAYGATE_DATABASE_URL, and cannot tell which.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self
from urllib.parse import quote

from paygate.embedded.binaries import (
    Account,
    EmbeddedPostgresError,
    binaries,
    binaries_for,
    complaint,
    environment,
    run,
)
from paygate.embedded.cluster import (
    NAME,
    PORT,
    SOCKET_FILES,
    Place,
    claim,
    is_private,
    place,
    prepare,
    private,
    release,
)
from paygate.embedded.options import settings_of

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "binaries", "dsn_of"]

# A server that was killed replays at most `max_wal_size` before it is ready: seconds, but minutes
# on a slow network disk. To give up too early would only make the next start begin again.
START_SECONDS = 300
# A living server answers within milliseconds, also to say that it is not ready.
SILENCE_SECONDS = 5
# Processes of a killed server end at once, or at the end of the statement they are in.
ORPHANS_SECONDS = 20
# A fast stop writes out the shared buffers; an immediate one kills what is left after 5 s itself.
FAST_STOP_SECONDS = 60
IMMEDIATE_STOP_SECONDS = 15
POLL_SECONDS = 0.01

# Above this the log is put aside at the next start; one earlier log is kept.
LOG_BYTES = 1_000_000

# Failures that pass: processes of a killed server still have its shared memory (the server finds
# that without a pid file too), or a server whose owner was killed is just starting.
_PASSING = ("is still in use", "already exists")

_PID_FILE = "postmaster.pid"
_READY, _NOT_YET = 0, 1  # what pg_isready returns
_ROOT = Path("/")
_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})


class _PidFile(NamedTuple):
    """What a server says of itself in its data directory."""

    pid: int
    sockets: str  # the folder
    status: str  # "starting", "ready", "standby", "stopping"


class EmbeddedPostgres:
    """A running server, and the lock on its data directory."""

    dsn: str
    pid: int

    def __init__(
        self, where: Place, lock: int, server: "_Server", settings: Mapping[str, str]
    ) -> None:
        """Internal: `start` is the way in."""
        self._settings = settings
        self._where = where
        self._lock: int | None = lock
        self._server = server
        self.pid = server.pid
        self.dsn = _dsn(where)

    @classmethod
    def start(cls, data_dir: Path, *, options: Mapping[str, str] = _NO_OPTIONS) -> Self:
        """Serve `data_dir`, which is created if need be, with `options` as server settings.

        A server that a killed owner left running is adopted, or started anew if its settings or
        its version are others. Raises `EmbeddedPostgresError`.
        """
        settings = settings_of(options)
        try:
            where = place(data_dir)
            lock = claim(where.data_dir)
            try:
                prepare(where)
                server = _obtain(where, _command(where, settings))
                return cls(where, lock, server, settings)
            except BaseException:
                release(lock)
                raise
        except OSError as error:
            culprit = f" ({error.filename})" if error.filename else ""
            raise EmbeddedPostgresError(
                f"cannot use data directory {data_dir}: {error.strerror or error}{culprit}"
            ) from error

    @property
    def log(self) -> Path:
        """What the server says of itself."""
        return self._where.log

    def runs(self) -> bool:
        """Whether the server lives."""
        return self._server.runs()

    def revive(self) -> None:
        """Start the server again after its death, at the same address. Raises
        `EmbeddedPostgresError`.
        """
        self._server = _obtain(self._where, _command(self._where, self._settings))
        self.pid = self._server.pid

    def stop(self, *, immediate: bool = False) -> None:
        """End the server and set the directory free; a second call does nothing.

        Fast: open transactions are rolled back, all is written out. Immediate: as if it crashed;
        the next start recovers. Raises `EmbeddedPostgresError` if the server will not end.
        """
        if self._lock is None:
            return
        _end(self._where, self._server, immediate=immediate)
        _sweep(self._where)
        release(self._lock)
        self._lock = None


def dsn_of(data_dir: Path) -> str:
    """Of the server that runs, or would run, in a data directory that another process owns."""
    return _dsn(place(data_dir))


def _dsn(where: Place) -> str:
    # With the port, or else PGPORT in the environment would decide.
    return f"postgresql://{NAME}@/{NAME}?host={quote(str(where.sockets))}&port={PORT}"


def _command(where: Place, settings: Mapping[str, str]) -> list[str]:
    program = binaries_for(where.account) / "postgres"
    command = [str(program), "-D", where.as_the_server_sees_it]
    command += ["-c", _signature(str(where.sockets))]
    for name, value in sorted(settings.items()):
        command += ["-c", f"{name}={value}"]
    return command


def _signature(sockets: str) -> str:
    """What the command line of one directory's server has, and no other process's."""
    return f"unix_socket_directories={sockets}"


class _Server:
    """The first process of a running server: our child, or left behind by another owner."""

    def __init__(
        self, pid: int, signature: str, child: subprocess.Popen[bytes] | None = None
    ) -> None:
        self.pid = pid
        self._signature = signature
        self._child = child

    def runs(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None  # reaps it, too
        # A number alone proves nothing: a dead server's is given to another process in time.
        return self._signature in _command_line(self.pid)


def _obtain(where: Place, command: list[str]) -> _Server:
    """The server of this directory, adopted or started: ready."""
    begin = time.monotonic()
    while True:
        server = _adopt(where, command)
        if server is not None:
            return server
        child, log_start = _spawn(where, command)
        server = _Server(child.pid, _signature(str(where.sockets)), child)
        try:
            if _becomes_ready(where, server):
                return server
            with where.log.open("rb") as log:
                log.seek(log_start)
                failure = complaint(log.read().decode(errors="replace"))
        except BaseException:
            _end(where, server, immediate=True)
            raise
        passes = any(sign in failure for sign in _PASSING)
        _sweep(where)
        if not passes or time.monotonic() - begin > ORPHANS_SECONDS:
            raise EmbeddedPostgresError(
                f"PostgreSQL does not start in {where.data_dir}: {failure} (more in {where.log})"
            )
        time.sleep(POLL_SECONDS)


def _adopt(where: Place, command: list[str]) -> _Server | None:
    """The server that already serves this directory as we would; any other one is ended."""
    found = _read_pid_file(where)
    if found is None:
        return None
    # By the folder that it names: the data directory can have been moved under a running server.
    server = _Server(found.pid, _signature(found.sockets or str(where.sockets)))
    if not server.runs():
        # It can name a living process that has the dead server's number by now, and then it would
        # stop ours from starting.
        (where.cluster / _PID_FILE).unlink(missing_ok=True)
        return None
    same = _command_line(found.pid) == " ".join(command)
    if same and is_private(where) and _is_ready(where, server):
        return server
    _end(where, server, immediate=False)
    return None


def _is_ready(where: Place, server: _Server) -> bool:
    begin = heard = time.monotonic()
    while server.runs():
        reply, now = _ask(where), time.monotonic()
        if reply == _READY:
            return True
        if reply == _NOT_YET:  # it recovers from a crash, or is about to end
            heard = now
        if now - heard > SILENCE_SECONDS or now - begin > START_SECONDS:
            return False  # it hangs
        time.sleep(POLL_SECONDS)
    return False


def _ask(where: Place) -> int:
    program = binaries_for(where.account) / "pg_isready"
    address = ["-h", str(where.sockets), "-p", str(PORT), "-d", NAME, "-U", NAME]
    # As ourselves: root may enter the server's folder.
    return run([program, "-q", "-t", "2", *address], account=Account(), folder=_ROOT).returncode


def _becomes_ready(where: Place, server: _Server) -> bool:
    """False when it ends instead."""
    begin = time.monotonic()
    while server.runs():
        said = _read_pid_file(where)
        if said is not None and said.pid == server.pid and said.status in {"ready", "standby"}:
            return True
        if time.monotonic() - begin > START_SECONDS:
            raise EmbeddedPostgresError(
                f"PostgreSQL in {where.data_dir} is not ready after {START_SECONDS} seconds "
                f"(more in {where.log}): start again"
            )
        time.sleep(POLL_SECONDS)
    return False


def _read_pid_file(where: Place) -> _PidFile | None:
    try:
        lines = (where.cluster / _PID_FILE).read_text(errors="replace").splitlines()
        pid = int(lines[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    lines += [""] * 8  # the later lines are written when they are known
    return _PidFile(pid, sockets=lines[4].strip(), status=lines[7].strip())


def _command_line(pid: int) -> str:
    """The arguments of a living process; of a dead one, or one that was not yet reaped, nothing.

    Not its working directory or executable: in a container root may not look at those of another
    user's process.
    """
    if Path("/proc/self/cmdline").exists():
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return arguments.rstrip("\0").replace("\0", " ")
    listing = ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)]
    return run(listing, account=Account(), folder=_ROOT).stdout.strip()


def _spawn(where: Place, command: list[str]) -> tuple[subprocess.Popen[bytes], int]:
    """The server's first process, and where its words begin in the log."""
    private(where)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    if where.log.exists() and where.log.stat().st_size > LOG_BYTES:
        where.log.rename(where.log.with_name(f"{where.log.name}.1"))
    log = os.open(where.log, flags, 0o600)
    log_start = os.fstat(log).st_size
    try:
        child = subprocess.Popen(  # noqa: S603 - our own program, no shell
            command,
            cwd=where.cluster,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=where.account.uid,
            group=where.account.gid,
            extra_groups=where.account.groups,
            umask=0o077,
            start_new_session=True,  # Ctrl-C is for the owner, who stops the server last
        )
        return child, log_start
    finally:
        os.close(log)


def _sweep(where: Place) -> None:
    for name in SOCKET_FILES:
        (where.sockets / name).unlink(missing_ok=True)
    with suppress(OSError):
        where.sockets.rmdir()


def _end(where: Place, server: _Server, *, immediate: bool) -> None:
    """Stop a server with the signals that `pg_ctl stop` sends (that program refuses root, and takes
    any process with the number for the server). One that does not end fast is ended at once.
    """
    ways = [(signal.SIGQUIT, IMMEDIATE_STOP_SECONDS)]
    if not immediate:
        ways.insert(0, (signal.SIGINT, FAST_STOP_SECONDS))
    for way, seconds in ways:
        deadline = time.monotonic() + seconds
        if server.runs():
            with suppress(ProcessLookupError):
                os.kill(server.pid, way)
        while server.runs() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    if server.runs():
        raise EmbeddedPostgresError(
            f"PostgreSQL in {where.data_dir} (process {server.pid}) neither answers nor ends: "
            f"end it with `kill -KILL {server.pid}` and start again"
        )
