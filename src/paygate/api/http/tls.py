"""TLS for those who connect: Mozilla's intermediate profile, and a certificate that may change.

OpenSSL takes the groups of that profile from `cli/openssl.cnf`: Python has no words for them.
"""

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from paygate.telemetry import log

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and AEAD alone, in TLS 1.2; 1.3 has its own."""
LOOK_SECONDS: Final = 10.0
"""How often the files are looked at: two calls of the system."""


class CertificateEndedError(Exception):
    """A certificate that nobody accepts any more was put in the place of the one in use."""


class Certificate:
    """The certificate and its key, read again when their files change.

    Whoever renews them needs no signal, and a pair that does not fit (one of two files is written)
    is not taken, nor is one that has ended: the one before serves on.
    """

    def __init__(self, certificate: Path, key: Path, *, look_seconds: float = LOOK_SECONDS) -> None:
        """Raises `OSError` (of which `SSLError` is one) when they cannot be used."""
        self._files = certificate, key
        self._look_seconds = look_seconds
        self._seen = self._look()
        self.context = self._load()
        """For the next handshake; connections that are open keep theirs."""

    async def watch(self) -> None:
        """Look again and again, for as long as the server runs."""
        while True:
            await asyncio.sleep(self._look_seconds)
            self.reload()

    def reload(self) -> None:
        """Take the certificate that is there now, if it is another."""
        try:
            found = self._look()
            if found == self._seen:
                return
            self._seen = found
            context = self._load()
            self._refuse_ended()
            self.context = context
        except (OSError, CertificateEndedError) as error:
            log.logger().error("certificate_not_loaded", error=error)
        else:
            log.logger().info("certificate_loaded")

    def _look(self) -> list[tuple[int, ...]]:
        # The time of the last change of anything: what could not be read may be readable now.
        states = [path.stat() for path in self._files]
        return [(s.st_ctime_ns, s.st_mtime_ns, s.st_ino, s.st_size) for s in states]

    def _refuse_ended(self) -> None:
        """The one before is better than none. At a start there is no other, and clients say why."""
        try:
            leaf = x509.load_pem_x509_certificate(self._files[0].read_bytes())
        except ValueError:
            return  # OpenSSL has read it, in a form that this reader does not know
        if leaf.not_valid_after_utc <= datetime.now(UTC):
            raise CertificateEndedError

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        # Without a password OpenSSL asks for one, and nothing is served while it waits.
        context.load_cert_chain(*self._files, password="")
        return context
