"""What is known of a gateway when its checks begin."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import msgspec

from paygate.crypto.vault_transit import KeyFacts as VaultKeyFacts
from paygate.crypto.vault_transit import TokenFacts
from paygate.doctor.finding import Said, warning, wrong
from paygate.providers.event_endpoints import EventEndpoint
from paygate.providers.stripe.inspection import KeyFacts
from paygate.settings import Settings
from paygate.storage.inspection import ServerFacts


def refusal(refused: Mapping[str, str], names: Iterable[str]) -> "Away | None":
    """Why something cannot be looked at that needs these settings, where one is refused."""
    needed = [f"PAYGATE_{name.upper()}" for name in names if name in refused]
    return Away(f"{', '.join(needed)} is refused (see settings)") if needed else None


class Away(msgspec.Struct, frozen=True):
    """Something that could not be looked at, and why."""

    reason: str


class KeyService(msgspec.Struct, frozen=True):
    """What a Vault tells of the key-encryption key, and of our token."""

    key: VaultKeyFacts
    token: TokenFacts


class Vault(msgspec.Struct, frozen=True):
    """What the installation's own keys opened, and how old they are: the account that its payments
    are at, if any.
    """

    pinned_account: str | None
    key_used_since: datetime
    """Of the key that records are sealed under."""
    rotation_unfinished: bool = False


class Patient(msgspec.Struct, frozen=True, kw_only=True):
    """The settings and the facts. `Away` stands for what could not be had."""

    settings: Settings
    at: datetime
    database: ServerFacts | Away
    key_service: KeyService | Away | None
    """None: the key-encryption key is in no service that tells anything."""
    vault: Vault | Away
    key: KeyFacts | Away
    endpoints: Sequence[EventEndpoint] | Away
    refused: Mapping[str, str] = MappingProxyType({})
    """Settings that stop every start, each with the reason; to `settings` they are not set."""
    at_odds: Sequence[str] = ()
    """What production refuses of settings that are good by themselves."""

    @property
    def production(self) -> bool:
        return self.settings.environment == "production"

    def serious(self, message: str, mend: str) -> Said:
        """What must not be in production, and may while somebody tries the gateway."""
        return (wrong if self.production else warning)(message, mend)


def not_known(what: Away) -> Said:
    """A check that has nothing to look at never passes."""
    return warning(f"not known: {what.reason}", "Mend that, and run this again.")
