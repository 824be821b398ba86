"""The keys that records are sealed with, opened by the KEK."""

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.kms import Kms, open_kms
from paygate.crypto.seal import Sealer
from paygate.settings import Settings, SettingsError
from paygate.storage.installation import Installation, read_installation
from paygate.storage.keysets import Keysets, Loaded
from paygate.storage.records import Records
from paygate.wiring.database import connect, reach
from paygate.wiring.provider import is_live


def kms_of(settings: Settings) -> Kms:
    kms = open_kms(settings.require("kek"))
    if settings.environment == "production" and kms.is_development:
        raise SettingsError(
            "production refuses the key-encryption key that `paygate up` made: PAYGATE_KEK (make"
            " one with `paygate keys create-kek`)"
        )
    return kms


async def unlock(settings: Settings, name: str) -> tuple[Installation, Keysets, Loaded]:
    installation = await read_installation(reach(settings, name=name), livemode=is_live(settings))
    keysets = Keysets(connect(settings, name=name), kms_of(settings), installation.id)
    return installation, keysets, await keysets.load()


async def open_records(settings: Settings) -> Records:
    """What seals and opens this installation's records, for tools that need nothing else."""
    _, _, loaded = await unlock(settings, "records")
    return Records(Sealer(loaded.keyring), BlindIndex(loaded.keyring))
