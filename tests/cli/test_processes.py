"""What the processes of a gateway trust: no working directory, no foreign variable, no planted
file, no open folder; and no secret is shown to who may list processes.
"""

import asyncio
import os
import secrets
import signal
import ssl
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from paygate.cli.certificates import Certificates, ensure_certificates
from paygate.cli.processes import Program, Supervisor
from paygate.private import close_folder, write_private
from tests.cli.processes import children, is_one_clear_line, run
from tests.gateway import Gateway

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

UP = ("up", "--port", "0", "--sandbox-port", "0")
ROOT = os.geteuid() == 0
STRANGER = 12345
POSTGRES_ENVIRONMENT = {"PATH", "LC_ALL", "TZ"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():  # any thread may start one
        for text in (task / "children").read_text().split():
            found += [int(text), *descendants(int(text))]
    return found


def variables(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_text(errors="replace")
    return dict(pair.split("=", 1) for pair in text.split("\0") if "=" in pair)


@needs_proc
def test_no_secret_is_in_an_argument_and_only_the_sandbox_is_given_its_keys(
    running: Gateway,
) -> None:
    ready = running.ready
    secrets = {n: v for n, v in ready.items() if n.endswith(("_key", "_secret")) and v}
    assert len(secrets) == 6
    pids = [running.process.pid, *descendants(running.process.pid)]
    assert len(pids) > 5
    for pid in pids:
        shown = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        assert [name for name, value in secrets.items() if value in shown] == [], shown
    programs = children(running.process.pid)
    assert {command[0] for command in programs.values()} == {"serve", "worker", "sandbox"}
    for pid, (command, *_) in programs.items():
        values = set(variables(pid).values())
        seen = {name for name, value in secrets.items() if value in values}
        sandboxes = {"sandbox_secret_key", "sandbox_publishable_key"}
        assert seen == (sandboxes if command == "sandbox" else set()), command
        assert ("PG_COLOR" in variables(pid)) is (command != "sandbox")


@needs_proc
def test_children_import_nothing_from_the_working_directory(running: Gateway) -> None:
    for pid in children(running.process.pid):
        interpreter, option, *_ = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        assert Path(interpreter).is_absolute()
        assert option == "-P"


@needs_proc
def test_the_database_is_shown_no_variable_of_ours(running: Gateway) -> None:
    pid_file = Path(running.ready["data_dir"]) / "postgres" / "cluster" / "postmaster.pid"
    found = set(variables(int(pid_file.read_text().split()[0])))
    assert {n for n in found if not n.startswith("PG")} == POSTGRES_ENVIRONMENT


def test_a_child_is_shown_what_is_listed_and_nothing_else() -> None:
    kept = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "TMPDIR": "/t", "https_proxy": "http://p"}
    kept |= {"SSL_CERT_FILE": "/ca"}
    settings = {"PAYGATE_DATABASE_URL": "postgresql://hunter2", "PGPASSWORD": "hunter2"}
    foreign = {"PYTHONPATH": ".", "PYTHONSTARTUP": "x", "PYTHONHOME": "x", "LD_PRELOAD": "x.so"}
    foreign |= {"LD_LIBRARY_PATH": ".", "OPENSSL_CONF": "x", "AWS_SECRET_ACCESS_KEY": "hunter2"}
    inherited = kept | settings | foreign
    assert Program("worker", ["worker"]).variables(inherited) == kept | settings
    assert Program("sandbox", ["sandbox"], settings=False).variables(inherited) == kept
    given = Program("api", ["serve"], {"OPENSSL_CONF": "ours"}).variables(inherited)
    assert given == kept | settings | {"OPENSSL_CONF": "ours"}


def test_a_module_in_the_working_directory_is_not_imported(tmp_path: Path) -> None:
    for name in ("msgspec", "typer", "uvloop", "asyncpg"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w')\nraise SystemExit('planted')\n")
    is_one_clear_line(run("migrate", cwd=tmp_path), "is not set")
    assert not (tmp_path / "imported").exists()


async def test_a_child_that_ends_before_it_was_ready_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """At once, in a hostile working directory too, and whatever else is being waited for."""
    (tmp_path / "paygate").mkdir()
    (tmp_path / "paygate" / "__init__.py").write_text("open('imported', 'w')\n")
    (tmp_path / "sitecustomize.py").write_text("open('imported', 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ".")
    supervisor = Supervisor()
    supervisor.keep(Program("nonsense", ["nonsense"]))
    with pytest.raises(
        ChildProcessError, match=r"the nonsense process ended before it was ready \(status 2\)"
    ):
        await supervisor.during(supervisor.ready())
    await supervisor.stop()
    assert not (tmp_path / "imported").exists()
    assert capfd.readouterr().err.count("No such command") == 1  # started once


@needs_proc
async def test_a_child_that_was_ready_is_started_again_and_work_is_cut_off_by_the_end(
    tmp_path: Path,
) -> None:
    def sandboxes() -> list[int]:
        return [pid for pid, command in children(os.getpid()).items() if command[0] == "sandbox"]

    supervisor = Supervisor()
    arguments = ["sandbox", "--data", str(tmp_path), "--port", "0"]
    supervisor.keep(Program("sandbox", arguments, settings=False))
    async with asyncio.timeout(30):
        assert await supervisor.during(supervisor.ready())
        (first,) = sandboxes()
        os.kill(first, signal.SIGKILL)
        while not (found := sandboxes()) or found == [first]:
            await asyncio.sleep(0.05)
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
        assert not await supervisor.during(asyncio.Event().wait())
    await supervisor.stop()
    assert sandboxes() == []


async def test_a_fault_of_what_runs_beside_the_children_ends_the_wait() -> None:
    async def fail() -> None:
        raise OSError("gone")

    supervisor = Supervisor()
    supervisor.watch(fail())
    with pytest.raises(OSError, match="gone"):
        await supervisor.wait()
    await supervisor.stop()


def test_a_private_file_replaces_a_link_and_leaves_its_target(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "ready.json"
    victim.write_text("as it was")
    path.symlink_to(victim)
    write_private(path, "secret")
    assert victim.read_text() == "as it was"
    assert not path.is_symlink()
    assert (path.read_text(), mode(path)) == ("secret", 0o600)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ready.json", "victim"]


@pytest.mark.parametrize("planted", ["file", "link", "dangling link"])
def test_a_draft_whose_name_was_guessed_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda _: "guessed")
    victim, draft = tmp_path / "victim", tmp_path / ".ready.json.guessed"
    if planted == "file":
        draft.write_text("as it was")
        os.link(draft, victim)
    else:
        draft.symlink_to(victim)
        if planted == "link":
            victim.write_text("as it was")
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "ready.json", "secret")
    assert (victim.read_text() if victim.exists() else "as it was") == "as it was"
    assert not (tmp_path / "ready.json").exists()


@pytest.mark.parametrize("mask", [0, 0o277])
def test_a_private_file_is_private_under_every_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int
) -> None:
    made, change = [], os.fchmod

    def look_first(descriptor: int, wanted: int) -> None:
        made.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        change(descriptor, wanted)

    monkeypatch.setattr(os, "fchmod", look_first)
    before = os.umask(mask)
    try:
        write_private(tmp_path / "ready.json", "secret")
    finally:
        os.umask(before)
    assert mode(tmp_path / "ready.json") == 0o600
    assert [found & 0o077 for found in made] == [0], "open to others when it was made"


def test_of_a_file_that_cannot_have_its_name_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "ready.json").mkdir()
    with pytest.raises(IsADirectoryError):
        write_private(tmp_path / "ready.json", "secret")
    assert [path.name for path in tmp_path.iterdir()] == ["ready.json"]


def refused_start(tmp_path: Path) -> Path:
    """A data directory on which `up` ends at once."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "up.json").write_text("damaged")
    return data


def test_an_earlier_ready_file_is_gone_as_soon_as_a_start_begins(tmp_path: Path) -> None:
    data, victim = refused_start(tmp_path), tmp_path / "victim"
    victim.write_text("as it was")
    for path in (tmp_path / "old.json", tmp_path / "link.json"):
        if path.name == "link.json":
            path.symlink_to(victim)
        else:
            path.write_text("{}")
        ran = run(*UP, "--data", str(data), "--ready-file", str(path), cwd=tmp_path)
        is_one_clear_line(ran, "up.json is damaged")
        assert not os.path.lexists(path)
    assert victim.read_text() == "as it was"


def test_a_ready_file_that_strangers_could_exchange_is_refused(tmp_path: Path) -> None:
    data, shared = refused_start(tmp_path), tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (tmp_path / "folder").mkdir()
    for path, words in (
        (shared / "ready.json", "everybody can exchange"),
        (tmp_path / "folder", "is not a file"),
    ):
        ran = run(*UP, "--data", str(data), "--ready-file", str(path), cwd=tmp_path)
        is_one_clear_line(ran, words)


def test_a_ready_file_may_stand_where_everybody_keeps_to_their_own(tmp_path: Path) -> None:
    data, shared = refused_start(tmp_path), tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)  # as /tmp
    ran = run(*UP, "--data", str(data), "--ready-file", str(shared / "ready.json"), cwd=tmp_path)
    is_one_clear_line(ran, "up.json is damaged")


def test_a_data_directory_is_made_closed(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert not close_folder(tmp_path / "new" / "data", "up.json"), "it never stood open"
    finally:
        os.umask(before)
    assert mode(tmp_path / "new" / "data") == 0o700


def test_the_data_directory_is_closed_or_refused(tmp_path: Path) -> None:
    data = refused_start(tmp_path)
    command = (*UP, "--data", str(data))
    data.chmod(0o755)
    (data / "up.json").chmod(0o644)
    ran = run(*command, cwd=tmp_path)
    assert "data_directory_closed" in ran.out + ran.err
    assert (mode(data), mode(data / "up.json")) == (0o700, 0o600)
    for wide in (0o770, 0o777):
        data.chmod(wide)
        is_one_clear_line(run(*command, cwd=tmp_path), "other users can write", "chmod 700")
        assert mode(data) == wide
    (data / "up.json").rename(data / "letters")
    data.chmod(0o755)
    is_one_clear_line(run(*command, cwd=tmp_path), "no data directory", "chmod 700")
    assert mode(data) == 0o755


def test_a_planted_file_of_keys_is_refused(tmp_path: Path) -> None:
    data = refused_start(tmp_path)
    (data / "paygate.toml").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").touch()
    is_one_clear_line(run(*UP, "--data", str(data), cwd=tmp_path), "cannot take", "paygate.toml")


def test_a_file_of_keys_that_is_none_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    data = refused_start(tmp_path)
    os.mkfifo(data / "paygate.toml")
    is_one_clear_line(run(*UP, "--data", str(data), cwd=tmp_path), "is not a file", "paygate.toml")


@pytest.mark.skipif(not ROOT, reason="gives files away")
def test_another_users_file_of_keys_is_refused(tmp_path: Path) -> None:
    data = refused_start(tmp_path)
    (data / "paygate.toml").touch()
    os.chown(data / "paygate.toml", STRANGER, STRANGER)
    ran = run(*UP, "--data", str(data), cwd=tmp_path)
    is_one_clear_line(ran, "not a file of this user's", "paygate.toml")


@pytest.mark.skipif(not ROOT, reason="gives folders away")
def test_another_users_data_directory_is_refused(tmp_path: Path) -> None:
    data = refused_start(tmp_path)
    os.chown(data, STRANGER, STRANGER)
    ran = run(*UP, "--data", str(data), cwd=tmp_path)
    is_one_clear_line(ran, "belongs to another user", str(STRANGER))


def certificate_of(made: Certificates) -> x509.Certificate:
    return x509.load_pem_x509_certificate(made.certificate.read_bytes())


def test_the_certificate_lives_a_year_and_its_authority_signs_nothing_more(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path / "tls", "127.0.0.1")
    found = certificate_of(made)
    assert found.not_valid_after_utc - found.not_valid_before_utc <= timedelta(days=366)
    assert found.not_valid_before_utc < datetime.now(UTC) < found.not_valid_after_utc
    assert mode(made.key) == 0o600
    keys = [p for p in (tmp_path / "tls").iterdir() if "PRIVATE KEY" in p.read_text()]
    assert keys == [made.key]
    kept = [path.read_bytes() for path in made]
    assert [p.read_bytes() for p in ensure_certificates(tmp_path / "tls", "127.0.0.1")] == kept


@pytest.mark.parametrize(
    "fault", ["ends", "clock", "forever", "host", "open key", "other key", "other ca", "damaged"]
)
def test_a_certificate_that_cannot_serve_is_made_again(tmp_path: Path, fault: str) -> None:
    made = ensure_certificates(tmp_path, "127.0.0.1")
    now, days = datetime.now(UTC), timedelta(days=1)
    begin, end, names = now - days, now + 300 * days, ["127.0.0.1", "localhost", "::1"]
    if fault == "ends":
        end = now + 29 * days
    elif fault == "clock":
        begin = now + days
    elif fault == "forever":
        end = now + 400 * days
    elif fault == "host":
        names[0] = "192.0.2.1"
    authority = trustme.CA()
    leaf = authority.issue_cert(*names, not_before=begin, not_after=end)
    leaf.private_key_pem.write_to_path(made.key)
    leaf.cert_chain_pems[0].write_to_path(made.certificate)
    authority.cert_pem.write_to_path(made.ca)
    if fault == "open key":
        made.key.chmod(0o644)
    elif fault == "other key":
        authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(made.key)
    elif fault == "other ca":
        trustme.CA().cert_pem.write_to_path(made.ca)
    elif fault == "damaged":
        made.certificate.write_text("-----BEGIN CERTIFICATE-----")
    before = made.certificate.read_bytes()
    again = ensure_certificates(tmp_path, "127.0.0.1")
    assert again.certificate.read_bytes() != before
    assert mode(again.key) == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(again.certificate, again.key)
    authority_now = x509.load_pem_x509_certificate(again.ca.read_bytes())
    certificate_of(again).verify_directly_issued_by(authority_now)


def test_a_sound_certificate_of_another_making_is_kept(tmp_path: Path) -> None:
    made, now = ensure_certificates(tmp_path, "127.0.0.1"), datetime.now(UTC)
    authority = trustme.CA()
    day = timedelta(days=1)
    names = ("::1", "127.0.0.1", "localhost")
    leaf = authority.issue_cert(*names, not_before=now - day, not_after=now + 40 * day)
    leaf.private_key_pem.write_to_path(made.key)
    leaf.cert_chain_pems[0].write_to_path(made.certificate)
    authority.cert_pem.write_to_path(made.ca)
    before = made.certificate.read_bytes()
    assert ensure_certificates(tmp_path, "127.0.0.1").certificate.read_bytes() == before
