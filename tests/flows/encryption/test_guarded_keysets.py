"""Keysets that a hand wrote to: refused by the database where it has no key, and named where no
trigger stopped it.
"""

import asyncpg
import pytest

from paygate.crypto.keyring import KeyringError
from paygate.crypto.kms import FileKms
from paygate.flows.context import Context
from paygate.flows.encryption.retire import retire_key
from paygate.flows.encryption.rewrap import rewrap_keysets
from paygate.settings import Settings
from paygate.wiring.preparation import prepare_database
from paygate.wiring.service import open_context
from tests.flows.encryption.rotating import CALLER, Connect, quiet
from tests.flows.encryption.test_rotation import primary, put, rotate

SPOILT = "UPDATE keyset SET wrapped = 'x', generation = generation + 1"
WITHOUT_A_KEY = (
    SPOILT,
    f"{SPOILT}, proof = 'x', proof_hash = sha256('x')",
    f"{SPOILT}, proof = proof_hash, proof_hash = sha256('x')",
    "UPDATE keyset SET generation = generation + 1, proof_hash = NULL",
    "UPDATE keyset SET proof_hash = sha256('x')",
    "INSERT INTO keyset_key (purpose, key) VALUES ('records', 1)",
    "INSERT INTO keyset_key (purpose, key, promoted_at) VALUES ('index', 1, now())",
    "UPDATE keyset_key SET promoted_at = now()",
    "UPDATE keyset_key SET retired_at = now()",
    "UPDATE keyset_key SET sealed_at = NULL WHERE sealed_at IS NOT NULL",
    "UPDATE installation SET livemode = NOT livemode",
    "UPDATE installation SET id = 'in_other'",
)


async def test_who_has_no_key_edits_no_keyset(
    settings: Settings, ctx: Context, connect: Connect
) -> None:
    """With every right on the tables that there is: it would keep every process from starting."""
    intent = await put(ctx)
    await rotate(ctx)
    hand = await connect()
    for statement in WITHOUT_A_KEY:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await hand.execute(statement)
    assert await hand.fetchval("SELECT count(*) FROM keyset WHERE proof IS NOT NULL") == 0
    async with open_context(settings, name="late") as late:
        assert await late.read.payment_intent("default", intent.id) == intent
        await rotate(late)


async def test_every_keyset_asks_for_a_proof(
    settings: Settings, ctx: Context, connect: Connect
) -> None:
    """From the run of `migrate` that made it, and of one of before from the next run on."""
    hand = await connect()
    asking = (
        "SELECT array_agg(proof_hash ORDER BY proof_hash) FROM ("
        "SELECT proof_hash FROM keyset UNION ALL SELECT proof_hash FROM audit_head) a"
    )
    before = await hand.fetchval(asking)
    assert [len(each) for each in before] == [32, 32, 32, 32]
    for table in ("keyset", "audit_head"):
        await hand.execute(
            f"ALTER TABLE {table} DISABLE TRIGGER USER; UPDATE {table} SET proof_hash = NULL;"
            f"ALTER TABLE {table} ENABLE TRIGGER USER"
        )
    await prepare_database(settings)
    assert await hand.fetchval(asking) == before
    await rotate(ctx)
    assert not set(before) <= set(await hand.fetchval(asking))


async def test_a_keyset_that_asks_for_another_proof_is_named(
    ctx: Context, connect: Connect
) -> None:
    hand = await connect()
    await hand.execute(
        "ALTER TABLE keyset DISABLE TRIGGER USER; UPDATE keyset SET proof_hash = sha256('x');"
        "ALTER TABLE keyset ENABLE TRIGGER USER"
    )
    with pytest.raises(KeyringError, match=r"asks for a proof .* not made of our audit key"):
        await rotate(ctx)


async def test_keysets_older_than_what_a_process_has_are_refused(
    settings: Settings, ctx: Context, connect: Connect
) -> None:
    """It would take the next edit for one that it has."""
    old = await primary(ctx)
    await rotate(ctx)
    await (await connect()).execute(
        "ALTER TABLE keyset DISABLE TRIGGER USER; UPDATE keyset SET generation = 1;"
        "ALTER TABLE keyset ENABLE TRIGGER USER"
    )
    newer = "newer keysets than the database has"
    with pytest.raises(KeyringError, match=newer):
        await rotate(ctx)
    with pytest.raises(KeyringError, match=newer):
        await retire_key(ctx, CALLER, old, tell=quiet)
    with pytest.raises(KeyringError, match=newer):
        await rewrap_keysets(ctx, CALLER, FileKms.create(settings.data / "other"))
