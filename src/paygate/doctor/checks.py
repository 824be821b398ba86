"""The closed list of checks. docs/doctor.md shows the same; a test holds them together."""

from collections.abc import Callable
from typing import Final, NamedTuple

from paygate.doctor import backups, certificate, database, keys, operations, provider, volume
from paygate.doctor.finding import Finding, Said
from paygate.doctor.patient import Patient


class Check(NamedTuple):
    """A name for programs, what it looks at, for people, and the look."""

    name: str
    about: str
    look: Callable[[Patient], Said]


CHECKS: Final = (
    Check("settings", "everything is set that `paygate serve` needs", operations.complete),
    Check("environment", "whether it is production", operations.environment),
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
    Check("database_tls", "the way to it is verified TLS, or within this machine", database.tls),
    Check(
        "owner_database_tls",
        "the way of `paygate migrate` is verified TLS, or within this machine",
        database.owner_tls,
    ),
    Check("database_clock", "its clock agrees with this machine's", database.clock),
    Check("months", "tables by month are made three months ahead", database.months),
    Check(
        "kek",
        "the key-encryption key is there, nobody else's to read, and no development key",
        keys.kek,
    ),
    Check("kek_place", "its file is not on the database's volume", keys.kek_place),
    Check("kek_age", "its file, or a Vault's latest version, is younger than a year", keys.kek_age),
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
    ),
    Check("certificate_lifetime", "it is valid, for three weeks at least", certificate.lifetime),
    Check("certificate_names", "it is for the host of PAYGATE_PUBLIC_URL", certificate.names),
    Check(
        "certificate_chain",
        "its chain is in order, and leads to a trusted authority",
        certificate.chain,
    ),
    Check(
        "certificate_profile",
        "key, signature and term by Mozilla's intermediate profile",
        certificate.profile,
    ),
    Check(
        "volume_encryption",
        "the data directory is on dm-crypt; of other encryption nobody can tell",
        volume.encryption,
    ),
    Check("backups", "the write-ahead log is archived, and lately", backups.archive),
    Check("replication_slots", "no slot is left that nobody reads", backups.slots),
    Check(
        "provider_mode", "the provider's key is of the right mode, and restricted", provider.mode
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
    Check("signing_secret", "one secret of the provider's is accepted", provider.signing_secret),
    Check("alert_channels", "alerts leave by channels that there are", operations.alerts),
    Check(
        "audit_checkpoints",
        "somebody outside knows where the audit log ends",
        operations.checkpoints,
    ),
    Check("worker", "a worker is connected to the database", operations.worker),
    Check("limits", "several nodes count rate limits together", operations.limits),
)


def diagnose(patient: Patient) -> list[Finding]:
    """What every check has to say, in their order."""
    return [_finding(check, check.look(patient)) for check in CHECKS]


def _finding(check: Check, said: Said) -> Finding:
    return Finding(check=check.name, verdict=said.verdict, message=said.message, mend=said.mend)
