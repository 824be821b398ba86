"""An API key as we keep it: never the key itself, only a keyed hash of it."""

from datetime import datetime
from typing import Literal

from paygate.domain.access.roles import Role
from paygate.domain.record import Recorded


class ApiKey(Recorded, frozen=True, kw_only=True):
    """`side` tells a server's key (`sk`) from a browser's (`pk`)."""

    id: str
    merchant: str
    name: str | None
    role: Role
    side: Literal["sk", "pk"]
    livemode: bool
    hint: str
    secret_hash: bytes
    created_at: datetime
    updated_at: datetime
    version: int = 1
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def valid_at(self, now: datetime) -> bool:
        """Whether the key opens anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
