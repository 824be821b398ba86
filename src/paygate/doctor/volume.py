"""Whether the database's files lie on an encrypted volume, where the system tells.

Linux tells it of dm-crypt (and so of LUKS) alone, by the prefix of a mapped device's id. A cloud's
disk that is encrypted by its host, or one that encrypts itself, looks like any other from here:
what cannot be told never passes.
"""

import os
from pathlib import Path
from typing import Final

from paygate.doctor.data_place import data_directory
from paygate.doctor.finding import Said, ok, warning
from paygate.doctor.patient import Away, Patient

_BLOCK_DEVICES: Final = Path("/sys/dev/block")
_CRYPT: Final = "CRYPT-"
_MEND: Final = "See that the disk is encrypted, by LUKS or by its host; and its backups too."


def encryption(patient: Patient) -> Said:
    data = data_directory(patient)
    if isinstance(data, Away):
        return warning(f"cannot tell whether the data's volume is encrypted: {data.reason}", _MEND)
    try:
        device = data.stat().st_dev
    except OSError as error:
        return warning(
            f"cannot tell whether the data's volume is encrypted: {error.strerror}", _MEND
        )
    if is_encrypted(_BLOCK_DEVICES / f"{os.major(device)}:{os.minor(device)}"):
        return ok("the data's volume is encrypted by dm-crypt")
    return warning(
        "cannot tell whether the data's volume is encrypted: it is none of dm-crypt's", _MEND
    )


def is_encrypted(device: Path) -> bool:
    """Whether a block device, by its folder in /sys, is dm-crypt's or stands on such alone."""
    try:
        if (device / "dm" / "uuid").read_text().startswith(_CRYPT):
            return True
    except OSError:
        pass  # it is no mapped device
    try:
        below = list((device / "slaves").iterdir())
    except OSError:
        return False
    return bool(below) and all(map(is_encrypted, below))
