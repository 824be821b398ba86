"""`paygate audit` on a running gateway: good, not good, exported and checked by others."""

import asyncio
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import asyncpg

from paygate.storage.schema.versions import ANNOUNCED
from tests.cli.processes import Ran, run
from tests.cli.test_api_keys import paygate, printed
from tests.flows.audit_log.test_export import VERIFIER
from tests.gateway import Gateway


def told_in(gateway: Gateway) -> Path:
    """Where `paygate up` has the checkpoints."""
    return Path(gateway.ready["data_dir"]) / "audit-checkpoints.jsonl"


def audit(gateway: Gateway, cwd: Path, *arguments: str) -> Ran:
    return paygate(gateway, cwd, "audit", *arguments)


def test_a_running_gateways_log_is_good(running: Gateway, tmp_path: Path) -> None:
    sealing = paygate(running, tmp_path, "jobs", "run", "seal-audit-log")
    assert sealing.status == 0, sealing
    found = printed(audit(running, tmp_path, "verify", "--json"))
    assert found["fault"] is None
    assert found["entries"] == found["head"] > 0
    assert found["checkpoints"] > 0
    ran = audit(running, tmp_path, "verify", "--new")
    assert (ran.status, ran.out.split(":")[0], ran.err) == (0, "good", ""), ran
    ran = audit(running, tmp_path, "verify", "--quiet")
    assert (ran.status, ran.out, ran.err) == (0, "", ""), ran


def test_what_is_not_good_is_named_and_exits_1(running: Gateway, tmp_path: Path) -> None:
    """By checkpoints that somebody else made up: the log of the others stays as it is."""
    forged = tmp_path / "told.jsonl"
    last = told_in(running).read_text().splitlines()[-1]
    forged.write_text(last.replace('"format":1', '"format": 1') + "\n")
    assert audit(running, tmp_path, "verify", "--checkpoints", str(forged)).status == 0
    line = json.loads(last)
    forged.write_text(json.dumps(line | {"hash": "0" * 64}) + "\n")
    ran = audit(running, tmp_path, "verify", "--quiet", "--checkpoints", str(forged))
    assert (ran.status, ran.err.count("Traceback")) == (1, 0), ran
    assert "is not ours" in ran.out
    ran = audit(running, tmp_path, "verify")
    assert ran.status == 0, "and the alert is closed"


def test_an_export_is_checked_by_others(running: Gateway, tmp_path: Path) -> None:
    export = tmp_path / "log.jsonl"
    export.write_text(audit(running, tmp_path, "export").out)
    keys = printed(audit(running, tmp_path, "keys", "--json"))["public_keys"]
    (key,) = keys.values()
    told = tmp_path / "told.jsonl"
    number = json.loads(export.read_text().splitlines()[-2])["number"]
    lines = told_in(running).read_text().splitlines()
    told.write_text("".join(f"{x}\n" for x in lines if json.loads(x)["number"] <= number))
    command = [sys.executable, "-I", str(VERIFIER), str(export), key, str(told)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.startswith("good: ")


FORGE = """
ALTER TABLE audit_seal DISABLE TRIGGER seals_follow;
INSERT INTO audit_seal SELECT number + 1, 'default', 'au_forged', at, key, format, leaf, hash
FROM audit_seal ORDER BY number DESC LIMIT 1;
ALTER TABLE audit_seal ENABLE ALWAYS TRIGGER seals_follow;
"""
"""By a superuser, in one transaction: the worker waits for it."""


async def test_a_forged_seal_is_taken_out_by_the_owner(running: Gateway, tmp_path: Path) -> None:
    data = running.ready["data_dir"]
    owner = tomllib.loads((Path(data) / "paygate.toml").read_text())["owner_database_url"]
    connection = await asyncpg.connect(owner, server_settings=dict(ANNOUNCED))
    await connection.execute(FORGE)
    forged = await connection.fetchval("SELECT number FROM audit_seal WHERE entry = 'au_forged'")
    await connection.close()
    ran = await asyncio.to_thread(audit, running, tmp_path, "verify")
    assert (ran.status, f"number {forged}, au_forged" in ran.out) == (1, True), ran
    for expected in (f"1 seals behind number {forged - 1} were none of ours", "every seal"):
        ran = await asyncio.to_thread(
            run, "migrate", "--disown-seals", "--data", data, cwd=tmp_path
        )
        assert (ran.status, ran.out.startswith(expected)) == (0, True), ran
        sealing = ("jobs", "run", "seal-audit-log")
        ran = await asyncio.to_thread(paygate, running, tmp_path, *sealing)
        assert ran.status == 0, ran
    ran = await asyncio.to_thread(audit, running, tmp_path, "verify")
    assert ran.status == 0, ran


def test_a_file_that_is_not_there_is_a_usage_error(running: Gateway, tmp_path: Path) -> None:
    ran = audit(running, tmp_path, "verify", "--checkpoints", "nowhere.jsonl")
    assert (ran.status, ran.err.count("\n")) == (2, 1)


def test_the_processes_work_with_a_role_that_owns_nothing(running: Gateway, tmp_path: Path) -> None:
    settings = (Path(running.ready["data_dir"]) / "paygate.toml").read_text()
    assert 'database_url = "postgresql://paygate_app@' in settings
    assert 'owner_database_url = "postgresql://paygate@' in settings
    ran = run("migrate", "--detach", "--data", running.ready["data_dir"], cwd=tmp_path)
    assert (ran.status, ran.out) == (0, "no month of the audit log is past its time\n"), ran
