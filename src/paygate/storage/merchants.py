"""The merchants of the installation. Their ids are in clear: every row is theirs by that id.

A merchant is no sealed record, so it is not made through the door; one statement makes it and
its audit entry, or neither.
"""

import asyncpg

from paygate.domain.audit import AuditEntry
from paygate.domain.merchant import Merchant
from paygate.storage.change import Change, OutcomeUnknown
from paygate.storage.committer import DRIVER_FAULTS
from paygate.storage.database import Pool, answering
from paygate.storage.reader import QUERIES
from paygate.storage.records import Records


class Merchants:
    """Raises `Unavailable` when the database does not answer."""

    def __init__(self, pool: Pool, records: Records) -> None:
        self._pool = pool
        self._records = records

    async def get(self, merchant_id: str) -> Merchant | None:
        """The merchant, or None."""
        with answering():
            row = await self._pool.fetchrow(QUERIES["merchant"], merchant_id)
        return None if row is None else _merchant(row)

    async def all(self) -> list[Merchant]:
        """Every merchant, the first one first."""
        with answering():
            rows = await self._pool.fetch(QUERIES["merchants"])
        return [_merchant(row) for row in rows]

    async def create(self, merchant_id: str, audit: AuditEntry) -> Merchant | None:
        """The merchant just made, its audit entry beside it; None when there is one of that id.

        Raises:
            OutcomeUnknown: the database was lost meanwhile: look whether it is there.
        """
        ((_, entry),) = self._records.rows(Change(audit))
        with answering():
            connection = await self._pool.acquire()
        try:
            row = await connection.fetchrow(QUERIES["create_merchant"], merchant_id, *entry)
        except (OSError, *DRIVER_FAULTS) as error:
            raise OutcomeUnknown("the database did not answer: see whether it is there") from error
        finally:
            await self._pool.release(connection)
        return None if row is None else _merchant(row)


def _merchant(row: asyncpg.Record) -> Merchant:
    return Merchant(row["id"], row["created_at"])
