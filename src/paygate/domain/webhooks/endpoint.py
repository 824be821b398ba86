"""A webhook endpoint: where a merchant wants to be told, of what, and signed with which secrets."""

from base64 import b64encode
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from paygate.domain.record import Recorded
from paygate.domain.webhooks.event_types import ALL

SECRET_BYTES: Final = 32
"""Standard Webhooks takes 24 to 64."""
SECRETS: Final = 5
"""Live at once. Each is a signature in every request, and a rotation is seldom."""
_PREFIX: Final = "whsec_"


class EndpointStatus(StrEnum):
    """Whether it is sent anything."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    DELETED = "deleted"
    """What is left is its history. Clients are not shown it."""


class DisabledBecause(StrEnum):
    """Why we disabled an endpoint, and not its merchant."""

    FAILING = "failing"
    """It took nothing for three days."""
    GONE = "gone"
    """It answered 410."""


class SigningSecret(Recorded, frozen=True):
    """`ends_at` is when it signs no longer: None for the newest."""

    key: bytes
    ends_at: datetime | None = None

    @property
    def text(self) -> str:
        """As Standard Webhooks writes it."""
        return _PREFIX + b64encode(self.key).decode()

    def __repr__(self) -> str:
        return "<signing secret>"


class WebhookEndpoint(Recorded, frozen=True, kw_only=True):
    """`secrets` has the newest first. `failing_since` is the first failure after which nothing was
    delivered any more.
    """

    id: str
    merchant: str
    livemode: bool
    url: str
    events: tuple[str, ...]
    status: EndpointStatus
    secrets: tuple[SigningSecret, ...]
    created_at: datetime
    updated_at: datetime
    version: int = 1
    description: str | None = None
    failing_since: datetime | None = None
    disabled_because: DisabledBecause | None = None

    @property
    def enabled(self) -> bool:
        """Whether it is sent anything."""
        return self.status is EndpointStatus.ENABLED

    def wants(self, event_type: str) -> bool:
        """Whether it asked for events of this type."""
        return ALL in self.events or event_type in self.events

    def live_secrets(self, now: datetime) -> tuple[SigningSecret, ...]:
        """Those that sign at `now`, the newest first."""
        return tuple(s for s in self.secrets if s.ends_at is None or now < s.ends_at)

    def secret_expires_at(self, now: datetime) -> datetime | None:
        """When the last of the older secrets ends; None when there is one alone."""
        return max((s.ends_at for s in self.live_secrets(now) if s.ends_at), default=None)


def changed(endpoint: WebhookEndpoint, now: datetime, **changes: Any) -> WebhookEndpoint:
    """The endpoint, one version on. What is enabled begins anew: nothing has failed yet."""
    if changes.get("status") is EndpointStatus.ENABLED and not endpoint.enabled:
        changes |= {"failing_since": None, "disabled_because": None}
    return msgspec.structs.replace(
        endpoint,
        version=endpoint.version + 1,
        updated_at=max(now, endpoint.updated_at),
        **changes,
    )


def rotated(
    endpoint: WebhookEndpoint, key: bytes, overlap: timedelta, now: datetime
) -> WebhookEndpoint:
    """The endpoint with a new secret. Every older one ends after the overlap, or when it would
    have ended anyway: a second rotation within the first one's overlap keeps both of the old.
    """
    ends = now + overlap
    older = tuple(
        SigningSecret(s.key, min(ends, s.ends_at or ends)) for s in endpoint.live_secrets(now)
    )
    return changed(endpoint, now, secrets=(SigningSecret(key), *older))


def deleted(endpoint: WebhookEndpoint, now: datetime) -> WebhookEndpoint:
    """What is left of it: its history needs no secret."""
    return changed(endpoint, now, status=EndpointStatus.DELETED, secrets=())


def disabled(endpoint: WebhookEndpoint, because: DisabledBecause, now: datetime) -> WebhookEndpoint:
    """The endpoint once we gave it up."""
    return changed(endpoint, now, status=EndpointStatus.DISABLED, disabled_because=because)
