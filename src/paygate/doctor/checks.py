"""The closed list of checks. docs/doctor.md shows the same; a test holds them together."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from paygate.doctor import backups, certificate, database, keys, operations, provider, volume
from paygate.doctor.finding import Finding, Said
from paygate.doctor.patient import Patient, not_known, refusal


class Check(NamedTuple):
    """A name for programs, what it looks at, for people, and the look."""

    name: str
    about: str
    look: Callable[[Patient], Said]
    needs: Sequence[str] = ()
    """The settings that it reads itself: where one of them is refused, it cannot look."""


CHECKS: Final = (
    Check("settings", "everything is set that `paygate serve` needs", operations.complete),
    Check("environment", "whether it is production", operations.environment, ("environment",)),
    Check("database", "it answers, and has the schema of this version", database.reachable),
    Check("database_version", "PostgreSQL 15 or newer", database.version),
    Check(
        "database_durability",
        "fsync, full_page_writes, synchronous_commit, checksums of pages",
        database.durability,
    ),
    Check(
        "database_role", "the role is no superuser, bypasses nothing, owns nothing", database.role
    ),
    Check("database_log", "the server's log shows no parameters of statements", database.logging),
    Check(
        "database_tls",
        "the way to it is verified TLS, or within this machine",
        database.tls,
        ("database_url",),
    ),
    Check(
        "owner_database_tls",
        "the way of `paygate migrate` is verified TLS, or within this machine",
        database.owner_tls,
        ("owner_database_url",),
    ),
    Check("database_clock", "its clock agrees with this machine's", database.clock),
    Check("months", "tables by month are made three months ahead", database.months),
    Check(
        "kek",
        "the key-encryption key is there, nobody else's to read, and no development key",
        keys.kek,
        ("kek",),
    ),
    Check(
        "kek_place",
        "its file is not on the database's volume",
        keys.kek_place,
        ("kek", "database_url"),
    ),
    Check(
        "kek_age",
        "its file, or a Vault's latest version, is younger than a year",
        keys.kek_age,
        ("kek",),
    ),
    Check("kek_token", "a Vault's token may reach it, and is renewed", keys.kek_token),
    Check("keys", "it opens the installation's keys", keys.keyring),
    Check(
        "data_key_age",
        "the key that records are sealed under is used for less than a quarter",
        keys.data_key_age,
    ),
    Check(
        "certificate",
        "the certificate and its key belong together, and the key is private",
        certificate.pair,
        ("tls_cert", "tls_key", "trusted_proxies"),
    ),
    Check(
        "certificate_lifetime",
        "it is valid, for three weeks at least",
        certificate.lifetime,
        ("tls_cert",),
    ),
    Check(
        "certificate_names",
        "it is for the host of PAYGATE_PUBLIC_URL",
        certificate.names,
        ("tls_cert", "public_url", "trusted_proxies"),
    ),
    Check(
        "certificate_chain",
        "its chain is in order, and leads to a trusted authority",
        certificate.chain,
        ("tls_cert",),
    ),
    Check(
        "certificate_profile",
        "key, signature and term by Mozilla's intermediate profile",
        certificate.profile,
        ("tls_cert",),
    ),
    Check(
        "volume_encryption",
        "the data directory is on dm-crypt; of other encryption nobody can tell",
        volume.encryption,
        ("database_url",),
    ),
    Check("backups", "the write-ahead log is archived, and lately", backups.archive),
    Check("replication_slots", "no slot is left that nobody reads", backups.slots),
    Check(
        "provider_mode",
        "the provider's key is of the right mode, and restricted",
        provider.mode,
        ("stripe_api_key", "environment"),
    ),
    Check("provider_key", "the provider takes it", provider.taken),
    Check("provider_rights", "it may read what is read", provider.rights),
    Check("provider_account", "it is of the account that our payments are at", provider.account),
    Check("provider_clock", "the provider's clock agrees with this machine's", provider.clock),
    Check(
        "provider_endpoint",
        "the provider sends exactly our events to our address, at our version",
        provider.endpoint,
    ),
    Check(
        "signing_secret",
        "one secret of the provider's is accepted",
        provider.signing_secret,
        ("stripe_webhook_secrets",),
    ),
    Check(
        "alert_channels",
        "alerts leave by channels that there are",
        operations.alerts,
        ("alert_urls",),
    ),
    Check(
        "audit_checkpoints",
        "somebody outside knows where the audit log ends",
        operations.checkpoints,
        ("audit_checkpoints", "database_url"),
    ),
    Check("worker", "a worker is connected to the database", operations.worker),
    Check("limits", "several nodes count rate limits together", operations.limits, ("limits_url",)),
)


def diagnose(patient: Patient) -> list[Finding]:
    """What every check has to say, in their order."""
    return [_finding(check, _said(check, patient)) for check in CHECKS]


def _said(check: Check, patient: Patient) -> Said:
    unknown = refusal(patient.refused, check.needs)
    return check.look(patient) if unknown is None else not_known(unknown)


def _finding(check: Check, said: Said) -> Finding:
    return Finding(check=check.name, verdict=said.verdict, message=said.message, mend=said.mend)
