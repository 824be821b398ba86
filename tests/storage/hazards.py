"""What tests of the commit door provoke on a real server."""

import asyncio

from paygate.storage.change import Change
from paygate.storage.connections.session import Connection
from tests.making import make_audit, make_intent

SLEEP_IN_INSERT = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON payment_intent FOR EACH ROW EXECUTE FUNCTION slow();
"""


def create() -> Change:
    """A change that makes one intent."""
    return Change(make_audit(), creates=(make_intent(),))


async def until_sleeping(connection: Connection) -> None:
    """Wait until some backend is inside the slow trigger."""
    while not await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        " AND datname = current_database()"
    ):
        await asyncio.sleep(0.01)
