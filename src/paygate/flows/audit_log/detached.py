"""Months of the audit log that were taken away: what the entries say that declare so."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from paygate.domain.audit import AuditEntry

ENDS: Final = "ends"
GAPS: Final = "gaps"
"""The details of such an entry: up to when everything was taken away, and the declared gaps among
that. Each such entry says it for all before as well."""


class Detached(NamedTuple):
    """Up to when entries may be missing, and the gaps among them; `entries` declared it."""

    before: datetime
    gaps: frozenset[str]
    entries: frozenset[str]


NOTHING: Final = Detached(datetime(1, 1, 1, tzinfo=UTC), frozenset(), frozenset())


def detached_in(entries: Sequence[AuditEntry]) -> Detached:
    """What entries declare together."""
    if not entries:
        return NOTHING
    latest = max(entries, key=lambda entry: datetime.fromisoformat(entry.details[ENDS]))
    return Detached(
        datetime.fromisoformat(latest.details[ENDS]),
        frozenset(latest.details.get(GAPS, "").split(",")) - {""},
        frozenset({latest.id}),
    )
