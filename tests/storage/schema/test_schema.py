"""What the schema refuses by itself, whoever asks: a superuser with SQL, in replica mode too.

The flows' guards answer long before; this is for a bug of ours, or a hand in the database.
"""

import itertools
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from paygate.domain.disputes.dispute import MOVES as DISPUTE_MOVES
from paygate.domain.disputes.outcome import DisputeStatus
from paygate.domain.payments.attempt import MOVES, OPEN, AttemptState
from paygate.domain.payments.payment_intent import CORRECTIONS, FINAL, TRANSITIONS, Status
from paygate.domain.refunds.refund import MOVES as REFUND_MOVES
from paygate.domain.refunds.refund import RefundState
from paygate.storage.connections.session import Connection
from tests.making import START

VERSIONED = (
    "payment_intent",
    "attempt",
    "idempotency_key",
    "provider_event",
    "api_key",
    "customer",
    "alert",
    "alert_occurrence",
    "alert_notice",
    "reference_claim",
    "refund",
    "dispute",
)
APPEND_ONLY = ("event", "audit_entry", "correction", "provider_account", "provider_event_body")
RECORDS = (*VERSIONED, *APPEND_ONLY)
NEVER_DELETED = (
    *("payment_intent", "attempt", "customer", "alert", "alert_occurrence", "alert_notice"),
    "reference_claim",
    "refund",
    "dispute",
    *APPEND_ONLY,
)

NEW: dict[str, dict[str, Any]] = {
    "payment_intent": {"status": "created", "created_at": START, "updated_at": START},
    "attempt": {
        "intent": "pi_1",
        "number": 1,
        "operation": "confirm",
        "state": "started",
        "first_sent_at": START,
        "updated_at": START,
    },
    "idempotency_key": {
        "state": "working",
        "holder": "req_1",
        "created_at": START,
        "updated_at": START,
    },
    "alert": {"status": "open", "stands_as": "a", "created_at": START, "updated_at": START},
    "alert_occurrence": {"at": START},
    "alert_notice": {"alert": "al_1", "channel": "1-slack", "alert_version": 1, "at": START},
    "customer": {"created_at": START, "updated_at": START},
    "refund": {
        "intent": "pi_1",
        "state": "started",
        "created_at": START,
        "updated_at": START,
    },
    "dispute": {
        "intent": "pi_1",
        "status": "needs_response",
        "created_at": START,
        "updated_at": START,
        "is_watched": True,
        "provider_reference_index": b"d",
    },
    "correction": {
        "intent": "pi_1",
        "intent_version": 2,
        "from_status": "failed",
        "to_status": "succeeded",
        "at": START,
    },
    "provider_event": {
        "status": "received",
        "reference_index": b"r",
        "received_at": START,
        "updated_at": START,
    },
    "api_key": {"secret_hash": b"h", "created_at": START, "updated_at": START},
    "provider_account": {"created_at": START},
    "reference_claim": {"updated_at": START},
    "provider_event_body": {"received_at": START},
    "event": {"object_id": "pi_1", "created_at": START},
    "audit_entry": {"at": START},
}
"""A row of each table, as it is when it is new; `insert` adds the key, version and bytes."""

INTEGRITY = asyncpg.IntegrityConstraintViolationError


async def insert(connection: Connection, table: str, **columns: Any) -> None:
    """A new row, with some columns other than usual. An attempt comes to its place: an intent
    that it is begun with, or that is under way.
    """
    row = {"merchant": "m", "id": f"{table} 1", **NEW[table], "sealed": b"s"}
    if table in VERSIONED:
        row["version"] = 1
    row |= columns
    goes_on_to = row["state"] if table == "attempt" else "started"
    begins = ""
    async with connection.transaction():
        if table == "attempt":
            row["state"] = "started"
            place = (row["merchant"], row["intent"])
            await connection.execute(
                "INSERT INTO payment_intent (merchant, id, version, status, created_at, updated_at,"
                " sealed) VALUES ($1, $2, 1, 'created', now(), now(), 's') ON CONFLICT DO NOTHING",
                *place,
            )
            begins = BEGINS.format(*place)
        values = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        await connection.execute(
            f"{begins} INSERT INTO {table} ({', '.join(row)}) VALUES ({values})", *row.values()
        )
        if goes_on_to != "started":
            await connection.execute(
                "UPDATE attempt SET version = version + 1, state = $1 WHERE id = $2",
                goes_on_to,
                row["id"],
            )


BEGINS = (
    "WITH begun AS (UPDATE payment_intent SET version = version + 1, status = 'processing'"
    " WHERE merchant = '{}' AND id = '{}' AND status = 'created')"
)


def step(before: str, after: str) -> str:
    """The statement that brings the one intent from one status to the next, with all that belongs
    to it: the attempt that it begins with, or that ends; the transfer where it succeeds.
    """
    money = int(after == "succeeded" != before)
    parts = [
        (
            f"moved AS (UPDATE payment_intent SET version = version + 1, status = '{after}',"
            f" money_seq = money_seq + {money} RETURNING id)"
        )
    ]
    if before == "created" and after == "processing":
        parts.append(
            "tried AS (INSERT INTO attempt (merchant, id, version, intent, number, operation,"
            " state, first_sent_at, updated_at, sealed)"
            " VALUES ('m', 'at_1', 1, 'pi_1', 1, 'confirm', 'started', now(), now(), 's'))"
        )
    if after in FINAL:
        parts.append(
            "ended AS (UPDATE attempt SET version = version + 1, state = 'cancelled'"
            " WHERE state = 'started')"
        )
    if money:
        parts.append(
            "paid AS (INSERT INTO ledger_transfer (merchant, id, intent, money_seq, posted_at,"
            " sealed) SELECT merchant, 'lt_' || money_seq, id, money_seq + 1, now(), 's'"
            " FROM payment_intent)"
        )
    return f"WITH {', '.join(parts)} SELECT id FROM moved"


async def refuses(connection: Connection, statement: str, *arguments: object) -> bool:
    """Whether the schema refuses it; either way nothing of it stays."""
    attempt = connection.transaction()
    await attempt.start()
    try:
        await connection.execute(statement, *arguments)
    except INTEGRITY:
        return True
    else:
        return False
    finally:
        await attempt.rollback()


def route(to: Status) -> list[Status]:
    """The shortest way from a new intent to a status, by the domain's table."""
    ways: dict[Status, list[Status]] = {Status.CREATED: []}
    while to not in ways:
        for (before, _), after in TRANSITIONS.items():
            if before in ways:
                ways.setdefault(after, [*ways[before], after])
    return ways[to]


async def test_intents_move_exactly_as_the_domain_says(superuser: Connection) -> None:
    """Every pair: what the table of `domain/payments/payment_intent.py` has, nothing else."""
    legal = {(before, after) for (before, _), after in TRANSITIONS.items()}
    legal |= {(before, after) for before, afters in CORRECTIONS.items() for after in afters}
    accepted = set()
    for before in Status:
        walk = superuser.transaction()
        await walk.start()
        await insert(superuser, "payment_intent", id="pi_1")
        version = len(route(before)) + 2
        for after in CORRECTIONS.get(before, ()):
            fitting = {"intent_version": version, "from_status": before, "to_status": after}
            await insert(superuser, "correction", id=f"correction {after}", **fitting)
        for status, following in itertools.pairwise([Status.CREATED, *route(before)]):
            await superuser.execute(step(status, following))
        for after in Status:
            if not await refuses(superuser, step(before, after)):
                accepted.add((before, after))
        assert await refuses(superuser, step(before, "nonsense")), before
        await walk.rollback()
    assert accepted == legal


async def test_an_intent_begins_as_created(superuser: Connection) -> None:
    for status in (*Status, "nonsense"):
        if status is not Status.CREATED:
            with pytest.raises(INTEGRITY):
                await insert(superuser, "payment_intent", status=status)
    await insert(superuser, "payment_intent")


async def test_attempts_move_while_they_are_open_and_never_after(superuser: Connection) -> None:
    """Every pair. The schema holds what matters, that a closed attempt stays; among open states
    the domain's table is narrower, and all of it must be accepted. What was not sent is begun
    anew, or was sent after all, and never stays in between.
    """
    accepted = set()
    for before in AttemptState:
        walk = superuser.transaction()
        await walk.start()
        await insert(superuser, "attempt", state=before)
        update = "UPDATE attempt SET version = version + 1, state = $1"
        for after in AttemptState:
            if not await refuses(superuser, update, after):
                accepted.add((before, after))
        await walk.rollback()
    moves = {(before, after) for before, afters in MOVES.items() for after in afters}
    assert moves <= accepted
    not_sent = {move for move in moves if move[0] is AttemptState.NOT_SENT}
    assert {move for move in accepted if move[0] is AttemptState.NOT_SENT} == not_sent
    assert accepted <= set(itertools.product(OPEN, AttemptState)) | not_sent


async def test_the_open_states_of_the_index_are_the_domains(superuser: Connection) -> None:
    """An attempt in a state that the index takes for closed would be lost to the sweep."""
    for state in AttemptState:
        once = superuser.transaction()
        await once.start()
        await insert(superuser, "attempt", state=state)
        second = insert(superuser, "attempt", id="attempt 2", number=2)
        if state in OPEN:
            with pytest.raises(asyncpg.UniqueViolationError, match="attempt_open"):
                await second
        else:
            await second
        await once.rollback()


async def test_one_approved_confirm_of_an_intent(superuser: Connection) -> None:
    await insert(superuser, "attempt", state="approved")
    with pytest.raises(asyncpg.UniqueViolationError, match="attempt_approved"):
        await insert(superuser, "attempt", id="attempt 2", number=2, state="approved")
    await insert(superuser, "attempt", id="attempt 3", number=3, state="unknown")
    approve = "UPDATE attempt SET version = 3, state = 'approved' WHERE id = 'attempt 3'"
    assert await refuses(superuser, approve)
    await insert(superuser, "attempt", id="attempt 4", intent="pi_2", state="approved")


async def test_an_intents_attempts_are_numbered_once(superuser: Connection) -> None:
    await insert(superuser, "attempt", state="declined")
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(superuser, "attempt", id="attempt 2", state="declined")


@pytest.mark.parametrize("table", VERSIONED)
async def test_versions_begin_at_one_and_grow_by_one(superuser: Connection, table: str) -> None:
    for version in (-1, 0, 2, 7):
        with pytest.raises(INTEGRITY):
            await insert(superuser, table, version=version)
    await insert(superuser, table)
    states = {"payment_intent": ", status = 'cancelled'", "refund": ", state = 'unknown'"}
    state = states.get(table, "")
    update = f"UPDATE {table} SET version = $1{state}"
    for version in (-1, 0, 1, 3, 4, 2**31 - 1):
        assert await refuses(superuser, update, version), version
    assert not await refuses(superuser, update, 2)
    assert await refuses(superuser, f"UPDATE {table} SET sealed = 'x'{state}")
    assert await refuses(superuser, f"UPDATE {table} SET version = 2, id = 'x'{state}")
    assert await refuses(superuser, f"UPDATE {table} SET version = 2, merchant = 'x'{state}")


@pytest.mark.parametrize("table", RECORDS)
async def test_a_key_is_used_once(superuser: Connection, table: str) -> None:
    await insert(superuser, table)
    others: dict[str, dict[str, Any]] = {
        "provider_event": {"reference_index": b"other"},
        "attempt": {"intent": "pi_2"},
        "alert": {"stands_as": "b"},
        "dispute": {"provider_reference_index": b"other"},
        "correction": {"intent_version": 3},
    }
    other = others.get(table, {})
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(superuser, table, **other)
    if table == "api_key":  # its id alone finds it, so no other merchant may have it
        with pytest.raises(asyncpg.UniqueViolationError):
            await insert(superuser, table, merchant="other")
    else:
        await insert(superuser, table, merchant="other", **other)


async def test_a_provider_event_is_received_once(superuser: Connection) -> None:
    await insert(superuser, "provider_event")
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(superuser, "provider_event", id="another")
    await insert(superuser, "provider_event", merchant="other")


async def test_an_idempotency_key_is_working_or_finished(superuser: Connection) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(superuser, "idempotency_key", state="nonsense")


async def test_a_live_lease_is_not_taken_over(superuser: Connection) -> None:
    """On the server's clock, whatever an application's says."""
    await insert(superuser, "idempotency_key", lease=timedelta(seconds=30))
    other = "UPDATE idempotency_key SET version = version + 1, holder = 'req_2'"
    assert await refuses(superuser, other)
    assert not await refuses(superuser, "UPDATE idempotency_key SET version = version + 1")
    await superuser.execute(
        "UPDATE idempotency_key SET version = version + 1, lease = interval '1 millisecond'"
    )
    await superuser.execute("SELECT pg_sleep(0.01)")
    assert not await refuses(superuser, other)


async def test_a_finished_key_stays_and_an_unfinished_one_is_not_purged(
    superuser: Connection,
) -> None:
    await insert(superuser, "idempotency_key")
    assert await refuses(superuser, "DELETE FROM idempotency_key")
    await superuser.execute("UPDATE idempotency_key SET version = version + 1, state = 'finished'")
    assert await refuses(superuser, "UPDATE idempotency_key SET version = version + 1")
    assert not await refuses(superuser, "DELETE FROM idempotency_key")


async def test_an_occurrence_is_counted_once_and_keeps_its_time(superuser: Connection) -> None:
    await insert(superuser, "alert_occurrence")
    counted = "UPDATE alert_occurrence SET version = version + 1"
    assert await refuses(superuser, f"{counted}, at = at + interval '1 second'")
    await superuser.execute(counted)
    assert await refuses(superuser, counted)


@pytest.mark.parametrize(
    "wrong",
    [
        "alert = 'al_2'",
        "channel = '2-slack'",
        "at = at - interval '1 second'",
        "alert_version = alert_version - 1",
    ],
)
async def test_a_notice_stays_with_its_alert_and_channel_and_goes_on(
    superuser: Connection, wrong: str
) -> None:
    await insert(superuser, "alert_notice")
    on = "UPDATE alert_notice SET version = version + 1"
    assert await refuses(superuser, f"{on}, {wrong}")
    await superuser.execute(f"{on}, alert_version = 2, at = at + interval '1 second'")


@pytest.mark.parametrize(
    "wrong",
    [
        {"intent_version": 5},
        {"intent": "pi_2"},
        {"from_status": "cancelled"},
        {"to_status": "failed"},
        {"merchant": "other"},
    ],
)
async def test_only_a_fitting_correction_lets_an_intent_go_back(
    superuser: Connection, wrong: dict[str, Any]
) -> None:
    await insert(superuser, "payment_intent", id="pi_1")
    await superuser.execute(step("created", "processing"))
    await superuser.execute(step("processing", "failed"))
    back = step("failed", "succeeded")
    assert await refuses(superuser, back)
    fitting = {"intent_version": 4, "from_status": "failed", "to_status": "succeeded"}
    once = superuser.transaction()
    await once.start()
    await insert(superuser, "correction", **(fitting | wrong))
    assert await refuses(superuser, back)
    await once.rollback()
    await insert(superuser, "correction", id="correction 2", **fitting)
    assert not await refuses(superuser, back)


@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_what_happened_is_never_rewritten(superuser: Connection, table: str) -> None:
    await insert(superuser, table)
    for change in ("sealed = 'x'", "id = 'x'", "merchant = merchant"):
        assert await refuses(superuser, f"UPDATE {table} SET {change}"), change


@pytest.mark.parametrize("table", NEVER_DELETED)
async def test_payments_and_what_happened_are_never_deleted(
    superuser: Connection, table: str
) -> None:
    await insert(superuser, table)
    assert await refuses(superuser, f"DELETE FROM {table}")
    assert await refuses(superuser, f"DELETE FROM {table} WHERE merchant = 'm'")


async def test_no_table_of_ours_is_ever_truncated(superuser: Connection) -> None:
    """The migration says "nothing here is ever truncated": without the idempotency keys a retry
    would charge again, without the keysets nothing opens any more.
    """
    truncated = []
    for table in await tables(superuser):
        statements = (f"TRUNCATE {table}", f"TRUNCATE {table} RESTART IDENTITY CASCADE")
        if not all([await refuses(superuser, statement) for statement in statements]):
            truncated.append(table)
    assert truncated == []


async def test_every_refusing_trigger_fires_in_replica_mode_too(superuser: Connection) -> None:
    """A trigger added later without ENABLE ALWAYS would have a way round."""
    ways_round = await superuser.fetch(
        "SELECT tgrelid::regclass::text AS table, tgname FROM pg_trigger"
        " WHERE NOT tgisinternal AND tgenabled <> 'A' AND tgrelid::regclass::text = ANY($1)",
        list(await tables(superuser)),
    )
    assert ways_round == []


async def tables(connection: Connection) -> Iterable[str]:
    """Every table and partition but the queue's, which is not ours, and the list of migrations."""
    rows = await connection.fetch(
        "SELECT relname FROM pg_class"
        " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        " AND relname NOT LIKE 'pgqueuer%' AND relname <> 'schema_migration' ORDER BY relname"
    )
    names = [row["relname"] for row in rows]
    assert set(RECORDS) < set(names)
    return names


async def test_refunds_move_exactly_as_the_domain_says(superuser: Connection) -> None:
    """Every pair."""
    accepted = set()
    for before in RefundState:
        walk = superuser.transaction()
        await walk.start()
        await insert(superuser, "refund", state=before)
        update = "UPDATE refund SET version = version + 1, state = $1"
        for after in RefundState:
            if not await refuses(superuser, update, after):
                accepted.add((before, after))
        assert await refuses(superuser, update, "nonsense"), before
        await walk.rollback()
    assert accepted == {(b, a) for b, afters in REFUND_MOVES.items() for a in afters}


async def test_disputes_move_exactly_as_the_domain_says(superuser: Connection) -> None:
    """Every pair."""
    accepted = set()
    for before in DisputeStatus:
        walk = superuser.transaction()
        await walk.start()
        await insert(superuser, "dispute", status=before)
        update = "UPDATE dispute SET version = version + 1, status = $1"
        for after in DisputeStatus:
            if not await refuses(superuser, update, after):
                accepted.add((before, after))
        await walk.rollback()
    assert accepted == {(b, a) for b, afters in DISPUTE_MOVES.items() for a in afters}


async def test_a_dispute_of_the_providers_is_one_of_ours_once(superuser: Connection) -> None:
    await insert(superuser, "dispute", provider_reference_index=b"r")
    with pytest.raises(asyncpg.UniqueViolationError, match="dispute_provider_reference"):
        await insert(superuser, "dispute", id="another", provider_reference_index=b"r")


async def test_a_dispute_keeps_its_payment(superuser: Connection) -> None:
    await insert(superuser, "dispute")
    moved = "UPDATE dispute SET version = version + 1, status = 'lost'"
    assert await refuses(superuser, f"{moved}, intent = 'pi_2'")
    assert await refuses(superuser, f"{moved}, created_at = now()")
    assert not await refuses(superuser, moved)


async def test_a_refund_of_the_providers_is_one_of_ours_once(superuser: Connection) -> None:
    await insert(superuser, "refund", provider_reference_index=b"r")
    with pytest.raises(asyncpg.UniqueViolationError, match="refund_provider_reference"):
        await insert(superuser, "refund", id="another", provider_reference_index=b"r")


async def test_a_refund_keeps_its_payment(superuser: Connection) -> None:
    await insert(superuser, "refund")
    moved = "UPDATE refund SET version = version + 1, state = 'unknown'"
    assert await refuses(superuser, f"{moved}, intent = 'pi_2'")
    assert await refuses(superuser, f"{moved}, created_at = now()")
    assert not await refuses(superuser, moved)


async def test_a_chunk_of_evidence_is_never_changed_and_may_be_deleted(
    superuser: Connection,
) -> None:
    row = "('default', 'file_1', $1, 'dp_1', now(), '\\x00')"
    into = "INSERT INTO dispute_file (merchant, id, version, dispute, created_at, sealed) VALUES "
    await superuser.execute(into + row, 1)
    for number, refusal in (
        (1, asyncpg.UniqueViolationError),
        (0, asyncpg.CheckViolationError),
    ):
        with pytest.raises(refusal):
            async with superuser.transaction():
                await superuser.execute(into + row, number)
    for change in ("UPDATE dispute_file SET sealed = '\\x01'", "TRUNCATE dispute_file"):
        with pytest.raises(asyncpg.PostgresError):
            async with superuser.transaction():
                await superuser.execute(change)
    assert await superuser.execute("DELETE FROM dispute_file") == "DELETE 1"
