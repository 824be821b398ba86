"""The settings of the embedded server: durable, private, and silent about what statements say."""

import re
from collections.abc import Mapping

from paygate.embedded.binaries import EmbeddedPostgresError
from paygate.embedded.cluster import PORT

# Given on the command line, above any file, and not to be changed by `options` or ALTER SYSTEM.
_FIXED = {
    # An acknowledged write survives; never traded for speed, in tests neither.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "allow_alter_system": "off",
    # Reached by the socket in a private folder only.
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    # No value of a statement gets to the log: no statement, no parameter, no detail of an error
    # ("Key (id)=(...) already exists") and no message of one ("invalid input: ..."), which level
    # `log` leaves out; FATAL and PANIC stay. Who sent the statement is told the error in full.
    "log_statement": "none",
    "log_duration": "off",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_min_error_statement": "panic",
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_destination": "stderr",
    "logging_collector": "off",
}

_DEFAULT = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    # The disk must not fill: not with write-ahead log for a replica that went away, nor with the
    # temporary files of one query, nor with a log line every few minutes.
    "max_wal_size": "1GB",
    "min_wal_size": "80MB",
    "max_slot_wal_keep_size": "1GB",
    "temp_file_limit": "2GB",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def settings_of(options: Mapping[str, str]) -> dict[str, str]:
    """All settings, with `options` above the defaults. Raises `EmbeddedPostgresError` for one that
    is none, or that is not to change.
    """
    settings = dict(_DEFAULT)
    for name, value in options.items():
        known = name.lower().replace("-", "_")  # the server takes both
        if not re.fullmatch(r"[a-z_][a-z0-9_.]*", known) or "\0" in value:
            raise EmbeddedPostgresError(f"{name!r} is not a setting of PostgreSQL")
        if known in _FIXED or known == "unix_socket_directories":
            raise EmbeddedPostgresError(
                f"setting {known} of the embedded database is not to change"
            )
        settings[known] = value
    return settings | _FIXED
