"""`paygate serve`: the API, in one process or several that share a port."""

import asyncio
import errno
import resource
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from paygate.api.app import Api
from paygate.api.edge.addresses import TrustedProxies
from paygate.api.edge.cors import Cors
from paygate.api.edge.errors import docs_at
from paygate.api.edge.limits import Limits
from paygate.api.http.connections import Connections
from paygate.api.http.protocol import Deadlines
from paygate.api.http.server import BACKLOG, Server
from paygate.api.http.tls import Certificate
from paygate.cli.hangups import heed_hangups
from paygate.cli.lifeline import tell_ready
from paygate.cli.processes import Program, Supervisor
from paygate.flows.context import Context
from paygate.settings import Settings, SettingsError
from paygate.telemetry import log
from paygate.telemetry.request_log import RequestLog
from paygate.wiring.service import check, open_context

LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
OTHER_FILES: Final = 256
"""File descriptors of a process that are no client's: the database's, the provider's, the log's."""
OPENSSL_CONFIG: Final = Path(__file__).with_name("openssl.cnf")
"""Python's ssl cannot name a list of groups; OpenSSL reads it from here."""


def listen(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """A listening socket on a port that nobody else has; our own processes may share it then.

    Raises SettingsError: there is no such address here, or it is taken, or not ours to take.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        address = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4]
        sock = _bind(family, address)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "this is no name of a host"
        where = f"[{host}]:{port}" if family is socket.AF_INET6 else f"{host}:{port}"
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"port {port} of {host} is taken: end what listens there (another `paygate up`?),"
                f" or choose another with {option} (0: any free one)"
            ) from None
        raise SettingsError(f"cannot listen on {where}: {why}") from None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return sock


def _bind(family: socket.AddressFamily, address: Any, *, shared: bool = False) -> socket.socket:
    """A listening socket; `::` is every address of this machine, those of IPv4 too."""
    return socket.create_server(
        address,
        family=family,
        backlog=BACKLOG,
        reuse_port=shared,
        dualstack_ipv6=family is socket.AF_INET6 and socket.has_dualstack_ipv6(),
    )


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
    certificate = certificate_of(settings)
    api = Api(
        lambda: _opened(settings),
        Limits(settings, processes=processes),
        TrustedProxies(settings.trusted_proxies),
        Cors(settings.allowed_origins),
        RequestLog() if settings.request_log else None,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, certificate.reload if certificate else _nothing)
    docs = docs_at(settings.public_url)
    server = Server(api, connections, deadlines, certificate, docs=docs)
    await server.serve([socket.socket(fileno=fd)], stop)


def _nothing() -> None:
    """What a hangup does where there is no certificate: end nothing."""


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Context]:
    async with open_context(settings, name="api") as ctx:
        tell_ready()  # the socket is bound: who connects from now on is served in a moment
        yield ctx


def certificate_of(settings: Settings) -> Certificate | None:
    """What the API is served with; None: in clear, to the proxies that are trusted and to nobody
    else. Raises SettingsError: the files cannot be used, and why.
    """
    if settings.behind_proxies_alone:
        return None
    paths = {name: Path(settings.require(name)) for name in ("tls_cert", "tls_key")}
    for name, path in paths.items():
        try:
            path.open("rb").close()
        except OSError as error:
            raise SettingsError(
                f"PAYGATE_{name.upper()}: cannot read {path}: {error.strerror}"
            ) from None
    try:
        return Certificate(*paths.values())
    except OSError:
        raise SettingsError(
            "PAYGATE_TLS_CERT and PAYGATE_TLS_KEY: {tls_cert} and {tls_key} are not a certificate"
            " in PEM and its own key without a passphrase".format(**paths)
        ) from None


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
    family, address = sock.family, sock.getsockname()
    # Not closed before this process ends.
    fds = [_bind(family, address, shared=True).detach() for _ in range(count)]
    sock.close()
    return [
        Program(
            f"api-{number}",
            ["serve", "--fd", str(fd), "--processes", str(count)],
            environment | {"OPENSSL_CONF": str(OPENSSL_CONFIG)},
            pass_fds=(fd,),
            reloads=True,
        )
        for number, fd in enumerate(fds, start=1)
    ]


async def serve_in_processes(settings: Settings, *, host: str, port: int, processes: int) -> None:
    """Serve in child processes until SIGINT or SIGTERM."""
    log.configure()
    certificate_of(settings)
    await check(settings)
    supervisor = Supervisor()
    heed_hangups(supervisor.reload)
    with listen(host, port) as sock:
        host, port = sock.getsockname()[:2]
        for program in api_programs(sock, processes, {"PAYGATE_DATA": str(settings.data)}):
            supervisor.keep(program)
        try:
            if await supervisor.during(supervisor.ready()):
                log.logger().info("listening", host=host, port=port, processes=processes)
                await supervisor.wait()
        finally:
            await supervisor.stop()
