"""The way out: where it leads, what is sent, how much is read. Real sockets, real TLS."""

import ast
import asyncio
import contextlib
import socket
import ssl
import tracemalloc
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme

from paygate.domain.addresses import Reach
from paygate.egress.client import Egress, Fault, Forbidden, Responded, Unresolved
from tests.receiver import Receiver, answer

HERE = Reach(loopback=True)
NOWHERE = Reach()
SOURCE = Path(str(files("paygate")))
DIALLERS = {
    "egress/client.py": "the one way out to addresses that somebody configured",
    "providers/stripe/transport.py": "the provider, whose address is the operator's",
    "cli/listen.py": "this gateway's own API",
    "cli/over_api.py": "this gateway's own API",
    "crypto/vault_http.py": "the key service, whose address is the operator's",
}
"""What opens connections by HTTP, and where to."""


def names_of(*hosts: str) -> Any:
    """A resolver that says these addresses of every name."""

    def look(host: str, port: int, *_: object) -> list[Any]:
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in hosts
        ]

    return look


async def test_what_is_sent_is_on_a_closed_list() -> None:
    async with Receiver() as receiver:
        egress = Egress(HERE, user_agent="paygate/test")
        sent = await egress.post(receiver.url("localhost"), b'{"a":1}', {"webhook-id": "evt_1"})
        await egress.close()
    assert sent == Responded(200)
    (request,) = receiver.requests
    assert request.body == b'{"a":1}'
    assert request.headers == {
        "host": f"localhost:{receiver.port}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "paygate/test",
        "webhook-id": "evt_1",
        "content-length": "7",
        "content-type": request.headers["content-type"],
    }


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
        *("0.0.0.0", "[::]", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"),
    ],
)
async def test_this_machine_is_out_of_reach_in_every_spelling(host: str) -> None:
    """Open ports and closed ones alike: nothing is connected to."""
    async with Receiver() as receiver:
        egress = Egress(NOWHERE, user_agent="paygate")
        closed = receiver.url(host).replace(str(receiver.port), "9")
        for url in (receiver.url(host), closed):
            assert await egress.post(url, b"{}", {}) is Fault.ADDRESS_FORBIDDEN
            with pytest.raises(Forbidden):
                await egress.check(url)
        await egress.close()
        assert receiver.requests == []


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1", "169.254.169.254"),
        ("169.254.169.254", "127.0.0.1"),
        ("127.0.0.1", "fe80::1"),
        ("127.0.0.1", "10.0.0.1"),
    ],
)
async def test_a_name_with_one_forbidden_address_is_forbidden(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Receiver() as receiver:
        monkeypatch.setattr(socket, "getaddrinfo", names_of(*addresses))
        egress = Egress(HERE, user_agent="paygate")
        url = receiver.url("shop.example")
        assert await egress.post(url, b"{}", {}) is Fault.ADDRESS_FORBIDDEN
        with pytest.raises(Forbidden):
            await egress.check(url)
        await egress.close()
        assert receiver.requests == []


async def test_a_name_that_changes_its_mind_is_judged_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was fine when the endpoint was made. The address that is judged is the one connected to:
    a second look-up, which could say another, is never made.
    """
    said: list[str] = []

    def once(host: str, port: int, *rest: object) -> Any:
        said.append(host)
        return names_of("127.0.0.1" if len(said) < 3 else "169.254.169.254")(host, port)

    async with Receiver() as receiver:
        monkeypatch.setattr(socket, "getaddrinfo", once)
        egress = Egress(HERE, user_agent="paygate")
        url = receiver.url("shop.example")
        await egress.check(url)
        receiver.always = answer(200, "Connection: close")
        assert await egress.post(url, b"{}", {}) == Responded(200)
        assert await egress.post(url, b"{}", {}) is Fault.ADDRESS_FORBIDDEN
        await egress.close()
    assert len(said) == 3


async def test_a_private_network_is_reached_where_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", names_of("10.20.0.7"))
    allowed = Egress(Reach(private=(ip_network("10.20.0.0/16"),)), user_agent="paygate")
    await allowed.check("https://shop.example/")
    await allowed.close()
    egress = Egress(NOWHERE, user_agent="paygate")
    with pytest.raises(Forbidden):
        await egress.check("https://shop.example/")
    await egress.close()


async def test_a_name_that_nobody_knows_is_no_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    egress = Egress(HERE, user_agent="paygate")
    assert await egress.post("http://shop.example/", b"{}", {}) is Fault.UNREACHABLE
    with pytest.raises(Unresolved):
        await egress.check("http://shop.example/")
    await egress.close()


async def test_proxies_of_the_environment_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Receiver() as receiver:
        egress = Egress(HERE, user_agent="paygate")
        assert await egress.post(receiver.url(), b"{}", {}) == Responded(200)
        await egress.close()
    assert len(receiver.requests) == 1


async def test_redirects_are_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as first, Receiver() as second:
        first.always = answer(307, f"Location: {second.url()}")
        egress = Egress(HERE, user_agent="paygate")
        assert await egress.post(first.url(), b"{}", {}) == Responded(307)
        await egress.close()
        assert second.requests == []


def certificate(authority: trustme.CA, name: str, **more: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name, **more).configure_cert(context)
    return context


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """One that this machine trusts."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


async def through_tls(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> tuple[Responded | Fault, Receiver]:
    monkeypatch.setattr(socket, "getaddrinfo", names_of("127.0.0.1"))
    async with Receiver(tls=tls) as receiver:
        egress = Egress(HERE, user_agent="paygate")
        sent = await egress.post(receiver.url("shop.example"), b"{}", {})
        await egress.close()
    return sent, receiver


async def test_a_certificate_is_held_against_the_name(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the connection is to an address that was looked up before."""
    sent, receiver = await through_tls(certificate(authority, "shop.example"), monkeypatch)
    assert sent == Responded(200)
    assert receiver.requests[0].headers["host"] == f"shop.example:{receiver.port}"


@pytest.mark.parametrize("fault", ["name", "address", "expired", "stranger"])
async def test_a_certificate_that_does_not_hold_is_no_receiver(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    made = {
        "name": lambda: certificate(authority, "other.example"),
        "address": lambda: certificate(authority, "127.0.0.1"),
        "expired": lambda: certificate(
            authority, "shop.example", not_after=datetime.now(UTC) - timedelta(days=1)
        ),
        "stranger": lambda: certificate(trustme.CA(), "shop.example"),
    }[fault]()
    sent, receiver = await through_tls(made, monkeypatch)
    assert sent is Fault.TLS_FAILED
    assert receiver.requests == []


async def test_whoever_says_nothing_is_waited_for_so_long() -> None:
    async with Receiver() as receiver:
        receiver.hanging.clear()
        egress = Egress(HERE, user_agent="paygate")
        assert await egress.post(receiver.url(), b"{}", {}, seconds=0.5) is Fault.TIMED_OUT
        await egress.close()


@pytest.mark.parametrize(
    ("said", "became"),
    [
        (b"", Fault.BROKEN),
        (b"SSH-2.0-OpenSSH\r\n", Fault.BROKEN),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1_000_000 + b"\r\n\r\n", Fault.BROKEN),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", Fault.BROKEN),
    ],
)
async def test_what_is_no_answer_is_none(said: bytes, became: Fault) -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    egress = Egress(HERE, user_agent="paygate")
    assert await egress.post(f"http://127.0.0.1:{port}/", b"{}", {}) is became
    await egress.close()
    server.close()


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity"])
async def test_an_answer_without_end_is_cut_off(encoding: str) -> None:
    """Its status is known; what it says is neither unpacked nor kept."""
    sent = 0

    async def go_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"{}")
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {10**9}"
        writer.write(f"{head}\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(64 * 1024))
                await writer.drain()
                sent += 64 * 1024

    server = await asyncio.start_server(go_on, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    egress = Egress(HERE, user_agent="paygate")
    tracemalloc.start()
    assert await egress.post(f"http://127.0.0.1:{port}/", b"{}", {}) == Responded(200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await egress.close()
    server.close()
    assert peak < 5 * 1024 * 1024
    assert sent < 10**8


def test_nothing_else_opens_connections() -> None:
    """By HTTP: a second client would be a second list of addresses, or none."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Attribute(attr="ClientSession" | "TCPConnector" | "urlopen"):
                    found.add(path.relative_to(SOURCE).as_posix())
                case ast.Import(names=[ast.alias(name="requests" | "httpx" | "http.client")]):
                    found.add(path.relative_to(SOURCE).as_posix())
    assert found == set(DIALLERS)
