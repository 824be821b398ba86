"""The merchants of the installation. Their ids are in clear: every row is theirs by that id.

A merchant is no sealed record, so it is not made through the door; one statement makes it and
its audit entry, or neither.
"""

import asyncpg

from paygate.domain.access.merchant import Merchant
from paygate.domain.audit import AuditEntry
from paygate.storage.blocks import QUERIES
from paygate.storage.change import Change, OutcomeUnknown, Unavailable
from paygate.storage.connections.database import reading
from paygate.storage.connections.pool import Pool
from paygate.storage.connections.session import Connection, tells_unreplicated
from paygate.storage.records import Records


class Merchants:
    """Raises `Unavailable` when the database does not answer."""

    def __init__(self, pool: Pool, records: Records) -> None:
        self._pool = pool
        self._records = records

    async def get(self, merchant_id: str) -> Merchant | None:
        """The merchant, or None."""
        with reading():
            row = await self._pool.fetchrow(QUERIES["merchant"], merchant_id)
        return None if row is None else _merchant(row)

    async def all(self) -> list[Merchant]:
        """Every merchant, the first one first."""
        with reading():
            rows = await self._pool.fetch(QUERIES["merchants"])
        return [_merchant(row) for row in rows]

    async def create(self, merchant_id: str, audit: AuditEntry) -> Merchant | None:
        """The merchant just made, its audit entry beside it; None when there is one of that id.

        Raises:
            OutcomeUnknown: the database was lost meanwhile: look whether it is there.
        """
        ((_, entry),) = self._records.rows(Change(audit))
        sent = unreplicated = False

        def hear(_: object, message: object) -> None:
            nonlocal unreplicated
            unreplicated = unreplicated or tells_unreplicated(message)

        async def create(connection: Connection) -> asyncpg.Record | None:
            nonlocal sent
            sent = True
            connection.add_log_listener(hear)
            try:
                return await connection.fetchrow(QUERIES["create_merchant"], merchant_id, *entry)
            finally:
                connection.remove_log_listener(hear)

        try:
            with reading():
                row = await self._pool.run(create)
        except Unavailable as error:
            if not sent:
                raise
            raise OutcomeUnknown("the database did not answer: see whether it is there") from error
        if unreplicated:
            raise OutcomeUnknown("the standby did not confirm: see whether it is there")
        return None if row is None else _merchant(row)


def _merchant(row: asyncpg.Record) -> Merchant:
    return Merchant(row["id"], row["created_at"])
