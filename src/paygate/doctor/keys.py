"""The key-encryption key, and what it opens."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from paygate.crypto.kms import KmsError, open_kms
from paygate.database_way import stays_here
from paygate.doctor.finding import Said, ok, warning, wrong
from paygate.doctor.patient import Away, Patient, not_known
from paygate.flows.encryption.watch import CRYPTOPERIOD

OLD: Final = timedelta(days=365)
_FILE: Final = "file:"
_CREATE: Final = "Make one with `paygate keys create-kek PATH`, and set PAYGATE_KEK."


def kek(patient: Patient) -> Said:
    address = patient.settings.kek
    if address is None:
        return wrong("PAYGATE_KEK is not set: no record can be sealed or opened", _CREATE)
    try:
        opened = open_kms(address)
    except KmsError as error:
        return wrong(str(error), "Put its copy back, for its owner's eyes alone (mode 0600).")
    if opened.is_development:
        return patient.serious(
            "the key-encryption key is the one that `paygate up` made beside its data", _CREATE
        )
    if not address.startswith(_FILE):
        return ok("the key-encryption key is kept by a key service")
    return warning(
        "the key-encryption key is in a file: who has this disk has the key",
        "Keep it in a key service, and its copy apart from the backups.",
    )


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
    dsn = patient.settings.database_url
    if dsn is not None and not stays_here(dsn):
        return ok("the key file is on this machine, and the database on another")
    data = data_directory(patient)
    if isinstance(data, Away):
        return warning(
            f"cannot tell whether the key file is on the database's volume: {data.reason}",
            "See that no snapshot or backup holds both.",
        )
    try:
        same = volume == data.stat().st_dev
    except OSError as error:
        return warning(
            f"cannot tell whether the key file is on the database's volume: {error.strerror}",
            "Run this as a user who may look there.",
        )
    if same:
        return warning(
            "the key file is on the database's own volume: one snapshot holds both",
            "Move it to another, or to a key service.",
        )
    return ok("the key file is on another volume than the database")


def kek_age(patient: Patient) -> Said:
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
    return wrong(found.reason, "Put back the key-encryption key that this database has.")


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


def data_directory(patient: Patient) -> Path | Away:
    """Where the database's files are, if that is known and here."""
    if isinstance(patient.database, Away):
        return patient.database
    dsn = patient.settings.database_url
    if dsn is None or not stays_here(dsn):
        return Away("the database is on another machine")
    shown = patient.database.settings.get("data_directory")
    return Path(shown) if shown else Away("its role may not see where the data directory is")
