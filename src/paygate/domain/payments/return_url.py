"""Where the payer's browser may be sent back to, and what goes with it.

A browser reads an address more kindly than a parser does: a backslash is a slash to it, and what
stands before an `@` is not the host. So nothing passes here that two readers could see
differently. We only ever redirect to these addresses; nothing of ours fetches one.
"""

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple
from urllib.parse import urlencode

from paygate.domain.errors import ErrorCode, Refusal

MAX_LENGTH: Final = 2000
"""Ours, in between, is longer; browsers and the provider take 2048 and more."""
LOOPBACK: Final = frozenset({"127.0.0.1", "[::1]", "localhost"})
"""The hosts of a developer's own machine: nobody listens in on the way to them."""

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = rf"{_LABEL}(?:\.{_LABEL})*"
_HOST_PATTERN: Final = re.compile(rf"(?:\*\.)?{_NAME}")
_WEB_URL: Final = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_NAME}|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.IGNORECASE,
)
_SCHEMES: Final = ("https://", "http://")
_PRINTABLE: Final = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII but for the backslash."""
_NAME_LENGTH: Final = 253
_PORTS: Final = range(1, 65536)


class WebUrl(NamedTuple):
    """An http or https address, in parts; the host in lower case."""

    scheme: str
    host: str
    path: str
    query: str | None
    fragment: str | None


def parse_web_url(text: str) -> WebUrl | None:
    """The parts of an absolute address without credentials; None for anything else."""
    match = _WEB_URL.fullmatch(text)
    if match is None or not _PRINTABLE.fullmatch(text) or not text.startswith(_SCHEMES):
        return None
    host, port = match["host"].lower(), match["port"]
    if len(host) > _NAME_LENGTH or (port is not None and int(port) not in _PORTS):
        return None
    if host.startswith("["):
        try:
            IPv6Address(host[1:-1])
        except AddressValueError:
            return None
    query, fragment = match["query"], match["fragment"]
    return WebUrl(
        match["scheme"],
        host,
        match["path"] or "",
        None if query is None else query[1:],
        None if fragment is None else fragment[1:],
    )


def is_host_pattern(text: str) -> bool:
    """Whether it is a host name in lower case, or `*.` and one for all that end in it."""
    return len(text) <= _NAME_LENGTH and _HOST_PATTERN.fullmatch(text) is not None


def host_allowed(host: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern names the host. `*.example.com` names every host below, not itself."""
    return any(
        host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
        for pattern in patterns
    )


def check_return_url(url: str, *, hosts: Sequence[str] | None, production: bool) -> str:
    """An address that a payer may be sent back to. `hosts` of None: every host.

    Raises:
        Refusal: `parameter_invalid` for what is no such address, `return_url_not_allowed` for a
            host that is not the merchant's.
    """
    parts = parse_web_url(url) if len(url) <= MAX_LENGTH else None
    insecure = parts is not None and parts.scheme != "https"
    if parts is None or (insecure and (production or parts.host not in LOOPBACK)):
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            f"return_url must be an absolute https URL of at most {MAX_LENGTH} characters,"
            " without credentials",
            param="return_url",
        )
    if hosts is not None and not host_allowed(parts.host, hosts):
        raise Refusal(
            ErrorCode.RETURN_URL_NOT_ALLOWED,
            "return_url is on a host that PAYGATE_RETURN_URL_HOSTS does not name",
            param="return_url",
        )
    return url


def with_parameters(url: str, added: dict[str, str]) -> str:
    """The address with these parameters at the end of its query.

    The query is kept as it was written, also where it has parameters of these names: those are the
    merchant's, and ours are the last. A fragment stays last, or it would swallow them.
    """
    rest, hash_sign, fragment = url.partition("#")
    address, _, query = rest.partition("?")
    kept = f"{query}&" if query else ""
    return f"{address}?{kept}{urlencode(added)}{hash_sign}{fragment}"
