"""Where a provider sends its events, as set-up finds and makes it."""

import msgspec

from paygate.crypto.secret import Secret


class EventEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the provider sends events, and in what that differs from what we need."""

    provider_reference: str
    url: str
    faults: tuple[str, ...]
    """Sentences; a change of the endpoint mends them."""
    version_fault: str | None
    """Only a new endpoint has another version."""


class EndpointMade(msgspec.Struct, frozen=True):
    """A new endpoint, and the secret that its deliveries are signed with: told once."""

    endpoint: EventEndpoint
    secret: Secret


class EventEndpointsError(Exception):
    """The provider refuses, or did not answer. The message never quotes it."""
