"""A hand in the database: a connection of no pool and no lane, which may write all the same."""

from typing import Any

import asyncpg

from paygate.storage.commit.committer import Connection
from paygate.storage.schema.versions import ANNOUNCED


async def raw(dsn: str, **more: Any) -> Connection:
    """It announces itself as a writer of this version; the schema refuses one that does not."""
    return await asyncpg.connect(dsn, server_settings=dict(ANNOUNCED), **more)


def lowest(writer: int) -> str:
    """What a migration says that older code must not write beside."""
    return (
        "CREATE OR REPLACE FUNCTION lowest_writer() RETURNS integer LANGUAGE plpgsql STABLE"
        f" AS $$ BEGIN RETURN {writer}; END $$"
    )
