"""The front door as real processes: what it prints, how it ends, and what a kill leaves behind."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from paygate.cli.main import app
from paygate.cli.serve import certificate_of
from paygate.crypto.kms import FileKms
from paygate.settings import TO_SERVE, TO_UNLOCK, TO_WORK, SettingsError, load
from paygate.storage.schema.versions import migrations
from paygate.wiring.preparation import prepare_database
from tests.cli.processes import children, clean_environ, ended, is_one_clear_line, run
from tests.gateway import Gateway, until

OPTIONS = {
    "init": ["--environment", "--public-url", "--return-url-hosts", "--tls-cert", "--tls-key"],
    "up": [
        "--data",
        "--port",
        "--sandbox-port",
        "--no-sandbox",
        "--ready-file",
        "--processes",
        "--quiet",
    ],
    "serve": ["--data", "--host", "--port", "--processes"],
    "worker": ["--data"],
    "sandbox": ["--data", "--host", "--port", "--secret-key", "--publishable-key", "--ca-file"],
    "migrate": ["--detach", "--disown-seals", "--dry-run", "--data", "--quiet"],
    "bench": ["--json", "--full", "--quick", "--rounds", "--against"],
    "explain": ["--api-url", "--key-file", "--data", "--json"],
    "doctor": ["--fix", "--data", "--json"],
    "listen": ["--forward-to", "--events", "--api-url", "--key-file", "--data", "--json"],
    "trigger": ["--list", "--payment", "--data", "--json", "--quiet"],
    "reconcile": ["--since", "--dry-run", "--data", "--json", "--quiet"],
    "settle": ["--payout", "--report", "--format", "--mapping", "--data", "--json", "--quiet"],
    "export": ["--format", "--output", "--since", "--until", "--merchant", "--data", "--quiet"],
    "restored": ["--taken-at", "--checkpoints", "--data", "--json", "--quiet"],
}
READY = {
    "api_url",
    "ca_file",
    "secret_key",
    "publishable_key",
    "webhook_secret",
    "provider_webhook_secret",
    "sandbox_url",
    "sandbox_secret_key",
    "sandbox_publishable_key",
    "console_url",
    "database_url",
    "data_dir",
}
KEPT = ("secret_key", "publishable_key", "webhook_secret", "sandbox_secret_key", "database_url")
SETTINGS = {
    "PAYGATE_DATABASE_URL": "postgresql://127.0.0.1:1/none",
    "PAYGATE_STRIPE_API_KEY": "sk_test_hunter2",
    "PAYGATE_STRIPE_WEBHOOK_SECRETS": "whsec_hunter2",
}

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_every_command_is_tried_here() -> None:
    names = {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands}
    # A group that runs without a command of its own is one too.
    groups = app.registered_groups
    alone = [g for g in groups if g.typer_instance and g.typer_instance.info.invoke_without_command]
    names |= {group.name or "" for group in alone}
    assert names == set(OPTIONS)


@pytest.mark.parametrize("command", list(OPTIONS))
def test_help_names_the_options(command: str, tmp_path: Path) -> None:
    ran = run(command, "--help", cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert [o for o in OPTIONS[command] if o not in ran.out] == []
    assert "--lifeline" not in ran.out
    assert "--fd" not in ran.out
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_commands(tmp_path: Path) -> None:
    ran = run("--help", cwd=tmp_path)
    assert ran.status == 0
    assert [c for c in OPTIONS if c not in ran.out] == []


@pytest.mark.parametrize(
    "arguments",
    [
        *(["nonsense"], ["migrate", "--nonsense"], ["up", "--port", "x"], ["migrate", "x"]),
        *(["serve", "--processes", "0"], ["export"], ["export", "nothing"]),
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], tmp_path: Path) -> None:
    ran = run(*arguments, cwd=tmp_path)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "--help` shows what it takes" in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["migrate", "worker", "serve"])
def test_without_settings_all_missing_ones_are_named(command: str, tmp_path: Path) -> None:
    ran = run(command, cwd=tmp_path)
    names = {"migrate": TO_UNLOCK, "worker": TO_WORK, "serve": TO_SERVE}[command].always
    is_one_clear_line(ran, *(f"PAYGATE_{name.upper()} is not set, such as" for name in names))


def test_up_without_the_sandbox_asks_for_the_providers_settings_first(tmp_path: Path) -> None:
    ran = run("up", "--no-sandbox", "--port", "0", cwd=tmp_path)
    is_one_clear_line(ran, "PAYGATE_STRIPE_API_KEY is not set", "PAYGATE_STRIPE_WEBHOOK_SECRETS")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("option", ["--port", "--sandbox-port"])
def test_a_taken_port_is_said_before_anything_is_made(option: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = {"--port": "0", "--sandbox-port": "0"} | {option: port}
        ran = run("up", *(word for pair in ports.items() for word in pair), cwd=tmp_path)
    is_one_clear_line(ran, f"port {port} of 127.0.0.1 is taken", f"with {option} (0: any free one)")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("wrong", ["PAYGATE_TLS_CERT", "PAYGATE_TLS_KEY"])
def test_a_wrong_tls_path_is_one_clear_line(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "there.pem").write_text("no certificate")
    files = {"PAYGATE_TLS_CERT": "there.pem", "PAYGATE_TLS_KEY": "there.pem"}
    environ = SETTINGS | files | {"PAYGATE_KEK": "file:/k", wrong: "/nowhere/hidden.pem"}
    ran = run("serve", "--port", "0", cwd=tmp_path, environ=environ)
    is_one_clear_line(ran, f"{wrong}: cannot read /nowhere/hidden.pem: No such file")


def test_files_that_are_no_certificate_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "there.pem").write_text("no certificate")
    environ = SETTINGS | {"PAYGATE_TLS_CERT": "there.pem", "PAYGATE_TLS_KEY": "there.pem"}
    with contextlib.chdir(tmp_path), pytest.raises(SettingsError, match="not a certificate in PEM"):
        certificate_of(load(environ))


def test_a_bad_setting_is_one_clear_line(tmp_path: Path) -> None:
    ran = run("migrate", cwd=tmp_path, environ={"PAYGATE_STRIPE_API_KEI": "hunter2"})
    is_one_clear_line(
        ran, "PAYGATE_STRIPE_API_KEI is not a setting", "did you mean PAYGATE_STRIPE_API_KEY?"
    )


def test_an_unreachable_database_is_one_clear_line(tmp_path: Path) -> None:
    environ = SETTINGS | {"PAYGATE_KEK": FileKms.create(tmp_path / "kek").path.as_uri()}
    ran = run("migrate", cwd=tmp_path, environ=environ)
    is_one_clear_line(ran, "database none at 127.0.0.1:1", "nothing listens there")


async def test_migrate_says_what_it_made(dsn: str, tmp_path: Path) -> None:
    kek = FileKms.create(tmp_path / "kek").path.as_uri()
    environ = SETTINGS | {"PAYGATE_KEK": kek, "PAYGATE_DATABASE_URL": dsn}
    settings, messages = load(environ, data=tmp_path), list[str]()
    assert await prepare_database(settings, messages.append) == [m.name for m in migrations()]
    assert re.fullmatch(
        r"made installation in_\w+, for test payments, with its keys and merchant default",
        messages[-1],
    )
    messages.clear()
    assert await prepare_database(settings, messages.append) == messages == []


@pytest.mark.parametrize("environment", ["development", "production"])
def test_serve_refuses_to_start_without_tls(environment: str, tmp_path: Path) -> None:
    environ = {**SETTINGS, "PAYGATE_ENVIRONMENT": environment}
    environ["PAYGATE_STRIPE_API_KEY"] = "sk_live_hunter2"
    ran = run("serve", "--port", "0", cwd=tmp_path, environ=environ)
    is_one_clear_line(ran, "PAYGATE_TLS_CERT is not set")


def test_serve_in_production_must_know_where_payers_come_from_and_go(tmp_path: Path) -> None:
    environ = {**SETTINGS, "PAYGATE_ENVIRONMENT": "production"}
    environ["PAYGATE_STRIPE_API_KEY"] = "sk_live_hunter2"
    environ |= {"PAYGATE_TLS_CERT": "c.pem", "PAYGATE_TLS_KEY": "k.pem"}
    for name, value in (
        ("PAYGATE_PUBLIC_URL", "https://pay.example"),
        ("PAYGATE_RETURN_URL_HOSTS", "shop.example"),
    ):
        ran = run("serve", "--port", "0", cwd=tmp_path, environ=environ)
        is_one_clear_line(ran, f"{name} is not set")
        environ[name] = value


def test_the_ready_file_is_whole_and_private(running: Gateway) -> None:
    path = running.log.with_name("ready.json")
    ready = json.loads(path.read_bytes())
    assert set(ready) == READY
    assert path.stat().st_mode & 0o777 == 0o600
    assert ready["console_url"] is None
    assert ready["api_url"].startswith("https://127.0.0.1:")
    assert ready["secret_key"].startswith("pgw_test_sk_")
    assert ready["publishable_key"].startswith("pgw_test_pk_")
    assert Path(ready["ca_file"]).is_file()
    assert Path(ready["data_dir"]) == path.with_name("data")
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []
    for name in ("up.json", "paygate.toml"):
        assert (Path(ready["data_dir"]) / name).stat().st_mode & 0o777 == 0o600


def test_a_held_data_directory_is_refused(running: Gateway, tmp_path: Path) -> None:
    data = running.ready["data_dir"]
    ran = run("up", "--data", data, "--port", "0", "--sandbox-port", "0", cwd=tmp_path)
    assert "starting embedded PostgreSQL" in ran.out
    is_one_clear_line(ran._replace(out=""), data)


@pytest.mark.parametrize("command", ["migrate", "worker"])
def test_the_other_mode_is_refused(running: Gateway, tmp_path: Path, command: str) -> None:
    environ = {"PAYGATE_STRIPE_API_KEY": "sk_live_hunter2"}
    ran = run(command, "--data", running.ready["data_dir"], cwd=tmp_path, environ=environ)
    is_one_clear_line(ran, "test payments", "live key")


def test_a_command_works_on_a_running_gateways_directory(running: Gateway, tmp_path: Path) -> None:
    ran = run("migrate", "--data", running.ready["data_dir"], cwd=tmp_path)
    assert ran == (0, "nothing to do\n", "")


@needs_proc
async def test_a_killed_api_process_is_replaced(gateway: Gateway) -> None:
    def serving() -> set[int]:
        return {p for p, c in children(gateway.process.pid).items() if c[0] == "serve"}

    async def replaced() -> bool:
        return len(serving()) == len(before) and victim not in serving()

    async def created() -> Any:
        # The connections that the dead process held are lost; a client opens another.
        with contextlib.suppress(aiohttp.ClientError):
            return await gateway.create()
        return None

    before = serving()
    assert len(before) == 2
    victim = min(before)
    acknowledged = [await gateway.create() for _ in range(3)]
    os.kill(victim, signal.SIGKILL)
    acknowledged += [await until(created) for _ in range(10)]
    await until(replaced)
    acknowledged += [await until(created) for _ in range(3)]
    for intent in acknowledged:
        assert await gateway.read(intent["id"]) == intent
    assert "process_died" in gateway.log.read_text()


@needs_proc
async def test_a_killed_database_is_started_again(gateway: Gateway) -> None:
    async def created() -> Any:
        answer = await gateway.call("POST", "/payment-intents", {"amount": 5, "currency": "eur"})
        return answer.json if answer.status == 201 else None

    async def read_back() -> bool:
        # By each of the processes: those that have not heard of the new server say 503.
        path = f"/payment-intents/{before['id']}"
        answers = [await gateway.call("GET", path) for _ in range(4)]
        return all(a.status == 200 and a.json == before for a in answers)

    before = await gateway.create()
    pid_file = Path(gateway.ready["data_dir"]) / "postgres" / "cluster" / "postmaster.pid"
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
    await until(created)
    await until(read_back)
    assert "database_started_again" in gateway.log.read_text()


async def test_requests_are_lines_of_the_log(gateway: Gateway) -> None:
    request_id = (await gateway.call("GET", "/payment-intents")).headers["Request-Id"]

    async def line() -> Any:
        lines = [text for text in gateway.log.read_text().splitlines() if request_id in text]
        return json.loads(lines[0]) if lines else None

    found = await until(line)
    assert (found["event"], found["route"], found["status"]) == ("request", "/payment-intents", 200)


async def test_serve_says_where_it_listens_and_may_be_silent_of_requests(
    gateway: Gateway, tmp_path: Path
) -> None:
    environ = clean_environ() | {"PAYGATE_REQUEST_LOG": "false"}
    serve = [sys.executable, "-m", "paygate.cli", "serve", "--port", "0", "--processes", "1"]
    process = await asyncio.create_subprocess_exec(
        *(*serve, "--data", gateway.ready["data_dir"]),
        cwd=tmp_path,
        env=environ,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            entry = json.loads(await process.stderr.readline())
            assert (entry["event"], entry["host"], entry["processes"]) == (
                *("listening", "127.0.0.1", 1),
            )
            url = f"https://127.0.0.1:{entry['port']}/healthz"
            assert (await gateway.visit("GET", url)).status == 200
            process.send_signal(signal.SIGTERM)
            assert await process.stderr.read() == b""
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


async def create_until_cut_off(gateway: Gateway, acknowledged: list[dict[str, Any]]) -> None:
    """One merchant's work, one call after the other, until the gateway is gone, or says that it
    is stopping and does not know: that is no acknowledgement.
    """
    body = {"amount": 1999, "currency": "eur"}
    with contextlib.suppress(aiohttp.ClientError):
        while (answer := await gateway.call("POST", "/payment-intents", body)).status != 503:
            assert answer.status == 201, answer
            acknowledged.append(answer.json)
            del acknowledged[-1]["client_secret"]


@needs_proc
async def test_up_survives_its_own_death(tmp_path: Path) -> None:
    """In a folder whose name needs care; killed while it works; then it is the same gateway."""
    folder = tmp_path / "a b%20\u00e9"
    first = await asyncio.to_thread(Gateway.start, folder)
    acknowledged: list[dict[str, Any]] = []
    try:
        await first.open()
        orphans = children(first.process.pid)
        assert {c[0] for c in orphans.values()} == {"serve", "worker", "sandbox"}
        work = [asyncio.create_task(create_until_cut_off(first, acknowledged)) for _ in range(4)]
        while len(acknowledged) < 40:
            await asyncio.sleep(0.01)
    finally:
        first.process.kill()
        first.process.wait()
    await asyncio.gather(*work)
    await first.close()

    async def all_ended() -> bool:
        return all(ended(pid) for pid in orphans)

    # At once, as a service manager would, while the orphans may still be ending.
    second = await asyncio.to_thread(Gateway.start, folder)
    try:
        await until(all_ended)
        await second.open()
        assert [second.ready[name] for name in KEPT] == [first.ready[name] for name in KEPT]
        for intent in acknowledged:
            assert await second.read(intent["id"]) == intent
        answer = await second.confirm(acknowledged[0]["id"])
        assert (answer.status, answer.json["status"]) == (200, "succeeded")
        await second.close()
        stopped = children(second.process.pid)
    finally:
        status = await asyncio.to_thread(second.stop)
    assert status == 0
    assert [pid for pid in stopped if not ended(pid)] == []
    assert not (folder / "ready.json").exists()
    with pytest.raises(OSError):
        await asyncpg.connect(second.ready["database_url"])
    assert "Traceback" not in second.log.read_text()
