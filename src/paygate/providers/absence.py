"""What a provider does not have, and that it did not tell."""

import msgspec


class Absent(msgspec.Struct, frozen=True):
    """The provider says that it has no such object. One miss proves nothing."""


class ProviderSilent(Exception):
    """The provider could not be asked just now."""
