"""The key-encryption key, and what it opens."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from paygate.crypto.kms import KmsError, open_kms
from paygate.doctor.data_place import shares_the_volume
from paygate.doctor.finding import Said, ok, warning, wrong
from paygate.doctor.patient import Away, KeyService, Patient, not_known
from paygate.flows.encryption.watch import CRYPTOPERIOD

OLD: Final = timedelta(days=365)
_FILE: Final = "file:"
_PAGE: Final = "docs/kms.md says what each of these means, and mends it."
_UNRENEWED: Final = 10
"""Agents renew a token, or take a new one, before so small a part of its life is left."""
_CREATE: Final = "Make one with `paygate keys create-kek PATH`, and set PAYGATE_KEK."


def kek(patient: Patient) -> Said:
    address = patient.settings.kek
    if address is None:
        return wrong("PAYGATE_KEK is not set: no record can be sealed or opened", _CREATE)
    try:
        opened = open_kms(address)
    except KmsError as error:
        mend = "Put its copy back, for its owner's eyes alone (mode 0600)."
        return wrong(str(error), mend if address.startswith(_FILE) else _PAGE)
    if opened.is_development:
        return patient.serious(
            "the key-encryption key is the one that `paygate up` made beside its data", _CREATE
        )
    if not address.startswith(_FILE):
        return _kept_by(patient.key_service)
    return warning(
        "the key-encryption key is in a file: who has this disk has the key",
        "Keep it in a key service, and its copy apart from the backups.",
    )


def _kept_by(service: KeyService | Away | None) -> Said:
    if service is None:
        return ok("the key-encryption key is kept by a key service")
    if isinstance(service, Away):
        return wrong(service.reason, _PAGE)
    if unfit := service.key.unfit:
        return wrong(f"the key in Vault is {unfit}: nothing can be wrapped under it", _PAGE)
    if service.key.exportable or service.key.deletion_allowed:
        may = "exported" if service.key.exportable else "deleted"
        return warning(
            f"the key in Vault may be {may} by who administers it",
            "Make another that may not, and move to it.",
        )
    return ok("the key-encryption key is kept by Vault, and does not leave it")


def kek_token(patient: Patient) -> Said:
    """Whether the token that opens the key-encryption key will do so at the next start."""
    service = patient.key_service
    if service is None:
        return ok("the key-encryption key is in no Vault, and needs no token")
    if isinstance(service, Away):
        return not_known(service)
    token = service.token
    if token.lacking:
        return wrong(f"Vault's token may not reach the key for: {', '.join(token.lacking)}", _PAGE)
    if token.is_root:
        return patient.serious(
            "the token is Vault's root token: it opens everything there",
            "Make one of the policy in docs/kms.md.",
        )
    if token.lasts is not None and token.lasts < token.lifetime / _UNRENEWED:
        minutes = int(token.lasts.total_seconds() // 60)
        return warning(
            f"Vault's token ends in {minutes} minutes, and nobody has renewed it",
            "Let an agent renew it, or make a new one; the file is read anew each time.",
        )
    return ok("Vault's token opens the key, and will for a while")


def kek_place(patient: Patient) -> Said:
    """Whether one copy of a volume would hold the key and what it seals."""
    path = kek_file(patient)
    if path is None:
        return ok("the key-encryption key is in no file here")
    try:
        folder = path.parent.stat()
        volume = path.stat().st_dev
    except OSError as error:
        return wrong(f"cannot look at {path}: {error.strerror}", "Put the key file back.")
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        return wrong(
            f"everybody can exchange the key file in {path.parent}", f"chmod o-w {path.parent}"
        )
    beside = shares_the_volume(patient, volume)
    if isinstance(beside, Away):
        return warning(
            f"cannot tell whether the key file is on the database's volume: {beside.reason}",
            "See that no snapshot or backup holds both.",
        )
    if beside:
        return warning(
            "the key file is on the database's own volume: one snapshot holds both",
            "Move it to another, or to a key service.",
        )
    return ok("the key file is on another volume than the database")


def kek_age(patient: Patient) -> Said:
    service = patient.key_service
    if isinstance(service, Away):
        return not_known(service)
    if service is not None:
        days = (patient.at - service.key.made_at).days
        if patient.at - service.key.made_at > OLD:
            return warning(
                f"the key's latest version in Vault is {days} days old",
                "Rotate it there once a year, and wrap the keysets anew.",
            )
        return ok(f"the key's latest version in Vault is {max(days, 0)} days old")
    path = kek_file(patient)
    if path is None:
        return ok("the key-encryption key is in no file here; its service tells its age")
    try:
        made = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        return wrong(f"cannot look at {path}: {error.strerror}", "Put the key file back.")
    days = (patient.at - made).days
    if patient.at - made > OLD:
        return warning(
            f"the key file is {days} days old", "Make a new one once a year, and move to it."
        )
    return ok(f"the key file is {max(days, 0)} days old")


def keyring(patient: Patient) -> Said:
    """Whether the installation's own keys open: what seals records and hashes credentials."""
    found = patient.vault
    if not isinstance(found, Away):
        return ok("the installation's keys open")
    if isinstance(patient.database, Away):
        return not_known(patient.database)
    return wrong(
        found.reason,
        "Put back what is missing: the key-encryption key that this database has, or its keysets.",
    )


def data_key_age(patient: Patient) -> Said:
    """Whether the key that records are sealed under is due to be rotated."""
    found = patient.vault
    if isinstance(found, Away):
        return not_known(found)
    days = max((patient.at - found.key_used_since).days, 0)
    if patient.at - found.key_used_since > CRYPTOPERIOD:
        return warning(
            f"the key that records are sealed under is used for {days} days",
            "Run `paygate encryption rotate` every quarter.",
        )
    if found.rotation_unfinished:
        return warning(
            "the last rotation is not finished: records are under older keys",
            "Leave it to the worker, or run `paygate encryption rotate` again.",
        )
    return ok(f"the key that records are sealed under is used for {days} days")


def kek_file(patient: Patient) -> Path | None:
    """Where the key-encryption key is, if it is in a file."""
    address = patient.settings.kek
    if address is None or not address.startswith(_FILE):
        return None
    return Path(unquote(urlsplit(address).path))
