"""A command that is forked from a running Python does as one that is started anew."""

from pathlib import Path

import pytest

from tests.cli.processes import run, run_anew

COMMANDS = [
    ["--version"],
    ["--help"],
    ["up", "--help"],
    [],
    ["nonsense"],
    ["migrate", "--nonsense"],
    ["serve", "--processes", "0"],
    ["worker"],
    ["migrate"],
    ["api-keys", "create", "--role", "owner"],
    ["jobs", "list", "--json"],
]
UNREADABLE = {"PAYGATE_MAX_AMOUNT": "much", "LANG": "de_DE.UTF-8"}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_both_say_and_end_the_same(command: list[str], tmp_path: Path) -> None:
    assert run(*command, cwd=tmp_path) == run_anew(*command, cwd=tmp_path)


def test_both_see_the_environment_they_are_given(tmp_path: Path) -> None:
    forked = run("migrate", cwd=tmp_path, environ=UNREADABLE)
    assert forked == run_anew("migrate", cwd=tmp_path, environ=UNREADABLE)
    assert "PAYGATE_MAX_AMOUNT" in forked.err


def test_both_see_the_directory_they_are_started_in(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "paygate.toml").write_text("nonsense = 1\n")
    forked = run("worker", cwd=tmp_path)
    assert forked == run_anew("worker", cwd=tmp_path)
    assert "paygate.toml" in forked.err
