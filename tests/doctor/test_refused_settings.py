"""A setting that is refused: said once, with what it takes, and everything else is looked at."""

import pytest

from paygate.doctor.checks import CHECKS, Check
from paygate.doctor.finding import Verdict
from paygate.settings import Settings
from tests.doctor.patients import Health, but
from tests.doctor.test_checks import ILL, of
from tests.doctor.test_checks import health as health  # noqa: PLC0414 -- a fixture

REFUSED = {
    "environment": "hunter2",
    "database_url": "postgresql://u:hun/ter2@db/paygate",
    "owner_database_url": "hunter2",
    "kek": "hunter2",
    "stripe_api_key": "hunter2\n",
    "stripe_webhook_secrets": "hunter2",
    "alert_urls": "hunter2",
    "audit_checkpoints": "hunter2",
    "tls_cert": "hunter2\n",
    "public_url": "hunter2",
    "trusted_proxies": "hunter2",
    "limits_url": "hunter2",
    "intent_ttl": "hunter2",
    "no_such_setting": "hunter2",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_setting_is_a_failed_check_and_stops_no_other(health: Health, name: str) -> None:
    """Checks that need it say so; all others say what they say of a good one."""
    good, found = of(health.patient()), of(health.patient(**{name: REFUSED[name]}))
    assert found["settings"].verdict is Verdict.WRONG
    assert f"PAYGATE_{name.upper()}" in found["settings"].message
    assert "hunter2" not in str(found)
    for check in CHECKS:
        if name in check.needs:
            assert found[check.name].verdict is Verdict.WARNING
            assert f"PAYGATE_{name.upper()} is refused" in found[check.name].message
        elif check.name != "settings":
            assert found[check.name] == good[check.name]


def test_what_production_refuses_of_good_settings_stops_no_check(health: Health) -> None:
    good, found = of(health.patient()), of(health.patient(rate_limit="off"))
    assert "PAYGATE_RATE_LIMIT" in found["settings"].message
    assert [name for name in found if found[name] != good[name]] == ["settings"]


class Recorder:
    """Settings that tell which of them were read."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> object:
        self.read.add(name)
        return getattr(self.settings, name)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_names_the_settings_that_it_reads(health: Health, check: Check) -> None:
    ill = [case.make(health) for case in ILL if case.check == check.name]
    for patient in (health.patient(), *ill):
        recorder = Recorder(patient.settings)
        check.look(but(patient, settings=recorder))
        if check.name != "settings":
            assert recorder.read - {"environment", "behind_proxies_alone"} <= set(check.needs)
