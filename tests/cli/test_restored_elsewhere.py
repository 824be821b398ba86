"""A machine is gone. Out of a dump, the key-encryption key and the settings another one is made, by
the commands of docs/restores.md: its books agree, what was forgotten is declared, payments go on.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import pytest
import trustme

from paygate.crypto.kms import FileKms
from paygate.embedded.server import EmbeddedPostgres, binaries
from paygate.settings import FILE
from paygate_sandbox.server import Sandbox, SandboxOptions
from tests.cli.processes import Ran, clean_environ, is_one_clear_line, run
from tests.docs.blocks import BLOCKS, Block
from tests.docs.blocks import run as typed
from tests.docs.test_stripe_page import free_port
from tests.gateway import Gateway, Response, until
from tests.payments.test_settled import AT_ONCE, settled

KEY = "sk_test_elsewhere"
DUMP, ROLES, PUT_BACK, DECLARE, LOOK = (
    block
    for block in BLOCKS
    if block.page == "docs/restores.md" and block.section == "A dump, into an empty machine"
)
BOOKS = ("keyset", "keyset_key", "schema_migration", "payment_intent", "audit_entry", "audit_seal")
KEK = "kek"
CARRIED = ("paygate.dump", KEK, FILE, "tls.pem")
"""What of the old machine is left: the certificate is the host's, and the settings name it."""


class Outside(NamedTuple):
    """What no machine of ours takes with it: the provider, and who keeps the checkpoints."""

    folder: Path
    sandbox: Sandbox
    port: int

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints.jsonl"


class Machine:
    """A folder, a PostgreSQL server with no database of ours, and the processes upon them."""

    def __init__(self, outside: Outside, folder: Path, server: EmbeddedPostgres) -> None:
        self.outside = outside
        self.folder = folder
        self.server = server
        owner = server.dsn.replace("://paygate@", "://paygate_owner@")
        self.environ: Mapping[str, str] = {
            "PAYGATE_DATA": str(folder),
            "PAYGATE_DATABASE_URL": server.dsn.replace("://paygate@", "://paygate_app@"),
            "PAYGATE_OWNER_DATABASE_URL": owner,
            "PAYGATE_STRIPE_API_BASE": outside.sandbox.parts.base_url,
            "PAYGATE_STRIPE_API_KEY": KEY,
            "PAYGATE_KEK": (folder / KEK).as_uri(),
            "PAYGATE_TLS_CERT": str(folder / "tls.pem"),
            "PAYGATE_TLS_KEY": str(folder / "tls.pem"),
            "PAYGATE_PUBLIC_URL": f"https://127.0.0.1:{outside.port}",
            "PAYGATE_AUDIT_CHECKPOINTS": outside.checkpoints.as_uri(),
        }

    async def run(self, *arguments: str, **changed: str) -> Ran:
        environ = {**self.environ, **changed}
        return await asyncio.to_thread(run, *arguments, cwd=self.folder, environ=environ)

    async def type(self, block: Block, *, role: str = "paygate_owner") -> str:
        """What a block of the page prints, with PostgreSQL's variables as the page says."""
        host = re.findall(r"host=([^&]+)", self.server.dsn)[0].replace("%2F", "/")
        path = [str(Path(sys.executable).parent), str(binaries()), os.environ["PATH"]]
        environ = {
            **self.environ,
            "PATH": os.pathsep.join(path),
            "PGHOST": host,
            "PGPORT": "5432",
            "PGUSER": role,
            "PGDATABASE": "paygate" if block is not ROLES else "postgres",
        }
        (printed,) = await asyncio.to_thread(typed, [block], self.folder, environ)
        return printed

    async def books(self) -> dict[str, str]:
        """A digest of each table that a restore must leave as it is."""
        connection = await asyncpg.connect(self.server.dsn)
        found = {}
        for table in BOOKS:
            rows = await connection.fetch(f"SELECT t::text AS row FROM {table} t ORDER BY 1")
            found[table] = hashlib.sha256(repr([r["row"] for r in rows]).encode()).hexdigest()
        await connection.close()
        return found

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "paygate.cli", *words],
                cwd=self.folder,
                env=clean_environ() | dict(self.environ),
                stdout=output,
                stderr=output,
            )

    @property
    def log(self) -> Path:
        return self.folder / "services.log"

    @asynccontextmanager
    async def services(self, key: str) -> AsyncIterator[Gateway]:
        """`serve` and `worker`, and a shop's client. A worker that ends tells a checkpoint."""
        words = (["serve", "--port", str(self.outside.port), "--processes", "1"], ["worker"])
        started = [self.start(*each) for each in words]
        ready = {
            "api_url": self.environ["PAYGATE_PUBLIC_URL"],
            "ca_file": str(self.outside.folder / "ca.pem"),
            "secret_key": key,
            "sandbox_url": self.outside.sandbox.parts.base_url,
            "sandbox_secret_key": KEY,
            "data_dir": str(self.folder),
        }
        gateway = Gateway(started[0], ready, self.log)
        await gateway.open()
        try:
            await until(lambda: is_ready(gateway), seconds=60)
            yield gateway
        finally:
            await gateway.close()
            for process in started:
                process.send_signal(signal.SIGTERM)
            ends = [await asyncio.to_thread(process.wait, 60) for process in started]
        assert ends == [0, 0], self.log.read_text()


async def is_ready(gateway: Gateway) -> bool:
    try:
        return (await gateway.call("GET", "/readyz")).status == 200
    except aiohttp.ClientError:
        return False


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    folder, authority = tmp_path / "outside", trustme.CA()
    folder.mkdir()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    begin = datetime.now(UTC) - timedelta(days=1)
    leaf = authority.issue_cert("127.0.0.1", not_before=begin, not_after=begin + timedelta(days=90))
    leaf.private_key_and_cert_chain_pem.write_to_path(folder / "tls.pem")
    (folder / "tls.pem").chmod(0o600)
    sandbox = Sandbox(
        SandboxOptions(
            host="127.0.0.1",
            port=0,
            data_dir=folder / "sandbox",
            secret_key=KEY,
            publishable_key="pk_test_elsewhere",
            ca_file=folder / "ca.pem",
        )
    )
    await sandbox.start()
    yield Outside(folder, sandbox, free_port())
    await sandbox.stop()


@asynccontextmanager
async def machine(outside: Outside, folder: Path) -> AsyncIterator[Machine]:
    """An empty one: the server's own database is taken away."""
    folder.mkdir()
    server = await asyncio.to_thread(EmbeddedPostgres.start, folder / "server")
    try:
        admin = await asyncpg.connect(server.dsn, database="postgres")
        await admin.execute("DROP DATABASE paygate")
        await admin.close()
        yield Machine(outside, folder, server)
    finally:
        await asyncio.to_thread(server.stop)


async def paid(gateway: Gateway, order: str, try_: str = "1") -> str:
    """An order of a shop's, paid for; asked for again, it is the same order."""
    body, headers = {"amount": 1999, "currency": "eur"}, {"Idempotency-Key": order}
    made = await gateway.call("POST", "/payment-intents", body, headers=headers)
    assert made.status == 201, made
    method = {"type": "card", "token": AT_ONCE}
    answer = await gateway.call(
        "POST",
        f"/payment-intents/{made.json['id']}/confirm",
        {"payment_method": method, "return_url": "https://shop.example/done"},
        headers={"Idempotency-Key": f"{order} paid {try_}"},
    )
    assert answer.json["status"] == "succeeded", answer
    return str(made.json["id"])


async def refunded(gateway: Gateway, intent: str) -> Response:
    answer = await gateway.call("POST", f"/payment-intents/{intent}/refund", {"amount": 500})
    assert answer.status == 201, answer
    return answer


async def paid_out(gateway: Gateway) -> dict[str, Any]:
    made = await gateway.sandbox("POST", "/_sandbox/payouts", {"arrival_in_days": 0})
    return await settled(gateway, made["payouts"][0])


async def charges(gateway: Gateway) -> int:
    return len((await gateway.sandbox("GET", "/_sandbox/ledger"))["charges"])


class Remembered(NamedTuple):
    """What the dump remembers, as the API showed it, and the shop's key."""

    key: str
    shown: Mapping[str, Any]


async def shown(gateway: Gateway, paths: Sequence[str]) -> dict[str, Any]:
    return {path: (await gateway.call("GET", path)).json for path in paths}


async def live(old: Machine) -> Remembered:
    """Payments, refunds, a settlement and a rotation of keys; the dump; an order that it forgets;
    then the end of the machine.
    """
    shutil.copy(old.outside.folder / "tls.pem", old.folder)
    FileKms.create(old.folder / KEK)
    await old.type(ROLES, role="paygate")
    assert (await old.run("migrate")).status == 0
    registered = await old.run("webhooks", "register")
    assert registered.status == 0, registered
    (old.folder / FILE).write_text(registered.out)
    key = (await old.run("api-keys", "create", "--role", "admin", "--quiet")).out.strip()
    async with old.services(key) as gateway:
        intents = [await paid(gateway, f"order-{n}") for n in range(3)]
        refund = (await refunded(gateway, intents[0])).json["id"]
        settlement = (await paid_out(gateway))["id"]
        rotated = await old.run("encryption", "rotate", "--quiet")
        assert rotated.status == 0, rotated
        intents.append(await paid(gateway, "order-rotated"))
        paths = [f"/payment-intents/{each}" for each in intents]
        paths += [f"/refunds/{refund}", f"/settlements/{settlement}"]
        paths += [f"/settlements/{settlement}/lines?limit=100"]
        remembered = Remembered(key, await shown(gateway, paths))
        await old.type(DUMP)
        await paid(gateway, "order-forgotten")
    return remembered


async def test_a_machine_out_of_a_dump_and_a_key(outside: Outside, tmp_path: Path) -> None:
    async with machine(outside, tmp_path / "old") as old:
        remembered = await live(old)
    async with machine(outside, tmp_path / "new") as new:
        for name in CARRIED:
            shutil.copy2(old.folder / name, new.folder / name)
        shutil.rmtree(old.folder)
        await new.type(ROLES, role="paygate")
        await new.type(PUT_BACK)
        await no_other_key_will_do(new)
        behind = await new.run("audit", "verify")
        assert behind.status == 1, behind
        assert "was told outside" in behind.out, behind
        assert "remembers everything up to" in await new.type(DECLARE)
        async with new.services(remembered.key) as gateway:
            assert await shown(gateway, list(remembered.shown)) == remembered.shown
            missing = await new.run("ledger", "verify")
            assert missing.status == 1, missing
            before = await charges(gateway)
            await paid(gateway, "order-forgotten", "2")
            assert await charges(gateway) == before, "nobody paid twice"
            await paid(gateway, "order-of-after")
            for path in list(remembered.shown)[1:3]:
                await refunded(gateway, path.rpartition("/")[2])
            assert (await paid_out(gateway))["matching"] == "balanced"
            looked = await new.type(LOOK)
            assert "declared gap: numbers" in looked, looked
            kept = await new.run("encryption", "status", "--json")
            assert len([k for k in json.loads(kept.out)["keys"] if k["purpose"] == "records"]) == 2


async def no_other_key_will_do(new: Machine) -> None:
    """None, or one that is not of the time of the dump: a line says so, and nothing is written."""
    before = await new.books()
    FileKms.create(new.folder / "another")
    serve = ("serve", "--port", "0", "--processes", "1")
    for command in (("migrate",), ("restored",), serve, ("worker",), ("encryption", "status")):
        for key, words in (("nowhere", ("nowhere",)), ("another", ("KEK",))):
            uri = (new.folder / key).as_uri()
            is_one_clear_line(await new.run(*command, PAYGATE_KEK=uri), *words)
    assert not (new.folder / "nowhere").exists()
    assert await new.books() == before
