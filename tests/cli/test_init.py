"""`paygate init`: a file that the settings take, whole, private, and never a second time."""

import contextlib
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from paygate.cli.init import ENTRIES, render, write_new
from paygate.crypto.kms import FileKms
from paygate.settings import FILE, Settings, SettingsError, load
from tests.cli.processes import call, is_one_clear_line, run

SECRETS = {
    "PAYGATE_STRIPE_API_KEY": "sk_test_hunter2",
    "PAYGATE_DATABASE_URL": "postgresql://paygate:hunter2@db/paygate",
}
OPTIONS = ("--public-url", "https://pay.example", "--return-url-hosts", "shop.example")
FILES = ("--tls-cert", "tls/cert.pem", "--tls-key", "tls/key.pem")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path) -> Iterator[None]:
    """Each test in a folder of its own, where `init` writes."""
    with contextlib.chdir(tmp_path):
        yield


def read(folder: Path) -> Settings:
    """What a command that is run in the folder is told."""
    return load({}, data=folder)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_without_a_terminal_it_takes_options_and_the_environment(tmp_path: Path) -> None:
    ran = run("init", "gate", *OPTIONS, *FILES, cwd=tmp_path, environ=SECRETS)
    gate = tmp_path / "gate"
    assert (ran.status, ran.err) == (0, "")
    assert "hunter2" not in ran.out
    assert "Not set yet" not in ran.out
    assert "paygate migrate" in ran.out
    assert modes(gate) == {FILE: 0o600, "kek": 0o600}
    assert modes(tmp_path) == {"gate": 0o700}
    settings = read(gate)
    assert settings.stripe_api_key == SECRETS["PAYGATE_STRIPE_API_KEY"]
    assert settings.database_url == SECRETS["PAYGATE_DATABASE_URL"]
    assert settings.environment == "development"
    assert (settings.public_url, settings.return_url_hosts) == (
        "https://pay.example",
        ("shop.example",),
    )
    assert settings.tls_cert == tmp_path / "tls" / "cert.pem"
    assert settings.kek == (gate / "kek").as_uri()
    assert not FileKms.open(gate / "kek").is_development


def test_what_is_missing_is_said_and_stands_in_the_file(tmp_path: Path) -> None:
    ran = call("init")
    assert ran.status == 0
    (said,) = re.findall(r"Not set yet.*: (.*)", ran.out)
    needed = [f"PAYGATE_{e.name.upper()}" for e in ENTRIES if e.is_needed]
    assert said.split(", ") == needed
    settings = read(tmp_path)
    assert (settings.environment, settings.stripe_api_key) == ("production", None)


def test_every_line_of_the_file_is_one_that_the_settings_take(tmp_path: Path) -> None:
    """Also of those that wait, with their examples, to be set."""
    text = re.sub(r"^# ([a-z_]+ = )", r"\1", render({}), flags=re.MULTILINE)
    (tmp_path / FILE).write_text(text)
    settings = read(tmp_path)
    assert [e.name for e in ENTRIES if not getattr(settings, e.name)] == []
    assert all(f"\n# {entry.comment}\n" in text for entry in ENTRIES)


@pytest.mark.parametrize("what", ["file", "link"])
def test_a_paygate_toml_is_never_overwritten(what: str, tmp_path: Path) -> None:
    target = tmp_path / FILE
    if what == "link":
        target.symlink_to(tmp_path / "elsewhere")
    else:
        target.write_text("max_amount = 5\n")
    before = target.lstat()
    is_one_clear_line(call("init", environ=SECRETS), str(target), "exists")
    assert target.lstat() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_of_two_at_once_one_writes_it(tmp_path: Path) -> None:
    """Both have seen that there is none."""
    target = tmp_path / FILE
    write_new(target, "max_amount = 5\n")
    with pytest.raises(SettingsError, match="exists"):
        write_new(target, "max_amount = 6\n")
    assert target.read_text() == "max_amount = 5\n"
    assert modes(tmp_path) == {FILE: 0o600}


@pytest.mark.parametrize(
    ("options", "environ", "words"),
    [
        (["--environment", "production"], SECRETS, "production refuses a test key"),
        (["--environment", "staging"], {}, "PAYGATE_ENVIRONMENT must be"),
        (["--public-url", "ftp://hunter2"], {}, "PAYGATE_PUBLIC_URL must be"),
        (["--tls-key", "k.pem"], {}, "go together"),
        ([], {"PAYGATE_STRIPE_API_KEY": "pk_live_hunter2"}, "PAYGATE_STRIPE_API_KEY"),
        (["--kek", "data/kek"], {}, "is in the data directory"),
    ],
)
def test_what_the_settings_refuse_is_not_written(
    options: Sequence[str], environ: dict[str, str], words: str, tmp_path: Path
) -> None:
    is_one_clear_line(call("init", *options, environ=environ), words)
    assert list(tmp_path.iterdir()) == []


def test_an_init_that_was_cut_short_is_done_again_with_its_key(tmp_path: Path) -> None:
    FileKms.create(tmp_path / "kek")
    before = (tmp_path / "kek").read_bytes()
    assert call("init").status == 0
    assert (tmp_path / "kek").read_bytes() == before
    assert read(tmp_path).kek == (tmp_path / "kek").as_uri()


def test_the_key_of_a_paygate_up_is_for_development(tmp_path: Path) -> None:
    FileKms.create(tmp_path / "kek", is_development=True)
    is_one_clear_line(call("init"), "production refuses", str(tmp_path / "kek"))
    assert not (tmp_path / FILE).exists()
    assert call("init", environ=SECRETS).status == 0


def test_in_a_terminal_it_asks_and_shows_no_secret(tmp_path: Path) -> None:
    answers = [
        ("Stripe's secret key", "pk_test_hunter2"),  # refused, and asked for again
        ("Stripe's secret key", SECRETS["PAYGATE_STRIPE_API_KEY"]),
        ("PostgreSQL", SECRETS["PAYGATE_DATABASE_URL"]),
        ("public address", "http://pay.example"),
        ("public address", "https://pay.example"),
        ("Hosts", ""),
        ("TLS certificate", "/tls/cert.pem"),
        ("TLS key", "/tls/key.pem"),
    ]
    status, shown = _talk(answers, tmp_path)
    assert status == 0, shown
    assert "hunter2" not in shown
    assert "PAYGATE_PUBLIC_URL must be" in shown
    assert "Not set yet, in the file or the environment: PAYGATE_RETURN_URL_HOSTS" in shown
    settings = read(tmp_path)
    assert settings.stripe_api_key == SECRETS["PAYGATE_STRIPE_API_KEY"]
    assert settings.database_url == SECRETS["PAYGATE_DATABASE_URL"]
    assert (settings.public_url, settings.return_url_hosts) == ("https://pay.example", ())
    assert (str(settings.tls_cert), str(settings.tls_key)) == ("/tls/cert.pem", "/tls/key.pem")


def test_an_answer_is_held_to_the_environment_and_half_a_pair_is_none(tmp_path: Path) -> None:
    answers = [
        ("Stripe's secret key", ""),
        ("PostgreSQL", ""),
        ("public address", "http://localhost:8080"),
        ("public address", ""),
        ("Hosts", "shop.example"),
        ("TLS certificate", "cert.pem"),
        ("TLS key", ""),
    ]
    status, shown = _talk(answers, tmp_path)
    assert status == 0, shown
    assert "production refuses an address without TLS" in shown
    settings = read(tmp_path)
    assert (settings.environment, settings.public_url) == ("production", None)
    assert (settings.tls_cert, settings.return_url_hosts) == (None, ("shop.example",))


def _talk(answers: Sequence[tuple[str, str]], cwd: Path) -> tuple[int, str]:
    """`paygate init` in a terminal, each question answered once it is asked: its exit status, and
    all that the terminal showed.
    """
    ours, theirs = os.openpty()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PAYGATE_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "paygate.cli", "init"],
        cwd=cwd,
        env=clean | {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,  # so that questions go to this terminal, not to the tests' own
    )
    os.close(theirs)
    shown, since = "", 0
    try:
        for question, answer in answers:
            while question not in shown[since:] or not shown.endswith(": "):
                shown += os.read(ours, 4096).decode()
            since = len(shown)
            os.write(ours, f"{answer}\n".encode())
        while more := _rest(ours):
            shown += more
        return process.wait(timeout=30), shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _rest(terminal: int) -> str:
    try:
        return os.read(terminal, 4096).decode()
    except OSError:  # how Linux says that the other end is closed
        return ""
