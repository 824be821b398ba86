"""Seals that are none of ours: who has no key adds none, and one that a superuser adds is named,
stops nothing for good, and is taken out by the owner.
"""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from paygate.domain.alert import Alert
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.audit_log.checkpoint import Contradiction
from paygate.flows.audit_log.disown import Disowned, disown_seals
from paygate.flows.audit_log.seal import LogSealer, seal_audit_log
from paygate.storage.audit_seals import Turn
from paygate.storage.connections.database import connector
from paygate.storage.schema import taking_out
from paygate.storage.schema.versions import MigrationError
from tests.flows.audit_log.log import Log
from tests.flows.audit_log.test_restored import silent
from tests.flows.audit_log.test_tampering import sealed

Take = Callable[[int, int, Turn], Awaitable[int]]
SEAL = (
    "INSERT INTO audit_seal SELECT {number}, 'default', '{entry}', at, key, format, leaf,"
    " sha256(hash), {signature} FROM audit_seal WHERE number = 6"
)
MOVED = (
    "UPDATE audit_head SET number = {number},"
    " hash = (SELECT sha256(hash) FROM audit_seal WHERE number = 6)"
)


@pytest.fixture
def take(database: str) -> Take:
    """As the owner."""
    dial = connector(database, name="owner")

    async def taken(kept: int, seen: int, turn: Turn) -> int:
        return await taking_out.disown_seals(dial, kept, seen, *turn, tell=lambda _: None)

    return taken


async def disown(log: Log, take: Take) -> Disowned | None:
    return await disown_seals(log.ctx, log.world.caller, take, progress=silent)


def seal(number: int, entry: str = "au_x", signature: str = "NULL") -> str:
    return SEAL.format(number=number, entry=entry, signature=signature)


WITHOUT_A_KEY = {
    "a seal": [seal(7)],
    "one far ahead": [seal(1000)],
    "the head": [MOVED.format(number=7)],
    "a seal and the head": [MOVED.format(number=7) + ";" + seal(7)],
    "the turn": ["UPDATE audit_head SET run = 'x', leased_until = 'infinity'"],
    "what was told": ["UPDATE audit_head SET checkpoint = 'x'"],
    "what was verified": ["UPDATE audit_head SET verified = NULL"],
    "what is asked for": ["UPDATE audit_head SET proof_hash = sha256('x')"],
    "a guess": ["UPDATE audit_head SET turn = turn + 1, proof = 'x', proof_hash = sha256('x')"],
    "nothing asked for": ["UPDATE audit_head SET turn = turn + 1, proof_hash = NULL"],
    "what was shown": ["UPDATE audit_head SET proof = proof_hash, turn = turn + 1"],
}


@pytest.mark.parametrize("what", WITHOUT_A_KEY)
async def test_who_has_no_key_adds_no_seal_and_does_not_move_the_head(log: Log, what: str) -> None:
    """With every right on the tables that there is, the triggers alone left on."""
    await sealed(log)
    for statement in WITHOUT_A_KEY[what]:
        with pytest.raises(
            asyncpg.IntegrityConstraintViolationError, match="head of the audit log"
        ):
            await log.connection.execute(statement)
    await log.act(2)
    assert await log.seal() == 2
    assert (await log.verify()).is_good


async def test_a_proof_is_stored_nowhere_and_shown_once(log: Log) -> None:
    await sealed(log)
    row = await log.connection.fetchrow("SELECT proof, turn, proof_hash FROM audit_head")
    assert row is not None
    assert (row["proof"], len(row["proof_hash"])) == (None, 32)
    before = (await log.ctx.audit_seals.state()).turn
    shown = log.ctx.audit_seals._shown(before)
    await log.act()
    await log.seal()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="who has its key"):
        await log.connection.execute(
            "UPDATE audit_head SET turn = turn + 1, proof = $1, proof_hash = sha256('x')", shown
        )


FORGED = {
    "behind the head": [seal(7)],
    "with the head": [seal(7), MOVED.format(number=7)],
    "far ahead": [seal(1000), MOVED.format(number=1000)],
    "signed by another": [seal(7, signature="sha512('x')"), MOVED.format(number=7)],
    "the head alone": [MOVED.format(number=9)],
    "many": [seal(7), seal(8, "au_y"), MOVED.format(number=8)],
}


@pytest.mark.parametrize("how", FORGED)
async def test_a_forged_seal_is_named_and_taken_out(log: Log, take: Take, how: str) -> None:
    """By a superuser, for an entry that waited for its own."""
    await sealed(log)
    (waits,) = await log.act()
    await log.by_superuser(*(text.replace("au_x", waits.id) for text in FORGED[how]))
    number, _ = await log.found()
    assert number == 7
    with pytest.raises(Contradiction):
        await seal_audit_log(log.ctx)
    (alert,) = [a for a in await log.world.all(Alert) if a.problem.type == "audit_tampered"]
    assert "--disown-seals" in alert.problem.what_to_do
    done = await disown(log, take)
    assert done == Disowned(sum("INSERT" in text for text in FORGED[how]), 6)
    kept = await log.connection.fetchval("SELECT count(*) FROM audit_seal_disowned")
    assert kept == done.seals
    await log.seal()
    assert (await log.verify()).is_good
    assert await log.connection.fetchval("SELECT number FROM audit_seal WHERE entry = $1", waits.id)
    (entry,) = [e for e in await log.world.audited() if e.action == "audit_log.disown"]
    assert entry.details["disowned"].startswith("7-")
    assert await disown(log, take) is None


async def test_a_sealer_at_work_says_so_and_goes_on_behind(log: Log, take: Take) -> None:
    """It had sealed before, and trusts what it left: the schema refuses its next seal."""
    stop = asyncio.Event()
    running = asyncio.create_task(LogSealer(log.ctx).run(stop))
    try:
        await log.act(6)
        while (await log.ctx.audit_seals.state()).head.number < 6:
            await asyncio.sleep(0.02)
        await log.by_superuser(seal(7))
        await log.act()
        while not await log.world.all(Alert):
            await asyncio.sleep(0.02)
        assert await disown(log, take) == Disowned(1, 6)
    finally:
        stop.set()
        await running
    await log.end_turn()
    await log.seal()
    assert (await log.verify()).is_good


async def test_a_head_that_asks_for_another_proof_is_named_and_mended(log: Log, take: Take) -> None:
    await sealed(log)
    await log.by_superuser("UPDATE audit_head SET proof_hash = sha256('x')")
    assert await log.found() == (6, None)
    await log.act()
    with pytest.raises(Contradiction, match="not made of our key"):
        await LogSealer(log.ctx).seal_waiting()
    assert await disown(log, take) == Disowned(0, 6)
    await log.seal()
    assert (await log.verify()).is_good


CHANGED = {
    "an entry": "UPDATE audit_entry SET subject = NULL WHERE id = '{}'",
    "a seal": "UPDATE audit_seal SET leaf = sha256(leaf) WHERE number = 4",
    "a cut": "DELETE FROM audit_seal WHERE number > 4; UPDATE audit_head SET number = 4,"
    " hash = (SELECT hash FROM audit_seal WHERE number = 4)",
}


@pytest.mark.parametrize("what", CHANGED)
async def test_what_is_no_forged_seal_stays(log: Log, take: Take, what: str) -> None:
    """Signed by us, or told outside: to take it out would hide who changed it."""
    ids = await sealed(log, 3)
    ids += await sealed(log, 3)
    await log.by_superuser(*CHANGED[what].format(ids[4]).split(";"))
    before = await log.copy()
    with pytest.raises(Refusal) as refused:
        await disown(log, take)
    assert refused.value.code is ErrorCode.AUDIT_LOG_NOT_WHOLE
    after = await log.copy()
    assert after["audit_seal"] == before["audit_seal"]


async def test_seals_of_other_keys_stay(log: Log, take: Take) -> None:
    """A log that the keys are not of is not taken for a forged one."""
    await sealed(log)
    await log.by_superuser("UPDATE audit_seal SET key = key + 1")
    with pytest.raises(Refusal, match="there is no key"):
        await disown(log, take)


async def test_what_was_written_meanwhile_is_looked_at_again(log: Log, take: Take) -> None:
    await sealed(log)
    await log.by_superuser(seal(7))

    async def late(kept: int, seen: int, turn: Turn) -> int:
        await log.by_superuser(seal(8, "au_y"))
        return await take(kept, seen, turn)

    with pytest.raises(MigrationError, match="look again"):
        await disown(log, late)
    assert await disown(log, take) == Disowned(2, 6)


async def test_only_the_owner_takes_seals_out(log: Log, database: str) -> None:
    await sealed(log)
    await log.connection.execute(
        "CREATE ROLE app_forger LOGIN; GRANT USAGE ON SCHEMA public TO app_forger"
    )
    try:
        dial = connector(database.replace("://paygate@", "://app_forger@"), name="app")
        with pytest.raises(MigrationError, match="lacks a right"):
            await taking_out.disown_seals(dial, 1, 6, 99, None, tell=lambda _: None)
    finally:
        await log.connection.execute("DROP OWNED BY app_forger; DROP ROLE app_forger")
