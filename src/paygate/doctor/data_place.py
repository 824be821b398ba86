"""Where the database's files lie, as far as that can be seen from here."""

from pathlib import Path

from paygate.database_way import stays_here
from paygate.doctor.patient import Away, Patient


def data_directory(patient: Patient) -> Path | Away:
    """Where the database's files are, if that is known and here."""
    if isinstance(patient.database, Away):
        return patient.database
    dsn = patient.settings.database_url
    if dsn is None or not stays_here(dsn):
        return Away("the database is on another machine")
    shown = patient.database.settings.get("data_directory")
    return Path(shown) if shown else Away("its role may not see where the data directory is")


def shares_the_volume(patient: Patient, volume: int) -> bool | Away:
    """Whether the database's files lie on a volume (its `st_dev`) of this machine."""
    dsn = patient.settings.database_url
    if dsn is not None and not stays_here(dsn):
        return False
    data = data_directory(patient)
    if isinstance(data, Away):
        return data
    try:
        return data.stat().st_dev == volume
    except OSError as error:
        return Away(f"its files cannot be looked at: {error.strerror}")
