"""The certificate that the API is served with, as those who connect will judge it."""

import ssl
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from paygate.api.http.tls import Certificate
from paygate.doctor.finding import Said, ok, warning, wrong
from paygate.doctor.patient import Away, Patient, not_known

SOON: Final = timedelta(days=21)
"""Certificates of 90 days are renewed a month before their end: this one was not."""
VERY_SOON: Final = timedelta(days=3)
LONGEST: Final = timedelta(days=398)
"""What browsers take, and one day for the clocks."""
RSA_BITS: Final = 2048
CURVES: Final = ("secp256r1", "secp384r1")
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_RENEW: Final = "Renew it; it is taken up within ten seconds, without a restart."


def pair(patient: Patient) -> Said:
    settings = patient.settings
    if settings.behind_proxies_alone:
        return ok("the trusted proxies have the certificate, and whoever else comes is refused")
    if settings.tls_cert is None or settings.tls_key is None:
        return wrong(
            "PAYGATE_TLS_CERT and PAYGATE_TLS_KEY are not set: `paygate serve` does not start",
            "Set them to a certificate with its chain, and to its key.",
        )
    try:
        Certificate(settings.tls_cert, settings.tls_key)
    except OSError as error:
        return wrong(
            f"the certificate cannot be served: {error.strerror or 'it is not its own key'}",
            "Put a PEM certificate and its own key, without a passphrase, where the settings say.",
        )
    if settings.tls_key.stat().st_mode & 0o007:
        return wrong("everybody can read the certificate's key", f"chmod 600 {settings.tls_key}")
    return ok("the certificate and its key belong together")


def lifetime(patient: Patient) -> Said:
    chain = _chain(patient)
    if isinstance(chain, Away):
        return not_known(chain)
    begin, end = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
    if patient.at >= end:
        return wrong(f"the certificate ended on {end:%Y-%m-%d}", _RENEW)
    if patient.at < begin:
        return wrong(f"the certificate begins on {begin:%Y-%m-%d}", "Set the machine's clock.")
    left = end - patient.at
    if left < VERY_SOON:
        return wrong(f"the certificate ends in {left.days} days", _RENEW)
    if left < SOON:
        return warning(f"the certificate ends in {left.days} days", _RENEW)
    return ok(f"the certificate is good for {left.days} days")


def names(patient: Patient) -> Said:
    chain = _chain(patient)
    if isinstance(chain, Away):
        return not_known(chain)
    if patient.settings.public_url is None:
        return not_known(Away("PAYGATE_PUBLIC_URL is not set"))
    host = urlsplit(patient.settings.public_url).hostname or ""
    if patient.settings.trusted_proxies:
        return ok("a proxy stands before this certificate, and names are that one's")
    if any(_covers(name, host) for name in _names(chain[0])):
        return ok(f"the certificate is for {host}")
    return wrong(
        f"the certificate is not for {host}, which PAYGATE_PUBLIC_URL names",
        "Have one issued for that name, or mend PAYGATE_PUBLIC_URL.",
    )


def chain(patient: Patient) -> Said:
    """Whether a client that knows the public authorities alone can follow it to one of them."""
    found = _chain(patient)
    if isinstance(found, Away):
        return not_known(found)
    for lower, upper in pairwise(found):
        if not _issued(lower, upper):
            return wrong(
                "the certificate's file has its chain in another order, or another's chain",
                "Put the server's certificate first, and each issuer after what it issued.",
            )
    if any(_issued(found[-1], root) for root in _roots()):
        return ok("the chain leads to an authority that this machine trusts")
    return warning(
        "the chain leads to no authority that this machine trusts: the provider and browsers will"
        " not connect either",
        "Add the intermediate certificates, or have one issued by a public authority.",
    )


def profile(patient: Patient) -> Said:
    """Mozilla's intermediate profile, as far as a certificate can keep it
    (https://wiki.mozilla.org/Security/Server_Side_TLS).
    """
    found = _chain(patient)
    if isinstance(found, Away):
        return not_known(found)
    leaf, faults = found[0], []
    match leaf.public_key():
        case rsa.RSAPublicKey() as key if key.key_size >= RSA_BITS:
            pass
        case ec.EllipticCurvePublicKey() as key if key.curve.name in CURVES:
            pass
        case _:
            faults.append("its key is neither RSA of 2048 bits nor P-256 or P-384")
    if not isinstance(leaf.signature_hash_algorithm, _HASHES):
        faults.append("it is not signed with SHA-256 or better")
    if leaf.not_valid_after_utc - leaf.not_valid_before_utc > LONGEST + timedelta(days=1):
        faults.append(f"it is valid for more than {LONGEST.days} days")
    if faults:
        return patient.serious(
            f"the certificate is not as clients want it: {'; '.join(faults)}",
            "Have another issued.",
        )
    return ok("key, signature and term are those of Mozilla's intermediate profile")


def _chain(patient: Patient) -> Sequence[x509.Certificate] | Away:
    path = patient.settings.tls_cert
    if path is None:
        return Away("there is no certificate here")
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())
    except OSError as error:
        return Away(f"cannot read {path}: {error.strerror}")
    except ValueError:
        return Away(f"{path} is no certificate in PEM")


def _names(leaf: x509.Certificate) -> Sequence[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return [str(name.value).lower() for name in found.value]


def _covers(name: str, host: str) -> bool:
    """A star stands for one label, the leftmost (RFC 9525, 6.3)."""
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:] and not host.startswith(".")
    return name == host


def _issued(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _roots() -> Sequence[x509.Certificate]:
    loaded = []
    for encoded in ssl.create_default_context().get_ca_certs(binary_form=True):
        try:
            loaded.append(x509.load_der_x509_certificate(encoded))
        except ValueError:
            continue  # an authority of the system's that this library does not read
    return loaded
