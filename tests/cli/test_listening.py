"""Where a gateway listens, and what it hears from whoever started it."""

import os
import pty
import signal
import socket
import ssl
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from paygate.cli.serve import api_programs, listen
from paygate.settings import SettingsError
from tests.api.http.wire import GET, HOST, Application, answer, serving, until, until_end
from tests.cli.processes import children, ended, is_one_clear_line, run
from tests.gateway import Gateway

HEALTH = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"

needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def reachable(port: int, *hosts: str) -> list[str]:
    """By which of these addresses somebody is reached."""
    found = []
    for host in hosts:
        try:
            socket.create_connection((host, port), timeout=10).close()
        except ConnectionRefusedError:
            continue
        found.append(host)
    return found


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("localhost", ["127.0.0.1"]),
        ("0.0.0.0", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("::", ["127.0.0.1", "::1"]),
        ("0:0:0:0:0:0:0:0", ["127.0.0.1", "::1"]),
    ],
)
def test_every_process_listens_where_it_was_told(host: str, reached: list[str]) -> None:
    with ExitStack() as stack:
        sock = stack.enter_context(listen(host, 0))
        port = sock.getsockname()[1]
        fds = [fd for program in api_programs(sock, 2, {}) for fd in program.pass_fds]
        sockets = [stack.enter_context(socket.socket(fileno=fd)) for fd in fds]
        for sock in sockets:  # each in turn is the only one
            assert reachable(port, "127.0.0.1", "::1") == reached
            sock.close()


@needs_ipv6
def test_who_comes_by_ipv4_is_known_by_that_address() -> None:
    app = Application()
    with serving(app, per_address=1, sock=listen("::", 0)) as served:
        for address in ("127.0.0.1", "127.0.0.2"):
            with served.connect(address) as one, served.connect(address) as another:
                one.sendall(GET)
                assert answer(one)[0] == 200
                assert until_end(another) == b""
    assert [scope["client"][0] for scope in app.seen] == ["127.0.0.1", "127.0.0.2"]


def test_a_port_is_taken_once_by_either_family() -> None:
    with listen("127.0.0.1", 0) as sock, pytest.raises(SettingsError, match="is taken"):
        listen("::", sock.getsockname()[1])


@pytest.mark.parametrize(
    "host",
    ["192.0.2.1", "2001:db8::1", "fe80::1%nowhere", "nowhere.invalid", "", "a..b", "x" * 100, ":"],
)
def test_an_address_that_is_not_ours_is_said(host: str) -> None:
    with pytest.raises(SettingsError) as raised:
        listen(host, 8443)
    said = str(raised.value)
    assert said.startswith("cannot listen on ")
    assert f"{host}]:8443: " in said or f"{host}:8443: " in said
    assert "None" not in said
    assert "\n" not in said


def test_an_address_that_is_not_ours_is_one_clear_line(gateway: Gateway, tmp_path: Path) -> None:
    data = gateway.ready["data_dir"]
    ran = run("serve", "--data", data, "--host", "192.0.2.1", "--port", "0", cwd=tmp_path)
    is_one_clear_line(ran, "cannot listen on 192.0.2.1:0: ")


@pytest.mark.parametrize("port", ["65536", "73979"])
@pytest.mark.parametrize("command", ["up", "serve", "sandbox"])
def test_a_port_that_is_none_is_wrong_usage(command: str, port: str, tmp_path: Path) -> None:
    ran = run(command, "--port", port, cwd=tmp_path)
    assert (ran.status, ran.out) == (2, "")
    assert "65535" in ran.err


class InTerminal:
    """A `paygate` command, in a session with a terminal of its own."""

    def __init__(self, data: str | Path, *arguments: str, hangups: bool = True) -> None:
        command = [sys.executable, "-m", "paygate.cli", *arguments]
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            # As nohup does; and the tests themselves may run under it.
            signal.signal(signal.SIGHUP, signal.SIG_DFL if hangups else signal.SIG_IGN)
            os.execve(sys.executable, command, os.environ | {"PAYGATE_DATA": str(data)})

    def read_until(self, word: bytes) -> None:
        """Read what it shows, up to a word."""
        shown = b""
        while word not in shown:
            shown += os.read(self._terminal, 4096)

    def hang_up(self) -> None:
        """Close the terminal."""
        os.close(self._terminal)

    def status(self) -> int:
        """How it ended; a signal's number is negative."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


class Served(InTerminal):
    """`paygate serve`, with one process."""

    def __init__(self, gateway: Gateway, *options: str, hangups: bool = True) -> None:
        serve = ("serve", "--processes", "1", *options)
        super().__init__(gateway.ready["data_dir"], *serve, hangups=hangups)
        until(lambda: children(self.pid))
        (self.child,) = children(self.pid)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def is_served(gateway: Gateway, host: str, port: int) -> bool:
    context = ssl.create_default_context(cafile=gateway.ready["ca_file"])
    plain = socket.create_connection((host, port), timeout=10)
    with context.wrap_socket(plain, server_hostname="localhost") as sock:
        sock.sendall(HEALTH)
        return answer(sock)[0] == 200


@needs_proc
@needs_ipv6
def test_a_terminal_that_is_closed_ends_the_gateway_cleanly(gateway: Gateway) -> None:
    port = free_port()
    served = Served(gateway, "--host", "::", "--port", str(port))
    for host in ("127.0.0.1", "::1"):
        assert is_served(gateway, host, port)
    served.hang_up()
    assert served.status() == 0
    assert ended(served.child)


@needs_proc
def test_a_terminal_that_is_closed_ends_all_that_up_started(tmp_path: Path) -> None:
    """Its database too, as a stop does and not as a crash."""
    ready = tmp_path / "ready.json"
    ports = ("--port", "0", "--sandbox-port", "0")
    up = InTerminal(tmp_path / "data", "up", *ports, "--ready-file", str(ready))
    up.read_until(b"Ctrl-C")  # the last that it writes: a write into no terminal is a fault
    assert ready.exists()
    started = children(up.pid)
    assert {command[0] for command in started.values()} == {"serve", "worker", "sandbox"}
    up.hang_up()
    assert up.status() == 0
    assert all(map(ended, started))
    assert not ready.exists()
    assert list(tmp_path.rglob("postmaster.pid")) == []
    (log,) = (tmp_path / "data").rglob("postgres.log")
    assert "database system is shut down" in log.read_text()


@needs_proc
def test_nohup_keeps_it(gateway: Gateway) -> None:
    port = free_port()
    served = Served(gateway, "--port", str(port), hangups=False)
    assert is_served(gateway, "127.0.0.1", port)
    os.kill(served.pid, signal.SIGHUP)
    served.hang_up()
    assert is_served(gateway, "127.0.0.1", port)
    os.kill(served.pid, signal.SIGTERM)
    assert served.status() == 0


def changed_certificate(gateway: Gateway) -> None:
    """One with another time, which is read again."""
    os.utime(Path(gateway.ready["data_dir"]) / "tls" / "server.pem")


@needs_proc
def test_a_hangup_from_elsewhere_has_certificates_read_again(gateway: Gateway) -> None:
    """At once: by itself a process looks every ten seconds, which eight times would be too slow."""
    before = children(gateway.process.pid)
    api = sum(command[0] == "serve" for command in before.values())
    already = gateway.log.read_text().count("certificate_loaded")

    def loaded(more: int) -> bool:
        return gateway.log.read_text().count("certificate_loaded") >= already + more

    end = time.monotonic() + 60
    for turn in range(1, 9):
        changed_certificate(gateway)
        gateway.process.send_signal(signal.SIGHUP)
        until(partial(loaded, turn * api), seconds=end - time.monotonic())
    assert children(gateway.process.pid) == before
