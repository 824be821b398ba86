"""Settings, parsed once and frozen: the environment over `paygate.toml` over the defaults.

Every setting is one line of `_SETTINGS`. Unknown names, bad values and missing settings stop the
start with one clear line that names them all, and never repeats a secret (docs/cli.md).
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import msgspec

from paygate import setting_kinds as kinds
from paygate.database_way import is_verified
from paygate.domain.settlements.fees import FeeRules
from paygate.private import write_private
from paygate.setting_kinds import Rate

PREFIX: Final = "PAYGATE_"
FILE: Final = "paygate.toml"


class Needs(NamedTuple):
    """The settings that a command cannot do without."""

    always: tuple[str, ...] = ()
    in_production: tuple[str, ...] = ()


NOTHING: Final = Needs()
TO_UNLOCK: Final = Needs(("database_url", "kek", "stripe_api_key"))
"""What opens an installation's records; the mode of the provider's key is theirs."""
TO_WORK: Final = Needs((*TO_UNLOCK.always, "stripe_webhook_secrets"))
"""What every process needs that takes or works on payments."""
TO_SERVE: Final = Needs(
    (*TO_WORK.always, "tls_cert", "tls_key"), in_production=("public_url", "return_url_hosts")
)

_OF_TLS: Final = frozenset({"tls_cert", "tls_key"})
"""Not needed where a trusted proxy has a certificate of its own before us."""
_WAY_OUT: Final = (
    " (in the environment or in paygate.toml; or name a data directory of `paygate up` with --data)"
)
_RATES: Final = {"production": Rate(100, 1), "development": Rate(10_000, 1)}


class SettingsError(Exception):
    """Settings are wrong; the message names each and says what it takes."""


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
    retention_events: timedelta
    retention_audit: timedelta
    stripe_api_base: str
    limits_url: str
    rate_limit: Rate | None
    """Of one API key; None: no limits at all."""
    provider_rate: Rate | None = None
    """How fast sweeps ask the provider; None: as fast as the mode of its key allows."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    webhook_allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Private networks that merchants' webhook endpoints may be in."""
    max_connections: int
    """Of one API process, as the next."""
    max_connections_per_address: int
    header_timeout: timedelta
    body_timeout: timedelta
    keep_alive: timedelta
    public_url: str | None = None
    return_url_hosts: tuple[str, ...] = ()
    exclusive_account: bool = False
    numeric_references: bool = False
    request_log: bool = True
    """Whether each request is a line of the log."""
    allowed_origins: tuple[str, ...] = ()
    """Of pages whose scripts may call the client side (CORS)."""
    support_refund_limit: Mapping[str, int] = MappingProxyType({})
    """Smallest units by currency, of one payment."""
    refund_approval_above: Mapping[str, int] | None = None
    """Smallest units by currency; None: no refund needs a second person."""
    settlement_window: int
    """Working days."""
    fee_rules: FeeRules | None = None
    """None: fees are recorded, and not judged."""
    alert_urls: tuple[str, ...] = ()
    """Of the channels that alerts leave by, as apprise writes them."""
    audit_checkpoints: Path | str | None = None
    """A file, or an https address; None: nobody outside knows the audit log's head."""
    database_url: str | None = None
    owner_database_url: str | None = None
    """For `migrate` alone: of the role that owns the tables."""
    kek: str | None = None
    stripe_api_key: str | None = None
    stripe_webhook_secrets: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __repr__(self) -> str:
        return f"Settings(environment={self.environment!r}, data={self.data!r})"

    @property
    def behind_proxies_alone(self) -> bool:
        """Whether the API is served in clear: no certificate is set, and proxies are."""
        return self.tls_cert is None and self.tls_key is None and bool(self.trusted_proxies)

    def require_list(self, name: str) -> tuple[str, ...]:
        """Like `require`, for a list."""
        self.require(name)
        values = getattr(self, name)
        assert isinstance(values, tuple)
        return values

    def require(self, name: str) -> str:
        """A setting that this command cannot do without. Raises SettingsError: it is not set."""
        value = getattr(self, name)
        if not value:
            raise SettingsError(_missing(name) + _WAY_OUT)
        return str(value)


class _Setting(NamedTuple):
    parse: Callable[[str], Any]
    """Raises ValueError, which says what is wanted and does not quote."""
    default: str | None = None
    example: str | None = None
    """For what has no default, and where the words of `parse` give none."""


_SETTINGS: Final[Mapping[str, _Setting]] = {
    "data": _Setting(kinds.path, "data"),
    "environment": _Setting(kinds.one_of("development", "production"), "development"),
    "database_url": _Setting(
        kinds.database_url,
        example="postgresql://paygate:PASSWORD@db.example/paygate?sslmode=verify-full",
    ),
    "owner_database_url": _Setting(
        kinds.database_url, example="postgresql://paygate_owner:PASSWORD@db.example:5432/paygate"
    ),
    "provider": _Setting(kinds.one_of("stripe"), "stripe"),
    "stripe_api_base": _Setting(kinds.url("https", "http"), "https://api.stripe.com"),
    "stripe_api_key": _Setting(kinds.text, example="sk_test_..."),
    "stripe_webhook_secrets": _Setting(kinds.webhook_secrets, example="whsec_SECRET"),
    "provider_timeout": _Setting(kinds.duration, "30s"),
    "webhook_tolerance": _Setting(kinds.duration, "5m"),
    "intent_ttl": _Setting(kinds.duration, "24h"),
    "idempotency_ttl": _Setting(kinds.duration, "24h"),
    "lock_ttl": _Setting(kinds.duration, "30s"),
    "resend_window": _Setting(kinds.duration, "2m"),
    "authentication_ttl": _Setting(kinds.duration, "1h"),
    "bank_transfer_ttl": _Setting(kinds.duration, "14d"),
    "retention_events": _Setting(kinds.retention, "90d"),
    "retention_audit": _Setting(kinds.retention_audit, "400d"),
    "audit_checkpoints": _Setting(
        kinds.checkpoints, example="file:///mnt/other-host/checkpoints.jsonl"
    ),
    "max_amount": _Setting(kinds.amount, "99999999"),
    "tls_cert": _Setting(kinds.path, example="/etc/paygate/tls/cert.pem"),
    "tls_key": _Setting(kinds.path, example="/etc/paygate/tls/key.pem"),
    "kek": _Setting(
        kinds.url("file", "hcvault", "aws-kms", "gcp-kms"), example="file:/etc/paygate/kek"
    ),
    "limits_url": _Setting(kinds.limits_url, "memory://"),
    "rate_limit": _Setting(kinds.rate, example="100/second"),
    "provider_rate": _Setting(kinds.provider_rate, example="80/second"),
    "trusted_proxies": _Setting(kinds.networks, example="10.0.0.0/8"),
    "webhook_allowed_networks": _Setting(kinds.networks, example="10.20.0.0/16"),
    "max_connections": _Setting(kinds.connections, "2000"),
    "max_connections_per_address": _Setting(kinds.connections, "200"),
    "header_timeout": _Setting(kinds.duration, "10s"),
    "body_timeout": _Setting(kinds.duration, "30s"),
    "keep_alive": _Setting(kinds.duration, "75s"),
    "public_url": _Setting(kinds.public_url, example="https://pay.example"),
    "return_url_hosts": _Setting(kinds.hosts, example="shop.example"),
    "allowed_origins": _Setting(kinds.origins, example="https://shop.example"),
    "exclusive_account": _Setting(kinds.boolean, "false"),
    "numeric_references": _Setting(kinds.boolean, "false"),
    "request_log": _Setting(kinds.boolean, "true"),
    "support_refund_limit": _Setting(kinds.amounts, example="eur=5000,usd=5000"),
    "refund_approval_above": _Setting(kinds.amounts, example="eur=50000,usd=50000"),
    "settlement_window": _Setting(kinds.working_days, "3"),
    "fee_rules": _Setting(kinds.fee_rules, example="/etc/paygate/fees.toml"),
    "alert_urls": _Setting(
        kinds.alert_urls,
        example="slack://TOKEN_A/TOKEN_B/TOKEN_C,mailtos://USER:PASSWORD@mail.example",
    ),
}
"""By its name without prefix, in lower case."""


class _Given(NamedTuple):
    """What somebody set."""

    text: str
    place: str = ""
    """Where in a file; nothing for the environment."""


def load(
    environ: Mapping[str, str], *, data: Path | None = None, needs: Needs = NOTHING
) -> Settings:
    """The settings of this process.

    `data` (the command line's) wins over `PAYGATE_DATA`; its `paygate.toml`, or else the one in
    the working directory, is read below the environment. `needs` are those that must be set.

    Raises:
        SettingsError: unknown names, bad values, missing settings, or an unreadable file.
    """
    return _parse(_given(environ, data), needs)


class Looked(NamedTuple):
    """Settings of which some are `refused`, by name with the reason: they are at their default."""

    settings: Settings
    refused: Mapping[str, str]
    together: Sequence[str]


def look(environ: Mapping[str, str], *, data: Path | None = None) -> Looked:
    """Like `load`, for who starts nothing. A refused environment is taken for production."""
    parsed, refused = _values(_given(environ, data))
    if "environment" in refused:
        parsed["environment"] = "production"
    settings = _whole(parsed)
    return Looked(settings, refused, _together(settings))


def load_environment(environ: Mapping[str, str], *, needs: Needs = NOTHING) -> Settings:
    """Like `load`, of the environment alone."""
    return _parse(_of_environment(environ, None), needs)


def write(path: Path, values: Mapping[str, str]) -> None:
    """Write a `paygate.toml` that `load` reads, for this user alone."""
    write_private(path, "".join(line(name, value) for name, value in values.items()))


def line(name: str, value: str) -> str:
    """A setting as a line of `paygate.toml`."""
    # A JSON string is a TOML basic string.
    return f"{name} = {msgspec.json.encode(value).decode()}\n"


def _given(environ: Mapping[str, str], data: Path | None) -> dict[str, _Given]:
    given = _of_environment(environ, data)
    folder = Path(given["data"].text if "data" in given else "data").expanduser()
    found = folder / FILE if (folder / FILE).exists() else Path(FILE)
    return _read(found) | given if found.exists() else given


def _of_environment(environ: Mapping[str, str], data: Path | None) -> dict[str, _Given]:
    given = {
        name.removeprefix(PREFIX).lower(): _Given(value)
        for name, value in environ.items()
        if name.startswith(PREFIX)
    }
    return given if data is None else given | {"data": _Given(str(data))}


def _read(path: Path) -> dict[str, _Given]:
    """The settings in a file. Raises SettingsError: what does not read, and where it stands."""
    content = ""
    try:
        content = path.read_text(encoding="utf-8")
        values = tomllib.loads(content)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        place = _position(error.object[: error.start].decode())
        raise SettingsError(f"{path}, {place}: not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        words, _, place = str(error).rpartition(" (at ")
        if place.startswith("end"):
            place = _position(content)
        raise SettingsError(f"{path}, {place.rstrip(')')}: {words}") from None
    lines = content.splitlines()
    return {
        name: _Given(
            value if isinstance(value, str) else str(value), f" ({path}{_line(name, lines)})"
        )
        for name, value in values.items()
    }


def _position(before: str) -> str:
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"line {line}, column {column}"


def _line(name: str, lines: Iterable[str]) -> str:
    assigned = re.compile(rf"""\s*\[?["']?{re.escape(name)}\b""")
    numbers = (n for n, line in enumerate(lines, start=1) if assigned.match(line))
    return f", line {number}" if (number := next(numbers, None)) else ""


def _parse(given: Mapping[str, _Given], needs: Needs) -> Settings:
    parsed, refused = _values(given)
    production = parsed.get("environment") == "production"
    needed = (*needs.always, *(needs.in_production if production else ()))
    if "trusted_proxies" in given and not _OF_TLS & given.keys():
        needed = tuple(name for name in needed if name not in _OF_TLS)
    missing = [_missing(name) for name in needed if name not in given]
    if faults := [*refused.values(), *missing]:
        raise SettingsError("; ".join(faults) + (_WAY_OUT if missing else ""))
    settings = _whole(parsed)
    if faults := _together(settings):
        raise SettingsError("; ".join(faults))
    return settings


def _values(given: Mapping[str, _Given]) -> tuple[dict[str, Any], dict[str, str]]:
    """What can be read, and what is wrong with the rest, each by its name."""
    parsed: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for name, (text, place) in given.items():
        setting = _SETTINGS.get(name)
        if setting is None:
            refused[name] = _unknown(name) + place
            continue
        try:
            parsed[name] = setting.parse(text)
        except ValueError as error:
            refused[name] = _wrong(name, setting, str(error)) + place
    return parsed, refused


def _whole(parsed: dict[str, Any]) -> Settings:
    """Settings, with defaults for what is not there."""
    for name, setting in _SETTINGS.items():
        if name not in parsed and setting.default is not None:
            parsed[name] = setting.parse(setting.default)
    parsed.setdefault("rate_limit", _RATES[parsed["environment"]])
    return Settings(**parsed)


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, _SETTINGS, n=1)
    meant = f" (did you mean {_variable(near[0])}?)" if near else ""
    return f"{_variable(name)} is not a setting of this version{meant}"


def _wrong(name: str, setting: _Setting, wanted: str) -> str:
    example = setting.example or setting.default
    shown = "" if "such as" in wanted or " or " in wanted else f", such as {example}"
    return f"{_variable(name)} must be {wanted}{shown}"


def _missing(name: str) -> str:
    return f"{_variable(name)} is not set, such as {_SETTINGS[name].example}"


def _together(settings: Settings) -> list[str]:
    """What no single value shows: the faults."""
    faults = []
    if (settings.tls_cert is None) is not (settings.tls_key is None):
        faults.append("PAYGATE_TLS_CERT and PAYGATE_TLS_KEY go together")
    if settings.environment == "development":
        return faults
    if (settings.stripe_api_key or "").startswith(("sk_test_", "rk_test_")):
        faults.append("production refuses a test key of the provider: PAYGATE_STRIPE_API_KEY")
    if settings.stripe_api_base.startswith("http:"):
        faults.append("production refuses a provider without TLS: PAYGATE_STRIPE_API_BASE")
    if (settings.public_url or "").startswith("http:"):
        faults.append("production refuses an address without TLS: PAYGATE_PUBLIC_URL")
    if any(origin.startswith("http:") for origin in settings.allowed_origins):
        faults.append("production refuses a page without TLS: PAYGATE_ALLOWED_ORIGINS")
    if settings.database_url and not is_verified(settings.database_url):
        faults.append(
            "production refuses a database over a network without verified TLS (add"
            " ?sslmode=verify-full&sslrootcert=FILE): PAYGATE_DATABASE_URL"
        )
    if settings.rate_limit is None:
        faults.append("production refuses to be without a limit: PAYGATE_RATE_LIMIT")
    return faults
