"""A record that cannot be read - a hand in the database, a row put back, a key that is gone - stops
nothing but what needs it: people are told, and everybody else's payments go on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import pytest

from paygate.crypto.seal import SealedPlace, Sealer
from paygate.domain.alert import Alert, AlertStatus, AlertType
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    Cancelled,
    RedirectToUrl,
    Unknown,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.alerts.close import close_alerts
from paygate.flows.idempotency.purge import purge_idempotency_keys
from paygate.flows.payments.list import list_payment_intents
from paygate.flows.payments.sweeps.expire import expire_payment_intents
from paygate.flows.payments.sweeps.watch_authorizations import watch_authorizations
from paygate.storage.change import Impossible, Record
from paygate.storage.pages import Cut, newest
from paygate.storage.reader import IntentFilters
from paygate.storage.unreadable import Unreadable
from paygate.worker.scheduled import run_scheduled
from tests.flows import spoilt
from tests.flows.idempotency.test_idempotency import NOT_SENT, refused
from tests.flows.world import APPROVED, World, answer
from tests.storage.stored import TABLE_OF

HELD = Approved(captured=False, amount_received=0, amount_capturable=1999)
CHALLENGE = ActionRequired(RedirectToUrl("https://bank.example"))


async def write(world: World, record: Record, sealed: str, *arguments: object) -> None:
    """Write a row's bytes as a hand in the database would."""
    table = TABLE_OF[type(record)].name
    await world.connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await world.connection.execute(
        f"UPDATE {table} SET sealed = {sealed} WHERE id = $1", record.id, *arguments
    )
    await world.connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def spoil(world: World, record: Record) -> None:
    await write(world, record, r"sealed || '\x00'::bytea")


async def unreadable(world: World) -> dict[str, int]:
    """The records that people are told of, and how often each was met."""
    unreadable = [
        a for a in await world.all(Alert) if a.problem.type is AlertType.RECORD_UNREADABLE
    ]
    return {alert.problem.subject.id: alert.count for alert in unreadable}


async def statuses(world: World) -> dict[str, str]:
    rows = await world.connection.fetch("SELECT id, status FROM payment_intent")
    return {row["id"]: row["status"] for row in rows}


async def in_doubt(world: World) -> Record:
    return (await world.confirming(Unknown("reset")))[1]


async def never_sent(world: World) -> Record:
    world.provider.answers.append(NOT_SENT)
    intent = await world.create()
    await refused(world.confirm(intent))
    attempt = (await world.ctx.read.payment_intent("default", intent.id) or intent).attempt
    found = await world.ctx.read.attempt("default", str(attempt))
    assert found is not None
    return found


async def challenged(world: World) -> Record:
    return (await world.confirming(CHALLENGE))[1]


async def created(world: World) -> Record:
    return await world.create()


async def held(world: World) -> Record:
    until = world.clock.time + timedelta(days=7)
    return (await world.confirming(msgspec.structs.replace(HELD, authorization_expires_at=until)))[
        0
    ]


SWEEPS: dict[str, tuple[Callable[[World], Awaitable[Record]], float, Answer | None, str]] = {
    "in doubt": (in_doubt, 40, answer(APPROVED), "resolve-attempts"),
    "never sent": (never_sent, 200, None, "resolve-attempts"),
    "overdue": (challenged, 2 * 3600, answer(Cancelled(None)), "expire-intents"),
    "created": (created, 25 * 3600, None, "expire-intents"),
    "held": (held, 8 * 86400, answer(Cancelled(None)), "watch-authorizations"),
}
"""What each sweep is for, when it looks, what the provider says then, and the sweep."""


@pytest.mark.parametrize("case", SWEEPS)
async def test_a_sweep_goes_on_beside_records_that_cannot_be_read(world: World, case: str) -> None:
    """They all come before the one that is in order; of attempts, more than a page holds."""
    make, seconds, said, job = SWEEPS[case]
    broken = []
    for _ in range(25):
        broken.append(await make(world))
        world.clock.forward(1)
    for record in broken:
        await spoil(world, record)
    good = await make(world)
    before = await statuses(world)
    world.clock.forward(seconds)
    if said is not None:
        said = msgspec.structs.replace(said, as_of=world.clock.time)
        world.provider.answers, world.provider.objects = [said], [said]
    await run_scheduled(world.ctx, job)
    assert await unreadable(world) == {record.id: 1 for record in broken}
    moved = {i for i, status in (await statuses(world)).items() if before[i] != status}
    assert moved == {getattr(good, "intent", good.id)}
    written = len(await world.audited())
    await run_scheduled(world.ctx, job)
    assert len(await world.audited()) == written, "nothing new is known within the hour"
    world.clock.forward(3600)
    await run_scheduled(world.ctx, job)
    assert await unreadable(world) == {record.id: 2 for record in broken}, "one alert for each"


async def test_a_record_that_is_read_on_the_way_is_told_of_too(world: World) -> None:
    """The sweep finds a hold in order, and the hold's attempt not."""
    intent = await held(world)
    assert isinstance(intent, PaymentIntent)
    (attempt,) = (await world.now(intent))[1]
    await spoil(world, attempt)
    world.clock.forward(8 * 86400)
    assert (await watch_authorizations(world.ctx, "run")).lapsed == 0
    assert await unreadable(world) == {attempt.id: 1}


async def test_the_second_half_of_a_job_runs_whatever_became_of_the_first(world: World) -> None:
    """A payment that cannot be cancelled, and a challenge that nobody answered."""
    stuck, (intent, _) = await world.create(), await world.confirming(CHALLENGE)
    world.clock.forward(25 * 3600)
    world.provider.answers = [answer(Cancelled(None), as_of=world.clock.time)]
    await world.connection.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'"
        " USING ERRCODE = 'integrity_constraint_violation'; END $$;"
        "CREATE TRIGGER no BEFORE UPDATE ON payment_intent FOR EACH ROW"
        f" WHEN (OLD.id = '{stuck.id}') EXECUTE FUNCTION no()"
    )
    with pytest.raises(Impossible):
        await run_scheduled(world.ctx, "expire-intents")
    assert (await statuses(world))[intent.id] == Status.FAILED


async def test_a_purge_goes_on_beside_keys_that_cannot_be_read(world: World) -> None:
    for number in range(60):
        intent = await world.create()
        world.provider.answers.append(NOT_SENT)
        await refused(world.confirm_once(intent, f"key {number}"))
    table = "idempotency_key"
    await world.connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await world.connection.execute(
        rf"UPDATE {table} SET sealed = sealed || '\x00'::bytea WHERE id IN"
        f" (SELECT id FROM {table} ORDER BY id LIMIT 55)"
    )
    await world.connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    world.clock.forward(25 * 3600)
    assert await purge_idempotency_keys(world.ctx, "run") == (0, 5)
    assert len(await unreadable(world)) == 55


async def test_a_list_shows_what_can_be_read_and_where_it_goes_on(world: World) -> None:
    intents = [await world.create() for _ in range(12)]
    world_ids = sorted((intent.id for intent in intents), reverse=True)
    broken = {world_ids[n] for n in (0, 3, 4, 5, 6, 11)}
    for intent in intents:
        if intent.id in broken:
            await spoil(world, intent)
    readable = [i for i in world_ids if i not in broken]
    seen, cut = list[str](), newest("payment_intent", 2)
    for expected_more in (True, True, False):
        page = await list_payment_intents(world.ctx, world.caller, cut, IntentFilters(), "")
        assert (len(page.items), page.has_more) == (2, expected_more)
        seen += [intent.id for intent in page.items]
        cut = Cut(2, seen[-1])
    assert seen == readable
    back = Cut(3, readable[-1], newer=True)
    page = await list_payment_intents(world.ctx, world.caller, back, IntentFilters(), "")
    assert ([i.id for i in page.items], page.has_more) == (readable[2:5], True)
    assert set(await unreadable(world)) == broken


async def test_a_list_of_which_nothing_can_be_read_is_an_error_and_not_the_end(
    world: World,
) -> None:
    for _ in range(25):
        await spoil(world, await world.create())
    with pytest.raises(Unreadable):
        await list_payment_intents(
            world.ctx, world.caller, newest("payment_intent", 1), IntentFilters(), ""
        )


async def test_one_key_that_cannot_be_read_fails_nobody_elses_request(world: World) -> None:
    """Requests at once look their keys up together."""
    world.provider.answers += [answer(APPROVED), answer(APPROVED)]
    one, other = await world.create(), await world.create()
    await world.confirm_once(one, "one")
    await world.confirm_once(other, "other")
    first, second = await world.connection.fetch("SELECT merchant, id FROM idempotency_key")
    await world.connection.execute("ALTER TABLE idempotency_key DISABLE TRIGGER USER")
    await world.connection.execute(
        r"UPDATE idempotency_key SET sealed = sealed || '\x00'::bytea WHERE id = $1", first["id"]
    )
    found = await asyncio.gather(
        *(world.ctx.keys.find(row["merchant"], row["id"]) for row in (first, second)),
        return_exceptions=True,
    )
    assert isinstance(found[0], Unreadable)
    assert isinstance(found[1], tuple)


async def test_the_alert_closes_once_the_record_is_as_it_was(world: World) -> None:
    intent = await world.create()
    sealed = await world.connection.fetchval("SELECT sealed FROM payment_intent")
    await spoil(world, intent)
    world.clock.forward(25 * 3600)
    await expire_payment_intents(world.ctx, "run")
    assert await close_alerts(world.ctx, "run") == (0, 0)
    await write(world, intent, "$2", sealed)
    assert await close_alerts(world.ctx, "run") == (1, 0)
    (alert,) = await world.all(Alert)
    assert alert.status is AlertStatus.CLOSED


async def test_a_record_of_a_later_version_is_no_matter_for_people(world: World) -> None:
    """Another node of an upgrade wrote it, and will look after it."""
    later, ours = await world.create(), await world.create()
    content = {**msgspec.to_builtins(later), "amount": "in words"}
    sealer: Sealer = world.records._sealer
    place = SealedPlace(later.merchant, "payment_intent", later.id, 1)
    await write(world, later, "$2", sealer.seal(place, msgspec.msgpack.encode(content)))
    world.clock.forward(25 * 3600)
    assert await expire_payment_intents(world.ctx, "run") == 1
    assert (await statuses(world))[ours.id] == Status.CANCELLED
    assert await world.all(Alert) == []


async def test_whatever_is_sealed_is_asked_for_again(world: World) -> None:
    """An alert may name a record of any table, and closes once that opens."""
    for table in TABLE_OF.values():
        assert await world.ctx.read.opens(table.name, "default", "none"), table.name
    assert not await world.ctx.read.opens("of_a_later_version", "default", "none")
    await world.confirming(APPROVED)
    tables = {table.name for table in TABLE_OF.values()}
    rows = {t: await world.connection.fetch(f"SELECT id, merchant FROM {t}") for t in tables}
    for name, found in rows.items():
        for row in found[:1]:
            assert await world.ctx.read.opens(name, row["merchant"], row["id"])
            await spoilt.spoil(world, name, row["id"])
            assert not await world.ctx.read.opens(name, row["merchant"], row["id"])
    assert {"payment_intent", "audit_entry", "event"} <= {t for t, found in rows.items() if found}
