"""A gateway in good health, to be made ill one thing at a time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trustme

from paygate.crypto.kms import FileKms
from paygate.crypto.vault_transit import KeyFacts as VaultKeyFacts
from paygate.crypto.vault_transit import TokenFacts
from paygate.doctor.patient import KeyService, Patient, Vault
from paygate.providers.contract import ClockSkew
from paygate.providers.event_endpoints import EventEndpoint
from paygate.providers.stripe.inspection import KeyFacts
from paygate.settings import look
from paygate.storage.inspection import RoleFacts, ServerFacts, Session

T = TypeVar("T", bound=msgspec.Struct)
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
NONE = timedelta(0)
URL = "postgresql://gateway:hunter2@db.example/paygate?sslmode=verify-full"
SERVER = ServerFacts(
    version=17,
    settings={
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "log_statement": "none",
        "log_min_duration_statement": "-1",
        "log_parameter_max_length": "-1",
        "log_parameter_max_length_on_error": "0",
        "archive_mode": "on",
        "archive_command": "archive hunter2",
    },
    role=RoleFacts("gateway"),
    tls=True,
    ahead=NONE,
    within=NONE,
    archived_at=NOW - DAY / 24,
    sessions=[Session("paygate worker queue", "10.0.0.1"), Session("paygate api", "10.0.0.1")],
)
KEY = KeyFacts(account="acct_1", skew=ClockSkew(NONE, timedelta(seconds=1)))
IN_VAULT = KeyService(
    VaultKeyFacts(
        type="aes256-gcm96",
        derived=False,
        exportable=False,
        deletion_allowed=False,
        latest_version=2,
        made_at=NOW - DAY,
    ),
    TokenFacts(lasts=DAY, lifetime=2 * DAY, is_root=False, lacking=()),
)
ENDPOINT = EventEndpoint(
    provider_reference="we_1", url="https://pay.example/webhooks", faults=(), version_fault=None
)


class Health:
    """The files of a gateway in a folder, and the patient that they make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        self.certify()
        FileKms.create(folder / "kek")
        FileKms.create(folder / "kek-of-up", is_development=True)

    def certify(
        self, name: str = "pay.example", begin: datetime = NOW - DAY, days: float = 90
    ) -> None:
        """A certificate, its chain and its key, as a renewal leaves them."""
        leaf = self.authority.issue_cert(name, not_before=begin, not_after=begin + DAY * days)
        leaf.cert_chain_pems[0].write_to_path(self.folder / "tls.pem")
        leaf.private_key_pem.write_to_path(self.folder / "tls.key")
        (self.folder / "tls.key").chmod(0o600)

    def patient(self, **settings: str | None) -> Patient:
        """In production, with these settings in place of good ones."""
        values: dict[str, str | None] = {
            "environment": "production",
            "database_url": URL,
            "kek": (self.folder / "kek").as_uri(),
            "stripe_api_key": "rk_live_hunter2",
            "stripe_webhook_secrets": "whsec_hunter2",
            "public_url": "https://pay.example",
            "return_url_hosts": "shop.example",
            "audit_checkpoints": "https://witness.example/paygate",
            "tls_cert": str(self.folder / "tls.pem"),
            "tls_key": str(self.folder / "tls.key"),
            "alert_urls": "jsons://hunter2:hunter2@alerts.example",
            **settings,
        }
        environ = {f"PAYGATE_{k.upper()}": v for k, v in values.items() if v is not None}
        looked = look(environ, data=self.folder)
        return Patient(
            settings=looked.settings,
            refused=looked.refused,
            at_odds=looked.together,
            at=NOW,
            database=SERVER,
            key_service=None,
            vault=Vault("acct_1", NOW - DAY),
            key=KEY,
            endpoints=[ENDPOINT],
        )


def but(value: T, **changes: Any) -> T:
    """A value with some fields changed."""
    return msgspec.structs.replace(value, **changes)


def server(**changes: Any) -> ServerFacts:
    """The server's facts with some changed; its settings one by one, as `x=...` in `settings`."""
    settings = {**SERVER.settings, **changes.pop("settings", {})}
    return ServerFacts(**{**msgspec.structs.asdict(SERVER), **changes, "settings": settings})
