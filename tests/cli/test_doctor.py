"""`paygate doctor`, at a gateway that runs and at the sandbox: what it finds, mends, and hides."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from paygate.doctor.checks import CHECKS
from paygate.settings import FILE, load
from tests.cli.processes import Ran, run
from tests.cli.test_webhooks import SECRET_KEY, URL, Account
from tests.cli.test_webhooks import account as account  # noqa: PLC0414 -- a fixture
from tests.gateway import Gateway


def by_name(ran: Ran) -> dict[str, dict[str, Any]]:
    report = json.loads(ran.out)
    assert report["object"] == "doctor_report"
    found = {finding["check"]: finding for finding in report["findings"]}
    assert list(found) == [check.name for check in CHECKS]
    return found


async def doctor(folder: Path, *options: str, **environ: str) -> Ran:
    arguments = ("doctor", "--json", "--data", str(folder), *options)
    return await asyncio.to_thread(run, *arguments, cwd=folder, environ=environ)


def add(account: Account, text: str) -> None:
    with (account.folder / FILE).open("a") as file:
        file.write(text)


async def test_a_gateway_that_runs(running: Gateway) -> None:
    data = Path(running.ready["data_dir"])
    ran = await doctor(data)
    found = by_name(ran)
    wrong = [f for f in found.values() if f["verdict"] == "wrong"]
    assert (ran.status, wrong) == (0, []), wrong
    assert found["worker"]["message"] == "a worker is connected"
    assert found["database_role"]["verdict"] in ("ok", "warning")
    for name in ("database", "database_log", "database_clock", "months", "keys", "certificate"):
        assert found[name]["verdict"] == "ok", found[name]
    for name in ("provider_key", "provider_rights", "provider_account", "provider_endpoint"):
        assert found[name]["verdict"] == "ok", found[name]
    shown = ran.out + ran.err
    for secret in ("secret_key", "sandbox_secret_key", "webhook_secret", "publishable_key"):
        assert running.ready[secret] not in shown


async def test_for_a_person_it_is_a_table(running: Gateway, tmp_path: Path) -> None:
    ran = await asyncio.to_thread(run, "doctor", "--data", running.ready["data_dir"], cwd=tmp_path)
    assert ran.status == 0, ran
    *table, count = ran.out.splitlines()
    assert table[0].split() == ["check", "finding", "mend"]
    assert count.startswith("0 wrong, ")


async def test_the_provider_is_away(running: Gateway, tmp_path: Path) -> None:
    environ = {"PAYGATE_STRIPE_API_BASE": "http://127.0.0.1:1"}
    found = by_name(await doctor(Path(running.ready["data_dir"]), **environ))
    assert found["database"]["verdict"] == "ok"
    for name in ("provider_key", "provider_rights", "provider_clock", "provider_endpoint"):
        assert found[name]["verdict"] == "warning", found[name]


async def test_the_database_is_away_and_the_endpoint_is_mended(account: Account) -> None:
    add(account, 'database_url = "postgresql://u:hunter2@127.0.0.1:1/x"\n')
    ran = await doctor(account.folder)
    found = by_name(ran)
    assert ran.status == 1
    assert "nothing listens there" in found["database"]["message"]
    assert "nowhere" in found["provider_endpoint"]["message"]
    assert await account.endpoints() == []
    assert "hunter2" not in ran.out + ran.err

    ran = await doctor(account.folder, "--fix")
    assert by_name(ran)["provider_endpoint"]["verdict"] == "ok", ran
    (endpoint,) = await account.endpoints()
    assert endpoint["url"] == URL
    (kept,) = account.folder.glob("endpoint-*.toml")
    assert kept.stat().st_mode & 0o777 == 0o600
    add(account, kept.read_text())
    (secret,) = load({}, data=account.folder).stripe_webhook_secrets
    assert secret.startswith("whsec_")
    assert secret not in ran.out + ran.err

    again = await doctor(account.folder, "--fix")
    assert await account.endpoints() == [endpoint]
    assert by_name(again)["signing_secret"]["verdict"] == "ok"
    assert len(list(account.folder.glob("endpoint-*.toml"))) == 1


async def test_an_endpoint_that_differs_is_mended_and_two_are_left_alone(account: Account) -> None:
    name = await account.make(events=["invoice.paid"], api_version="2026-08-26.dahlia")
    found = by_name(await doctor(account.folder))
    assert name in found["provider_endpoint"]["message"]
    found = by_name(await doctor(account.folder, "--fix"))
    assert found["provider_endpoint"]["verdict"] == "ok"
    await account.make()
    before = await account.endpoints()
    found = by_name(await doctor(account.folder, "--fix"))
    assert "2 endpoints" in found["provider_endpoint"]["message"]
    assert await account.endpoints() == before


async def test_a_key_that_the_provider_does_not_take(account: Account) -> None:
    found = by_name(await doctor(account.folder, PAYGATE_STRIPE_API_KEY="sk_test_other_hunter2"))
    assert found["provider_key"]["verdict"] == "wrong"


def test_a_file_that_does_not_load_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("hunter2")
    ran = run("doctor", "--data", str(tmp_path), cwd=tmp_path)
    assert (ran.status, ran.out) == (1, "")
    assert f"{FILE}, line 1" in ran.err
    assert "hunter2" not in ran.err


async def test_a_refused_setting_stops_no_look_at_the_rest(running: Gateway) -> None:
    """Of those that the keys, the database and the provider are opened without."""
    ran = await doctor(
        Path(running.ready["data_dir"]),
        PAYGATE_STRIPE_WEBHOOK_SECRETS="hunter2",
        PAYGATE_INTENT_TTL="hunter2",
        PAYGATE_INTENT_TTLS="1h",
    )
    found = by_name(ran)
    assert (ran.status, found["settings"]["verdict"]) == (1, "wrong")
    for name in ("STRIPE_WEBHOOK_SECRETS", "INTENT_TTL must be", "INTENT_TTLS is not a setting"):
        assert f"PAYGATE_{name}" in found["settings"]["message"]
    for name in ("database", "keys", "months", "provider_key", "provider_account", "worker"):
        assert found[name]["verdict"] == "ok", found[name]
    assert found["signing_secret"]["verdict"] == "warning"
    assert "hunter2" not in ran.out + ran.err


@pytest.mark.parametrize("kind", ["--json", "--fix"])
def test_nothing_set_is_told_and_not_stumbled_over(kind: str, tmp_path: Path) -> None:
    ran = run("doctor", kind, cwd=tmp_path)
    assert ran.status == 1
    assert "Traceback" not in ran.err
    assert SECRET_KEY not in ran.out
