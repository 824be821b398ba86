"""What is read of the audit log, in pages. Every commit writes it, and nothing else does."""

from datetime import datetime
from typing import Final

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


class AuditLog(Reading):
    """Raises as `Reading` does."""

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
