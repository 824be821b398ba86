"""Whether there is anything to restore from, as far as the server itself can tell."""

from datetime import timedelta
from typing import Final

from paygate.doctor.finding import Said, ok, warning, wrong
from paygate.doctor.patient import Away, Patient, not_known

ARCHIVED_WITHIN: Final = timedelta(days=1)
"""A gateway at rest writes a segment a day at least, for its worker's rounds are commits."""
_LOST: Final = "lost"


def archive(patient: Patient) -> Said:
    """Whether the write-ahead log leaves the machine. Of a host's snapshots no server knows."""
    found = patient.database
    if isinstance(found, Away):
        return not_known(found)
    settings, failed, archived = found.settings, found.archiving_failed_at, found.archived_at
    if settings.get("archive_mode", "off") == "off":
        if found.standbys:
            return ok(f"{found.standbys} standbys or archivers take the write-ahead log")
        return warning(
            "cannot tell whether there are backups: the server archives no write-ahead log",
            "Archive it, or see that your host's snapshots are made, and try one"
            " (docs/runbooks.md).",
        )
    if not settings.get("archive_command") and not settings.get("archive_library"):
        return wrong(
            "archive_mode is on, and there is neither archive_command nor archive_library: the"
            " write-ahead log piles up, and nothing is archived",
            "Set one of them.",
        )
    if failed is not None and (archived is None or failed > archived):
        return wrong(
            f"archiving fails since {failed:%Y-%m-%d %H:%M} UTC",
            "See why in the server's log: until then there is no backup of what came after.",
        )
    if archived is None or patient.at - archived > ARCHIVED_WITHIN:
        return warning(
            "nothing was archived within a day",
            "Set archive_timeout (to 5min, say), so that a quiet day is kept too.",
        )
    return ok(f"the write-ahead log was archived at {archived:%Y-%m-%d %H:%M} UTC")


def slots(patient: Patient) -> Said:
    """A slot that nobody reads keeps the write-ahead log until the disk is full."""
    found = patient.database
    if isinstance(found, Away):
        return not_known(found)
    idle = [slot.name for slot in found.slots if not slot.active]
    lost = [slot.name for slot in found.slots if slot.wal_status == _LOST]
    if lost:
        return wrong(
            f"replication slot {', '.join(lost)} has lost what its standby needs",
            "Make that standby anew, and drop the slot.",
        )
    if idle:
        return warning(
            f"nobody reads replication slot {', '.join(idle)}, for which the server keeps its"
            " write-ahead log",
            "Bring its standby back, or drop the slot.",
        )
    return ok("no replication slot is left behind")
