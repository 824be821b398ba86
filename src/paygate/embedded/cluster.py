"""The folder of an embedded database: who holds it, what lies in it, and how it comes to be.

    DATA_DIR/postgres.lock     held by the process that owns the server, for as long as it lives
    DATA_DIR/cluster/          PostgreSQL's own data directory, of the user that the server runs as
    DATA_DIR/postgres.log      what the running server says (postgres.log.1: the one before)

Knows nothing of settings or of running servers.
"""

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from paygate.embedded.binaries import (
    Account,
    EmbeddedPostgresError,
    account_for_initdb,
    account_of_its_own,
    binaries_for,
    complaint,
    major_version,
    owner_of,
    run,
)

NAME = "paygate"  # of the role that owns everything, and of the database

# The names of the server's socket and of its lock, in the folder of sockets.
PORT = 5432
SOCKET_FILES = (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock")

STAGING_PREFIX = "cluster.new-"

# A killed process still holds its lock while the kernel takes it down, large memory first.
DYING_SECONDS = 1

_held: set[int] = set()  # descriptors of the locks that this process holds


@dataclass(frozen=True, slots=True)
class Place:
    """A data directory and all that follows from where it lies."""

    data_dir: Path
    account: Account

    @property
    def cluster(self) -> Path:
        return self.data_dir / "cluster"

    @property
    def log(self) -> Path:
        return self.data_dir / "postgres.log"

    @property
    def sockets(self) -> Path:
        """The private folder of the server's socket: short, for a socket's path is limited to some
        107 bytes and a data directory's is not, and the same at every start.

        Root's lies where only root can create; any other user's in the shared /tmp, checked before
        use. Not in XDG_RUNTIME_DIR: that is swept away at logout, under a server that runs on.
        """
        base = "/run" if os.geteuid() == 0 and os.access("/run", os.W_OK) else "/tmp"  # noqa: S108 - checked by `private`  # nosec
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        return Path(base) / f"paygate-{self.account.effective_uid}-{digest}"

    @property
    def as_the_server_sees_it(self) -> str:
        return seen_from_inside(self.cluster, self.account)


def seen_from_inside(folder: Path, account: Account) -> str:
    """How a program that works in `folder` names it. One that changed its user may be unable to
    walk there from the top, because a parent is closed to it (root's home, say); its working
    directory it has all the same. So no parent's permission ever matters, or is touched.
    """
    return str(folder) if account.uid is None else "/proc/self/cwd"


def place(data_dir: Path) -> Place:
    """Where the server of a data directory is, or would be.

    As root the server runs as whoever the files belong to: the owner of an existing cluster, or of
    a folder that was handed to us (a volume mounted into a container).
    """
    data_dir = data_dir.absolute().resolve()
    if os.geteuid() != 0:
        return Place(data_dir, Account())
    account = account_of_its_own()
    for existing in (data_dir / "cluster", data_dir):
        if existing.is_dir():
            owner = owner_of(existing)
            return Place(data_dir, account if owner.uid == 0 else owner)
    return Place(data_dir, account)


def claim(data_dir: Path) -> int:
    """Create the data directory if need be and lock it for this process: a descriptor.

    The lock is the kernel's, so it ends with the process however that ends, provided that no child
    has the descriptor: programs do not inherit it (close-on-exec), forks close it.
    """
    if not data_dir.exists():
        data_dir.mkdir(mode=0o700, parents=True)
    elif not data_dir.is_dir():
        raise EmbeddedPostgresError(f"{data_dir} is not a directory: name another data directory")
    if (version := _version_in(data_dir)) is not None:
        raise EmbeddedPostgresError(
            f"{data_dir} is itself a PostgreSQL data directory (version {version}): name another"
        )
    _close_to_others(data_dir)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        lock = os.open(data_dir / "postgres.lock", flags, 0o600)
    except PermissionError:
        raise EmbeddedPostgresError(
            f"data directory {data_dir} is not writable for this user: give it to the user, "
            "or name another"
        ) from None
    if not _locks(lock):
        holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise EmbeddedPostgresError(
            f"data directory {data_dir} is in use by process {holder}: stop that process, "
            "or name another data directory"
        )
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    _held.add(lock)
    return lock


def _locks(lock: int) -> bool:
    deadline = time.monotonic() + DYING_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def release(lock: int) -> None:
    _held.discard(lock)
    os.close(lock)


def _release_in_fork() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_release_in_fork)


def _close_to_others(data_dir: Path) -> None:
    """Close a folder that is new to us; one with contents may be shared with a purpose, but a
    stranger who can write in it could exchange the cluster.
    """
    status = data_dir.stat()
    if status.st_uid == os.geteuid() and not any(data_dir.iterdir()):
        data_dir.chmod(0o700)
    elif status.st_mode & stat.S_IWOTH:
        raise EmbeddedPostgresError(
            f"everybody can write in data directory {data_dir}: close it (chmod o-w), "
            "or name another"
        )


def prepare(where: Place) -> None:
    """Make the cluster if there is none, and refuse one that these programs cannot serve."""
    ours = major_version(binaries_for(where.account))
    theirs = _version_in(where.cluster)
    if theirs not in {None, ours}:
        raise EmbeddedPostgresError(
            f"{where.cluster} is of PostgreSQL {theirs}, and this is PostgreSQL {ours}: dump it "
            f"with version {theirs} and restore it here, or name another data directory"
        )
    for leftover in where.data_dir.glob(f"{STAGING_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)  # its initdb may still be writing there
    if not where.cluster.exists():
        _create(where)
    elif theirs is None:
        raise EmbeddedPostgresError(
            f"{where.cluster} is not a PostgreSQL cluster: move it away, or name another data "
            "directory"
        )


def _version_in(folder: Path) -> str | None:
    try:
        return (folder / "PG_VERSION").read_text(errors="replace").strip()
    except FileNotFoundError:
        return None


def _create(where: Place) -> None:
    """Under another name until it is whole: a killed initdb leaves nothing that looks finished."""
    staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=where.data_dir))
    try:
        _initialise(staging, where)
        if where.account.uid is not None and where.account.gid is not None:
            _give(staging, where.account.uid, where.account.gid)
        staging.rename(where.cluster)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    directory = os.open(where.data_dir, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _initialise(staging: Path, where: Place) -> None:
    """initdb, and the database, which takes a server of one connection and no socket.

    `trust`, because the socket's folder already lets in nobody but the server's user and root,
    both of whom can read the files anyway: a password here would be one more secret to keep beside
    them. `peer` would add nothing but the need of an account name. Nobody gets in over TCP.
    """
    account = account_for_initdb(where.account)
    if account.uid is not None and account.gid is not None:
        os.chown(staging, account.uid, account.gid)
    here = seen_from_inside(staging, account)
    folder = binaries_for(account)
    initdb = (
        folder / "initdb",
        *(f"--pgdata={here}", f"--username={NAME}", "--auth-local=trust", "--auth-host=reject"),
        # The builtin locale is the same on every system.
        *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        "--data-checksums",
    )
    single = (folder / "postgres", "--single", "-D", here, "-c", "exit_on_error=on", "template1")
    for command, text in ((initdb, ""), (single, f"CREATE DATABASE {NAME}\n")):
        done = run(command, account=account, folder=staging, text=text)
        if done.returncode != 0:
            raise EmbeddedPostgresError(
                f"cannot create a database in {where.data_dir}: {complaint(done.stderr)}"
            )


def _give(folder: Path, uid: int, gid: int) -> None:
    for _, _, names, directory in os.fwalk(folder):
        os.fchown(directory, uid, gid)
        for name in names:
            os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)


def private(where: Place) -> None:
    """Make the folder of sockets, the server's own and closed to all others, without leftovers.

    In /tmp anybody can be there first, with a folder or a link of his own; that is refused, since
    whoever owns it could listen in our place.
    """
    folder = where.sockets
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    owners = {where.account.effective_uid, os.geteuid()}
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in owners:
        raise EmbeddedPostgresError(
            f"{folder} belongs to somebody else: remove it, or name another data directory"
        )
    if where.account.uid is not None and where.account.gid is not None:
        os.chown(folder, where.account.uid, where.account.gid, follow_symlinks=False)
    folder.chmod(0o700)
    for name in SOCKET_FILES:
        # A lock there can name a process that has the dead server's number by now.
        (folder / name).unlink(missing_ok=True)


def is_private(where: Place) -> bool:
    try:
        status = where.sockets.lstat()
    except FileNotFoundError:
        return False
    ours = status.st_uid == where.account.effective_uid
    return ours and status.st_mode == stat.S_IFDIR | 0o700
