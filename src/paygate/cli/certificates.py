"""A certificate authority of one's own, for development: made once, trusted by `--cacert`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import trustme

VALID = timedelta(days=365)
"""Clients refuse server certificates that live longer than 398 days."""
RENEW_BEFORE = timedelta(days=30)


class Certificates(NamedTuple):
    """Where the files are."""

    ca: Path
    certificate: Path
    key: Path


def ensure_certificates(folder: Path, host: str) -> Certificates:
    """The certificates in `folder`; made now if there are none, or they end within a month."""
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    if all(path.exists() for path in made) and _fresh(made.certificate):
        return made
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="paygate development")
    server = authority.issue_cert(
        host, "localhost", "127.0.0.1", "::1", not_after=datetime.now(UTC) + VALID
    )
    made.key.touch(mode=0o600)
    server.private_key_pem.write_to_path(made.key)
    made.certificate.unlink(missing_ok=True)
    for blob in server.cert_chain_pems:
        blob.write_to_path(made.certificate, append=True)
    authority.cert_pem.write_to_path(made.ca)
    return made


def _fresh(certificate: Path) -> bool:
    written = datetime.fromtimestamp(certificate.stat().st_mtime, UTC)
    return datetime.now(UTC) < written + VALID - RENEW_BEFORE
