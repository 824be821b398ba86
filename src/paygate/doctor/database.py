"""The database: that it keeps what it took, that its role may do little, that it logs no values."""

from datetime import timedelta
from typing import Final

from paygate.database_way import is_verified, stays_here
from paygate.doctor.finding import Said, ok, warning, wrong
from paygate.doctor.patient import Away, Patient, not_known

OLDEST: Final = 15
CLOCK_MOST: Final = timedelta(seconds=5)
_OFF: Final = ("0", "-1", "")


def reachable(patient: Patient) -> Said:
    found = patient.database
    if isinstance(found, Away):
        return wrong(found.reason, "Start PostgreSQL, or mend PAYGATE_DATABASE_URL.")
    if found.schema_fault:
        return wrong(found.schema_fault, "Run `paygate migrate` of this version.")
    return ok("it answers, and its schema is this version's")


def version(patient: Patient) -> Said:
    found = patient.database
    if isinstance(found, Away):
        return not_known(found)
    if found.version < OLDEST:
        return wrong(f"PostgreSQL {found.version} is too old", f"Upgrade it to {OLDEST} or newer.")
    return ok(f"PostgreSQL {found.version}")


def durability(patient: Patient) -> Said:
    found = patient.database
    if isinstance(found, Away):
        return not_known(found)
    settings = found.settings
    off = [name for name in ("fsync", "full_page_writes") if settings.get(name) != "on"]
    if off:
        return wrong(
            f"{' and '.join(off)} is off: a crash loses payments that were acknowledged",
            "Set it to on in postgresql.conf, and take a new base backup.",
        )
    if settings.get("synchronous_commit") not in ("on", "remote_apply"):
        return wrong(
            "a connection of ours does not have synchronous_commit on, as it asked for",
            "Let the pooler before PostgreSQL pass startup parameters on, or leave it out.",
        )
    if settings.get("data_checksums") != "on":
        return warning(
            "pages have no checksums, so a disk that changes one is not noticed",
            "Run `pg_checksums --enable` while the server is stopped.",
        )
    return ok("what is acknowledged is on the disk, and pages have checksums")


def role(patient: Patient) -> Said:
    found = patient.database
    if isinstance(found, Away):
        return not_known(found)
    may = {
        "is a superuser": found.role.superuser,
        "bypasses row security": found.role.bypasses_row_security,
        "may make roles": found.role.makes_roles,
        "may replicate": found.role.replicates,
        "owns the tables, or is a member of their owner": found.role.owns_tables,
    }
    rights = [right for right, is_so in may.items() if is_so]
    if rights:
        return patient.serious(
            f"the role that the gateway works as {', '.join(rights)}: whoever has its password can"
            " change history",
            "Let another role own the tables and run `paygate migrate`; connect as one that owns"
            " nothing.",
        )
    return ok("its role owns nothing, and has no rights but on rows")


def logging(patient: Patient) -> Said:
    found = patient.database
    if isinstance(found, Away):
        return not_known(found)
    settings = found.settings
    statements = settings.get("log_statement", "none") in ("mod", "all")
    slow = any(
        settings.get(name, "-1") != "-1"
        for name in ("log_min_duration_statement", "log_min_duration_sample")
    )
    sampled = float(settings.get("log_transaction_sample_rate", "0")) > 0
    shows = (statements or slow or sampled) and settings.get("log_parameter_max_length", "0") != "0"
    on_error = settings.get("log_parameter_max_length_on_error", "0") != "0"
    explains = settings.get("auto_explain.log_min_duration", "-1") != "-1" and (
        settings.get("auto_explain.log_parameter_max_length", "-1") != "0"
    )
    if shows or on_error or explains:
        return patient.serious(
            "the server's log shows the parameters of statements: ids, amounts and hashes of keys",
            "Set log_parameter_max_length, log_parameter_max_length_on_error and, where it is"
            " loaded, auto_explain.log_parameter_max_length to 0.",
        )
    return ok("the server's log shows no parameters of statements")


def tls(patient: Patient) -> Said:
    dsn = patient.settings.database_url
    if dsn is None:
        return wrong("PAYGATE_DATABASE_URL is not set", "Set it.")
    if not is_verified(dsn):
        return patient.serious(
            "whoever is between here and the database can read along, or answer in its place",
            "Add ?sslmode=verify-full&sslrootcert=FILE to PAYGATE_DATABASE_URL.",
        )
    found = patient.database
    if not isinstance(found, Away) and found.tls:
        return ok("the connection is over TLS, and the server proved its name")
    if stays_here(dsn):
        return ok("the database is on this machine")
    if isinstance(found, Away):
        return not_known(found)
    return wrong(
        "the connection is not over verified TLS, though its address asks for that",
        "See what PGSSLMODE and the service file say.",
    )


def owner_tls(patient: Patient) -> Said:
    """The same of the way that `migrate` goes, as the tables' owner."""
    dsn = patient.settings.owner_database_url
    if dsn is None:
        return ok("no other role is set to migrate as")
    if not is_verified(dsn):
        return patient.serious(
            "whoever is between here and the database can read along, or answer in its place, when"
            " `paygate migrate` runs",
            "Add ?sslmode=verify-full&sslrootcert=FILE to PAYGATE_OWNER_DATABASE_URL.",
        )
    return ok("it is over verified TLS, or stays on this machine")


def clock(patient: Patient) -> Said:
    found = patient.database
    if isinstance(found, Away):
        return not_known(found)
    if abs(found.ahead) - found.within > CLOCK_MOST:
        side = "ahead of" if found.ahead > timedelta(0) else "behind"
        seconds = abs(found.ahead).total_seconds()
        return wrong(
            f"the database's clock is {seconds:.0f} seconds {side} this machine's",
            "See that both are kept in time, by NTP say.",
        )
    return ok("the database's clock and this machine's agree")


def months(patient: Patient) -> Said:
    found = patient.database
    if isinstance(found, Away):
        return not_known(found)
    if found.schema_fault:
        return not_known(Away(found.schema_fault))
    if found.months_lacking:
        return warning(
            f"the months of {', '.join(found.months_lacking)} are made for less than three months"
            " ahead",
            "Run `paygate migrate`.",
        )
    return ok("the tables by month are made for the next three months")
