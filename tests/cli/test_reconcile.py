"""`paygate reconcile` on the directory of a running gateway."""

import json
from pathlib import Path

import pytest

from tests.cli.processes import Ran, run
from tests.gateway import Gateway, until


def reconcile(gateway: Gateway, cwd: Path, *options: str) -> Ran:
    return run("reconcile", "--data", gateway.ready["data_dir"], *options, cwd=cwd)


async def ran(gateway: Gateway, cwd: Path, *options: str) -> Ran:
    """A round by hand. The clock may have one at work just now: then this waits for its end."""

    async def once() -> Ran | None:
        done = reconcile(gateway, cwd, *options)
        return None if "a reconciliation is at work" in done.err else done

    found: Ran = await until(once, seconds=120)
    return found


async def test_it_prints_what_it_did(gateway: Gateway, tmp_path: Path) -> None:
    intent = await gateway.create()
    assert (await gateway.confirm(intent["id"])).json["status"] == "succeeded"
    done = await ran(gateway, tmp_path)
    assert done.out.splitlines()[-2].startswith(("completed: payments of ", "failed: payments of "))
    assert "in step" in done.out
    as_json = await ran(gateway, tmp_path, "--json")
    found = json.loads(as_json.out)
    shown = await gateway.call("GET", f"/reconciliations/{found['reconciliation']['id']}")
    assert shown.json == found["reconciliation"]
    assert as_json.status == (0 if not _held(found) else 1)


async def test_a_dry_run_is_nobodys_round(gateway: Gateway, tmp_path: Path) -> None:
    done = reconcile(gateway, tmp_path, "--dry-run", "--json")
    found = json.loads(done.out)["reconciliation"]
    assert (await gateway.call("GET", f"/reconciliations/{found['id']}")).status == 404
    words = reconcile(gateway, tmp_path, "--dry-run")
    assert words.out.splitlines()[-2].startswith("rehearsed: payments of ")


@pytest.mark.parametrize(
    ("since", "status", "said"),
    [
        ("yesterday", 2, "a time with its zone"),
        ("2026-11-24T12:00:00", 2, "a time with its zone"),
        ("1999-01-01T00:00:00Z", 2, "within 3660 days of now"),
    ],
)
def test_since_must_be_a_time(
    running: Gateway, tmp_path: Path, since: str, status: int, said: str
) -> None:
    done = reconcile(running, tmp_path, "--since", since)
    assert done.status == status
    assert said in done.err
    assert done.out == ""


def test_since_must_be_past(running: Gateway, tmp_path: Path) -> None:
    done = reconcile(running, tmp_path, "--since", "2035-01-01T00:00:00Z")
    assert (done.status, done.out) == (1, "")
    assert done.err == "paygate: since must be in the past\n"


def _held(found: dict[str, dict[str, int | str]]) -> bool:
    run = found["reconciliation"]
    return bool(run["held"] or run["orphans"] or run["status"] != "completed")
