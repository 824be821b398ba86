"""`paygate serve`: the API, in one process or several that share a port."""

import asyncio
import resource
import signal
import socket
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from paygate.api.app import Api
from paygate.api.edge.addresses import TrustedProxies
from paygate.api.edge.cors import Cors
from paygate.api.edge.limits import Limits
from paygate.api.http.connections import Connections
from paygate.api.http.protocol import Deadlines
from paygate.api.http.server import BACKLOG, Server
from paygate.api.http.tls import Certificate
from paygate.cli.processes import Program, Supervisor
from paygate.settings import Settings, SettingsError
from paygate.telemetry import log
from paygate.wiring import check, open_context

LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
OTHER_FILES: Final = 256
"""File descriptors of a process that are no client's: the database's, the provider's, the log's."""
OPENSSL_CONFIG: Final = Path(__file__).with_name("openssl.cnf")
"""Python's ssl cannot name a list of groups; OpenSSL reads it from here."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on a port that nobody else has; our own processes may share it then."""
    try:
        sock = socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return sock


async def serve_here(settings: Settings, fd: int, *, processes: int) -> None:
    """Serve on an inherited socket until SIGTERM; requests in hand are finished.

    `processes` is how many of us share the port.
    """
    log.configure()
    exempt = settings.trusted_proxies
    if settings.environment == "development":
        exempt += LOOPBACK
    connections = Connections(
        make_room(settings.max_connections),
        settings.max_connections_per_address,
        TrustedProxies(exempt),
    )
    deadlines = Deadlines(
        head=settings.header_timeout.total_seconds(),
        body=settings.body_timeout.total_seconds(),
        idle=settings.keep_alive.total_seconds(),
    )
    certificate = Certificate(Path(settings.require("tls_cert")), Path(settings.require("tls_key")))
    api = Api(
        lambda: open_context(settings, name="api"),
        Limits(settings, processes=processes),
        TrustedProxies(settings.trusted_proxies),
        Cors(settings.allowed_origins),
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, certificate.reload)
    server = Server(api, connections, deadlines, certificate)
    await server.serve([socket.socket(fileno=fd)], stop)


def make_room(connections: int) -> int:
    """Raise the limit of file descriptors; returns for how many connections there are some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        log.logger().warning("too_few_files", wanted=wanted, limit=hard)
        wanted = hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(wanted - OTHER_FILES, 1)


def api_programs(sock: socket.socket, count: int, environment: dict[str, str]) -> list[Program]:
    """The API's processes, each with a socket of its own on the port of `sock`, which is closed.

    The system deals connections out among the sockets, so that each process has its share; one
    that starts anew finds in its queue who came meanwhile.
    """
    host, port = sock.getsockname()[:2]
    # Not closed before this process ends.
    fds = [
        socket.create_server((host, port), backlog=BACKLOG, reuse_port=True).detach()
        for _ in range(count)
    ]
    sock.close()
    return [
        Program(
            f"api-{number}",
            ["serve", "--fd", str(fd), "--processes", str(count)],
            environment | {"OPENSSL_CONF": str(OPENSSL_CONFIG)},
            pass_fds=(fd,),
        )
        for number, fd in enumerate(fds, start=1)
    ]


async def serve_in_processes(settings: Settings, *, host: str, port: int, processes: int) -> None:
    """Serve in child processes until SIGINT or SIGTERM."""
    log.configure()
    settings.require("tls_cert")
    if settings.environment == "production":
        settings.require("public_url")
        settings.require("return_url_hosts")
    await check(settings)
    # To many servers SIGHUP means "reload". New certificates are found without it, and the children
    # inherit that until they listen to it themselves.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    supervisor = Supervisor()
    with listen(host, port) as sock:
        for program in api_programs(sock, processes, {"PAYGATE_DATA": str(settings.data)}):
            supervisor.keep(program)
        try:
            await supervisor.wait()
        finally:
            await supervisor.stop()
