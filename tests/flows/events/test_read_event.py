"""An event by its id: looked for in the month that the id tells, and found in whichever it is."""

import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from paygate.domain import event as events
from paygate.domain.errors import Refusal
from paygate.domain.event import Event
from paygate.domain.ids import make_id
from paygate.flows.events.read import read_event
from paygate.storage.blocks import QUERIES
from paygate.storage.webhooks.reader import months_of_id
from tests.flows.world import World

TURN = datetime(2026, 12, 1, tzinfo=UTC)


async def looked_into(world: World, event_id: str) -> set[str]:
    """The partitions that the first look-up of an id reads."""
    (span,) = months_of_id(event_id)
    await world.connection.execute(f"PREPARE look AS {QUERIES['event']}")
    await world.connection.execute("SET plan_cache_mode = force_generic_plan")
    bounds = ", ".join(f"'{at.isoformat()}'" for at in span)
    plan = await world.connection.fetch(
        f"EXPLAIN (ANALYZE, TIMING OFF) EXECUTE look('default', '{event_id}', {bounds})"
    )
    await world.connection.execute("DEALLOCATE look")
    lines = [row[0] for row in plan if "never executed" not in row[0]]
    return set(re.findall(r"Scan using \w+ on (\w+)", "\n".join(lines)))


def id_at(at: datetime) -> str:
    return make_id("evt_", int(at.timestamp() * 1000), bytes(10))


async def made(world: World, *, id_drawn: datetime) -> Event:
    """An event of now, whose id another clock drew."""
    intent = await world.create()
    event = events.of(
        intent,
        "payment_intent.created",
        event_id=id_at(id_drawn),
        at=world.clock(),
        request_id=None,
    )
    row = [column[0] for column in world.records.columns([event])]
    await world.connection.execute(
        "INSERT INTO event (merchant, id, object_id, created_at, type, sealed)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        *row,
    )
    return event


async def test_an_id_is_looked_for_in_its_month(world: World) -> None:
    partitions = await world.connection.fetchval("SELECT count(*) FROM months_of('event')")
    assert partitions > 20
    ahead = TURN.replace(year=TURN.year + 1)
    assert len(await looked_into(world, id_at(ahead + timedelta(days=9)))) == 1
    assert len(await looked_into(world, id_at(ahead + timedelta(minutes=5)))) == 2
    assert len(await looked_into(world, id_at(ahead - timedelta(minutes=5)))) == 2


@pytest.mark.parametrize("days", [-400, -40, 0, 40, 400])
async def test_an_event_is_found_whatever_clock_drew_its_id(world: World, days: int) -> None:
    event = await made(world, id_drawn=world.clock() + timedelta(days=days))
    assert await read_event(world.ctx, world.caller, event.id) == event
    other = msgspec.structs.replace(world.caller, merchant="other")
    with pytest.raises(Refusal) as caught:
        await read_event(world.ctx, other, event.id)
    assert caught.value.code == "resource_missing"


@pytest.mark.parametrize(
    "body", ["0" * 26, "7" + "z" * 25, "z" * 26, "0" * 9 + "1" + "0" * 16, "7" + "0" * 25]
)
async def test_an_id_of_no_time_is_unknown_as_any_other(world: World, body: str) -> None:
    await world.create()
    with pytest.raises(Refusal) as caught:
        await read_event(world.ctx, world.caller, f"evt_{body}")
    assert caught.value.code == "resource_missing"
