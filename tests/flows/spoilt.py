"""Rows that a hand, a disk or a lost key has made unreadable, and made good again."""

from tests.flows.world import World


async def spoil(world: World, table: str, record_id: str | None = None) -> None:
    """Add a byte to what is sealed: one record's, or all of a table."""
    await _change(world, table, "sealed || '\\x00'::bytea", record_id)


async def mend(world: World, table: str, record_id: str | None = None) -> None:
    """Take that byte away."""
    await _change(world, table, "substring(sealed FOR length(sealed) - 1)", record_id)


async def _change(world: World, table: str, sealed: str, record_id: str | None) -> None:
    run = world.connection.execute
    await run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await run(f"UPDATE {table} SET sealed = {sealed} WHERE id = coalesce($1, id)", record_id)
    await run(f"ALTER TABLE {table} ENABLE TRIGGER USER")
