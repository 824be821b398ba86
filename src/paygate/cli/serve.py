"""`paygate serve`: the API, in one process or several that share a listening socket."""

import socket
from pathlib import Path
from typing import Final

import uvicorn

from paygate.api.addresses import TrustedProxies
from paygate.api.app import Api
from paygate.api.cors import Cors
from paygate.api.limits import Limits
from paygate.cli.processes import Program, Supervisor
from paygate.cli.server import Server
from paygate.settings import Settings, SettingsError
from paygate.telemetry import log
from paygate.wiring import check, open_context

BACKLOG: Final = 2048
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and AEAD alone (Mozilla's intermediate profile for TLS 1.2; 1.3 has its own)."""
KEEP_ALIVE_SECONDS: Final = 75
DRAIN_SECONDS: Final = 10
OPENSSL_CONFIG: Final = Path(__file__).with_name("openssl.cnf")
"""Python's ssl cannot name a list of groups; OpenSSL reads it from here."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that children can inherit."""
    try:
        return socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}") from None


def serve_here(settings: Settings, fd: int, *, processes: int) -> None:
    """Serve on an inherited socket until SIGTERM; requests in hand are finished.

    `processes` is how many of us there are on it.
    """
    log.configure()
    config = uvicorn.Config(
        Api(
            lambda: open_context(settings, name="api"),
            Limits(settings, processes=processes),
            TrustedProxies(settings.trusted_proxies),
            Cors(settings.allowed_origins),
        ),
        loop="uvloop",
        http="httptools",
        lifespan="on",
        ssl_certfile=settings.require("tls_cert"),
        ssl_keyfile=settings.require("tls_key"),
        ssl_ciphers=CIPHERS,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    # Not by `fd`, which uvicorn takes for a UNIX socket: no TCP_NODELAY, no client address.
    Server(config).run(sockets=[socket.socket(fileno=fd)])


def api_programs(sock: socket.socket, count: int, environment: dict[str, str]) -> list[Program]:
    """The API's processes, all on one socket."""
    fd = sock.fileno()
    return [
        Program(
            f"api-{number}",
            ["serve", "--fd", str(fd), "--processes", str(count)],
            environment | {"OPENSSL_CONF": str(OPENSSL_CONFIG)},
            pass_fds=(fd,),
        )
        for number in range(1, count + 1)
    ]


async def serve_in_processes(settings: Settings, *, host: str, port: int, processes: int) -> None:
    """Serve in child processes until SIGINT or SIGTERM."""
    log.configure()
    settings.require("tls_cert")
    if settings.environment == "production":
        settings.require("public_url")
        settings.require("return_url_hosts")
    await check(settings)
    supervisor = Supervisor()
    with listen(host, port) as sock:
        for program in api_programs(sock, processes, {"PAYGATE_DATA": str(settings.data)}):
            supervisor.keep(program)
        try:
            await supervisor.wait()
        finally:
            await supervisor.stop()
