"""A KEK in a file, a keyring of fresh keys, and one of known keys for known answers."""

from pathlib import Path
from typing import Final

import pytest
from tink.proto import common_pb2, hmac_prf_pb2, tink_pb2, x_aes_gcm_pb2

from paygate.crypto.encoding import length_prefixed
from paygate.crypto.keyring import Keyring, Purpose, generate_keyring, load_keyring
from paygate.crypto.kms import FileKms

INSTALLATION: Final = "inst_test"
TYPE_URL: Final = "type.googleapis.com/google.crypto.tink."


@pytest.fixture(scope="session")
def kms(tmp_path_factory: pytest.TempPathFactory) -> FileKms:
    return FileKms.create(tmp_path_factory.mktemp("kek") / "kek")


@pytest.fixture(scope="session")
def other_kms(tmp_path_factory: pytest.TempPathFactory) -> FileKms:
    return FileKms.create(tmp_path_factory.mktemp("other-kek") / "kek")


@pytest.fixture(scope="session")
def installation() -> str:
    return INSTALLATION


@pytest.fixture(scope="session")
def wrapped(kms: FileKms, installation: str) -> dict[str, bytes]:
    return generate_keyring(kms, installation)


@pytest.fixture(scope="session")
def keyring(kms: FileKms, installation: str, wrapped: dict[str, bytes]) -> Keyring:
    return load_keyring(kms, installation, wrapped)


@pytest.fixture(scope="session")
def record_key() -> bytes:
    return bytes(range(32))


@pytest.fixture(scope="session")
def index_key() -> bytes:
    return bytes(range(100, 132))


@pytest.fixture(scope="session")
def audit_key() -> bytes:
    return bytes(range(200, 232))


@pytest.fixture(scope="session")
def known_wrapped(
    kms: FileKms, installation: str, record_key: bytes, index_key: bytes, audit_key: bytes
) -> dict[str, bytes]:
    """Wrapped keysets of known keys, put together as the format says rather than by our code."""
    x_aes = x_aes_gcm_pb2.XAesGcmKey(
        key_value=record_key, params=x_aes_gcm_pb2.XAesGcmParams(salt_size=12)
    )
    hmac_prf = hmac_prf_pb2.HmacPrfKey(
        key_value=index_key, params=hmac_prf_pb2.HmacPrfParams(hash=common_pb2.SHA256)
    )
    audit_prf = hmac_prf_pb2.HmacPrfKey(
        key_value=audit_key, params=hmac_prf_pb2.HmacPrfParams(hash=common_pb2.SHA256)
    )
    clear = {
        Purpose.RECORDS: _keyset(
            "XAesGcmKey", x_aes.SerializeToString(), tink_pb2.TINK, 0x01020304
        ),
        Purpose.INDEX: _keyset(
            "HmacPrfKey", hmac_prf.SerializeToString(), tink_pb2.RAW, 0x05060708
        ),
        Purpose.AUDIT: _keyset(
            "HmacPrfKey", audit_prf.SerializeToString(), tink_pb2.RAW, 0x090A0B0C
        ),
    }
    return {
        purpose.value: kms.wrap(
            keyset, length_prefixed("paygate.keyset.1", installation, purpose.value)
        )
        for purpose, keyset in clear.items()
    }


@pytest.fixture(scope="session")
def known_keyring(kms: FileKms, installation: str, known_wrapped: dict[str, bytes]) -> Keyring:
    return load_keyring(kms, installation, known_wrapped)


@pytest.fixture
def kek_path(tmp_path: Path) -> Path:
    return tmp_path / "kek"


def _keyset(kind: str, value: bytes, prefix: int, key_id: int) -> bytes:
    keyset = tink_pb2.Keyset(primary_key_id=key_id)
    key = keyset.key.add()
    key.key_data.type_url = TYPE_URL + kind
    key.key_data.value = value
    key.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    key.status = tink_pb2.ENABLED
    key.key_id = key_id
    key.output_prefix_type = prefix
    serialized: bytes = keyset.SerializeToString()
    return serialized
