"""What a stranger reads is true: every command and program of docs/sandbox.md and of the help."""

import json
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from paygate_sandbox.command import sandbox
from paygate_sandbox.control.orders import Tamper
from paygate_sandbox.faults import CALLS, KINDS
from paygate_sandbox.generator.plan import KINDS as DISCREPANCIES
from paygate_sandbox.protocol.versions import API_VERSION, VERSIONS
from paygate_sandbox.resources.bank_accounts import IBANS, UNUSABLE_IBAN, US_ACCOUNTS
from paygate_sandbox.resources.cards import CARDS, DECLINES
from paygate_sandbox.resources.catalogue import ENDPOINTS
from tests.sandbox.programs import Ended, ended, started

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
HELP = sandbox.__doc__ or ""
ADDRESS = "http://127.0.0.1:8444"
# A refusal fails the command, as nothing on the page is meant to be refused.
CURL = 'curl() { command curl --silent --show-error --fail-with-body --max-time 20 "$@"; }\n'


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def helped_commands() -> list[str]:
    return re.findall(r"^ *(curl (?:.*\\\n)*.*)$", HELP, re.MULTILINE)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a sandbox that was started as the page says, on a free port."""
    folder = tmp_path_factory.mktemp("stranger")
    with started(["-m", "paygate.cli", "sandbox"], folder, {}) as url:
        yield url
    assert (folder / "sandbox" / "sandbox.sqlite3").exists(), "where the page says that books are"


def tried(command: list[str], text: str, address: str, folder: Path) -> Ended:
    assert ADDRESS in text
    return ended([*command, text.replace(ADDRESS, address)], folder, {"HOME": str(folder)})


@pytest.mark.skipif(shutil.which("curl") is None, reason="a stranger has curl")
@pytest.mark.parametrize("text", [*blocks("sh"), *helped_commands()])
def test_commands(address: str, text: str, tmp_path: Path) -> None:
    ran = tried(["sh", "-eu", "-c"], CURL + text, address, tmp_path)
    assert ran.status == 0, ran
    assert ran.out.startswith("{")


@pytest.mark.parametrize("text", blocks("python"))
def test_programs(address: str, text: str, tmp_path: Path) -> None:
    ran = tried([sys.executable, "-c"], text, address, tmp_path)
    assert ran.status == 0, ran


def test_there_is_something_to_try() -> None:
    assert (len(blocks("sh")), len(blocks("python")), len(helped_commands())) == (3, 3, 2)
    start, _ = blocks("console")
    assert start == f"$ paygate sandbox\nthe sandbox answers on {ADDRESS}\n"


def test_every_call_is_on_the_page() -> None:
    rows = PAGE.partition("## What there is of Stripe")[2]
    on_the_page = set()
    for methods, path in re.findall(r"((?:`[A-Z]+` )*`[A-Z]+) (/v1/[a-z_/{}]+)`", rows):
        on_the_page |= {(method, path) for method in re.findall("[A-Z]+", methods)}
    assert on_the_page == {(e.method, "/v1/" + e.path.replace("{}", "{id}")) for e in ENDPOINTS}


def test_every_payment_method_is_on_the_page_with_what_it_does() -> None:
    rows = {name: row for row in PAGE.splitlines() for name in re.findall(r"`(\w+)`", row)}
    for token, card in CARDS.items():
        assert ("3D Secure" in rows[token]) == (card.authentication != "none"), token
        if card.decline is None:
            assert "paid" in rows[token]
        else:
            decline = DECLINES[card.decline]
            assert {decline.code, decline.decline_code} & set(re.findall(r"\w+", rows[token]))
    for name, account in (US_ACCOUNTS | IBANS).items():
        outcome = account.failure or ("paid" if account.seconds else "stays")
        assert outcome in rows[name], name
    assert "refused" in rows[UNUSABLE_IBAN]


def test_faults_controls_and_versions_are_on_the_page() -> None:
    for word in [*KINDS, *CALLS]:
        assert f"`{word}`" in PAGE
    for word in (*get_args(Tamper), *DISCREPANCIES):
        assert f"| `{word}` |" in PAGE
    assert VERSIONS[0] in PAGE
    assert API_VERSION in PAGE
    assert API_VERSION in HELP
    for call in ("GET ledger", "disputes", "payouts", "clock", "faults", "GET deliveries"):
        assert call in HELP
        assert call.replace("GET ", "GET /_sandbox/") in PAGE


def test_the_two_commands_have_one_help(tmp_path: Path) -> None:
    ours = ended([sys.executable, "-m", "paygate.cli", "sandbox", "--help"], tmp_path)
    alone = ended([sys.executable, "-m", "paygate_sandbox", "--help"], tmp_path)
    assert ours.out.partition("Run a")[2] == alone.out.partition("Run a")[2]
    for option in ("--seed", "--ready-file", "SANDBOX_SECRET_KEY", "[default: 8444]"):
        assert option in alone.out
    for line in filter(None, map(str.strip, HELP.replace("\b", "").splitlines())):
        assert line in alone.out, "as it stands, at the width of a terminal"
    assert max(map(len, alone.out.splitlines())) <= 80


def test_the_ready_file_is_private_and_alone(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    ready.symlink_to(tmp_path / "elsewhere")
    command = ["-m", "paygate_sandbox", "--ready-file", str(ready)]
    with started(command, tmp_path, {"SANDBOX_SECRET_KEY": "sk_test_mine"}) as url:
        assert json.loads(ready.read_text()) == {"url": url, "secret_key": "sk_test_mine"}
        assert (ready.is_symlink(), ready.stat().st_mode & 0o777) == (False, 0o600)
        assert {path.name for path in tmp_path.iterdir()} == {"ready.json", "sandbox"}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--secret-key", "sk_live_1"], 2, "test keys: sk_test_"),
        (["--publishable-key", "sk_test_1"], 2, "test keys: pk_test_"),
        (["--data", "old"], 1, "the sandbox did not start: the sandbox's store has schema 99"),
        (["--ca-file", "missing.pem"], 1, "did not start: cannot trust missing.pem: "),
    ],
)
def test_what_cannot_start_says_why(
    arguments: list[str], status: int, words: str, tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    other = sqlite3.connect(tmp_path / "old" / "sandbox.sqlite3")
    other.execute("PRAGMA user_version = 99")
    other.close()
    command = [sys.executable, "-m", "paygate.cli", "sandbox", "--port", "0", *arguments]
    ran = ended(command, tmp_path, {"COLUMNS": "200"})
    assert (ran.status, ran.out) == (status, "")
    assert words in ran.err
    assert "Traceback" not in ran.err
