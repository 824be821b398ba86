"""Settings, parsed once and frozen: the environment over `paygate.toml` over the defaults.

Every setting is one line of `_SETTINGS`. An unknown `PAYGATE_` name or a bad value stops the
start with one clear line, which never repeats a secret.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from paygate.domain.durations import DURATION, parse_duration
from paygate.domain.payments.return_url import LOOPBACK, is_host_pattern, parse_web_url
from paygate.private import write_private

PREFIX: Final = "PAYGATE_"
FILE: Final = "paygate.toml"


class SettingsError(Exception):
    """A setting is wrong; the message names it and says what it takes."""


class Rate(NamedTuple):
    """So many in so many seconds."""

    amount: int
    seconds: int


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
_DEFAULT_PORTS: Final = {"https": "443", "http": "80"}
"""A browser leaves them out."""
_PORT_MOST: Final = 65535
_RATES: Final = {"production": Rate(100, 1), "development": Rate(10_000, 1)}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What this process was told. Secrets are in it: it has no readable repr."""

    data: Path
    environment: Literal["development", "production"]
    provider: Literal["stripe"]
    max_amount: int
    provider_timeout: timedelta
    webhook_tolerance: timedelta
    intent_ttl: timedelta
    idempotency_ttl: timedelta
    lock_ttl: timedelta
    resend_window: timedelta
    authentication_ttl: timedelta
    bank_transfer_ttl: timedelta
    stripe_api_base: str
    limits_url: str
    rate_limit: Rate | None
    """Of one API key; None: no limits at all."""
    provider_rate: Rate | None = None
    """How fast sweeps ask the provider; None: as fast as the mode of its key allows."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    max_connections: int
    """Of one API process, as the next."""
    max_connections_per_address: int
    header_timeout: timedelta
    body_timeout: timedelta
    keep_alive: timedelta
    public_url: str | None = None
    return_url_hosts: tuple[str, ...] = ()
    numeric_references: bool = False
    allowed_origins: tuple[str, ...] = ()
    """Of pages whose scripts may call the client side (CORS)."""
    database_url: str | None = None
    kek: str | None = None
    stripe_api_key: str | None = None
    stripe_webhook_secrets: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __repr__(self) -> str:
        return f"Settings(environment={self.environment!r}, data={self.data!r})"

    def require_list(self, name: str) -> tuple[str, ...]:
        """Like `require`, for a list."""
        self.require(name)
        values = getattr(self, name)
        assert isinstance(values, tuple)
        return values

    def require(self, name: str) -> str:
        """A setting that this command cannot do without.

        Raises:
            SettingsError: it is not set.
        """
        value = getattr(self, name)
        if not value:
            raise SettingsError(
                f"{PREFIX}{name.upper()} is not set (name a data directory of `paygate up` with"
                " --data, or set it)"
            )
        return str(value)


def _text(value: str) -> str:
    if not value or not value.isprintable():
        raise ValueError("a text without control characters")
    return value


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(" or ".join(choices))
        return value

    return parse


def _url(*schemes: str) -> Callable[[str], str]:
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


def _duration(value: str) -> timedelta:
    length = parse_duration(value)
    if not length:
        raise ValueError(DURATION)
    return length


def _rate(value: str) -> Rate | None:
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


def _provider_rate(value: str) -> Rate:
    return _some_rate(value, _PROVIDER_RATE)


def _limits_url(value: str) -> str:
    wanted = "memory:// or a URL such as valkey://host:6379 (or valkeys:, redis:, rediss:)"
    if value == "memory://":
        return value
    try:
        parts = urlsplit(_url("valkey", "valkeys", "redis", "rediss")(value))
        _ = parts.port  # which may be no number
    except ValueError:
        raise ValueError(wanted) from None
    database = parts.path.removeprefix("/") or "0"
    if not (parts.hostname and database.isdecimal() and value.isprintable()) or parts.query:
        raise ValueError(wanted)
    return value


def _networks(value: str) -> tuple[IPv4Network | IPv6Network, ...]:
    wanted = "comma-separated networks such as 10.0.0.0/8, none of them all addresses"
    try:
        networks = tuple(ip_network(item.strip()) for item in value.split(","))
    except ValueError:
        raise ValueError(wanted) from None
    if not all(network.prefixlen for network in networks):
        raise ValueError(wanted)
    return networks


def _public_url(value: str) -> str:
    parts = parse_web_url(value)
    plain = parts is not None and parts.query is None and parts.fragment is None
    if parts is None or not plain or (parts.scheme == "http" and parts.host not in LOOPBACK):
        raise ValueError("an https URL such as https://pay.example, without a query")
    return value.rstrip("/")


def _hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(item.strip().lower() for item in value.split(","))
    if not all(is_host_pattern(host) for host in hosts):
        raise ValueError("comma-separated host names such as shop.example or *.shop.example")
    return hosts


def _origins(value: str) -> tuple[str, ...]:
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


def _boolean(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError("true or false")
    return value == "true"


def _whole(limit: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.isascii() or not value.isdecimal() or not 1 <= int(value) <= limit:
            raise ValueError(f"a whole number from 1 to {limit}")
        return int(value)

    return parse


_amount: Final = _whole(10**15)
"""Far beyond any currency's use, far below what JSON keeps exact (2**53)."""
_connections: Final = _whole(100_000)


def _list(value: str) -> tuple[str, ...]:
    items = tuple(_text(item.strip()) for item in value.split(","))
    if not items:
        raise ValueError("a comma-separated list")
    return items


def _path(value: str) -> Path:
    return Path(_text(value)).expanduser()


_SETTINGS: Final[Mapping[str, tuple[Callable[[str], Any], str | None]]] = {
    "data": (_path, "data"),
    "environment": (_one_of("development", "production"), "development"),
    "database_url": (_url("postgresql", "postgres"), None),
    "provider": (_one_of("stripe"), "stripe"),
    "stripe_api_base": (_url("https", "http"), "https://api.stripe.com"),
    "stripe_api_key": (_text, None),
    "stripe_webhook_secrets": (_list, None),
    "provider_timeout": (_duration, "30s"),
    "webhook_tolerance": (_duration, "5m"),
    "intent_ttl": (_duration, "24h"),
    "idempotency_ttl": (_duration, "24h"),
    "lock_ttl": (_duration, "30s"),
    "resend_window": (_duration, "2m"),
    "authentication_ttl": (_duration, "1h"),
    "bank_transfer_ttl": (_duration, "14d"),
    "max_amount": (_amount, "99999999"),
    "tls_cert": (_path, None),
    "tls_key": (_path, None),
    "kek": (_url("file"), None),
    "limits_url": (_limits_url, "memory://"),
    "rate_limit": (_rate, None),
    "provider_rate": (_provider_rate, None),
    "trusted_proxies": (_networks, None),
    "max_connections": (_connections, "2000"),
    "max_connections_per_address": (_connections, "200"),
    "header_timeout": (_duration, "10s"),
    "body_timeout": (_duration, "30s"),
    "keep_alive": (_duration, "75s"),
    "public_url": (_public_url, None),
    "return_url_hosts": (_hosts, None),
    "allowed_origins": (_origins, None),
    "numeric_references": (_boolean, "false"),
}
"""Name without prefix, in lower case: how it is parsed, and its default."""


def load(environ: Mapping[str, str], *, data: Path | None = None) -> Settings:
    """The settings of this process.

    `data` (the command line's) wins over `PAYGATE_DATA`; its `paygate.toml`, or else the one in
    the working directory, is read below the environment.

    Raises:
        SettingsError: an unknown name, a bad value, or an unreadable file.
    """
    named = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX)
    }
    if data is not None:
        named["data"] = str(data)
    folder = Path(named.get("data", "data")).expanduser()
    found = folder / FILE if (folder / FILE).exists() else Path(FILE)
    values = _read(found) | named if found.exists() else named
    parsed = {}
    for name, text in values.items():
        if name not in _SETTINGS:
            raise SettingsError(f"{PREFIX}{name.upper()} is not a setting of this version")
        parsed[name] = _parse(name, text)
    for name, (parse, default) in _SETTINGS.items():
        if name not in parsed and default is not None:
            parsed[name] = parse(default)
    parsed.setdefault("rate_limit", _RATES[parsed["environment"]])
    settings = Settings(**parsed)
    _check(settings)
    return settings


def write(path: Path, values: Mapping[str, str]) -> None:
    """Write a `paygate.toml` that `load` reads, for this user alone."""
    write_private(path, "".join(line(name, value) for name, value in values.items()))


def line(name: str, value: str) -> str:
    """A setting as a line of `paygate.toml`."""
    # A JSON string is a TOML basic string.
    return f"{name} = {msgspec.json.encode(value).decode()}\n"


def _read(path: Path) -> dict[str, str]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {type(error).__name__}") from None
    return {
        name: value if isinstance(value, str) else str(value) for name, value in content.items()
    }


def _parse(name: str, text: str) -> Any:
    parse, _ = _SETTINGS[name]
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(f"{PREFIX}{name.upper()} must be {error}") from None


def _check(settings: Settings) -> None:
    """What no single value shows."""
    if (settings.tls_cert is None) is not (settings.tls_key is None):
        raise SettingsError("PAYGATE_TLS_CERT and PAYGATE_TLS_KEY go together")
    if settings.environment == "development":
        return
    if (settings.stripe_api_key or "").startswith(("sk_test_", "rk_test_")):
        raise SettingsError("production refuses a test key of the provider: PAYGATE_STRIPE_API_KEY")
    if settings.stripe_api_base.startswith("http:"):
        raise SettingsError("production refuses a provider without TLS: PAYGATE_STRIPE_API_BASE")
    if (settings.public_url or "").startswith("http:"):
        raise SettingsError("production refuses an address without TLS: PAYGATE_PUBLIC_URL")
    if any(origin.startswith("http:") for origin in settings.allowed_origins):
        raise SettingsError("production refuses a page without TLS: PAYGATE_ALLOWED_ORIGINS")
    if settings.rate_limit is None:
        raise SettingsError("production refuses to be without a limit: PAYGATE_RATE_LIMIT")
