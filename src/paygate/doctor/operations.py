"""The processes themselves: whether they run, are heard, and count together."""

from pathlib import Path
from typing import Final

from paygate.alert_channels import AppriseChannel
from paygate.crypto.secret import Secret
from paygate.doctor.data_place import shares_the_volume
from paygate.doctor.finding import Said, ok, warning, wrong
from paygate.doctor.patient import Away, Patient, not_known
from paygate.settings import FILE, TO_SERVE, SettingsError

_APART: Final = "Set PAYGATE_AUDIT_CHECKPOINTS to an address of another machine."
_WORKER: Final = "paygate worker queue"
_API: Final = "paygate api"


def complete(patient: Patient) -> Said:
    """Whether `paygate serve` has the settings that it needs."""
    settings = patient.settings
    needed = (*TO_SERVE.always, *(TO_SERVE.in_production if patient.production else ()))
    missing = []
    for name in needed:
        try:
            settings.require(name)
        except SettingsError:
            if name in patient.refused:
                continue
            if name in ("tls_cert", "tls_key") and settings.behind_proxies_alone:
                continue
            missing.append(f"PAYGATE_{name.upper()}")
    if patient.refused or patient.at_odds:
        faults = [*patient.refused.values(), *patient.at_odds]
        faults += [f"{name} is not set" for name in missing]
        return wrong("; ".join(faults), f"Mend each in {FILE} or the environment: nothing starts.")
    if missing:
        return wrong(f"not set: {', '.join(missing)}", f"Set them in {FILE} or the environment.")
    return ok("all that `paygate serve` needs is set")


def environment(patient: Patient) -> Said:
    if patient.production:
        return ok("production")
    return warning("development: what production refuses is taken", "Fine, for trying.")


def alerts(patient: Patient) -> Said:
    urls = patient.settings.alert_urls
    if not urls:
        return warning(
            "alerts leave by no channel: somebody must look at `GET /alerts`",
            "Set PAYGATE_ALERT_URLS.",
        )
    for number, url in enumerate(urls, start=1):
        try:
            AppriseChannel(number, Secret(url)).check()
        except ValueError as error:
            return wrong(str(error), "Mend PAYGATE_ALERT_URLS.")
    return ok(f"alerts leave by {len(urls)} channels" if len(urls) > 1 else "alerts leave")


def checkpoints(patient: Patient) -> Said:
    """Whether somebody outside knows where the audit log ends."""
    place = patient.settings.audit_checkpoints
    if place is None:
        return patient.serious(
            "nobody outside knows where the audit log ends: its end can be cut off unseen",
            "Set PAYGATE_AUDIT_CHECKPOINTS, to an address of another machine at best.",
        )
    if not isinstance(place, Path):
        return ok("the audit log's checkpoints are told to another address")
    try:
        there = next(path for path in (place, *place.parents) if path.exists())
        volume = there.stat().st_dev
    except OSError as error:
        return wrong(f"cannot look at {place}: {error.strerror}", "Let this user write there.")
    beside = shares_the_volume(patient, volume)
    if isinstance(beside, Away):
        return warning(
            f"cannot tell whether the checkpoints are on the database's volume: {beside.reason}",
            _APART,
        )
    if beside:
        return warning(
            "the audit log's checkpoints are on the database's own volume: who rewrites the one"
            " rewrites the other",
            _APART,
        )
    return ok("the audit log's checkpoints are in a file of another volume than the database")


def worker(patient: Patient) -> Said:
    found = patient.database
    if isinstance(found, Away):
        return not_known(found)
    if not any(session.name == _WORKER for session in found.sessions):
        return wrong(
            "no worker is connected: nothing is looked up, told or closed",
            "Start `paygate worker`.",
        )
    return ok("a worker is connected")


def limits(patient: Patient) -> Said:
    """Whether several nodes count rate limits together."""
    if not patient.settings.limits_url.startswith("memory:"):
        return ok("rate limits are counted for all nodes together")
    found = patient.database
    if isinstance(found, Away):
        return not_known(found)
    nodes = {s.address for s in found.sessions if s.name.startswith(_API)}
    if len(nodes) > 1:
        return warning(
            f"{len(nodes)} nodes serve, and each counts rate limits for itself",
            "Set PAYGATE_LIMITS_URL to a store that they share.",
        )
    return ok("rate limits are counted in the one node that serves")
