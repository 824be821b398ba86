"""Every check, failing and passing; and the list of them, which docs/doctor.md shows."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from paygate.doctor.checks import CHECKS, diagnose
from paygate.doctor.finding import Finding, Verdict
from paygate.doctor.patient import Away, KeyService, Patient, Vault
from paygate.doctor.volume import is_encrypted
from paygate.providers.contract import ClockSkew
from paygate.storage.inspection import RoleFacts, Session, Slot
from tests.doctor.patients import DAY, ENDPOINT, IN_VAULT, KEY, NOW, SERVER, Health, but, server

WRONG, WARNING, OK = Verdict.WRONG, Verdict.WARNING, Verdict.OK
PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
CANNOT_PASS = {
    "kek": "a file warns; a Vault's key passes below",
    "volume_encryption": "this machine's disks are what they are; `is_encrypted` passes below",
}
"""Checks that no healthy patient of this machine passes, and why."""


class Case(NamedTuple):
    """An illness, and what is said of it."""

    check: str
    make: Callable[[Health], Patient]
    verdict: Verdict
    words: str


def with_server(**changes: object) -> Callable[[Health], Patient]:
    return lambda health: but(health.patient(), database=server(**changes))


def with_key(**changes: object) -> Callable[[Health], Patient]:
    return lambda health: but(health.patient(), key=but(KEY, **changes))


def with_endpoint(**changes: object) -> Callable[[Health], Patient]:
    return lambda health: but(health.patient(), endpoints=[but(ENDPOINT, **changes)])


VAULT = "hcvault://vault.example/transit/keys/paygate?token_file=/etc/paygate/token"


def in_vault(
    key: Mapping[str, object] = {}, token: Mapping[str, object] = {}
) -> Callable[[Health], Patient]:
    service = KeyService(
        IN_VAULT.key._replace(**key),  # type: ignore[arg-type]
        IN_VAULT.token._replace(**token),  # type: ignore[arg-type]
    )
    return lambda health: but(health.patient(kek=VAULT), key_service=service)


def vault_away(health: Health) -> Patient:
    return but(health.patient(kek=VAULT), key_service=Away("it is sealed"))


def with_settings(**settings: str | None) -> Callable[[Health], Patient]:
    return lambda health: health.patient(**settings)


def with_role(**rights: bool) -> Callable[[Health], Patient]:
    return with_server(role=RoleFacts("gateway", **rights))


def development(**changes: object) -> Callable[[Health], Patient]:
    return lambda health: but(
        health.patient(environment="development", stripe_api_key="rk_test_1"), **changes
    )


def open_key(health: Health) -> Patient:
    (health.folder / "tls.key").chmod(0o644)
    return health.patient()


def open_folder(health: Health) -> Patient:
    (health.folder / "open").mkdir()
    (health.folder / "kek").rename(health.folder / "open" / "kek")
    (health.folder / "open").chmod(0o777)
    return health.patient(kek=(health.folder / "open" / "kek").as_uri())


def kek_open(health: Health) -> Patient:
    (health.folder / "kek").chmod(0o640)
    return health.patient()


def beside_the_data(health: Health) -> Patient:
    here = health.patient(database_url="postgresql:///paygate")
    return but(here, database=server(settings={"data_directory": str(health.folder)}))


def hidden_data(health: Health) -> Patient:
    return health.patient(database_url="postgresql:///paygate")


def half_rotated(health: Health) -> Patient:
    return but(health.patient(), vault=Vault("acct_1", NOW - DAY, rotation_unfinished=True))


def told_to_the_data(health: Health) -> Patient:
    place = (health.folder / "checkpoints.jsonl").as_uri()
    here = health.patient(database_url="postgresql:///paygate", audit_checkpoints=place)
    return but(here, database=server(settings={"data_directory": str(health.folder)}))


def told_beside_hidden_data(health: Health) -> Patient:
    place = (health.folder / "checkpoints.jsonl").as_uri()
    return health.patient(database_url="postgresql:///paygate", audit_checkpoints=place)


def told_far_away(health: Health) -> Patient:
    place = (health.folder / "checkpoints.jsonl").as_uri()
    here = health.patient(database_url="postgresql:///paygate", audit_checkpoints=place)
    return but(here, database=server(settings={"data_directory": "/nowhere/data"}))


def certified(**how: object) -> Callable[[Health], Patient]:
    def make(health: Health) -> Patient:
        health.certify(**how)  # type: ignore[arg-type]
        return health.patient()

    return make


def another_chain(health: Health) -> Patient:
    with (health.folder / "tls.pem").open("ab") as file:
        file.write(trustme.CA().cert_pem.bytes())
    return health.patient()


def unknown_authority(health: Health) -> Patient:
    health.authority = trustme.CA()
    health.certify()
    return health.patient()


def later(health: Health) -> Patient:
    return but(health.patient(), at=NOW + 2 * 365 * DAY)


ILL = [
    Case("settings", with_settings(return_url_hosts=None), WRONG, "PAYGATE_RETURN_URL_HOSTS"),
    Case("environment", development(), WARNING, "development"),
    Case("database", lambda h: but(h.patient(), database=Away("gone")), WRONG, "gone"),
    Case("database", with_server(schema_fault="lacks migration 9"), WRONG, "lacks migration 9"),
    Case("database_version", with_server(version=14), WRONG, "too old"),
    Case("database_durability", with_server(settings={"fsync": "off"}), WRONG, "fsync"),
    Case(
        "database_durability",
        with_server(settings={"full_page_writes": "off"}),
        WRONG,
        "full_page_writes",
    ),
    Case(
        "database_durability",
        with_server(settings={"synchronous_commit": "off"}),
        WRONG,
        "synchronous_commit",
    ),
    Case(
        "database_durability", with_server(settings={"data_checksums": "off"}), WARNING, "checksums"
    ),
    Case("database_role", with_role(superuser=True), WRONG, "is a superuser"),
    Case("database_role", with_role(bypasses_row_security=True), WRONG, "bypasses row security"),
    Case("database_role", with_role(owns_tables=True), WRONG, "owns the tables"),
    Case("database_role", with_role(makes_roles=True), WRONG, "may make roles"),
    Case("database_role", with_role(replicates=True), WRONG, "may replicate"),
    Case(
        "database_role",
        development(database=server(role=RoleFacts("g", superuser=True))),
        WARNING,
        "superuser",
    ),
    Case("database_log", with_server(settings={"log_statement": "all"}), WRONG, "parameters"),
    Case(
        "database_log",
        with_server(settings={"log_min_duration_statement": "100"}),
        WRONG,
        "parameters",
    ),
    Case(
        "database_log",
        with_server(settings={"log_transaction_sample_rate": "0.1"}),
        WRONG,
        "parameters",
    ),
    Case(
        "database_log",
        with_server(settings={"log_parameter_max_length_on_error": "-1"}),
        WRONG,
        "parameters",
    ),
    Case(
        "database_log",
        with_server(settings={"auto_explain.log_min_duration": "0"}),
        WRONG,
        "parameters",
    ),
    Case("database_tls", with_server(tls=False), WRONG, "not over verified TLS"),
    Case(
        "database_tls",
        with_settings(environment="development", database_url="postgresql://db.example/x"),
        WARNING,
        "read along",
    ),
    Case("database_tls", lambda h: but(h.patient(), database=Away("gone")), WARNING, "gone"),
    Case("database_tls", with_settings(database_url=None), WRONG, "not set"),
    Case("database_clock", with_server(ahead=timedelta(seconds=9)), WRONG, "9 seconds ahead"),
    Case("database_clock", with_server(ahead=-timedelta(seconds=9)), WRONG, "9 seconds behind"),
    Case("months", with_server(months_lacking=["event"]), WARNING, "months of event"),
    Case("kek", with_settings(kek=None), WRONG, "PAYGATE_KEK is not set"),
    Case("kek", with_settings(kek="file:/nowhere/kek"), WRONG, "there is no KEK file"),
    Case("kek", kek_open, WRONG, "open to others"),
    Case(
        "kek",
        lambda h: h.patient(kek=(h.folder / "kek-of-up").as_uri()),
        WRONG,
        "`paygate up` made",
    ),
    Case("kek", with_settings(), WARNING, "in a file"),
    Case("kek", with_settings(kek="hcvault://hunter2@vault/"), WRONG, "KMS address is hcvault:"),
    Case("kek", vault_away, WRONG, "it is sealed"),
    Case("kek", in_vault(key={"derived": True}), WRONG, "in Vault is derived"),
    Case("kek", in_vault(key={"exportable": True}), WARNING, "exported"),
    Case("kek", in_vault(key={"deletion_allowed": True}), WARNING, "deleted"),
    Case("kek_place", open_folder, WRONG, "everybody can exchange"),
    Case("kek_place", with_settings(kek="file:/nowhere/kek"), WRONG, "cannot look"),
    Case("kek_place", beside_the_data, WARNING, "the database's own volume"),
    Case("kek_place", hidden_data, WARNING, "cannot tell"),
    Case("data_key_age", later, WARNING, "is used for 731 days"),
    Case("data_key_age", half_rotated, WARNING, "is not finished"),
    Case(
        "owner_database_tls",
        with_settings(owner_database_url="postgresql://owner:hunter2@db.example/paygate"),
        WRONG,
        "when `paygate migrate` runs",
    ),
    Case("audit_checkpoints", with_settings(audit_checkpoints=None), WRONG, "cut off unseen"),
    Case("audit_checkpoints", told_to_the_data, WARNING, "own volume"),
    Case("audit_checkpoints", told_beside_hidden_data, WARNING, "cannot tell"),
    Case("audit_checkpoints", told_far_away, WARNING, "cannot be looked at"),
    Case("kek_age", later, WARNING, "days old"),
    Case("kek_age", in_vault(key={"made_at": NOW - 366 * DAY}), WARNING, "in Vault is 366 days"),
    Case("kek_age", vault_away, WARNING, "it is sealed"),
    Case("kek_token", vault_away, WARNING, "it is sealed"),
    Case("kek_token", in_vault(token={"lacking": ("encrypt",)}), WRONG, "for: encrypt"),
    Case("kek_token", in_vault(token={"is_root": True}), WRONG, "root token"),
    Case("kek_token", in_vault(token={"lasts": DAY / 24}), WARNING, "ends in 60 minutes"),
    Case("kek_age", with_settings(kek="file:/nowhere/kek"), WRONG, "cannot look"),
    Case("keys", lambda h: but(h.patient(), vault=Away("does not open")), WRONG, "does not open"),
    Case("certificate", with_settings(tls_cert=None, tls_key=None), WRONG, "not set"),
    Case("certificate", with_settings(tls_key="/nowhere/tls.key"), WRONG, "cannot be served"),
    Case(
        "certificate",
        lambda h: h.patient(tls_key=str(h.folder / "ca.pem")),
        WRONG,
        "cannot be served",
    ),
    Case("certificate", open_key, WRONG, "everybody can read"),
    Case("certificate_lifetime", certified(begin=NOW - 91 * DAY), WRONG, "ended"),
    Case("certificate_lifetime", certified(begin=NOW + DAY), WRONG, "begins"),
    Case("certificate_lifetime", certified(days=3), WRONG, "ends in"),
    Case("certificate_lifetime", certified(days=15), WARNING, "ends in 13 days"),
    Case("certificate_names", certified(name="shop.example"), WRONG, "not for pay.example"),
    Case("certificate_names", certified(name="*.pay.example"), WRONG, "not for pay.example"),
    Case("certificate_chain", another_chain, WRONG, "another order"),
    Case("certificate_chain", unknown_authority, WARNING, "no authority"),
    Case("certificate_profile", certified(days=900), WRONG, "valid for more than 398"),
    Case("volume_encryption", with_settings(), WARNING, "cannot tell"),
    Case("volume_encryption", beside_the_data, WARNING, "none of dm-crypt's"),
    Case("backups", with_server(settings={"archive_mode": "off"}), WARNING, "cannot tell"),
    Case("backups", with_server(settings={"archive_command": ""}), WRONG, "piles up"),
    Case("backups", with_server(archiving_failed_at=NOW), WRONG, "archiving fails"),
    Case("backups", with_server(archived_at=NOW - 2 * DAY), WARNING, "within a day"),
    Case("backups", with_server(archived_at=None), WARNING, "within a day"),
    Case("replication_slots", with_server(slots=[Slot("old", False, "")]), WARNING, "old"),
    Case("replication_slots", with_server(slots=[Slot("far", True, "lost")]), WRONG, "far"),
    Case("provider_mode", with_settings(stripe_api_key=None), WRONG, "not set"),
    Case("provider_mode", with_settings(stripe_api_key="pk_live_hunter2"), WRONG, "must start"),
    Case("provider_mode", with_settings(environment="development"), WARNING, "safety rails"),
    Case("provider_mode", with_settings(stripe_api_key="sk_live_hunter2"), WARNING, "everything"),
    Case("provider_key", with_key(refused=True), WRONG, "does not take"),
    Case("provider_key", with_key(away="no answer"), WARNING, "no answer"),
    Case("provider_rights", with_key(unreadable=("/v1/refunds",)), WRONG, "/v1/refunds"),
    Case("provider_account", with_key(account="acct_2"), WRONG, "another account"),
    Case("provider_account", with_key(account=None), WARNING, "may not tell"),
    Case(
        "provider_clock",
        with_key(skew=ClockSkew(timedelta(seconds=9), timedelta(seconds=1))),
        WRONG,
        "9 seconds behind",
    ),
    Case("provider_clock", with_key(skew=None), WARNING, "no time"),
    Case("provider_endpoint", lambda h: but(h.patient(), endpoints=[]), WRONG, "nowhere"),
    Case(
        "provider_endpoint",
        lambda h: but(h.patient(), endpoints=[ENDPOINT, ENDPOINT]),
        WRONG,
        "2 endpoints",
    ),
    Case("provider_endpoint", with_endpoint(faults=("it is disabled",)), WRONG, "disabled"),
    Case("provider_endpoint", with_endpoint(version_fault="old"), WRONG, "we_1: old"),
    Case("signing_secret", with_settings(stripe_webhook_secrets=None), WRONG, "not set"),
    Case("signing_secret", with_settings(stripe_webhook_secrets="whsec_a,whsec_2"), WARNING, "2 s"),
    Case("alert_channels", with_settings(alert_urls=None), WARNING, "no channel"),
    Case("alert_channels", with_settings(alert_urls="nonsense://x"), WRONG, "1-nonsense"),
    Case("worker", with_server(sessions=[]), WRONG, "no worker"),
    Case(
        "limits",
        with_server(sessions=[*SERVER.sessions, Session("paygate api", "10.0.0.2")]),
        WARNING,
        "2 nodes",
    ),
]


@pytest.fixture
def health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Health:
    """Whose authority this machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return Health(tmp_path)


def of(patient: Patient) -> dict[str, Finding]:
    return {finding.check: finding for finding in diagnose(patient)}


def test_a_gateway_in_good_health_passes(health: Health) -> None:
    found = of(health.patient())
    assert {name for name, finding in found.items() if finding.verdict is not OK} == {*CANNOT_PASS}
    assert {f.mend for f in found.values() if f.verdict is OK} == {""}


@pytest.mark.parametrize("case", ILL, ids=lambda case: f"{case.check}: {case.words}")
def test_what_is_wrong_is_found_and_told_with_its_mend(case: Case, health: Health) -> None:
    findings = of(case.make(health))
    finding = findings[case.check]
    assert (finding.verdict, case.words in finding.message) == (case.verdict, True), finding
    assert finding.mend
    assert "hunter2" not in str(findings)


def test_behind_a_proxy_no_certificate_is_needed_here(health: Health) -> None:
    found = of(health.patient(tls_cert=None, tls_key=None, trusted_proxies="10.0.0.0/8"))
    assert (found["settings"].verdict, found["certificate"].verdict) == (OK, OK)
    assert found["certificate_lifetime"].verdict is WARNING


def test_a_key_in_a_vault_passes(health: Health) -> None:
    for token in ({}, {"lasts": None}):
        found = of(in_vault(token=token)(health))
        for name in ("kek", "kek_place", "kek_age", "kek_token"):
            assert found[name].verdict is OK, found[name]


def test_every_check_has_an_illness() -> None:
    assert {case.check for case in ILL} == {check.name for check in CHECKS}


def test_what_is_away_never_passes_and_stops_nothing(health: Health) -> None:
    away = Away("it is away")
    patient = but(health.patient(), database=away, vault=away, key=away, endpoints=away)
    found = diagnose(patient)
    assert len(found) == len(CHECKS)
    of_others = {"database_version", "keys", "worker", "provider_key", "provider_endpoint"}
    assert {f.verdict for f in found if f.check in of_others} == {WARNING}
    assert next(f for f in found if f.check == "database").verdict is WRONG


@pytest.mark.parametrize(
    ("uuids", "encrypted"),
    [
        ({"8:1": None}, False),
        ({"253:0": "CRYPT-LUKS2-a-data"}, True),
        ({"253:1": "LVM-b", "253:1/slaves/dm-0": "CRYPT-LUKS2-a"}, True),
        ({"253:1": "LVM-b", "253:1/slaves/sda1": None}, False),
        (
            {"253:1": "LVM-b", "253:1/slaves/dm-0": "CRYPT-LUKS2-a", "253:1/slaves/sdb": None},
            False,
        ),
        ({}, False),
    ],
)
def test_dm_crypt_is_known_below_other_mappings(
    uuids: dict[str, str | None], encrypted: bool, tmp_path: Path
) -> None:
    for device, uuid in uuids.items():
        (tmp_path / device / "dm").mkdir(parents=True)
        if uuid is not None:
            (tmp_path / device / "dm" / "uuid").write_text(uuid)
    assert is_encrypted(tmp_path / next(iter(uuids), "8:0")) is encrypted


def test_the_page_shows_the_list() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(check.name, check.about) for check in CHECKS]
