"""`paygate jobs` on the directory of a running gateway."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import typer

from paygate.cli.command import moment_of
from paygate.jobs.schedule import SCHEDULE
from paygate.worker.scheduled import RUNS
from tests.cli.processes import is_one_clear_line, run
from tests.gateway import Gateway


def test_every_scheduled_job_has_a_run() -> None:
    assert [job.name for job in SCHEDULE] == list(RUNS)


def test_they_are_listed(tmp_path: Path) -> None:
    ran = run("jobs", "list", cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert all(job.name in ran.out for job in SCHEDULE)
    listed = json.loads(run("jobs", "list", "--json", cwd=tmp_path).out)
    assert [job["name"] for job in listed["data"]] == [job.name for job in SCHEDULE]


async def test_intents_expire_as_if_it_were_tomorrow(gateway: Gateway, tmp_path: Path) -> None:
    intent = await gateway.create()
    data = ("--data", gateway.ready["data_dir"])
    ran = run("jobs", "run", "expire-intents", *data, cwd=tmp_path)
    assert (ran.status, (await gateway.read(intent["id"]))["status"]) == (0, "created")
    tomorrow = (datetime.now(UTC) + timedelta(hours=25)).isoformat()
    ran = run("jobs", "run", "expire-intents", "--now", tomorrow, "--json", *data, cwd=tmp_path)
    assert json.loads(ran.out)["job"] == "expire-intents"
    assert json.loads(ran.out)["report"]["cancelled"] >= 1
    after = await gateway.read(intent["id"])
    assert (after["status"], after["cancellation_reason"]) == ("cancelled", "expired")


async def test_keys_are_purged_as_if_it_were_tomorrow(gateway: Gateway, tmp_path: Path) -> None:
    """After it the same key is a new act: a second intent."""
    body, headers = {"amount": 5, "currency": "eur"}, {"Idempotency-Key": "purged"}
    first = await gateway.call("POST", "/payment-intents", body, headers=headers)
    data = ("--data", gateway.ready["data_dir"])
    tomorrow = (datetime.now(UTC) + timedelta(hours=25)).isoformat()
    ran = run("jobs", "run", "purge-idempotency-keys", "--now", tomorrow, *data, cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("purge-idempotency-keys: deleted ")
    second = await gateway.call("POST", "/payment-intents", body, headers=headers)
    assert (second.status, second.json["id"] != first.json["id"]) == (201, True)


def test_wrong_arguments(running: Gateway, tmp_path: Path) -> None:
    data = ("--data", running.ready["data_dir"])
    for arguments in (("nonsense",), ("expire-intents", "--now", "yesterday")):
        ran = run("jobs", "run", *arguments, *data, cwd=tmp_path)
        assert ran.status == 2
        assert "Traceback" not in ran.err
    ran = run("jobs", "run", "expire-intents", "--data", str(tmp_path / "none"), cwd=tmp_path)
    is_one_clear_line(ran, "PAYGATE_DATABASE_URL")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "with its zone"),
        ("", "with its zone"),
        ("2026-13-01T00:00:00Z", "with its zone"),
        ("2026-11-24T12:00:00", "with its zone"),
        ("2026-11-24", "with its zone"),
        ("3026-11-24T12:00:00Z", "within 3660 days"),
        ("9999-12-31T23:59:59-14:00", "within 3660 days"),
        ("0001-01-01T00:00:00+14:00", "within 3660 days"),
        ("1970-01-01T00:00:00Z", "within 3660 days"),
    ],
)
def test_an_impossible_time_is_refused(text: str, words: str) -> None:
    with pytest.raises(typer.BadParameter, match=words):
        moment_of(text, "--now")


def test_a_time_is_taken_in_any_zone() -> None:
    tomorrow = datetime.now(timezone(timedelta(hours=9))) + timedelta(days=1)
    assert moment_of(tomorrow.isoformat(), "--now") == tomorrow
