"""docs/stripe.md, step by step: an empty folder to a payment whose webhook came."""

import asyncio
import configparser
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from paygate.api.edge.endpoint import BODY_LIMIT
from paygate.api.provider_events import EVENT_LIMIT
from paygate.providers.stripe.events import ENABLED_EVENTS
from paygate.providers.stripe.translate import API_VERSION
from paygate.settings import FILE, load
from paygate.storage.connections.session import Connection
from paygate_sandbox.server import Sandbox, SandboxOptions
from tests.docs.blocks import BLOCKS, ROOT, RUN, Block, run
from tests.docs.test_pages import needs_curl
from tests.gateway import Gateway, until

PAGE = "docs/stripe.md"
KEY = "sk_test_walk"
TEXT = (ROOT / PAGE).read_text()


def steps(*numbers: int) -> list[Block]:
    """The blocks of these steps that are run."""
    found = [b for b in RUN if b.page == PAGE and int(b.section.partition(".")[0]) in numbers]
    assert found
    return found


def written(language: str) -> list[str]:
    return [b.text for b in BLOCKS if (b.page, b.language) == (PAGE, language)]


def units() -> list[str]:
    """What the services of the page start."""
    parsed = []
    for text in written("ini"):
        unit = configparser.ConfigParser(interpolation=None)
        if text.startswith("["):
            unit.read_string(text)
            parsed.append(unit["Service"]["ExecStart"])
    return parsed


def test_the_events_and_the_version_are_those_that_we_read() -> None:
    (events,) = written("text")
    assert events.split() == sorted(ENABLED_EVENTS)
    assert f"`{API_VERSION}`" in TEXT


def test_every_call_to_stripe_is_in_the_table_of_rights() -> None:
    folder = ROOT / "src" / "paygate" / "providers" / "stripe"
    called = {
        path
        for file in folder.glob("*.py")
        for path in re.findall(r'"(/v1/[a-z_]+)', file.read_text())
    }
    assert called
    assert called <= set(re.findall(r"^\| `(/v1/[a-z_]+)`", TEXT, re.MULTILINE))


def test_the_proxy_caps_what_the_gateway_caps(tmp_path: Path) -> None:
    (conf,) = written("nginx")
    assert conf.count("{") == conf.count("}")
    server, _, webhooks = conf.partition("location /webhooks")
    assert f"client_max_body_size {BODY_LIMIT // 1024}k;" in server
    assert f"client_max_body_size {EVENT_LIMIT // 1024**2}m;" in webhooks
    assert "limit_req" not in webhooks
    (kept,) = re.findall(r"keepalive_timeout (\d+)s;", conf)
    (tmp_path / FILE).touch()
    settings = load({}, data=tmp_path)
    assert int(kept) < settings.keep_alive.total_seconds()
    (head,) = re.findall(r"client_header_timeout (\d+)s;", conf)
    (body,) = re.findall(r"client_body_timeout (\d+)s;", conf)
    assert int(head) <= settings.header_timeout.total_seconds()
    assert int(body) <= settings.body_timeout.total_seconds()


@needs_curl
async def test_from_an_empty_folder_to_a_webhook(
    gateway: Gateway,
    database: str,
    connect: Callable[[], Awaitable[Connection]],
    tmp_path: Path,
) -> None:
    """Only the name and the port are others, and the provider is the sandbox."""
    port = free_port()
    folder = with_certificate(tmp_path, gateway)

    async def do(*numbers: int, **environ: str) -> list[str]:
        blocks = [
            b._replace(text=b.text.replace("pay-test.example", f"127.0.0.1:{port}"))
            for b in steps(*numbers)
        ]
        return await asyncio.to_thread(run, blocks, folder, variables | environ)

    async with a_sandbox(tmp_path / "sandbox", gateway.ready["ca_file"]) as sandbox:
        variables = {
            "PAYGATE_STRIPE_API_BASE": sandbox.parts.base_url,
            "CURL_CA_BUNDLE": gateway.ready["ca_file"],
        }
        await do(4, PAYGATE_STRIPE_API_KEY=KEY, PAYGATE_DATABASE_URL=database)
        (prepared,) = await do(5)
        assert "pgw_test_sk_" in prepared
        assert "whsec_" not in prepared
        async with services(folder, port, variables):
            await until(lambda: is_ready(port, gateway.ready["ca_file"]))
            paid, checks = await do(8, 9)
            assert paid.strip() == "succeeded"
            assert '"warnings":[]' in checks
            assert "nothing disagrees" in checks
            reader = await connect()
            await until(lambda: reader.fetchval("SELECT count(*) FROM provider_event"))


async def test_live_mode_is_production_with_a_key_file_of_its_own(
    gateway: Gateway, database: str, tmp_path: Path
) -> None:
    folder = with_certificate(tmp_path, gateway)
    environ = {"PAYGATE_STRIPE_API_KEY": "sk_live_1", "PAYGATE_DATABASE_URL": database}
    await asyncio.to_thread(run, steps(10), folder, environ)
    settings = load({}, data=folder)
    assert (settings.environment, settings.public_url) == ("production", "https://pay.example")


def with_certificate(tmp_path: Path, gateway: Gateway) -> Path:
    """An installation's folder as step 1 leaves it."""
    made = Path(gateway.ready["ca_file"]).parent
    tls = tmp_path / "gate" / "tls"
    tls.mkdir(parents=True)
    shutil.copy(made / "server.pem", tls / "fullchain.pem")
    shutil.copy(made / "server.key", tls / "privkey.pem")
    return tls.parent


@asynccontextmanager
async def a_sandbox(data: Path, ca_file: str) -> AsyncIterator[Sandbox]:
    options = SandboxOptions(
        host="127.0.0.1",
        port=0,
        data_dir=data,
        secret_key=KEY,
        publishable_key="pk_test_walk",
        ca_file=Path(ca_file),
    )
    sandbox = Sandbox(options)
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.stop()


@asynccontextmanager
async def services(folder: Path, port: int, environ: dict[str, str]) -> AsyncIterator[None]:
    """The page's services, as systemd would start them; each ends well when it is told to."""
    log = folder / "services.log"
    started = [start(shlex.split(unit), port, folder, environ, log) for unit in units()]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        ends = [await asyncio.to_thread(process.wait, 60) for process in started]
    assert ends == [0, 0], log.read_text()


def start(
    words: list[str], port: int, folder: Path, environ: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    program = Path(sys.executable).with_name(Path(words[0]).name)
    options = [word.replace("${PORT}", str(port)) for word in words[1:]]
    with log.open("ab") as output:
        return subprocess.Popen(
            [program, *options],
            cwd=folder,
            env={"PATH": str(program.parent)} | environ,
            stdout=output,
            stderr=output,
        )


async def is_ready(port: int, ca_file: str) -> bool:
    context = ssl.create_default_context(cafile=ca_file)
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"https://127.0.0.1:{port}/readyz", ssl=context) as response,
        ):
            return response.ok
    except aiohttp.ClientError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
