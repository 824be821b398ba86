"""Every setting by default, well and badly set. A fault names the setting, never the secret."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from paygate.domain.settlements.fees import parse_fee_rules
from paygate.setting_kinds import Rate
from paygate.settings import _SETTINGS, FILE, TO_SERVE, SettingsError, load, write
from paygate.wiring.provider import pace_of, provider_rate
from tests.flows.provider.test_pace import turns_in

FEES = Path(__file__).parents[1] / "examples/fees.toml"
GOOD: list[tuple[str, str, Any]] = [
    ("data", "/var/lib/paygate", Path("/var/lib/paygate")),
    ("environment", "production", "production"),
    ("database_url", "postgresql://u:p@db/paygate", "postgresql://u:p@db/paygate"),
    ("provider", "stripe", "stripe"),
    ("stripe_api_base", "http://127.0.0.1:8444", "http://127.0.0.1:8444"),
    ("stripe_api_key", "sk_test_1", "sk_test_1"),
    ("stripe_webhook_secrets", "whsec_a, whsec_b", ("whsec_a", "whsec_b")),
    ("stripe_webhook_secrets", "whsec_MfKQ9+/r8-G_=", ("whsec_MfKQ9+/r8-G_=",)),
    ("provider_timeout", "2m", timedelta(minutes=2)),
    ("webhook_tolerance", "1d", timedelta(days=1)),
    ("intent_ttl", "2h", timedelta(hours=2)),
    ("idempotency_ttl", "7d", timedelta(days=7)),
    ("lock_ttl", "5s", timedelta(seconds=5)),
    ("resend_window", "1m", timedelta(minutes=1)),
    ("authentication_ttl", "15m", timedelta(minutes=15)),
    ("bank_transfer_ttl", "30d", timedelta(days=30)),
    ("retention_events", "400d", timedelta(days=400)),
    ("retention_audit", "365d", timedelta(days=365)),
    ("audit_checkpoints", "file:///mnt/o%20k/c.jsonl", Path("/mnt/o k/c.jsonl")),
    ("audit_checkpoints", "https://keeper.example/c", "https://keeper.example/c"),
    ("owner_database_url", "postgresql://o:p@db/paygate", "postgresql://o:p@db/paygate"),
    ("public_url", "https://pay.example", "https://pay.example"),
    ("public_url", "https://pay.example:8443/gateway/", "https://pay.example:8443/gateway"),
    ("public_url", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ("return_url_hosts", "Shop.example, *.shop.example", ("shop.example", "*.shop.example")),
    ("max_amount", "1000000000000000", 10**15),
    ("tls_cert", "/tls/cert.pem", Path("/tls/cert.pem")),
    ("tls_key", "/tls/key.pem", Path("/tls/key.pem")),
    ("kek", "file:/keys/kek", "file:/keys/kek"),
    (
        "kek",
        "hcvault://vault/transit/keys/k?token_file=/t",
        "hcvault://vault/transit/keys/k?token_file=/t",
    ),
    ("kek", "aws-kms://arn:aws:kms:eu-west-1:1:key/2", "aws-kms://arn:aws:kms:eu-west-1:1:key/2"),
    ("kek", "gcp-kms://projects/p", "gcp-kms://projects/p"),
    ("limits_url", "memory://", "memory://"),
    ("limits_url", "valkey://limits:6379", "valkey://limits:6379"),
    ("limits_url", "rediss://u:p@[::1]:6380/2", "rediss://u:p@[::1]:6380/2"),
    ("rate_limit", "600/minute", Rate(600, 60)),
    ("rate_limit", "1000000/second", Rate(1_000_000, 1)),
    ("rate_limit", "off", None),
    ("provider_rate", "80/second", Rate(80, 1)),
    ("provider_rate", "600/minute", Rate(600, 60)),
    (
        "trusted_proxies",
        "10.0.0.0/8, 192.0.2.7, fd00::/8",
        (ip_network("10.0.0.0/8"), ip_network("192.0.2.7/32"), ip_network("fd00::/8")),
    ),
]
GOOD += [
    ("webhook_allowed_networks", "10.20.0.0/16", (ip_network("10.20.0.0/16"),)),
    ("max_connections", "100000", 100_000),
    ("max_connections_per_address", "1", 1),
    ("header_timeout", "5s", timedelta(seconds=5)),
    ("body_timeout", "2m", timedelta(minutes=2)),
    ("keep_alive", "65s", timedelta(seconds=65)),
    ("exclusive_account", "true", True),
    ("support_refund_limit", "eur=5000, usd=0", {"eur": 5000, "usd": 0}),
    ("refund_approval_above", "jpy=50000", {"jpy": 50000}),
    ("exclusive_account", "false", False),
    ("settlement_window", "60", 60),
    ("fee_rules", str(FEES), parse_fee_rules(FEES.read_text())),
    ("numeric_references", "true", True),
    ("numeric_references", "false", False),
    ("request_log", "false", False),
    ("alert_urls", "slack://a/b/c", ("slack://a/b/c",)),
    (
        "alert_urls",
        "mailtos://u:p@mail.example?to=a@b.example,c@b.example, json://hooks.example/x",
        ("mailtos://u:p@mail.example?to=a@b.example,c@b.example", "json://hooks.example/x"),
    ),
    *(
        ("database_url", address, address)
        for address in (
            "postgresql://u:p%40%2F@a:1,[::1]:2/x?host=/run/a%40b",
            "postgresql:///paygate?host=/run/postgresql",
        )
    ),
    ("allowed_origins", "https://shop.example", ("https://shop.example",)),
    (
        "allowed_origins",
        "https://a.example:8443, http://localhost:8090,http://127.0.0.1,http://[::1]:1",
        (
            "https://a.example:8443",
            "http://localhost:8090",
            "http://127.0.0.1",
            "http://[::1]:1",
        ),
    ),
]
DEFAULTS: dict[str, Any] = {
    "data": Path("data"),
    "environment": "development",
    "database_url": None,
    "provider": "stripe",
    "stripe_api_base": "https://api.stripe.com",
    "stripe_api_key": None,
    "stripe_webhook_secrets": (),
    "provider_timeout": timedelta(seconds=30),
    "webhook_tolerance": timedelta(minutes=5),
    "intent_ttl": timedelta(hours=24),
    "idempotency_ttl": timedelta(hours=24),
    "lock_ttl": timedelta(seconds=30),
    "resend_window": timedelta(minutes=2),
    "authentication_ttl": timedelta(hours=1),
    "bank_transfer_ttl": timedelta(days=14),
    "retention_events": timedelta(days=90),
    "retention_audit": timedelta(days=400),
    "audit_checkpoints": None,
    "owner_database_url": None,
    "public_url": None,
    "return_url_hosts": (),
    "max_amount": 99999999,
    "tls_cert": None,
    "tls_key": None,
    "kek": None,
    "limits_url": "memory://",
    "rate_limit": Rate(10_000, 1),
    "provider_rate": None,
    "support_refund_limit": {},
    "refund_approval_above": None,
    "trusted_proxies": (),
    "webhook_allowed_networks": (),
    "max_connections": 2000,
    "max_connections_per_address": 200,
    "header_timeout": timedelta(seconds=10),
    "body_timeout": timedelta(seconds=30),
    "keep_alive": timedelta(seconds=75),
    "allowed_origins": (),
    "exclusive_account": False,
    "numeric_references": False,
    "request_log": True,
    "settlement_window": 3,
    "fee_rules": None,
    "alert_urls": (),
}
DURATIONS = ["", "30", "s", "0s", "-1s", "1.5h", "30 s", "1w", "\u0663s", "9" * 30 + "d", "5M"]
AMOUNTS = [
    *(
        "",
        ",",
        "eur",
        "eur=",
        "=5",
        "eur=-1",
        "eur=1.5",
        "eur=1e3",
        "EUR=5",
        "xxx=5",
        "eur=5,eur=6",
    ),
    *("eur=5,", "eur=\u0663", "eur=1234567890123456", "eur 5", "hunter2"),
]
BAD: dict[str, list[str]] = {
    "data": ["", "a\x00b", "a\nb"],
    "environment": ["", "Production", "staging"],
    "database_url": [
        "",
        "mysql://u:hunter2@db/paygate",
        "hunter2",
        "postgresql://u:hunter2@[db/paygate",
        "postgresql://u:hunter2@d\u2100b/paygate",
        "postgresql://u:hun/ter2@db/paygate",
        "postgresql://u:12/hunter2@db/paygate",
        "postgresql://u:12?hunter2@db/paygate",
        "postgresql://u:12#hunter2@db/paygate",
        "postgresql://db:hunter2/paygate",
    ],
    "provider": ["", "Stripe", "other"],
    "stripe_api_base": ["", "api.stripe.com", "ftp://hunter2", "https://[hunter2]/", "HTTP://x"],
    "stripe_api_key": ["", "sk_hunter2\n", "sk\x7fhunter2"],
    "stripe_webhook_secrets": [
        *("", ",", "whsec_hunter2,", "whsec_hunter2,,x", "whsec_hunter2\x00", "whsec_"),
        *("hunter2", "WHSEC_hunter2", "sk_test_hunter2", "whsec_1,sk_test_hunter2"),
        *("whsec_hunter2 hunter2", "whsec_hunter2\u0663", '"whsec_hunter2"', "whsec_...hunter2"),
        *("whsec_1;whsec_hunter2", "we_hunter2", "pgw_test_sk_hunter2"),
    ],
    "provider_timeout": DURATIONS,
    "webhook_tolerance": DURATIONS,
    "intent_ttl": DURATIONS,
    "idempotency_ttl": DURATIONS,
    "lock_ttl": DURATIONS,
    "resend_window": DURATIONS,
    "authentication_ttl": DURATIONS,
    "bank_transfer_ttl": DURATIONS,
    "retention_events": [*DURATIONS, "6d"],
    "retention_audit": [*DURATIONS, "364d"],
    "audit_checkpoints": [
        *("", "hunter2", "file:hunter2", "file://host/hunter2", "file:///a?hunter2", "https://"),
        *("http://keeper.example/hunter2", "FILE:///hunter2", "file:///a\x00b"),
    ],
    "owner_database_url": ["", "mysql://u:hunter2@db/paygate", "postgresql://u:hun/ter2@db/x"],
    "public_url": [
        "",
        "hunter2",
        "ftp://hunter2.example",
        "http://hunter2.example",
        "https://u:hunter2@pay.example",
        "https://pay.example/?hunter2",
        "https://pay.example/#hunter2",
        "https://pay.example/\n",
        "//hunter2.example",
    ],
    "return_url_hosts": [
        "",
        ",",
        "shop.example,",
        "*",
        "*.",
        "https://hunter2.example",
        "hunter2.example:8443",
        "hunter2.example/done",
        "a.*.hunter2",
    ],
    "max_amount": ["", "0", "-1", "1.5", "1e3", "1_000", " 5", "\u0663", "1000000000000001"],
    "max_connections": ["", "0", "-1", "1.5", "100001"],
    "max_connections_per_address": ["", "0", "100001"],
    "header_timeout": DURATIONS,
    "body_timeout": DURATIONS,
    "keep_alive": DURATIONS,
    "tls_cert": ["", "a\x00b"],
    "tls_key": ["", "a\x00b"],
    "kek": ["", "hunter2", "kms:hunter2", "FILE:/keys/kek"],
    "limits_url": [
        "",
        "memory:",
        "memory://host",
        "valkey://",
        "valkey:hunter2",
        "valkey://:hunter2@/0",
        "valkey://:hunter2@host:port",
        "valkey://:hunter2@host:99999",
        "valkey://:hunter2@host/name",
        "valkey://:hunter2@host?db=1",
        "valkey://:hunter2@host\n",
        "memcached://hunter2",
        "VALKEY://hunter2",
    ],
    "provider_rate": ["", "off", "80", "0/second", "-1/second", "80/hour", "1.5/second"],
    "rate_limit": [
        "",
        "100",
        "/second",
        "0/second",
        "-1/second",
        "1.5/second",
        "1_0/second",
        "100/hour",
        "100/Second",
        "100 / second",
        "100/second/second",
        "1000001/second",
        "\u0663/second",
        "Off",
        "none",
    ],
    "support_refund_limit": AMOUNTS,
    "refund_approval_above": AMOUNTS,
    "exclusive_account": ["", "1", "True", "yes", "on"],
    "numeric_references": ["", "1", "True", "yes", "on"],
    "request_log": ["", "0", "off"],
    "settlement_window": ["", "0", "-1", "1.5", "61", "3d", "\u0663"],
    "fee_rules": ["", "a\x00b", "/no/such/file", "/"],
    "alert_urls": ["", "slack", "slack:/a", "slack://", "slack://a,", ",slack://a", "slack://a b"],
    "allowed_origins": [
        "",
        ",",
        "*",
        "null",
        "https://*.example",
        "https://shop.example,",
        "https://shop.example,*",
        "shop.example",
        "HTTPS://shop.example",
        "https://Shop.example",
        "https://shop.example/",
        "https://shop.example/pay",
        "https://shop.example?x",
        "https://u:hunter2@shop.example",
        "https://shop.example:443",
        "https://shop.example:08443",
        "https://shop.example:65536",
        "https://shop.example.",
        "https://-shop.example",
        "https://sh\u00f6p.example",
        "http://shop.example",
        "http://127.0.0.1.shop.example",
        "http://localhost:80",
        "ftp://localhost",
        "https://",
    ],
    "webhook_allowed_networks": ["", "10.0.0.1/8", "::/0", "localhost"],
    "trusted_proxies": [
        "",
        ",",
        "10.0.0.0/8,",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "hunter2",
        "::/0",
        "0.0.0.0/0",
    ],
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path) -> Iterator[None]:
    """Each test in a folder of its own: `paygate.toml` is looked for in the working directory."""
    with contextlib.chdir(tmp_path):
        yield


def refused(environ: Mapping[str, str], data: Path | None = None) -> str:
    with pytest.raises(SettingsError) as error:
        load(environ, data=data)
    message = str(error.value)
    assert "\n" not in message
    assert "hunter2" not in message
    return message


def pair(name: str) -> dict[str, str]:
    """Its partner, when a setting does not go alone."""
    return {"PAYGATE_TLS_CERT": "c", "PAYGATE_TLS_KEY": "k"} if name.startswith("tls_") else {}


def test_every_setting_is_tried_here() -> None:
    assert [g[0] for g in GOOD] != []
    assert {g[0] for g in GOOD} == set(DEFAULTS) == set(BAD) == set(_SETTINGS)


def test_nothing_set_gives_the_defaults() -> None:
    settings = load({"HOME": "/", "OTHER_NAME": "x"})
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_good_value_is_taken(name: str, text: str, value: Any) -> None:
    settings = load(pair(name) | {f"PAYGATE_{name.upper()}": text})
    assert getattr(settings, name) == value


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in BAD.items() for t in texts])
def test_a_bad_value_stops_the_start_and_is_not_quoted(name: str, text: str) -> None:
    message = refused(pair(name) | {f"PAYGATE_{name.upper()}": text})
    assert message.startswith(f"PAYGATE_{name.upper()} must be ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[[rule]]\ncurrency = 'eur'\n", "fee rules; rule 1: Object missing required field `tol"),
        (b"\xff\xfe", "fee rules in UTF-8"),
        (b"#" * 1_048_577, "fee rules of at most 1048576 bytes"),
    ],
)
def test_fee_rules_that_make_no_sense_stop_the_start(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "fees.toml").write_bytes(content)
    message = refused({"PAYGATE_FEE_RULES": "fees.toml"})
    assert message.startswith(f"PAYGATE_FEE_RULES must be a file of {said}")


@pytest.mark.parametrize("name", ["PAYGATE_", "PAYGATE_STRIPE_KEY", "PAYGATE_MAX_AMOUNTS"])
def test_an_unknown_name_stops_the_start(name: str) -> None:
    assert name in refused({name: "hunter2"})


def test_an_unknown_name_in_the_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('max_amounts = "hunter2"\n')
    assert "PAYGATE_MAX_AMOUNTS" in refused({})
    (tmp_path / FILE).write_text('[stripe]\napi_key = "hunter2"\n')
    assert "PAYGATE_STRIPE " in refused({})


def test_the_environment_wins_over_the_file_over_the_default(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('max_amount = 5\nprovider_timeout = "7s"\n')
    settings = load({"PAYGATE_MAX_AMOUNT": "6"})
    assert settings.max_amount == 6
    assert settings.provider_timeout == timedelta(seconds=7)
    assert settings.webhook_tolerance == DEFAULTS["webhook_tolerance"]


def test_the_data_directorys_file_goes_before_the_working_directorys(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (tmp_path / FILE).write_text("max_amount = 5\n")
    (folder / FILE).write_text("max_amount = 6\n")
    assert load({}).max_amount == 5
    assert load({"PAYGATE_DATA": "mine"}).max_amount == 6
    settings = load({"PAYGATE_DATA": "elsewhere"}, data=folder)
    assert (settings.max_amount, settings.data) == (6, folder)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"max_amount", "paygate.toml, line 1, column 11: Expected '='"),
        (b"# fine\nmax_amount = 5 6\n", "paygate.toml, line 2, column 16: "),
        (b"max_amount = 5\nmax_amount = 6\n", "paygate.toml, line 2, column 15: "),
        (b'kek = "x"\nstripe_api_key = "hunter2', "paygate.toml, line 2, column 26: "),
        (b'kek = "x"\n# caf\xe9\n', "paygate.toml, line 2, column 6: not UTF-8"),
        (b"\xff\xfe", "paygate.toml, line 1, column 1: not UTF-8"),
        (None, "cannot read paygate.toml: Is a directory"),
    ],
)
def test_a_file_that_does_not_read_stops_the_start_and_says_where(
    tmp_path: Path, content: bytes | None, where: str
) -> None:
    if content is None:
        (tmp_path / FILE).mkdir()
    else:
        (tmp_path / FILE).write_bytes(content)
    assert refused({}).startswith(where)


def test_a_fault_in_the_file_is_placed(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('\nmax_amounts = 5\n  lock_ttl = "hunter2"\n[stripe]\nx = 1\n')
    unknown, wrong, table = refused({}).split("; ")
    assert unknown.endswith("did you mean PAYGATE_MAX_AMOUNT?) (paygate.toml, line 2)")
    assert wrong.endswith("24h or 14d (paygate.toml, line 3)")
    assert table.startswith("PAYGATE_STRIPE is not a setting")
    assert table.endswith("(paygate.toml, line 4)")


@pytest.mark.parametrize("value", ["true", "1.5", "[1]", "1979-05-27", "0"])
def test_a_value_of_another_kind_in_the_file_stops_the_start(tmp_path: Path, value: str) -> None:
    (tmp_path / FILE).write_text(f"max_amount = {value}\n")
    assert refused({}).startswith("PAYGATE_MAX_AMOUNT must be")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("STRIPE_API_KEY", "sk_test_hunter2"),
        ("STRIPE_API_KEY", "rk_test_hunter2"),
        ("STRIPE_API_BASE", "http://stripe.example"),
        ("RATE_LIMIT", "off"),
        ("DATABASE_URL", "postgresql://u:hunter2@db.example/x"),
        ("DATABASE_URL", "postgresql://u:hunter2@db.example/x?sslmode=require"),
        ("DATABASE_URL", "postgresql://u:hunter2@localhost,db.example/x"),
        ("DATABASE_URL", "postgresql:///x?service=elsewhere"),
        ("PUBLIC_URL", "http://localhost:8080"),
        ("ALLOWED_ORIGINS", "https://shop.example,http://localhost:8090"),
    ],
)
def test_production_refuses_what_is_for_development(name: str, text: str) -> None:
    values = {f"PAYGATE_{name}": text}
    load(values)
    message = refused(values | {"PAYGATE_ENVIRONMENT": "production"})
    assert message.startswith("production refuses ")
    assert message.endswith(f"PAYGATE_{name}")


def test_production_takes_a_live_key() -> None:
    values = {"PAYGATE_ENVIRONMENT": "production", "PAYGATE_STRIPE_API_KEY": "sk_live_1"}
    assert load(values).environment == "production"


def test_sweeps_ask_as_fast_as_the_mode_of_the_key_allows() -> None:
    assert [provider_rate(load({}), livemode=mode) for mode in (True, False)] == [
        Rate(80, 1),
        Rate(20, 1),
    ]
    slower = load({"PAYGATE_PROVIDER_RATE": "600/minute"})
    assert provider_rate(slower, livemode=True) == Rate(600, 60)


@pytest.mark.parametrize(("livemode", "a_second"), [(True, 20), (False, 5)])
def test_what_nobody_waits_for_has_a_quarter_of_it(livemode: bool, a_second: int) -> None:
    pace = pace_of(load({}), None, livemode=livemode)
    assert turns_in(30, pace) == pytest.approx(30 * a_second, abs=2)


def test_production_limits_more() -> None:
    assert load({"PAYGATE_ENVIRONMENT": "production"}).rate_limit == Rate(100, 1)


@pytest.mark.parametrize("name", ["PAYGATE_TLS_CERT", "PAYGATE_TLS_KEY"])
def test_certificate_and_key_go_together(name: str) -> None:
    assert refused({name: "x.pem"}) == "PAYGATE_TLS_CERT and PAYGATE_TLS_KEY go together"


def test_behind_trusted_proxies_no_certificate_is_needed() -> None:
    given = dict.fromkeys(TO_SERVE.always, "file:/x") | {
        "database_url": "postgresql://db/x",
        "stripe_webhook_secrets": "whsec_1",
    }
    given = {name: text for name, text in given.items() if name not in ("tls_cert", "tls_key")}
    environ = {f"PAYGATE_{name.upper()}": text for name, text in given.items()}
    assert not load(environ).behind_proxies_alone
    with pytest.raises(SettingsError, match="PAYGATE_TLS_CERT is not set"):
        load(environ, needs=TO_SERVE)
    proxied = environ | {"PAYGATE_TRUSTED_PROXIES": "10.0.0.1"}
    assert load(proxied, needs=TO_SERVE).behind_proxies_alone
    with pytest.raises(SettingsError, match="PAYGATE_TLS_KEY is not set"):
        load(proxied | {"PAYGATE_TLS_CERT": "c.pem"}, needs=TO_SERVE)


def test_everything_wrong_is_said_at_once() -> None:
    environ = {
        "PAYGATE_STRIPE_WEBHOOK_SECRET": "hunter2",
        "PAYGATE_LOCK_TTL": "hunter2",
        "PAYGATE_KEK": "hunter2",
        "PAYGATE_STRIPE_API_KEY": "sk_test_hunter2",
    }
    with pytest.raises(SettingsError) as refusal:
        load(environ, needs=TO_SERVE)
    message = str(refusal.value)
    assert "hunter2" not in message
    unknown, *others = message.split(" (in the environment", maxsplit=1)[0].split("; ")
    assert unknown.endswith("this version (did you mean PAYGATE_STRIPE_WEBHOOK_SECRETS?)")
    address = "postgresql://paygate:PASSWORD@db.example/paygate?sslmode=verify-full"
    assert others == [
        "PAYGATE_LOCK_TTL must be a duration such as 30s, 5m, 24h or 14d",
        "PAYGATE_KEK must be a URL that starts with file: or hcvault: or aws-kms: or gcp-kms:",
        f"PAYGATE_DATABASE_URL is not set, such as {address}",
        "PAYGATE_STRIPE_WEBHOOK_SECRETS is not set, such as whsec_SECRET",
        "PAYGATE_TLS_CERT is not set, such as /etc/paygate/tls/cert.pem",
        "PAYGATE_TLS_KEY is not set, such as /etc/paygate/tls/key.pem",
    ]


def test_all_that_production_refuses_is_said_at_once() -> None:
    environ = {"PAYGATE_ENVIRONMENT": "production", "PAYGATE_RATE_LIMIT": "off"}
    message = refused(environ | {"PAYGATE_STRIPE_API_KEY": "sk_test_1"})
    assert message.count("production refuses") == 2


def test_production_needs_more_to_serve() -> None:
    given = dict.fromkeys(TO_SERVE.always, "file:/x")
    given |= {"database_url": "postgresql://db/x", "stripe_webhook_secrets": "whsec_1"}
    environ = {f"PAYGATE_{name.upper()}": text for name, text in given.items()}
    load(environ, needs=TO_SERVE)
    with pytest.raises(SettingsError) as refusal:
        load(environ | {"PAYGATE_ENVIRONMENT": "production"}, needs=TO_SERVE)
    for name in TO_SERVE.in_production:
        assert f"PAYGATE_{name.upper()} is not set, such as " in str(refusal.value)


# The example of a file's path is no file here.
@pytest.mark.parametrize("name", [name for name in _SETTINGS if name != "fee_rules"])
def test_every_setting_has_an_example_that_is_taken(name: str) -> None:
    setting = _SETTINGS[name]
    text = setting.example or setting.default
    assert text is not None
    setting.parse(text)


@pytest.mark.parametrize("name", ["database_url", "stripe_api_key", "stripe_webhook_secrets"])
def test_what_a_command_needs_is_asked_for_by_name(name: str) -> None:
    with pytest.raises(SettingsError, match=f"PAYGATE_{name.upper()} is not set"):
        load({}).require(name)


def test_settings_do_not_show_their_secrets() -> None:
    settings = load(
        {
            "PAYGATE_STRIPE_API_KEY": "sk_test_hunter2",
            "PAYGATE_STRIPE_WEBHOOK_SECRETS": "whsec_hunter2",
            "PAYGATE_DATABASE_URL": "postgresql://u:hunter2@db/paygate",
            "PAYGATE_LIMITS_URL": "valkey://:hunter2@limits",
        }
    )
    assert "hunter2" not in f"{settings!r} {settings} {[settings]}"


@pytest.mark.parametrize(
    "text",
    [
        '"',
        "\\",
        "a\\nb",
        "'''",
        '"""',
        "#=[]",
        "\u00e9\u65e5\u672c\U0001f512",
        "${HOME}",
        "a" * 9999,
    ],
)
def test_what_is_written_is_what_is_read(tmp_path: Path, text: str) -> None:
    write(tmp_path / FILE, {"stripe_api_key": text, "max_amount": "7"})
    settings = load({})
    assert (settings.stripe_api_key, settings.max_amount) == (text, 7)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / FILE
    write(path, {"max_amount": "7"})
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    write(path, {"max_amount": "8"})
    assert path.stat().st_mode & 0o777 == 0o600
    assert load({}).max_amount == 8
