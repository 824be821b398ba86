"""Keys in AWS's and Google's key services, through Tink's integrations, which are optional extras.

The services' own clients find credentials as they do everywhere; none are ours. It must never
know what is encrypted. Nobody has run this against the services themselves (docs/kms.md).
"""

import re
from collections.abc import Callable
from importlib import import_module
from typing import Final, NamedTuple

from paygate.crypto.tink_keysets import Aead

CONNECT_SECONDS: Final = 5
CALL_SECONDS: Final = 10
TRIES: Final = 3


class CloudKmsError(Exception):
    """The service cannot be asked, or did not do it. No message quotes address or answer."""


def open_cloud_key(scheme: str, uri: str) -> Aead:
    """The key at `uri` as an AEAD that raises CloudKmsError alone.

    Raises CloudKmsError: the address is another, the extra is missing, or there are no credentials.
    """
    service = _SERVICES[scheme]
    if service.address.fullmatch(uri) is None:
        raise CloudKmsError(f"a {scheme}: KMS address is {service.form}")
    try:
        return guarded(service.open(uri), scheme)
    except ImportError:
        raise CloudKmsError(
            f"{scheme}: needs an extra that is not installed:"
            f" pip install 'paygate[{service.extra}]'"
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever a client raises for want of credentials
        raise CloudKmsError(f"{scheme}: its client does not start: {_named(error)}") from None


def guarded(aead: Aead, scheme: str) -> Aead:
    """The same AEAD, raising CloudKmsError alone."""
    return _Guarded(aead, scheme)


class _Service(NamedTuple):
    extra: str
    form: str
    address: re.Pattern[str]
    open: Callable[[str], Aead]


class _Guarded:
    def __init__(self, aead: Aead, scheme: str) -> None:
        self._aead = aead
        self._scheme = scheme

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        return self._guard(lambda: self._aead.encrypt(plaintext, associated_data))

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        return self._guard(lambda: self._aead.decrypt(ciphertext, associated_data))

    def _guard(self, call: Callable[[], bytes]) -> bytes:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - two clients' worlds of errors
            raise CloudKmsError(f"{self._scheme}: {_named(error)}") from None


def _aws(uri: str) -> Aead:
    """Tink's own client has boto3's deadlines, of a minute and of as many tries."""
    tink, boto3 = import_module("tink.integration.awskms"), import_module("boto3")
    config = import_module("botocore.config").Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=CALL_SECONDS,
        retries={"total_max_attempts": TRIES, "mode": "standard"},
    )
    client = boto3.client("kms", region_name=uri.split(":")[4], config=config)
    aead: Aead = tink.new_client(boto3_client=client, key_uri=uri).get_aead(uri)
    return aead


def _gcp(uri: str) -> Aead:
    aead: Aead = import_module("tink.integration.gcpkms").GcpKmsClient(uri).get_aead(uri)
    return aead


def _named(error: BaseException) -> str:
    """AWS's code of an error, or else its class: words may quote what was sent. Tink wraps them."""
    if error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return code if isinstance(code, str) and code.isalnum() else type(error).__name__


_SERVICES: Final = {
    "aws-kms": _Service(
        "aws",
        "aws-kms://arn:aws:kms:REGION:ACCOUNT:key/ID",
        re.compile(r"aws-kms://arn:aws:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+"),
        _aws,
    ),
    "gcp-kms": _Service(
        "gcp",
        "gcp-kms://projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY",
        re.compile(
            r"gcp-kms://projects/[^/?#]+/locations/[\w-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+",
            re.ASCII,
        ),
        _gcp,
    ),
}
SCHEMES: Final = tuple(_SERVICES)
