"""`paygate up`: everything a developer needs, from an empty directory, until Ctrl-C.

What it makes once - the key-encryption key, the certificate authority, the API keys, the
sandbox's keys - stays in the data directory, so that the next start is the same gateway.
"""

import functools
import json
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from paygate import settings as settings_module
from paygate.cli.certificates import Certificates, ensure_certificates
from paygate.cli.database import OwnDatabase
from paygate.cli.hangups import heed_hangups
from paygate.cli.processes import Program, Supervisor
from paygate.cli.serve import api_programs, listen
from paygate.crypto.api_keys import parse_api_key
from paygate.crypto.kms import FileKms
from paygate.crypto.secret import Secret
from paygate.domain.access.roles import Actor, Caller, Role
from paygate.embedded.server import EmbeddedPostgres
from paygate.flows.access.create_api_key import create_api_key
from paygate.flows.context import Context
from paygate.private import close_file, close_folder, remove_planted, write_private
from paygate.providers.stripe.webhook_endpoints import StripeWebhookEndpoints
from paygate.settings import FILE, NOTHING, Needs, Settings, load
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.telemetry import log
from paygate.wiring.preparation import make_application_role, prepare_database
from paygate.wiring.service import open_service
from paygate_sandbox.command import PUBLISHABLE_KEY, SECRET_KEY

HOST: Final = "127.0.0.1"
SANDBOX_RATE: Final = "10000/second"
"""The sandbox limits nobody."""
REGISTER_SECONDS: Final = 60.0
OF_PROVIDER: Final = Needs(("stripe_api_key", "stripe_webhook_secrets"))
"""Without the sandbox."""
STATE: Final = "up.json"
APPLICATION: Final = "paygate_app"
"""The role that the processes work with."""
CHECKPOINTS: Final = "audit-checkpoints.jsonl"
"""Beside the database here: a cut of the log is found, and whoever has this folder can do both."""


class State(msgspec.Struct):
    """What a start remembers for the next one. It holds keys: for its owner's eyes."""

    sandbox_secret_key: str = ""
    sandbox_publishable_key: str = ""
    webhook_endpoint: str = ""
    webhook_secret: str = ""
    secret_key: str = ""
    publishable_key: str = ""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The command's options."""

    data: Path | None
    port: int
    sandbox_port: int
    sandbox: bool
    processes: int
    ready_file: Path | None
    quiet: bool


async def run_up(options: UpOptions) -> None:
    """Start everything, say where it is, and keep it running."""
    log.configure()
    ready_file = options.ready_file
    if ready_file is not None:
        # An earlier run's, or a stranger's: nobody may take it for ours.
        remove_planted(ready_file)
    up = Up(options, load_data(options.data))
    try:
        await up.run()
    finally:
        if ready_file is not None and up.is_ready:
            ready_file.unlink(missing_ok=True)


def load_data(data: Path | None) -> Path:
    """The data directory, absolute, there, and closed to other users, as its keys are."""
    folder = (data or Path(os.environ.get("PAYGATE_DATA", "data"))).expanduser().resolve()
    if close_folder(folder, STATE):
        log.logger().warning("data_directory_closed", folder=str(folder), mode="0700")
    for name in (STATE, FILE):
        close_file(folder / name)
    return folder


class Up:
    """One run of `paygate up`."""

    def __init__(self, options: UpOptions, data: Path) -> None:
        self._options = options
        self._data = data
        self._supervisor = Supervisor()
        self._console = Console(highlight=False, quiet=options.quiet)
        self._state = self._read_state()
        self._sandbox_url: str | None = None
        self.is_ready = False

    async def run(self) -> None:
        """From the ports to the ready file; then wait for the end."""
        heed_hangups(self._supervisor.reload)
        # What could stop the start is looked at before anything is made.
        needs = NOTHING if self._options.sandbox else OF_PROVIDER
        given = settings_module.load_environment(os.environ, needs=needs)
        if given.environment == "production":
            raise settings_module.SettingsError(
                "`paygate up` is for development, and makes keys for that: in production run"
                " `paygate serve` and `paygate worker`"
            )
        with listen(HOST, self._options.port) as sock, self._listen_for_sandbox() as its_sock:
            database = self._start_database()
            try:
                if await self._supervisor.during(self._start(sock, its_sock, database)):
                    await self._supervisor.wait()
            finally:
                await self._supervisor.stop()
                if database is not None:
                    await database.stop()

    async def _start(
        self, sock: socket.socket, its_sock: socket.socket, database: OwnDatabase | None
    ) -> None:
        if database is not None:
            self._supervisor.watch(database.keep())
        api_url = f"https://{HOST}:{sock.getsockname()[1]}"
        certificates = ensure_certificates(self._data / "tls", HOST)
        if self._options.sandbox:
            await self._start_sandbox(its_sock, api_url, certificates)
        settings = self._write_settings(database, certificates, api_url)
        if database is not None:
            await make_application_role(settings)
        await prepare_database(settings, functools.partial(self._say, "database"))
        await self._ensure_keys(settings)
        environment = {"PAYGATE_DATA": str(self._data)}
        self._say("api", f"starting {self._options.processes} processes, and the worker")
        for program in api_programs(sock, self._options.processes, environment):
            self._supervisor.keep(program)
        self._supervisor.keep(Program("worker", ["worker"], environment))
        await self._supervisor.ready()
        self._tell(settings, api_url, certificates)

    def _listen_for_sandbox(self) -> socket.socket:
        """The sandbox's port, kept for it until it starts."""
        if not self._options.sandbox:
            return socket.socket()
        return listen(HOST, self._options.sandbox_port, option="--sandbox-port")

    def _start_database(self) -> OwnDatabase | None:
        if os.environ.get("PAYGATE_DATABASE_URL"):
            return None
        folder = self._data / "postgres"
        self._say("database", f"starting embedded PostgreSQL in {folder}")
        return OwnDatabase(EmbeddedPostgres.start(folder))

    async def _start_sandbox(
        self, its_sock: socket.socket, api_url: str, certificates: Certificates
    ) -> None:
        state = self._state
        state.sandbox_secret_key = state.sandbox_secret_key or f"sk_test_{secrets.token_hex(16)}"
        state.sandbox_publishable_key = (
            state.sandbox_publishable_key or f"pk_test_{secrets.token_hex(16)}"
        )
        port = its_sock.getsockname()[1]
        its_sock.close()  # the sandbox takes the port a moment later
        self._sandbox_url = f"http://{HOST}:{port}"
        arguments = ["sandbox", "--data", str(self._data / "sandbox"), "--port", str(port)]
        arguments += ["--ca-file", str(certificates.ca)]
        keys = {
            SECRET_KEY: state.sandbox_secret_key,
            PUBLISHABLE_KEY: state.sandbox_publishable_key,
        }
        self._supervisor.keep(Program("sandbox", arguments, keys, settings=False))
        await self._supervisor.ready()
        await self._register_webhook(f"{api_url}/webhooks")
        self._write_state()
        self._say("sandbox", self._sandbox_url)

    async def _register_webhook(self, url: str) -> None:
        """The sandbox's endpoint for our events: made once, moved when the port changed."""
        state = self._state
        assert self._sandbox_url is not None
        endpoints = StripeWebhookEndpoints(
            self._sandbox_url, Secret(state.sandbox_secret_key), timeout_seconds=REGISTER_SECONDS
        )
        try:
            if state.webhook_endpoint and await endpoints.change(state.webhook_endpoint, url):
                return
            made = await endpoints.make(url)
        finally:
            await endpoints.close()
        state.webhook_endpoint = made.endpoint.provider_reference
        state.webhook_secret = made.secret.reveal()

    def _write_settings(
        self, database: OwnDatabase | None, certificates: Certificates, api_url: str
    ) -> Settings:
        """`paygate.toml` in the data directory, so that other commands find this gateway."""
        kek = self._data / "kek"
        if not kek.exists():
            FileKms.create(kek, is_development=True)
        values = {
            "kek": kek.as_uri(),
            "public_url": api_url,
            "audit_checkpoints": (self._data / CHECKPOINTS).as_uri(),
            "tls_cert": str(certificates.certificate),
            "tls_key": str(certificates.key),
        }
        if database is not None:
            # The processes own nothing, as in production; `migrate` alone works as the owner.
            values["owner_database_url"] = database.dsn
            values["database_url"] = database.dsn.replace("://paygate@", f"://{APPLICATION}@", 1)
        if self._sandbox_url is not None:
            values["stripe_api_base"] = self._sandbox_url
            values["provider_rate"] = SANDBOX_RATE
            values["stripe_api_key"] = self._state.sandbox_secret_key
            values["stripe_webhook_secrets"] = self._state.webhook_secret
        settings_module.write(self._data / FILE, values)
        return load(os.environ, data=self._data)

    async def _ensure_keys(self, settings: Settings) -> None:
        async with open_service(settings, name="up") as ctx:
            state = self._state
            state.secret_key = await _ensure_key(ctx, state.secret_key, Role.ADMIN)
            state.publishable_key = await _ensure_key(ctx, state.publishable_key, Role.PUBLISHABLE)
        self._write_state()

    def _tell(self, settings: Settings, api_url: str, certificates: Certificates) -> None:
        state = self._state
        ready = {
            "api_url": api_url,
            "ca_file": str(certificates.ca),
            "secret_key": state.secret_key,
            "publishable_key": state.publishable_key,
            "webhook_secret": settings.stripe_webhook_secrets[0],
            "provider_webhook_secret": settings.stripe_webhook_secrets[0],
            "sandbox_url": self._sandbox_url,
            "sandbox_secret_key": state.sandbox_secret_key if self._sandbox_url else None,
            "sandbox_publishable_key": (
                state.sandbox_publishable_key if self._sandbox_url else None
            ),
            "console_url": None,
            "database_url": settings.owner_database_url or settings.database_url,
            "data_dir": str(self._data),
        }
        if self._options.ready_file is not None:
            write_private(self._options.ready_file, json.dumps(ready, indent=2) + "\n")
            self.is_ready = True
        self._say("listening", f"on {api_url}  (docs at {api_url}/docs)")
        self._say("trust", f"curl --cacert {certificates.ca}")
        self._say("key", f"the admin's is in {self._data / STATE}")
        self._console.print("[bold green]ready[/] - Ctrl-C stops everything")

    def _say(self, what: str, where: str) -> None:
        self._console.print(f"[bold]{what:>10}[/]  {where}", soft_wrap=True)

    def _read_state(self) -> State:
        path = self._data / STATE
        if not path.exists():
            return State()
        try:
            return msgspec.json.decode(path.read_bytes(), type=State)
        except msgspec.MsgspecError:
            raise settings_module.SettingsError(
                f"{path} is damaged: restore it, or remove it to have new keys made"
            ) from None

    def _write_state(self) -> None:
        text = json.dumps(msgspec.to_builtins(self._state), indent=2) + "\n"
        write_private(self._data / STATE, text)


async def _ensure_key(ctx: Context, known: str, role: Role) -> str:
    """The key from an earlier start if it still opens, else a new one."""
    if known:
        parsed = parse_api_key(known)
        key = await ctx.read.api_key(parsed.key_id)
        if key is not None and key.valid_at(ctx.now()):
            return known
    caller = Caller(Actor("command", name="paygate up"), DEFAULT_MERCHANT, request_id="up")
    _, secret = await create_api_key(ctx, caller, role=role, name=f"paygate up ({role})")
    return secret.reveal()
