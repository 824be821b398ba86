"""A program: writes an intent through the code that it is given, and reads it in every way.

`python -m tests.storage.one_more_column <dsn> <folder>`, with the code in front of the path. Its
intents have the column `provider` in clear.
"""

import asyncio
import sys
from pathlib import Path

import paygate
from paygate.domain.payments.payment_intent import PaymentIntent, Trigger, advance
from paygate.storage.change import Change, Committed
from paygate.storage.commit.committer import Committer
from paygate.storage.connections.database import connector
from paygate.storage.connections.pool import open_pool
from paygate.storage.door import Door
from paygate.storage.pages import Cut, beyond_all
from paygate.storage.reader import IntentFilters, Reader
from paygate.storage.records import Records
from paygate.storage.schema.migrate import migrate
from paygate.storage.unreadable import Tampered
from paygate.storage.whole_ledger import WholeLedger
from tests.making import START, make_attempt, make_audit, make_intent, make_records


async def main(dsn: str, folder: Path) -> None:
    """Raises when a row is not written, or does not open as what was written."""
    assert Path(str(paygate.__file__)).is_relative_to(folder), paygate.__file__
    connect, records = connector(dsn, name="one more column"), make_records(folder)
    assert len(await migrate(connect)) == 1
    committer, pool = Committer(connect), open_pool(dsn, name="one more column")
    await committer.open()
    door, reader = Door(records, committer), Reader(pool, pool, records)
    intent = make_intent()
    attempt, after = make_attempt(intent), advance(intent, Trigger.CONFIRM, START)
    assert await door.commit(Change(make_audit(), creates=(intent,))) == Committed()
    confirm = Change(make_audit(), creates=(attempt,), advances=(after,))
    assert await door.commit(confirm) == Committed()
    await committer.close()
    assert await reader.payment_intent("default", intent.id) == after
    assert await reader.attempt_with_intent("default", attempt.id) == (after, attempt)
    cut = Cut(limit=10, bound=beyond_all("payment_intent"))
    page = await reader.payment_intents("default", cut, IntentFilters())
    assert (page.items, page.unread) == ((after,), ())
    async with WholeLedger(connect, records).session() as ledger:
        books = await ledger.of("default", intent.id)
    assert (books.intent, books.attempts) == (after, [attempt])
    pool.close()
    _compare(records, after)


def _compare(records: Records, intent: PaymentIntent) -> None:
    """Open rows in which another provider stands in clear, and none, as in a row of before."""
    ((_, _), (section, row)) = records.rows(Change(make_audit(), creates=(intent,)))
    named = dict(zip(section.table.names, row, strict=True))
    assert records.open(PaymentIntent, tuple((named | {"provider": None}).values())) == intent
    try:
        records.open(PaymentIntent, tuple((named | {"provider": "other"}).values()))
    except Tampered:
        print("opened")  # noqa: T201 -- read by the test


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
