"""The database is put back to a backup, and the shop comes again: nobody is charged twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import pytest

from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertType
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.outcome import Answer, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.purge import purge_idempotency_keys
from paygate.flows.idempotency.run_once import idempotently
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from paygate.flows.payments.sweeps.expire import expire_payment_intents
from paygate.flows.payments.sweeps.resolve import resolve_attempts
from paygate.flows.restores.after_restore import AfterRestore
from paygate.flows.restores.declare import declare_restore
from paygate.providers.absence import Absent
from paygate.storage.connections.database import connector
from paygate.storage.restores import notice_restore
from tests.flows.world import APPROVED, INSTALLATION, THEIRS, World, answer, encode

HOUR, DAY = 3600, 86_400
TABLES: Final = (
    *("payment_intent", "attempt", "idempotency_key", "ledger_transfer", "event"),
    *("audit_entry", "provider_event", "pgqueuer"),
)


async def back_up(world: World) -> None:
    await world.connection.execute("CREATE SCHEMA backup")
    for table in TABLES:
        await world.connection.execute(f"CREATE TABLE backup.{table} AS TABLE public.{table}")


async def restore(world: World) -> None:
    for table in TABLES:
        rows = await world.connection.fetch(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = $1",
            table,
        )
        names = ", ".join(row["column_name"] for row in rows)
        await world.connection.execute(
            f"ALTER TABLE {table} DISABLE TRIGGER ALL; DELETE FROM {table};"
            f" INSERT INTO {table} ({names}) SELECT {names} FROM backup.{table};"
            f" ALTER TABLE {table} ENABLE TRIGGER ALL"
        )


async def create_once(world: World, key: str) -> PaymentIntent:
    """Create under an idempotency key, as the edge does."""
    world.requests += 1
    caller = msgspec.structs.replace(world.caller, request_id=f"req_{world.requests}")
    request = NewPaymentIntent(amount=1999, currency="eur")
    answered = await idempotently(
        world.ctx,
        KeyedRequest(caller, Action.INTENT_CREATE, "sk POST /payment-intents", key, b"{}"),
        lambda ctx: create_payment_intent(ctx, caller, request),
        encode,
    )
    made = msgspec.json.decode(answered.body)["intent"]["id"]
    found = await world.ctx.read.payment_intent(world.caller.merchant, made)
    assert found is not None
    return found


def keys(world: World) -> list[str]:
    return [order.attempt for order in world.provider.orders]


async def test_a_confirm_that_was_forgotten_has_the_same_key_again(world: World) -> None:
    intent = await world.create()
    await back_up(world)
    for _ in range(2):
        world.provider.answers.append(answer(APPROVED))
        await world.confirm_once(intent, "pay")
        await restore(world)
    first, second = keys(world)
    assert first == second


async def test_a_create_that_was_forgotten_leads_to_the_same_key_again(world: World) -> None:
    """Its id is made anew; the attempt under it is the same."""
    await back_up(world)
    intents = []
    for _ in range(2):
        world.provider.answers.append(answer(APPROVED))
        intents.append(await create_once(world, "order-1"))
        await world.confirm_once(intents[-1], "pay")
        await restore(world)
    assert intents[0].id != intents[1].id
    first, second = keys(world)
    assert first == second


async def test_a_key_that_is_used_anew_is_another_purchase(world: World) -> None:
    """After its time to live; and after a restore to before both, each is itself again."""
    await back_up(world)
    seeds = []
    for _ in range(2):
        for _ in range(3):
            seeds.append((await create_once(world, "order-1")).seed)
            world.clock.forward(2 * DAY)
            await purge_idempotency_keys(world.ctx, "run")
        await restore(world)
    assert len(set(seeds)) == 3
    assert seeds[:3] == seeds[3:]


async def test_seeds_are_each_their_own(world: World) -> None:
    """Of other keys, of other merchants, and of creates without a key."""
    made = [await create_once(world, "order-1"), await create_once(world, "order-2")]
    made += [await world.create(), await world.create()]
    await world.connection.execute("INSERT INTO merchant (id) VALUES ('other')")
    world.caller = msgspec.structs.replace(world.caller, merchant="other")
    made.append(await create_once(world, "order-1"))
    assert len({intent.seed for intent in made}) == len(made)


def taken(attempt: Attempt) -> Answer:
    """What the provider's list shows of a payment that this attempt made."""
    return answer(APPROVED, attempt=attempt.id, installation=INSTALLATION)


async def forgotten(world: World) -> tuple[PaymentIntent, Attempt]:
    """An intent whose confirm was forgotten by a restore, long ago."""
    intent = await world.create()
    await back_up(world)
    world.provider.answers.append(answer(APPROVED))
    await world.confirm_once(intent, "pay")
    (attempt,) = (await world.now(intent))[1]
    await restore(world)
    world.clock.forward(3 * DAY)
    # A process that is started behind the restore.
    fresh = AfterRestore(world.ctx.restores, world.provider, INSTALLATION)
    world.use(after_restore=fresh)
    return intent, attempt


async def test_behind_a_restore_the_payment_is_looked_for_first(world: World) -> None:
    """The provider has forgotten the key."""
    intent, attempt = await forgotten(world)
    await declare_restore(world.ctx, world.caller)
    world.provider.objects = [taken(attempt), taken(attempt)]
    after = await world.confirm(intent)
    assert (after.status, after.provider_reference) == (Status.SUCCEEDED, THEIRS)
    assert len(world.provider.orders) == 1
    assert world.provider.retrieved == [THEIRS]


async def test_what_the_provider_does_not_know_is_sent(world: World) -> None:
    intent, _ = await forgotten(world)
    await declare_restore(world.ctx, world.caller)
    other = answer(APPROVED, attempt="at_other", installation=INSTALLATION)
    world.provider.objects = [other]
    world.provider.answers.append(answer(APPROVED, as_of=world.clock()))
    assert (await world.confirm(intent)).status is Status.SUCCEEDED
    assert len(world.provider.orders) == 2


async def test_an_intent_of_after_the_restore_is_not_looked_for(world: World) -> None:
    await declare_restore(world.ctx, world.caller)
    world.clock.forward(1)
    world.provider.objects = [Absent()]  # the list would end in silence
    world.provider.answers.append(answer(APPROVED, as_of=world.clock()))
    assert (await world.confirm(await world.create())).status is Status.SUCCEEDED


async def test_nothing_is_sent_while_the_provider_does_not_tell(world: World) -> None:
    """It is in doubt, and is looked for in the forgotten time."""
    intent, attempt = await forgotten(world)
    await declare_restore(world.ctx, world.caller)
    world.provider.objects = [Absent()]
    assert b'"processing"' in (await world.confirm_once(intent, "pay")).body
    assert len(world.provider.orders) == 1
    world.clock.forward(180)
    world.provider.objects = [taken(attempt), taken(attempt)]
    await resolve_attempts(world.ctx, "run")
    assert (await world.now(intent))[0].status is Status.SUCCEEDED
    assert len(world.provider.orders) == 1


async def test_all_who_confirm_first_look_first(world: World) -> None:
    """At once, in a process that has not looked yet; and nobody sends while nobody can look."""
    intents = [await world.create() for _ in range(3)]
    await back_up(world)
    for intent in intents:
        world.provider.answers.append(answer(APPROVED))
        await world.confirm(intent)
    attempts = [(await world.now(intent))[1][0] for intent in intents]
    await restore(world)
    world.clock.forward(3 * DAY)
    await declare_restore(world.ctx, world.caller)
    named = world.provider.named

    async def read(since: datetime, until: datetime) -> AsyncIterator[Answer]:
        for attempt in attempts:
            found = answer(APPROVED, attempt=attempt.id, installation=INSTALLATION)
            yield msgspec.structs.replace(found, provider_reference=named[attempt.id])

    world.provider.listing = read
    world.provider.objects = [answer(APPROVED)] * 3
    world.use(after_restore=AfterRestore(world.ctx.restores, world.provider, INSTALLATION))
    done = await asyncio.gather(*map(world.confirm, intents))
    assert {intent.status for intent in done} == {Status.SUCCEEDED}
    assert len(world.provider.orders) == 3


async def test_a_second_restore_does_not_hide_the_first(world: World) -> None:
    intent, attempt = await forgotten(world)
    for _ in range(2):
        await declare_restore(world.ctx, world.caller)
        await world.create()
        world.clock.forward(DAY)
    made = attempt.created_at

    async def read(since: datetime, until: datetime) -> AsyncIterator[Answer]:
        if since <= made <= until:
            yield taken(attempt)

    world.provider.listing = read
    world.provider.objects = [taken(attempt)]
    assert (await world.confirm(intent)).status is Status.SUCCEEDED
    assert len(world.provider.orders) == 1


async def test_an_older_versions_payment_is_known_by_its_intent(world: World) -> None:
    """Its attempts had names that nobody can make again."""
    intent, attempt = await forgotten(world)
    await declare_restore(world.ctx, world.caller)
    theirs = msgspec.structs.replace(taken(attempt), attempt="at_of_before", intent=intent.id)
    world.provider.objects = [theirs, theirs]
    assert (await world.confirm(intent)).status is Status.SUCCEEDED
    assert len(world.provider.orders) == 1


async def test_a_backup_that_was_in_doubt_is_looked_for_in_the_forgotten_time(
    world: World,
) -> None:
    """Its own caller sent it again after the backup, and was charged."""
    intent = await world.create()
    world.provider.answers.append(Answer(Unknown("reset")))
    await world.confirm(intent)
    (attempt,) = (await world.now(intent))[1]
    await back_up(world)
    world.clock.forward(40 * 60)
    charged = world.clock()
    await world.create()  # the newest that the database remembers is of after the charge
    await restore(world)
    world.clock.forward(HOUR)
    await declare_restore(world.ctx, world.caller)

    async def read(since: datetime, until: datetime) -> AsyncIterator[Answer]:
        if since <= charged <= until:
            yield taken(attempt)

    world.provider.listing = read
    for _ in range(3):
        world.clock.forward(700)
        await resolve_attempts(world.ctx, "run")
    assert (await world.now(intent))[0].status is Status.SUCCEEDED


@pytest.mark.parametrize("how", ["cancel", "expire"])
async def test_what_was_paid_is_not_cancelled_here(world: World, how: str) -> None:
    intent, attempt = await forgotten(world)
    await declare_restore(world.ctx, world.caller)
    world.provider.objects = [taken(attempt)]
    if how == "expire":
        assert await expire_payment_intents(world.ctx, "run") == 0
    else:
        with pytest.raises(Refusal) as refused:
            await cancel_payment_intent(world.ctx, world.caller, intent.id)
        assert refused.value.code is ErrorCode.STATE_CONFLICT
    assert (await world.now(intent))[0].status is Status.CREATED


async def test_what_is_written_before_it_is_declared_counts_as_younger(world: World) -> None:
    """The server was started for the restore, and the API ran since."""
    await world.create()
    remembered = (await world.audited())[-1].at
    world.clock.time = datetime.now(UTC)
    await world.create()
    found = await declare_restore(world.ctx, world.caller)
    assert found.taken_at == remembered
    world.clock.forward(1)
    earlier = remembered - timedelta(hours=1)
    assert (await declare_restore(world.ctx, world.caller, earlier)).taken_at == earlier


async def test_a_create_that_is_made_anew_is_looked_for_too(world: World) -> None:
    """Its intent is younger than the restore, and its payment is not."""
    await back_up(world)
    world.provider.answers.append(answer(APPROVED))
    intent = await create_once(world, "order-1")
    await world.confirm_once(intent, "pay")
    (attempt,) = (await world.now(intent))[1]
    await restore(world)
    world.clock.forward(DAY)
    await declare_restore(world.ctx, world.caller)
    world.clock.forward(5 * DAY)
    world.use(after_restore=AfterRestore(world.ctx.restores, world.provider, INSTALLATION))
    world.provider.objects = [taken(attempt), taken(attempt)]
    again = await create_once(world, "order-1")
    assert (await world.confirm(again)).status is Status.SUCCEEDED
    assert len(world.provider.orders) == 1


KNOWN_KEY = Answer(Unknown("it was done before", known_key=True))


async def test_a_key_that_the_provider_knows_is_looked_for_in_the_past(world: World) -> None:
    """Nobody has declared a restore, and the payment was made a day and a half ago."""
    intent, attempt = await forgotten(world)
    world.provider.answers.append(KNOWN_KEY)
    waiting = await world.confirm(intent)
    assert (waiting.status, waiting.pending_operation) == (Status.PROCESSING, "confirm")
    made = world.clock() - timedelta(hours=36)

    async def read(since: datetime, until: datetime) -> AsyncIterator[Answer]:
        if since <= made <= until:
            yield taken(attempt)

    world.provider.listing = read
    world.clock.forward(60)
    await resolve_attempts(world.ctx, "run")
    assert (await world.now(intent))[0].status is Status.SUCCEEDED
    assert len(world.provider.orders) == 2


async def test_what_was_done_before_never_ends_as_never_arrived(world: World) -> None:
    intent, _ = await forgotten(world)
    world.provider.answers.append(KNOWN_KEY)
    await world.confirm(intent)
    for _ in range(4):
        world.clock.forward(HOUR)
        await resolve_attempts(world.ctx, "run")
    after, (attempt,) = await world.now(intent)
    assert (after.status, attempt.state) == (Status.PROCESSING, AttemptState.UNKNOWN)
    assert [a.problem.type for a in await world.all(Alert)] == [AlertType.ATTEMPT_UNRESOLVED]
    assert len(world.provider.orders) == 2, "and it is never sent again"


async def test_the_window_is_what_was_forgotten(world: World) -> None:
    intent, _ = await forgotten(world)
    remembered = (await world.audited())[-1].at
    found = await declare_restore(world.ctx, world.caller)
    assert (found.taken_at, found.noticed_at) == (remembered, world.clock())
    assert (await world.audited())[-1].action is Action.RESTORE_DECLARE
    assert intent.created_at <= found.taken_at + timedelta(seconds=1)


async def test_another_timeline_is_noticed_once(world: World, database: str) -> None:
    """As after a recovery to a point in time; a first start is none."""
    await world.connection.execute("INSERT INTO installation (id, livemode) VALUES ('in', false)")
    connect = connector(database, name="notice")
    assert not await notice_restore(connect, world.clock())
    assert not await notice_restore(connect, world.clock())
    await world.connection.execute("UPDATE installation SET timeline = '00000000'")
    assert await notice_restore(connect, world.clock())
    assert not await notice_restore(connect, world.clock())
    (found,) = await world.ctx.restores.all()
    assert found.noticed_at == world.clock()
