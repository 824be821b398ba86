"""Keys in the clouds, as far as this machine sees: addresses, the missing extra, and no leak."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import tink

from paygate.crypto.cloud_kms import CloudKmsError, guarded
from paygate.crypto.kms import KmsError, ServiceKms, open_kms
from paygate.crypto.tink_keysets import KeyKind, new_keyset, seal_primitive

AWS = "aws-kms://arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
GCP = "gcp-kms://projects/shop/locations/global/keyRings/paygate/cryptoKeys/kek"
PAGE = Path(__file__).parents[2] / "docs" / "kms.md"


class ClientError(Exception):
    """As botocore's: a code beside words that quote."""

    def __init__(self, code: object) -> None:
        super().__init__("hunter2")
        self.response = {"Error": {"Code": code, "Message": "hunter2"}}


class Failing:
    """An AEAD whose service fails; of it only the error matters."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        raise self.error

    decrypt = encrypt


def is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # nor what it would be in
        return False


@pytest.mark.parametrize(
    ("uri", "extra", "client"), [(AWS, "aws", "boto3"), (GCP, "gcp", "google.cloud.kms_v1")]
)
def test_a_missing_extra_is_named(uri: str, extra: str, client: str) -> None:
    if is_installed(client):
        pytest.skip(f"{client} is installed here")
    with pytest.raises(KmsError) as refused:
        open_kms(uri)
    scheme = uri.split(":", maxsplit=1)[0]
    assert str(refused.value) == (
        f"{scheme}: needs an extra that is not installed: pip install 'paygate[{extra}]'"
    )
    assert f"pip install 'paygate[{extra}]'" in PAGE.read_text()


@pytest.mark.parametrize(
    "uri",
    [
        "aws-kms:",
        "aws-kms://hunter2",
        AWS.replace("111122223333", "1"),
        AWS.replace("arn:aws:", "arn:hunter2:"),
        AWS + "?x=1",
        "gcp-kms://projects/hunter2",
        GCP + "/cryptoKeyVersions/1",
        GCP.replace("kek", ""),
        GCP + "#1",
    ],
)
def test_another_address_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(KmsError, match=r"KMS address is (aws|gcp)-kms://") as refused:
        open_kms(uri)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (tink.TinkError(ClientError("AccessDeniedException")), "AccessDeniedException"),
        (tink.TinkError(ClientError("hunter 2")), "ClientError"),
        (tink.TinkError(ClientError(None)), "ClientError"),
        (tink.TinkError("hunter2"), "TinkError"),
        (ClientError("ThrottlingException"), "ThrottlingException"),
        (TypeError("hunter2"), "TypeError"),
    ],
)
def test_a_fault_is_named_and_not_quoted(error: Exception, said: str) -> None:
    kms = ServiceKms(guarded(Failing(error), "aws-kms"))
    for call in (kms.wrap, kms.unwrap):
        with pytest.raises(KmsError) as refused:
            call(b"a keyset", b"for you")
        assert str(refused.value) == f"aws-kms: {said}"


def test_what_is_wrapped_opens_for_its_place_alone() -> None:
    kms = ServiceKms(guarded(seal_primitive(new_keyset(KeyKind.SEAL)), "gcp-kms"))
    wrapped = kms.wrap(b"a keyset", b"for you")
    assert kms.unwrap(wrapped, b"for you") == b"a keyset"
    with pytest.raises(KmsError, match="gcp-kms: TinkError"):
        kms.unwrap(wrapped, b"for me")
    assert not kms.is_development


def test_the_port_raises_its_own_error_alone() -> None:
    with pytest.raises(CloudKmsError):
        guarded(Failing(TypeError("hunter2")), "aws-kms").encrypt(b"", b"")
