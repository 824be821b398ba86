"""What a setting's text means: one function for each kind of value.

Each raises ValueError, which says what is wanted and never quotes the text: that may be a secret.
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from paygate.domain.durations import DURATION, parse_duration
from paygate.domain.money import EXPONENTS
from paygate.domain.payments.return_url import LOOPBACK, is_host_pattern, parse_web_url
from paygate.domain.settlements.fees import FeeRules, FeeRulesError, parse_fee_rules


class Rate(NamedTuple):
    """So many in so many seconds."""

    amount: int
    seconds: int


RETAINED_LEAST: Final = timedelta(days=7)
AUDIT_RETAINED_LEAST: Final = timedelta(days=365)
_RATE: Final = "a rate such as 100/second or 600/minute, of at most 1000000, or off"
_PROVIDER_RATE: Final = "a rate such as 80/second or 600/minute, of at most 1000000"
_RATE_UNITS: Final = {"second": 1, "minute": 60}
_RATE_DIGITS: Final = 7
_RATE_LIMIT: Final = 1_000_000
"""No node serves it; more can only be a slip."""
_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
)
"""Exactly as a browser serialises one: it is compared as text."""
_HOST_AND_PORT: Final = re.compile(r"(?:[^:\[\]]*|\[[^\[\]]*\])(?::[0-9]*)?")
_DEFAULT_PORTS: Final = {"https": "443", "http": "80"}
"""A browser leaves them out."""
_PORT_MOST: Final = 65535
_FEE_RULES_MOST: Final = 1024 * 1024
_DIGITS: Final = 15
"""Far beyond any currency's use."""
_WEBHOOK_SECRET: Final = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")
_NEXT_URL: Final = re.compile(r",\s*(?=[a-z][a-z0-9+.-]*://)")
_APPRISE_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s,](?:\S*[^\s,])?")


def text(value: str) -> str:
    if not value or not value.isprintable():
        raise ValueError("a text without control characters")
    return value


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(" or ".join(choices))
        return value

    return parse


def url(*schemes: str) -> Callable[[str], str]:
    # In lower case alone, though a URL may be written otherwise: what `_check` refuses is found
    # by its scheme. What `urlsplit` says of a fault may quote a password, so it is not passed on.
    wanted = "a URL that starts with " + " or ".join(f"{s}:" for s in schemes)

    def parse(value: str) -> str:
        try:
            scheme = urlsplit(value).scheme
        except ValueError:
            raise ValueError(wanted) from None
        if scheme not in schemes or not value.startswith(f"{scheme}:"):
            raise ValueError(wanted)
        return value

    return parse


def database_url(value: str) -> str:
    """An address whose host, port and database can be told apart from its password.

    Of `postgresql://u:pa/ss@db` a parser takes `pa` for a port and `ss@db` for a database, which
    an error would then show.
    """
    parts = urlsplit(url("postgresql", "postgres")(value))
    hosts = parts.netloc.rpartition("@")[2].split(",")
    rest = parts.path + parts.query + parts.fragment
    if "@" in rest or not all(map(_HOST_AND_PORT.fullmatch, hosts)):
        raise ValueError(
            "a URL with %40 for @, %2F for /, %3F for ?, %23 for # and %3A for : in its names and"
            " its password"
        )
    return value


def duration(value: str) -> timedelta:
    length = parse_duration(value)
    if not length:
        raise ValueError(DURATION)
    return length


def retention(value: str) -> timedelta:
    """The schema keeps bodies of provider events for a week, whatever is set."""
    length = parse_duration(value)
    if not length or length < RETAINED_LEAST:
        raise ValueError("a duration of at least 7d, such as 90d")
    return length


def retention_audit(value: str) -> timedelta:
    """PCI DSS 10.5.1 asks for a year."""
    length = parse_duration(value)
    if not length or length < AUDIT_RETAINED_LEAST:
        raise ValueError("a duration of at least 365d, such as 400d")
    return length


def checkpoints(value: str) -> Path | str:
    """A file as a path, or an https address as it is."""
    wanted = "a file: URL with the whole path, or an https: URL"
    parts = urlsplit(url("file", "https")(value))
    if parts.scheme == "https":
        if not parts.hostname or not value.isprintable():
            raise ValueError(wanted)
        return value
    if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise ValueError(wanted)
    return Path(text(unquote(parts.path)))


def rate(value: str) -> Rate | None:
    if value == "off":
        return None
    return _some_rate(value, _RATE)


def _some_rate(value: str, wanted: str) -> Rate:
    amount, _, unit = value.partition("/")
    if unit not in _RATE_UNITS or not amount.isascii() or not amount.isdecimal():
        raise ValueError(wanted)
    if len(amount) > _RATE_DIGITS or not 1 <= int(amount) <= _RATE_LIMIT:
        raise ValueError(wanted)
    return Rate(int(amount), _RATE_UNITS[unit])


def provider_rate(value: str) -> Rate:
    return _some_rate(value, _PROVIDER_RATE)


def limits_url(value: str) -> str:
    wanted = "memory:// or a URL such as valkey://host:6379 (or valkeys:, redis:, rediss:)"
    if value == "memory://":
        return value
    try:
        parts = urlsplit(url("valkey", "valkeys", "redis", "rediss")(value))
        _ = parts.port  # which may be no number
    except ValueError:
        raise ValueError(wanted) from None
    database = parts.path.removeprefix("/") or "0"
    if not (parts.hostname and database.isdecimal() and value.isprintable()) or parts.query:
        raise ValueError(wanted)
    return value


def networks(value: str) -> tuple[IPv4Network | IPv6Network, ...]:
    wanted = "comma-separated networks such as 10.0.0.0/8, none of them all addresses"
    try:
        networks = tuple(ip_network(item.strip()) for item in value.split(","))
    except ValueError:
        raise ValueError(wanted) from None
    if not all(network.prefixlen for network in networks):
        raise ValueError(wanted)
    return networks


def public_url(value: str) -> str:
    parts = parse_web_url(value)
    plain = parts is not None and parts.query is None and parts.fragment is None
    if parts is None or not plain or (parts.scheme == "http" and parts.host not in LOOPBACK):
        raise ValueError("an https URL such as https://pay.example, without a query")
    return value.rstrip("/")


def hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(item.strip().lower() for item in value.split(","))
    if not all(is_host_pattern(host) for host in hosts):
        raise ValueError("comma-separated host names such as shop.example or *.shop.example")
    return hosts


def origins(value: str) -> tuple[str, ...]:
    wanted = (
        "comma-separated origins as a browser writes them, such as https://shop.example"
        " (http for this machine alone)"
    )
    origins = tuple(item.strip() for item in value.split(","))
    if not all(map(_is_origin, origins)):
        raise ValueError(wanted)
    return origins


def _is_origin(text: str) -> bool:
    match = _ORIGIN.fullmatch(text)
    if match is None or match["port"] == _DEFAULT_PORTS[match["scheme"]]:
        return False
    if match["port"] is not None and int(match["port"]) > _PORT_MOST:
        return False
    return match["scheme"] == "https" or match["host"] in LOOPBACK


def boolean(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError("true or false")
    return value == "true"


def whole(limit: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.isascii() or not value.isdecimal() or not 1 <= int(value) <= limit:
            raise ValueError(f"a whole number from 1 to {limit}")
        return int(value)

    return parse


amount: Final = whole(10**15)
"""Far beyond any currency's use, far below what JSON keeps exact (2**53)."""
connections: Final = whole(100_000)
working_days: Final = whole(60)
"""A window of three months: whatever is older is found by then, or was never looked for."""


def webhook_secrets(value: str) -> tuple[str, ...]:
    """Signing secrets as the provider shows them. Another text, such as its API key, would be taken
    for one, and every event refused.
    """
    items = tuple(item.strip() for item in value.split(","))
    if not all(map(_WEBHOOK_SECRET.fullmatch, items)):
        raise ValueError(
            "comma-separated signing secrets, each whsec_ and then letters, digits, +, /, =, - or _"
        )
    return items


def path(value: str) -> Path:
    return Path(text(value)).expanduser()


def fee_rules(value: str) -> FeeRules:
    """The rules in a file. Read once, at the start: what they say does not change under way."""
    file = path(value)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"a file of fee rules that can be read: {error.strerror}") from None
    if len(content) > _FEE_RULES_MOST:
        raise ValueError(f"a file of fee rules of at most {_FEE_RULES_MOST} bytes")
    try:
        return parse_fee_rules(content.decode())
    except UnicodeDecodeError:
        raise ValueError("a file of fee rules in UTF-8") from None
    except FeeRulesError as error:
        raise ValueError(f"a file of fee rules; {error}") from None


def amounts(value: str) -> Mapping[str, int]:
    """Amounts by currency, in smallest units; zero is one too."""
    wanted = "amounts in smallest units such as eur=50000,usd=50000"
    found: dict[str, int] = {}
    for item in value.split(","):
        currency, _, digits = item.strip().partition("=")
        known = currency in EXPONENTS and currency not in found
        if not known or not digits.isascii() or not digits.isdecimal() or len(digits) > _DIGITS:
            raise ValueError(wanted)
        found[currency] = int(digits)
    return MappingProxyType(found)


def alert_urls(value: str) -> tuple[str, ...]:
    """The URLs of alert channels, each with a comma before it that no scheme follows by chance: an
    apprise URL may have commas in it.
    """
    items = tuple(item.strip() for item in _NEXT_URL.split(text(value)))
    if not all(map(_APPRISE_URL.fullmatch, items)):
        raise ValueError("comma-separated apprise URLs")
    return items
