"""Which way an address leads to the database: over a network, or within this machine; and whether
whoever answers there must prove who they are. Connects to nothing.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

VERIFIED: Final = "verify-full"
"""The one mode in which the driver asks for a certificate of a known authority and of this host's
name (https://www.postgresql.org/docs/current/libpq-ssl.html)."""


def is_verified(dsn: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether nobody between here and the database can read along or answer in its place: by TLS
    that is verified, or because nothing leaves this machine.

    An address that leaves its host to a service file is not known, and so not verified.
    """
    mode = _query(dsn).get("sslmode") or environ.get("PGSSLMODE") or ""
    return mode.replace("_", "-") == VERIFIED or stays_here(dsn, environ)


def stays_here(dsn: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the database is on this machine, as far as its address tells."""
    query = _query(dsn)
    if query.get("service") or environ.get("PGSERVICE"):
        return False
    said = urlsplit(dsn).netloc.rpartition("@")[2]
    named = said or query.get("host") or environ.get("PGHOST") or ""
    return all(map(_is_here, named.split(",")))


def _query(dsn: str) -> Mapping[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(dsn).query).items()}


def _is_here(host: str) -> bool:
    """Of a host as the address spells it; an empty one is the driver's own choice, a socket."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    name = unquote(name)
    if name in ("", "localhost") or name.startswith("/"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
