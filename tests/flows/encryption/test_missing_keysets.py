"""A database without the keys of its records: who starts or migrates says so, and makes none."""

from collections.abc import Sequence

import pytest

from paygate.crypto.keyring import KeyringError
from paygate.doctor.checks import diagnose
from paygate.doctor.examine import examine
from paygate.settings import Looked, Settings
from paygate.storage.change import Change, Committed
from paygate.storage.schema.versions import MigrationError
from paygate.wiring.preparation import prepare_database
from paygate.wiring.service import open_context
from tests.flows.encryption.rotating import Connect
from tests.making import make_audit, make_intent

THERE = "SELECT array_agg(purpose ORDER BY purpose) FROM keyset"


async def with_a_record(settings: Settings) -> None:
    async with open_context(settings, name="test") as ctx:
        change = Change(make_audit(), creates=(make_intent(),))
        assert await ctx.door.commit(change) == Committed()


@pytest.mark.parametrize("lost", [["records"], ["index"], ["audit", "index", "records"]])
async def test_a_keyset_that_is_gone_is_made_by_nobody(
    settings: Settings, connect: Connect, lost: Sequence[str]
) -> None:
    await with_a_record(settings)
    hand = await connect()
    await hand.execute("DELETE FROM keyset WHERE purpose = ANY ($1)", lost)
    left = await hand.fetchval(THERE)
    for _ in "ab":
        with pytest.raises(KeyringError, match=f"no keyset for .*{lost[-1]}.*: put the table"):
            await prepare_database(settings)
    with pytest.raises(KeyringError, match=f"no keyset for {', '.join(lost)}"):
        async with open_context(settings, name="late"):
            raise AssertionError("it started")
    (finding,) = [f for f in diagnose(await examine(Looked(settings, {}, ()))) if f.check == "keys"]
    assert finding.verdict == "wrong"
    assert f"no keyset for {', '.join(lost)}" in finding.message
    assert "or its keysets" in finding.mend
    assert await hand.fetchval(THERE) == left


async def test_an_installation_that_is_gone_is_made_by_nobody(
    settings: Settings, connect: Connect
) -> None:
    """With its keys, or without."""
    await with_a_record(settings)
    hand = await connect()
    for statement in ("DELETE FROM installation", "DELETE FROM keyset"):
        await hand.execute(statement)
        with pytest.raises(MigrationError, match="the installation's row is gone"):
            await prepare_database(settings)
        assert await hand.fetchval("SELECT count(*) FROM installation") == 0
