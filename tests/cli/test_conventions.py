"""What people and programs know of other command lines holds for this one."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from paygate.cli.main import app
from paygate.domain.access.roles import Role
from paygate.jobs.schedule import SCHEDULE
from tests.cli.processes import Ran, is_one_clear_line, run
from tests.gateway import Gateway


def commands(of: typer.Typer, *path: str) -> Iterator[tuple[str, ...]]:
    for command in of.registered_commands:
        yield (*path, command.name or str(getattr(command.callback, "__name__", "")))
    for group in of.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, *path, str(group.name))


LISTS = [
    (*command, *(("--limit", "100000") if command[0] == "payments" else ()))
    for command in commands(app)
    if command[-1] == "list"
]
"""Of payments there are too many for a list to be the whole by itself."""


def completed(words: str, cwd: Path) -> list[str]:
    """What TAB shows after these words, in bash."""
    environ = {
        "_PAYGATE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    return run(cwd=cwd, environ=environ).out.split()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("paygate merch", ["merchants"]),
        ("paygate api-keys create --role ", list(Role)),
        ("paygate jobs run ", [job.name for job in SCHEDULE]),
    ],
)
def test_tab_completes(words: str, shown: list[str], tmp_path: Path) -> None:
    assert completed(words, tmp_path) == shown


def test_completion_can_be_installed(tmp_path: Path) -> None:
    assert "--install-completion" in run("--help", cwd=tmp_path).out


def on(running: Gateway, cwd: Path, *arguments: str) -> Ran:
    return run(*arguments, "--data", running.ready["data_dir"], cwd=cwd)


async def a_payment(running: Gateway, token: str = "pm_card_visa") -> str:
    """The id of a payment that succeeded."""
    client = Gateway(running.process, running.ready, running.log)
    await client.open()
    intent = await client.create()
    await client.confirm(intent["id"], token)
    await client.close()
    return str(intent["id"])


def listed_by(
    command: tuple[str, ...], running: Gateway, cwd: Path, environ: dict[str, str]
) -> Ran:
    """What a list shows, once there is something to be listed."""
    if command[0] == "provider-events":
        run("trigger", "payout.paid", cwd=cwd, environ=environ)
    if command[0] == "refunds":
        run("refunds", "create", asyncio.run(a_payment(running)), cwd=cwd, environ=environ)
    if command[0] == "disputes":
        asyncio.run(a_payment(running, token="pm_card_createDispute"))
    if command[0] == "payments":
        asyncio.run(a_payment(running))
    ran = run(*command, "--json", cwd=cwd, environ=environ)
    for _ in range(50):
        if ran.status != 0 or json.loads(ran.out)["data"]:
            break
        ran = run(*command, "--json", cwd=cwd, environ=environ)
    return ran


@pytest.mark.parametrize("command", LISTS, ids=" ".join)
def test_every_list_has_the_same_shape(
    command: tuple[str, ...], running: Gateway, tmp_path: Path
) -> None:
    environ = {"PAYGATE_DATA": running.ready["data_dir"]}
    ran = listed_by(command, running, tmp_path, environ)
    listed = json.loads(ran.out)
    assert set(listed) == {"object", "data", "has_more", "url"}
    assert (listed["object"], listed["has_more"]) == ("list", False)
    assert listed["data"]
    assert all(isinstance(entry["object"], str) for entry in listed["data"])
    quiet = run(*command, "--quiet", cwd=tmp_path, environ=environ)
    names = [entry.get("id") or entry["name"] for entry in listed["data"]]
    assert quiet == (0, "".join(f"{name}\n" for name in names), "")


def test_quiet_prints_what_a_program_needs(running: Gateway, tmp_path: Path) -> None:
    assert on(running, tmp_path, "merchants", "create", "quiet", "-q") == (0, "quiet\n", "")
    made = on(running, tmp_path, "api-keys", "create", "--role", "auditor", "-q")
    assert (made.status, made.err) == (0, "")
    assert made.out.startswith("pgw_test_sk_")
    key_id = "key_" + made.out.split("_sk_")[1].split("_")[0]
    assert on(running, tmp_path, "api-keys", "revoke", key_id, "-q") == (0, "", "")
    assert on(running, tmp_path, "migrate", "-q") == (0, "", "")
    held = on(running, tmp_path, "up", "-q", "--port", "0", "--sandbox-port", "0")
    is_one_clear_line(held, running.ready["data_dir"])


def test_a_role_that_there_is_not_is_wrong_usage(tmp_path: Path) -> None:
    ran = run("api-keys", "create", "--role", "owner", cwd=tmp_path)
    assert ran.status == 2
    assert all(role in ran.err for role in Role)
