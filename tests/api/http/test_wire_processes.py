"""The server as it really runs: processes that share a port, and a whole gateway behind them."""

import os
import resource
import signal
import ssl
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from paygate.cli.serve import OTHER_FILES, make_room
from tests.api.http.wire import HOST, answer, is_refused, open_tcp, until, until_end
from tests.cli.processes import children
from tests.gateway import Gateway

READY = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
ESTABLISHED = "01"


def api_processes(gateway: Gateway) -> set[int]:
    found = children(gateway.process.pid)
    return {pid for pid, command in found.items() if command[0] == "serve"}


def connections(pid: int, port: int) -> int:
    """How many connections on a port a process has accepted."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = {
        f"socket:[{line[9]}]"
        for line in lines
        if line[1].endswith(f":{port:04X}") and line[3] == ESTABLISHED
    }
    files = Path(f"/proc/{pid}/fd")
    return sum(str(file.readlink()) in here for file in files.iterdir() if file.is_symlink())


def test_each_process_has_its_share_of_connections(gateway: Gateway) -> None:
    port = gateway.port
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(open_tcp(port))
        until(lambda: sum(connections(pid, port) for pid in api_processes(gateway)) >= 40)
        shares = Counter({pid: connections(pid, port) for pid in api_processes(gateway)})
    assert len(shares) == 2
    assert min(shares.values()) >= 5  # fair coins say otherwise once in a million


def test_a_process_may_have_as_many_files_as_connections(gateway: Gateway) -> None:
    for pid in api_processes(gateway):
        limits = Path(f"/proc/{pid}/limits").read_text()
        (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
        assert int(line.split()[3]) >= 2000


def test_the_limit_of_files_is_raised_to_what_is_needed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    try:
        assert make_room(100) == 100
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (100 + OTHER_FILES, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_where_the_system_allows_fewer_files_there_are_fewer_connections() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 400));"
        "from paygate.cli.serve import make_room; print(make_room(2000));"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert f"{400 - OTHER_FILES}\n(400, 400)\n" in ran.stdout
    assert "too_few_files" in ran.stdout


def test_this_machine_has_no_limit_of_its_own_in_development(gateway: Gateway) -> None:
    context = ssl.create_default_context(cafile=gateway.ready["ca_file"])
    with ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(open_tcp(gateway.port))
        for _ in range(10):
            plain = stack.enter_context(open_tcp(gateway.port))
            sock = stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
            sock.sendall(READY)
            assert answer(sock)[0] == 200


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (READY[:-2] + b"Paygate-Actor: " + b"4" * 2**20 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "request_malformed"),
    ],
)
def test_a_gateway_refuses_in_its_own_words(
    gateway: Gateway, sent: bytes, status: int, code: str
) -> None:
    context = ssl.create_default_context(cafile=gateway.ready["ca_file"])
    with context.wrap_socket(open_tcp(gateway.port), server_hostname="localhost") as sock:
        sock.sendall(sent)
        is_refused(until_end(sock), status, code)


def test_a_key_in_a_trailer_opens_nothing(gateway: Gateway) -> None:
    """Nor does it wait for the next request on the connection."""
    context = ssl.create_default_context(cafile=gateway.ready["ca_file"])
    key = f"Authorization: Bearer {gateway.ready['secret_key']}\r\n".encode()
    sent = b"GET /payment-intents HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    with context.wrap_socket(open_tcp(gateway.port), server_hostname="localhost") as sock:
        for _ in range(2):
            sock.sendall(sent + b"0\r\n" + key + b"\r\n")
            assert answer(sock)[0] == 401
        sock.sendall(sent.replace(b"\r\n\r\n", b"\r\n" + key + b"\r\n") + b"0\r\n\r\n")
        assert answer(sock)[0] == 200


async def test_a_process_that_is_stopped_is_replaced_on_the_same_port(gateway: Gateway) -> None:
    victim = min(api_processes(gateway))
    os.kill(victim, signal.SIGTERM)
    until(lambda: victim not in (there := api_processes(gateway)) and len(there) == 2)
    # Nobody is refused meanwhile, and both take their share again.
    port = gateway.port
    for _ in range(20):
        assert (await gateway.call("GET", "/healthz")).status == 200
    with ExitStack() as stack:

        def shared() -> bool:
            stack.enter_context(open_tcp(port))
            return all(connections(pid, port) > 5 for pid in api_processes(gateway))

        until(shared, seconds=30)
