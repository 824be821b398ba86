"""`paygate merchants` and `paygate api-keys` on the directory of a running gateway."""

import json
import os
import pwd
import re
from pathlib import Path
from typing import Any

import pytest

from paygate.cli import api_keys, merchants
from paygate.domain.access.roles import Role
from paygate.domain.audit import AuditEntry, Result
from tests.api.shops import audited
from tests.cli.processes import Ran, is_one_clear_line, run
from tests.gateway import Gateway

COMMANDS = {
    ("merchants", "create"): ["ID", "--data", "--json", "--quiet"],
    ("merchants", "list"): ["--data", "--json", "--quiet"],
    ("api-keys", "create"): ["--role", "--merchant", "--name", "--data", "--json", "--quiet"],
    ("api-keys", "list"): ["--merchant", "--data", "--json", "--quiet"],
    ("api-keys", "rotate"): ["ID", "--overlap", "--data", "--json", "--quiet"],
    ("api-keys", "revoke"): ["ID", "--data", "--json", "--quiet"],
}
UNKNOWN = "key_" + "0" * 26
OTHERS = {"paygate up", "test"}


@pytest.fixture(scope="session")
def shop(running: Gateway, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A merchant made by the command."""
    ran = paygate(running, tmp_path_factory.mktemp("cwd"), "merchants", "create", "cli-shop")
    assert (ran.status, ran.err) == (0, ""), ran
    assert "created cli-shop" in ran.out
    return "cli-shop"


def paygate(running: Gateway, cwd: Path, *arguments: str) -> Ran:
    return run(*arguments, "--data", running.ready["data_dir"], cwd=cwd)


def printed(ran: Ran) -> dict[str, Any]:
    """The object that `--json` printed, and nothing else."""
    assert (ran.status, ran.err, ran.out.count("\n")) == (0, "", 1), ran
    return dict(json.loads(ran.out))


async def commanded(gateway: Gateway) -> list[AuditEntry]:
    """What commands left in the audit log, `up` itself and the makers of `api.shops` aside."""
    entries = [e for found in (await audited(gateway)).values() for e in found]
    mine = [e for e in entries if e.actor.type == "command" and e.actor.name not in OTHERS]
    assert {e.actor.name for e in mine} <= {pwd.getpwuid(os.getuid()).pw_name}
    assert all((e.request_id or "").startswith("req_") for e in mine)
    return sorted(mine, key=lambda e: e.id)


def test_every_command_is_tried_here() -> None:
    found = {
        (group, c.name or getattr(c.callback, "__name__", ""))
        for group, app in (("merchants", merchants.app), ("api-keys", api_keys.app))
        for c in app.registered_commands
    }
    assert found == set(COMMANDS)


@pytest.mark.parametrize("command", list(COMMANDS), ids=" ".join)
def test_help_names_the_options(command: tuple[str, str], tmp_path: Path) -> None:
    ran = run(*command, "--help", cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert [o for o in COMMANDS[command] if o not in ran.out] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["merchants"],
        ["merchants", "create"],
        ["api-keys", "create"],
        ["api-keys", "rotate"],
        ["api-keys", "revoke", "--nonsense", UNKNOWN],
        ["api-keys", "nonsense"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(arguments: list[str], tmp_path: Path) -> None:
    ran = run(*arguments, cwd=tmp_path)
    assert ran.status == 2
    assert ran.err.count("\n") == (0 if ran.out else 1)  # the help, or one line


def test_without_a_gateway_it_is_one_clear_line(tmp_path: Path) -> None:
    is_one_clear_line(run("merchants", "list", cwd=tmp_path), "is not set")


async def test_merchants(running: Gateway, shop: str, tmp_path: Path) -> None:
    made = printed(paygate(running, tmp_path, "merchants", "create", "cli-2", "--json"))
    assert set(made) == {"object", "id", "livemode", "created_at"}
    assert (made["object"], made["id"], made["livemode"]) == ("merchant", "cli-2", False)
    is_one_clear_line(paygate(running, tmp_path, "merchants", "create", "cli-2"), "exists already")
    is_one_clear_line(paygate(running, tmp_path, "merchants", "create", "Cli 2"), "a-z, 0-9, _")
    listed = printed(paygate(running, tmp_path, "merchants", "list", "--json"))
    mine = {"default", shop, "cli-2"}  # the gateway is shared
    assert [m["id"] for m in listed["data"] if m["id"] in mine] == ["default", shop, "cli-2"]
    assert listed["data"][-1] == made
    table = paygate(running, tmp_path, "merchants", "list")
    head, *rows = [line.split()[0] for line in table.out.splitlines()]
    assert (head, [m["id"] for m in listed["data"]]) == ("id", rows)
    actions = [(e.action, e.result) for e in await commanded(running)]
    assert actions[-5:] == [
        ("merchant.create", Result.ALLOWED),
        ("merchant.create", Result.REFUSED),
        ("merchant.create", Result.REFUSED),
        ("merchant.list", Result.ALLOWED),
        ("merchant.list", Result.ALLOWED),
    ]


async def test_a_keys_life(gateway: Gateway, shop: str, tmp_path: Path) -> None:
    """Made, listed, used, rotated, revoked: each as the wire shows it, for its own merchant."""
    create = ("api-keys", "create", "--role", "admin", "--merchant", shop, "--name", "back office")
    made = printed(paygate(gateway, tmp_path, *create, "--json"))
    assert (made["role"], made["merchant"], made["name"]) == ("admin", shop, "back office")
    shown = await gateway.call("GET", "/api-keys", key=made["key"])
    assert shown.status == 200
    wire = {k: v for k, v in made.items() if k != "key"}
    assert [k["id"] for k in shown.json["data"]] == [made["id"]]
    assert set(shown.json["data"][0]) == set(wire)

    rotate = ("api-keys", "rotate", made["id"], "--overlap", "0s", "--json")
    new = printed(paygate(gateway, tmp_path, *rotate))
    assert (new["role"], new["merchant"], new["name"]) == ("admin", shop, "back office")
    assert (await gateway.call("GET", "/api-keys", key=new["key"])).status == 200

    listed = printed(paygate(gateway, tmp_path, "api-keys", "list", "--merchant", shop, "--json"))
    assert (listed["object"], listed["has_more"], listed["url"]) == ("list", False, "/api-keys")
    assert [k["id"] for k in listed["data"]] == [new["id"], made["id"]]
    assert listed["data"][1]["expires_at"] is not None
    assert listed["data"][1]["last_used_at"] is not None

    revoked = printed(paygate(gateway, tmp_path, "api-keys", "revoke", new["id"], "--json"))
    assert revoked["revoked_at"] is not None
    assert printed(paygate(gateway, tmp_path, "api-keys", "revoke", new["id"], "--json")) == revoked
    refused = paygate(gateway, tmp_path, "api-keys", "rotate", new["id"])
    is_one_clear_line(refused, "revoked")
    entries = [e for e in await commanded(gateway) if e.action.startswith("api_key")]
    assert [(e.action, e.result) for e in entries[-6:]] == [
        ("api_key.create", Result.ALLOWED),
        ("api_key.rotate", Result.ALLOWED),
        ("api_key.list", Result.ALLOWED),
        ("api_key.revoke", Result.ALLOWED),
        ("api_key.revoke", Result.ALLOWED),
        ("api_key.rotate", Result.REFUSED),
    ]
    assert {e.merchant for e in entries[-6:-1]} == {shop}
    for key in (made["key"], new["key"]):
        assert key not in repr(entries)
        assert key not in gateway.log.read_text()


async def test_for_people(gateway: Gateway, shop: str, tmp_path: Path) -> None:
    """The key stands alone on its line; the table holds whole ids; the default is `default`."""
    ran = paygate(gateway, tmp_path, "api-keys", "create", "--role", "support", "--name", "[/x]")
    assert ran.status == 0
    key = ran.out.splitlines()[-1]
    assert re.fullmatch(r"pgw_test_sk_\w{26}_\w{32}_\w{6}", key)
    assert (await gateway.call("GET", "/payment-intents/x", key=key)).status == 404
    table = paygate(gateway, tmp_path, "api-keys", "list")
    head, first, *_ = table.out.splitlines()
    assert head.split()[:4] == ["id", "role", "name", "hint"]
    assert first.split()[:3] == ["key_" + key.split("_")[3], "support", "[/x]"]
    assert key not in table.out
    assert shop not in table.out
    ran = paygate(gateway, tmp_path, "api-keys", "rotate", first.split()[0])
    assert (ran.status, ran.out.splitlines()[-1][:12]) == (0, "pgw_test_sk_")
    ran = paygate(gateway, tmp_path, "api-keys", "revoke", first.split()[0])
    assert ran.out.startswith(f"{first.split()[0]} is revoked since 20")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create", "--role", "admin", "--merchant", "nobody"], "no such merchant"),
        (["create", "--role", "admin", "--merchant", "No Body"], "no such merchant"),
        (["create", "--role", "admin", "--name", "x" * 101], "name"),
        (["list", "--merchant", "nobody"], "no such merchant"),
        (["rotate", UNKNOWN], "no such API key"),
        (["revoke", UNKNOWN], "no such API key"),
        (["revoke", "nonsense"], "no such API key"),
        (["rotate", UNKNOWN, "--overlap", "8d"], "overlap"),
        (["rotate", UNKNOWN, "--overlap", "soon"], "overlap must be a duration"),
    ],
    ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else "",
)
def test_what_is_refused_is_one_clear_line(
    running: Gateway, tmp_path: Path, arguments: list[str], words: str
) -> None:
    is_one_clear_line(paygate(running, tmp_path, "api-keys", *arguments), words)


def test_help_names_every_role(tmp_path: Path) -> None:
    out = run("api-keys", "create", "--help", cwd=tmp_path).out
    assert [role for role in Role if role not in out] == []
