"""TLS and the end: handshakes, a certificate that changes, a stop that keeps nobody waiting."""

import os
import ssl
import subprocess
import sys
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from structlog.testing import capture_logs

from paygate.api.http.protocol import Deadlines
from paygate.api.http.tls import Certificate
from tests.api.http.wire import (
    GET,
    HOLD,
    HOST,
    QUICK,
    SECONDS,
    SLOW,
    Application,
    Served,
    answer,
    is_refused,
    parse,
    serving,
    until,
    until_end,
)

LOOK_SECONDS = 0.02


class Tls:
    """A certificate authority, the files of a server, and who trusts them."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.files = folder / "server.pem", folder / "server.key"
        self.write()
        self.certificate = Certificate(*self.files, look_seconds=LOOK_SECONDS)
        self.trusted = ssl.create_default_context()
        self.authority.configure_trust(self.trusted)

    def write(self, until: datetime | None = None) -> None:
        """A certificate as a renewal puts it there."""
        leaf = self.authority.issue_cert("localhost", not_after=until)
        for path, blob in zip(
            self.files, (leaf.cert_chain_pems[0], leaf.private_key_pem), strict=True
        ):
            draft = path.with_suffix(".draft")
            blob.write_to_path(draft)
            draft.replace(path)


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path)


def over(
    tls: Tls, app: Any = None, deadlines: Deadlines = SLOW, **more: Any
) -> AbstractContextManager[Served]:
    """A server that speaks TLS."""
    return serving(app, deadlines, certificate=tls.certificate, trusted=tls.trusted, **more)


def serial(served: Served) -> str:
    """Of the certificate that a new connection meets."""
    with served.open() as sock:
        assert isinstance(sock, ssl.SSLSocket)
        found = sock.getpeercert()
        assert found is not None
        return str(found["serialNumber"])


def test_the_application_knows_that_it_is_tls(tls: Tls) -> None:
    with over(tls) as served:
        with served.open() as sock:
            assert isinstance(sock, ssl.SSLSocket)
            assert sock.version() == "TLSv1.3"
            client = sock.getsockname()
            sock.sendall(GET)
            assert answer(sock)[0] == 200
        assert served.app.seen[0]["scheme"] == "https"
        assert served.app.seen[0]["client"] == client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_not_spoken(tls: Tls, version: ssl.TLSVersion) -> None:
    tls.trusted.minimum_version = version
    tls.trusted.maximum_version = version
    tls.trusted.set_ciphers("ALL:@SECLEVEL=0")
    with over(tls) as served, pytest.raises((ssl.SSLError, ConnectionError)):
        served.open()


@pytest.mark.parametrize("ciphers", ["AES128-GCM-SHA256", "ECDHE+AES+SHA256:-AESGCM:!ECDHE+AESCCM"])
def test_ciphers_without_forward_secrecy_or_aead_are_not_spoken(tls: Tls, ciphers: str) -> None:
    tls.trusted.maximum_version = ssl.TLSVersion.TLSv1_2
    tls.trusted.set_ciphers(ciphers)
    with over(tls) as served, pytest.raises((ssl.SSLError, ConnectionError)):
        served.open()


@pytest.mark.parametrize(
    "begun",
    [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", GET, b"\x00" * 1000],
    ids=["silence", "half a hello", "no TLS", "nonsense"],
)
def test_a_handshake_has_its_time_and_its_place(tls: Tls, begun: bytes) -> None:
    deadlines = replace(SLOW, head=0.3)
    with serving(deadlines=deadlines, most=2, certificate=tls.certificate) as served:
        with served.connect() as sock:
            until(lambda: len(served.connections) == 1)
            sock.sendall(begun)
            assert b"HTTP" not in until_end(sock)
        until(lambda: not len(served.connections))


def test_who_shakes_hands_gives_way_too(tls: Tls) -> None:
    with (
        ExitStack() as stack,
        over(tls, most=2) as served,
    ):
        silent = [stack.enter_context(served.connect()) for _ in range(2)]
        until(lambda: len(served.connections) == 2)
        with served.open() as sock:
            assert until_end(silent[0]) == b""
            sock.sendall(GET)
            assert answer(sock)[0] == 200


def test_after_the_handshake_silence_has_its_time(tls: Tls) -> None:
    deadlines = replace(SLOW, head=0.5)
    with over(tls, deadlines=deadlines) as served:
        with served.open() as sock:
            assert until_end(sock) == b""
        with served.open() as sock:
            sock.sendall(GET[:-2])
            is_refused(until_end(sock), 408, "request_timed_out")


def test_who_does_not_read_is_left_without_a_goodbye(tls: Tls) -> None:
    deadlines = replace(SLOW, unread=0.3)
    large = GET.replace(b" / ", b" /large ") * 20
    with over(tls, deadlines=deadlines) as served, served.open() as sock:
        sock.sendall(large)
        until(lambda: served.app.seen)
        until(lambda: not len(served.connections))


def test_a_new_certificate_is_taken_up_while_requests_go_on(tls: Tls) -> None:
    app = Application()
    with over(tls, app) as served:
        before = serial(served)
        with served.open() as sock:
            sock.sendall(HOLD)
            until(lambda: app.seen)
            tls.write()
            until(lambda: serial(served) != before)
            served.loop.call_soon_threadsafe(app.go.set)
            assert answer(sock)[0] == 200
            sock.sendall(GET)
            assert answer(sock)[0] == 200


@pytest.mark.parametrize("fault", ["no PEM", "another key", "gone", "ended"])
def test_a_certificate_that_cannot_be_used_is_not_taken(tls: Tls, fault: str) -> None:
    certificate, key = tls.files
    whole = certificate.read_bytes(), key.read_bytes()
    with over(tls) as served, capture_logs() as logs:
        before = serial(served)
        if fault == "no PEM":
            certificate.write_bytes(whole[0][:100])
        elif fault == "another key":
            trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(key)
        elif fault == "ended":
            tls.write(until=datetime(2026, 1, 1, tzinfo=UTC))
        else:
            key.unlink()
        until(lambda: "certificate_not_loaded" in {line["event"] for line in list(logs)})
        assert serial(served) == before
        tls.write()
        until(lambda: serial(served) != before)


def test_files_that_are_mended_without_a_new_date_are_taken(tls: Tls) -> None:
    """As by chmod, after a renewal whose key could not be read."""
    before, key = tls.certificate.context, tls.files[1]
    tls.write()
    good = key.read_bytes()
    key.write_bytes(good.translate(bytes.maketrans(b"abc", b"bca")))
    tls.certificate.reload()
    assert tls.certificate.context is before
    date = key.stat().st_mtime_ns
    key.write_bytes(good)
    os.utime(key, ns=(date, date))
    tls.certificate.reload()
    assert tls.certificate.context is not before


def test_a_certificate_in_openssls_own_form_is_taken(tls: Tls) -> None:
    before, file = tls.certificate.context, tls.files[0]
    tls.write()
    file.write_bytes(file.read_bytes().replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE"))
    tls.certificate.reload()
    assert tls.certificate.context is not before


def test_a_key_under_a_passphrase_is_refused_and_not_asked_for(tls: Tls) -> None:
    certificate, key = tls.files
    locked = load_pem_private_key(key.read_bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    key.write_bytes(locked)
    take = "import sys; from pathlib import Path; from paygate.api.http.tls import Certificate; "
    take += "Certificate(*map(Path, sys.argv[1:]))"
    # Without a terminal OpenSSL asks the standard input, which says nothing as long as we live.
    with subprocess.Popen(
        [sys.executable, "-c", take, str(certificate), str(key)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        assert child.stderr is not None
        try:
            assert child.wait(SECONDS) == 1
        finally:
            child.kill()
        assert b"SSLError" in child.stderr.read()


def test_a_stop_answers_what_is_under_way_and_nothing_else(tls: Tls) -> None:
    app = Application()
    with (
        over(tls, app) as served,
        served.open() as busy,
        served.open() as idle,
        served.open() as half,
    ):
        idle.sendall(GET)
        assert answer(idle)[0] == 200
        half.sendall(GET[:-2])
        busy.sendall(HOLD + GET)
        until(lambda: len(app.seen) == 2)
        served.begin_stop()
        assert until_end(idle) == b""
        assert until_end(half) == b""
        with pytest.raises(ConnectionRefusedError):
            served.connect()
        served.loop.call_soon_threadsafe(app.go.set)
        status, headers, rest = parse(until_end(busy))
        assert (status, headers["connection"], rest) == (200, "close", b"")
    assert [scope["path"] for scope in app.seen] == ["/", "/hold"]
    assert app.ended


def test_an_upload_that_is_under_way_may_end(tls: Tls) -> None:
    app = Application()
    with over(tls, app) as served, served.open() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhel")
        until(lambda: app.seen)
        served.begin_stop()
        sock.sendall(b"lo")
        status, headers, body = parse(until_end(sock))
        assert (status, headers["connection"], body) == (200, "close", b"hello")


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01"], ids=["silence", "half a hello"])
def test_silence_does_not_delay_a_stop(tls: Tls, begun: bytes) -> None:
    deadlines = replace(SLOW, close=60)
    with (
        over(tls, deadlines=deadlines) as served,
        served.connect() as silent,
        served.open() as idle,
    ):
        silent.sendall(begun)
        idle.sendall(GET)
        assert answer(idle)[0] == 200
        until(lambda: len(served.connections) == 2)
        served.stop()  # neither of them says goodbye


def test_a_stop_says_why_an_upload_is_refused(tls: Tls) -> None:
    with over(tls) as served, served.open() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        until(lambda: served.app.seen)
        served.begin_stop()
        sock.sendall(b"no size\r\n")
        is_refused(until_end(sock), 400, "request_malformed")


def test_a_stop_does_not_wait_for_ever() -> None:
    app = Application()
    with serving(app, QUICK, drain_seconds=0.1) as served, served.open() as sock:
        sock.sendall(HOLD)
        until(lambda: app.seen)
        served.stop()
    assert app.ended


def test_an_application_that_cannot_start_is_not_served() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise FileNotFoundError("no database")

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(FileNotFoundError), serving(broken) as served:
        served.wait()
    with pytest.raises(RuntimeError), serving(failing) as served:
        served.wait()
