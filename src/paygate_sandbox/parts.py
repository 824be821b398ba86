"""What a sandbox consists of: the parts that changes read and write, put together from a store.

It must never change an object by itself: `engine` is the one way to that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from paygate_sandbox.clock import Clock, real_time
from paygate_sandbox.faults import Faults
from paygate_sandbox.ids import Ids
from paygate_sandbox.settling import Settling
from paygate_sandbox.settling import read as read_settling
from paygate_sandbox.store.balance_rows import BalanceRows
from paygate_sandbox.store.database import Database
from paygate_sandbox.store.events import EventLog
from paygate_sandbox.store.keys import IdempotencyKeys
from paygate_sandbox.store.objects import Objects
from paygate_sandbox.store.timers import Timers
from paygate_sandbox.webhooks.subscriptions import Subscriptions

SETTLING: Final = "settling"
"""Under which name the store keeps how the account settles."""


@dataclass(slots=True)
class Parts:
    """The parts of one sandbox; `base_url` is its own address once it listens."""

    database: Database
    account_id: str
    clock: Clock
    ids: Ids
    faults: Faults
    objects: Objects
    balance_rows: BalanceRows
    events: EventLog
    keys: IdempotencyKeys
    timers: Timers
    subscriptions: Subscriptions
    settling: Settling
    base_url: str = ""


def assemble(
    database: Database, seed: str | None, reading: Callable[[], float] = real_time
) -> Parts:
    """The parts of a sandbox that starts, once more, on this store."""
    boots = int(database.state("boots") or 0) + 1
    # Each start has ids of its own, or a seeded restart would give the same ones again.
    ids = Ids(seed, boots)
    with database.transaction():
        database.set_state("boots", str(boots))
        account_id = database.state("account") or ids.new("acct")
        database.set_state("account", account_id)
    objects = Objects(database.connection)
    return Parts(
        database=database,
        account_id=account_id,
        clock=Clock(int(database.state("clock_offset") or 0), reading),
        ids=ids,
        faults=Faults(),
        objects=objects,
        balance_rows=BalanceRows(database.connection),
        events=EventLog(database.connection),
        keys=IdempotencyKeys(database.connection),
        timers=Timers(database.connection),
        subscriptions=Subscriptions(objects),
        settling=read_settling(database.state(SETTLING)),
    )
