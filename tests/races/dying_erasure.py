"""A process that erases a customer, and is killed meanwhile."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from paygate.domain.event import Event
from paygate.flows.context import Context
from paygate.flows.customers.erase import erase_customer
from paygate.storage.dispute_files import DisputeFiles
from paygate.storage.erasure import Erasure, SealedEvent
from paygate.storage.reading import LONG_AGO
from tests.flows.world import World
from tests.races.durable_provider import Steps
from tests.races.dying import CALLER, Setting, opened


class ErasureSetting(Setting, frozen=True):
    """`customer` is who is erased."""

    customer: str = ""


class SteppedErasure(Erasure):
    """What does not go by the door, with a step on either side."""

    steps: Steps

    async def overwrite_event(self, before: SealedEvent, after: Event) -> bool:
        self.steps.step()
        done = await super().overwrite_event(before, after)
        self.steps.step()
        return done

    async def delete_webhook_body(self, merchant: str, event: str) -> bool:
        self.steps.step()
        waits = await super().delete_webhook_body(merchant, event)
        self.steps.step()
        return waits

    async def delete_bodies(
        self, account: str, objects: Any, limit: int, since: datetime = LONG_AGO
    ) -> int:
        self.steps.step()
        count = await super().delete_bodies(account, objects, limit, since)
        self.steps.step()
        return count


class SteppedFiles(DisputeFiles):
    """The files, with a step on either side of a deletion."""

    steps: Steps

    async def delete(self, merchant: str, file_id: str) -> None:
        self.steps.step()
        await super().delete(merchant, file_id)
        self.steps.step()


def erasing(ctx: Context, steps: Steps) -> Context:
    """The context, with those steps."""
    pool, records = ctx.read._pool, ctx.dispute_files._records
    erasure, files = SteppedErasure(pool, pool, records), SteppedFiles(pool, records)
    erasure.steps = files.steps = steps
    return msgspec.structs.replace(ctx, erasure=erasure, dispute_files=files)


async def setting_of(world: World, dsn: str, folder: Path, customer: str) -> ErasureSetting:
    """What makes a process of its own beside a world: its database, its keys."""
    rows = await world.connection.fetch("SELECT purpose, wrapped FROM keyset")
    wrapped = {row["purpose"]: row["wrapped"] for row in rows}
    return ErasureSetting(dsn, str(folder), wrapped, "erase", customer=customer)


def die_erasing(setting: ErasureSetting, kill_at: int) -> None:
    """The child's whole life."""

    async def live() -> None:
        steps = Steps(kill_at)
        async with opened(setting, steps) as ctx:
            await erase_customer(erasing(ctx, steps), CALLER, setting.customer)

    asyncio.run(live())
