"""What is read of the audit log, in pages. Every commit writes it, and nothing else does."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from paygate.domain.access.roles import Action
from paygate.domain.audit import AuditEntry
from paygate.storage.pages import Cut, Page, beyond_all, first_id
from paygate.storage.reading import Reading

_BEYOND: Final = beyond_all("audit_entry")


class AuditFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries a list shows; None lets all pass. Times are exclusive.

    Entries of before their columns in clear (migration 0025) pass no filter but that of time.
    """

    subject: str | None = None
    """The id of the object that was touched."""
    subject_prefix: str | None = None
    """What the ids of all objects of one type begin with."""
    action: Action | None = None
    actor: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


class Sealed(NamedTuple):
    """An entry's place in the chain."""

    number: int
    hash: bytes


class AuditLog(Reading):
    """Raises as `Reading` does."""

    async def entry(self, merchant: str, entry_id: str, at: datetime) -> AuditEntry | None:
        """The entry, or None."""
        rows = await self._fetch_all("audit_entry_stored", merchant, entry_id, at)
        return self._open(AuditEntry, rows[0]) if rows else None

    async def seals_of(self, merchant: str, ids: Sequence[str]) -> Mapping[str, Sealed]:
        """The places of a merchant's entries in the chain, by id; of those that have one."""
        rows = await self._fetch_all("audit_seals_of", merchant, ids)
        return {row["entry"]: Sealed(row["number"], row["hash"]) for row in rows}

    async def page(self, merchant: str, cut: Cut, filters: AuditFilters) -> Page[AuditEntry]:
        """A page of the merchant's entries that pass the filters."""
        after, before = filters.created_after, filters.created_before
        return await self._page(
            AuditEntry,
            "audit_entries_older",
            "audit_entries_newer",
            cut,
            merchant,
            # An id begins with its entry's time, so the times bound the scan.
            first_id("audit_entry", after) if after else "",
            first_id("audit_entry", before, later=1) if before else _BEYOND,
            filters.subject,
            filters.subject_prefix,
            filters.action,
            filters.actor,
            after,
            before,
        )
