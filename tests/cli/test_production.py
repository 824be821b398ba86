"""Production starts, and takes a payment: real processes, TLS everywhere, keys of one's own. What
it does not start with is said in one line.
"""

import asyncio
import json
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import pytest
import trustme

from paygate.crypto.kms import FileKms
from paygate.embedded.server import EmbeddedPostgres
from paygate.settings import FILE, load
from paygate_sandbox.server import Sandbox, SandboxOptions
from tests.cli.processes import Ran, clean_environ, is_one_clear_line, run
from tests.docs.test_stripe_page import free_port
from tests.gateway import until
from tests.tls_front import LIVE_KEY, TEST_KEY, before_postgres, before_provider

ROLE = "in_production"
RETURN_URL = "https://shop.example/done"
SESSION = "a-session-of-the-shop"


class Production(NamedTuple):
    """An installation's folder, its settings, and where it listens."""

    folder: Path
    port: int
    environ: Mapping[str, str]
    trusted: ssl.SSLContext

    async def run(self, *arguments: str, **changed: str | None) -> Ran:
        """A command, with some settings changed, or taken away."""
        environ = {name: value for name, value in {**self.environ, **changed}.items() if value}
        return await asyncio.to_thread(run, *arguments, cwd=self.folder, environ=environ)


@pytest.fixture(scope="module")
async def own_database(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The DSN of an empty database by a role that owns it, and nothing else."""
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute(f"CREATE ROLE {ROLE} LOGIN")
    await admin.execute(f"CREATE DATABASE {ROLE} OWNER {ROLE} TEMPLATE template0")
    yield postgres.dsn
    await admin.execute(f"DROP DATABASE {ROLE} WITH (FORCE)")
    await admin.execute(f"DROP ROLE {ROLE}")
    await admin.close()


@pytest.fixture(scope="module")
async def production(
    own_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Production]:
    folder, authority, port = tmp_path_factory.mktemp("production"), trustme.CA(), free_port()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    begin = datetime.now(UTC) - timedelta(days=1)
    end = begin + timedelta(days=90)
    leaf = authority.issue_cert("127.0.0.1", "localhost", not_before=begin, not_after=end)
    leaf.private_key_and_cert_chain_pem.write_to_path(folder / "tls.pem")
    (folder / "tls.pem").chmod(0o600)
    FileKms.create(folder / "kek")
    trusted = ssl.create_default_context(cafile=folder / "ca.pem")
    sandbox = Sandbox(
        SandboxOptions(
            host="127.0.0.1",
            port=0,
            data_dir=folder / "sandbox",
            secret_key=TEST_KEY,
            publishable_key="pk_test_production",
            ca_file=folder / "ca.pem",
        )
    )
    await sandbox.start()
    try:
        async with (
            before_postgres(authority, own_database) as database,
            before_provider(authority, sandbox) as provider,
        ):
            way = f"sslmode=verify-full&sslrootcert={folder / 'ca.pem'}"
            environ = {
                "SSL_CERT_FILE": str(folder / "ca.pem"),
                "PAYGATE_ENVIRONMENT": "production",
                "PAYGATE_DATABASE_URL": (
                    f"postgresql://{ROLE}:hunter2@localhost:{database.port}/{ROLE}?{way}"
                ),
                "PAYGATE_STRIPE_API_BASE": f"https://127.0.0.1:{provider.port}",
                "PAYGATE_STRIPE_API_KEY": LIVE_KEY,
                "PAYGATE_KEK": (folder / "kek").as_uri(),
                "PAYGATE_TLS_CERT": str(folder / "tls.pem"),
                "PAYGATE_TLS_KEY": str(folder / "tls.pem"),
                "PAYGATE_PUBLIC_URL": f"https://127.0.0.1:{port}",
                "PAYGATE_RETURN_URL_HOSTS": "shop.example",
                "PAYGATE_ALERT_URLS": "jsons://127.0.0.1:9/alerts",
                "PAYGATE_AUDIT_CHECKPOINTS": (folder / "checkpoints").as_uri(),
            }
            made = Production(folder, port, environ, trusted)
            assert "for live payments" in (await made.run("migrate")).out
            yield made
    finally:
        await sandbox.stop()


def start(words: Sequence[str], production: Production, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "paygate.cli", *words],
            cwd=production.folder,
            env=clean_environ() | dict(production.environ),
            stdout=output,
            stderr=output,
        )


@asynccontextmanager
async def services(production: Production) -> AsyncIterator[None]:
    """`serve` and `worker`, until they are told to end, which they do well."""
    log = production.folder / "services.log"
    options = (["serve", "--port", str(production.port), "--processes", "1"], ["worker"])
    started = [start(words, production, log) for words in options]
    try:
        yield
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        ends = [await asyncio.to_thread(process.wait, 60) for process in started]
    assert ends == [0, 0], log.read_text()
    assert log.read_text().count("kek_in_a_file") >= len(started)
    for secret in (LIVE_KEY, "hunter2"):
        assert secret not in log.read_text()


@asynccontextmanager
async def caller(production: Production, key: str) -> AsyncIterator[Callable[..., Any]]:
    """Calls of a merchant's server."""
    headers = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(ssl=production.trusted)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def call(method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
            url = f"https://127.0.0.1:{production.port}{path}"
            async with session.request(method, url, json=body) as response:
                return response.status, dict(await response.json())

        yield call


async def test_production_starts_and_takes_a_payment(
    production: Production, own_database: str
) -> None:
    registered = await production.run("webhooks", "register")
    assert registered.status == 0, registered
    (production.folder / FILE).write_text(registered.out)
    key = (await production.run("api-keys", "create", "--role", "operator", "--quiet")).out.strip()
    assert key.startswith("pgw_live_sk_")
    async with services(production), caller(production, key) as call:

        async def ready() -> bool:
            try:
                return bool((await call("GET", "/readyz"))[0] == 200)
            except aiohttp.ClientError:
                return False

        await until(ready, seconds=60)
        # The database here has one role for all: docs/database.md says how to have two.
        codes = {warned["code"] for warned in (await call("GET", "/readyz"))[1]["warnings"]}
        assert codes == {"database_role_too_mighty"}
        status, intent = await call(
            "POST",
            "/payment-intents",
            {"amount": 1999, "currency": "eur", "session_id": SESSION},
        )
        assert (status, intent["livemode"]) == (201, True), intent
        card = {"type": "card", "token": "pm_card_visa"}
        confirm = f"/payment-intents/{intent['id']}/confirm"
        status, paid = await call(
            "POST", confirm, {"payment_method": card, "return_url": RETURN_URL}
        )
        assert (status, paid["status"]) == (200, "succeeded"), paid

        async def event_came() -> int:
            reader = await asyncpg.connect(own_database, database=ROLE)
            try:
                return int(await reader.fetchval("SELECT count(*) FROM provider_event"))
            finally:
                await reader.close()

        await until(event_came)
        examined = await production.run("doctor", "--json")
    found = {f["check"]: f for f in json.loads(examined.out)["findings"]}
    assert found["database_tls"]["message"].startswith("the connection is over TLS"), examined
    # The role of this test migrates too, so it owns the tables, and is told of.
    wrong = {name for name, finding in found.items() if finding["verdict"] == "wrong"}
    assert (examined.status, wrong) == (1, {"database_role"}), examined
    for secret in (LIVE_KEY, "hunter2", key):
        assert secret not in examined.out + examined.err


async def test_behind_a_trusted_proxy_it_starts_without_a_certificate(
    production: Production,
) -> None:
    """And in clear it answers that proxy alone, which says that it was https."""
    port = free_port()
    without = {"PAYGATE_TLS_CERT", "PAYGATE_TLS_KEY"}
    environ = {name: value for name, value in production.environ.items() if name not in without}
    environ |= {
        "PAYGATE_TRUSTED_PROXIES": "127.0.0.1",
        "PAYGATE_STRIPE_WEBHOOK_SECRETS": "whsec_1",
    }
    log = production.folder / "plain.log"
    words = ["serve", "--port", str(port), "--processes", "1"]
    process = start(words, production._replace(environ=environ), log)
    try:
        async with aiohttp.ClientSession() as session:

            async def ask(**headers: str) -> tuple[int, str]:
                url = f"http://127.0.0.1:{port}/readyz"
                try:
                    async with session.get(url, headers=headers) as response:
                        return response.status, await response.text()
                except aiohttp.ClientError:
                    return 0, log.read_text()

            async def answers() -> bool:
                assert process.poll() is None, log.read_text()
                return (await ask())[0] != 0

            await until(answers, seconds=60)
            status, said = await ask()
            assert (status, "tls_required" in said) == (403, True), said
            assert (await ask(**{"X-Forwarded-Proto": "https"}))[0] == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0, log.read_text()


REFUSED: dict[str, tuple[dict[str, str | None], str]] = {
    "a test key": ({"STRIPE_API_KEY": "sk_test_hunter2"}, "a test key"),
    "a provider without TLS": ({"STRIPE_API_BASE": "http://127.0.0.1:1"}, "provider without TLS"),
    "no certificate": ({"TLS_CERT": None, "TLS_KEY": None}, "PAYGATE_TLS_CERT is not set"),
    "a certificate without its key": ({"TLS_KEY": None}, "PAYGATE_TLS_KEY"),
    "no rate limit": ({"RATE_LIMIT": "off"}, "PAYGATE_RATE_LIMIT"),
    "a database in clear": (
        {"DATABASE_URL": "postgresql://u:hunter2@db.example/x?sslmode=disable"},
        "without verified TLS",
    ),
    "a database by any certificate": (
        {"DATABASE_URL": "postgresql://u:hunter2@db.example/x?sslmode=require"},
        "without verified TLS",
    ),
    "a public address without TLS": ({"PUBLIC_URL": "http://localhost:1"}, "PAYGATE_PUBLIC_URL"),
    "no public address": ({"PUBLIC_URL": None}, "PAYGATE_PUBLIC_URL is not set"),
    "no hosts to return to": ({"RETURN_URL_HOSTS": None}, "PAYGATE_RETURN_URL_HOSTS is not set"),
    "a page without TLS": ({"ALLOWED_ORIGINS": "http://localhost:1"}, "PAYGATE_ALLOWED_ORIGINS"),
    "no key": ({"KEK": None}, "PAYGATE_KEK is not set"),
    "no signing secret": ({"STRIPE_WEBHOOK_SECRETS": None}, "PAYGATE_STRIPE_WEBHOOK_SECRETS"),
    "an alert channel that there is not": ({"ALERT_URLS": "nonsense://x"}, "PAYGATE_ALERT_URLS"),
    "the key that up made": ({"KEK": "file:{folder}/kek-of-up"}, "PAYGATE_KEK"),
    "a key file that others read": ({"KEK": "file:{folder}/kek-open"}, "open to others"),
    "a lost key": ({"KEK": "file:{folder}/kek-none"}, "there is no KEK file"),
    "another key": ({"KEK": "file:{folder}/kek-other"}, "another KEK"),
    "another authority's database": ({"DATABASE_URL": "{stranger}"}, "certificate verify failed"),
    "another host's certificate": ({"DATABASE_URL": "{by_address}"}, "certificate verify failed"),
    "a test installation's database": (
        {"ENVIRONMENT": "development", "STRIPE_API_KEY": "sk_test_hunter2"},
        "another database",
    ),
}
"""What is changed in settings that start, and what the one line says of it."""


@pytest.mark.parametrize("what", REFUSED)
async def test_production_does_not_start_with(what: str, production: Production) -> None:
    changes, said = REFUSED[what]
    folder = production.folder
    other = folder / "other-ca.pem"
    trustme.CA().cert_pem.write_to_path(other)
    url = production.environ["PAYGATE_DATABASE_URL"]
    for name, is_development in (("kek-of-up", True), ("kek-other", False)):
        if not (folder / name).exists():
            FileKms.create(folder / name, is_development=is_development)
    shutil.copy(folder / "kek", folder / "kek-open")
    (folder / "kek-open").chmod(0o644)
    places = {
        "folder": str(folder),
        "stranger": url.replace(str(folder / "ca.pem"), str(other)),
        "by_address": url.replace("@localhost:", "@127.0.0.1:"),
    }
    values = {"PAYGATE_STRIPE_WEBHOOK_SECRETS": "whsec_1"} | {
        f"PAYGATE_{name}": value and value.format(**places) for name, value in changes.items()
    }
    (folder / FILE).unlink(missing_ok=True)  # the first test's, with its signing secret
    ran = await production.run("serve", "--port", "0", "--processes", "1", **values)
    is_one_clear_line(ran, said)


async def test_production_has_no_up(production: Production) -> None:
    ran = await production.run("up", "--port", "0", "--sandbox-port", "0")
    assert ran.status == 1
    assert "`paygate up` is for development" in ran.err, ran


def test_a_database_on_this_machine_needs_no_tls() -> None:
    for url in ("postgresql:///paygate", "postgresql://p@127.0.0.1/x", "postgresql://p@[::1]/x"):
        values = {"PAYGATE_ENVIRONMENT": "production", "PAYGATE_DATABASE_URL": url}
        assert load(values).database_url == url
