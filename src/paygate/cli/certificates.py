"""A certificate authority of one's own, for development: made once, trusted by `--cacert`.

The authority's key is never written: it signs one certificate and is forgotten.
"""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from paygate.api.http.tls import Certificate
from paygate.private import OTHERS, write_private
from paygate.telemetry import log

VALID = timedelta(days=365)
CLOCKS_DIFFER = timedelta(days=1)
"""Valid since yesterday, for a client whose clock is behind. Clients refuse server certificates
that live longer than 398 days: trustme's own begin in the year 2000."""
RENEW_BEFORE = timedelta(days=30)


class Certificates(NamedTuple):
    """Where the files are."""

    ca: Path
    certificate: Path
    key: Path


def ensure_certificates(folder: Path, host: str) -> Certificates:
    """The certificates in `folder`; made anew when they cannot serve, and the log says why."""
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    names = list(dict.fromkeys((host, "localhost", "127.0.0.1", "::1")))
    now = datetime.now(UTC)
    fault = _fault(made, names, now)
    if fault is None:
        return made
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="paygate development")
    server = authority.issue_cert(*names, not_before=now - CLOCKS_DIFFER, not_after=now + VALID)
    write_private(made.key, server.private_key_pem.bytes().decode())
    chain = b"".join(blob.bytes() for blob in server.cert_chain_pems)
    write_private(made.certificate, chain.decode())
    write_private(made.ca, authority.cert_pem.bytes().decode())
    made.ca.chmod(0o644)
    log.logger().info("certificate_made", reason=fault, until=(now + VALID).isoformat())
    return made


def _fault(made: Certificates, names: list[str], now: datetime) -> str | None:
    """Why the certificates cannot serve, or None."""
    if not all(path.exists() for path in made):
        return "there is none"
    if stat.S_IMODE(made.key.stat().st_mode) & OTHERS:
        return "other users could read its key"
    try:
        certificate = x509.load_pem_x509_certificate(made.certificate.read_bytes())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(made.ca.read_bytes()))
        Certificate(made.certificate, made.key)  # as the server will
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, TypeError, InvalidSignature, ssl.SSLError, x509.ExtensionNotFound):
        return "its files do not belong together"
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end - begin > VALID + CLOCKS_DIFFER:
        return "it is valid for longer than clients accept"
    if not begin <= now < end - RENEW_BEFORE:
        return "it ends soon, or the clock was changed"
    if {str(name.value) for name in alternatives.value} != set(names):
        return "it names other hosts"
    return None
