"""What readiness says: nothing when all is well, and each of what is not."""

from datetime import timedelta

import msgspec

from paygate.checkpoints import CheckpointFile
from paygate.domain.warning import WarningCode
from paygate.flows.audit_log.readiness import look_at_audit_log
from paygate.flows.audit_log.verify import verify_by_the_clock
from tests.flows.audit_log.log import Log, told_to


async def warned(log: Log) -> set[WarningCode]:
    return {warning.code for warning in (await look_at_audit_log(log.ctx)).warnings}


async def test_all_is_well(log: Log) -> None:
    log.world.clock.time = await log.connection.fetchval("SELECT clock_timestamp()")
    await log.act(3)
    await log.seal()
    look = await look_at_audit_log(log.ctx)
    assert (look.warnings, look.verified_at) == ((), None)
    assert (await log.verify()).is_good
    assert (await look_at_audit_log(log.ctx)).verified_at == log.world.clock()
    log.world.clock.forward(timedelta(days=2, minutes=1).total_seconds())
    assert await warned(log) == {WarningCode.AUDIT_NOT_VERIFIED}
    await verify_by_the_clock(log.ctx, log.world.caller)
    assert await warned(log) == set()


async def test_the_job_goes_through_the_whole_once_a_week(log: Log) -> None:
    """D11, D14."""
    log.world.clock.time = await log.connection.fetchval("SELECT clock_timestamp()")
    await log.act(3)
    await log.seal()
    firsts = []
    for _ in range(9):
        firsts.append((await verify_by_the_clock(log.ctx, log.world.caller)).first)
        await log.seal()
        log.world.clock.forward(timedelta(days=1).total_seconds())
    assert firsts == [1, 4, 5, 6, 7, 8, 9, 1, 11]


async def test_what_waits_is_told(log: Log) -> None:
    """D2: entries that nobody seals; and the end that nobody outside is told of."""
    await log.act(2)
    assert WarningCode.AUDIT_NOT_SEALED in await warned(log), "the world's clock is years behind"
    assert log.file is not None
    folder = log.file.with_name("folder")
    folder.mkdir()
    log.ctx = told_to(log.ctx, CheckpointFile(folder / "no" / "such"))
    await log.seal()
    log.world.clock.time = await log.connection.fetchval("SELECT clock_timestamp()")
    assert WarningCode.AUDIT_NOT_SEALED not in await warned(log)
    assert WarningCode.AUDIT_NOT_TOLD in await warned(log)


async def test_production_wants_a_bound_role_and_somebody_outside(log: Log) -> None:
    await log.act()
    await log.seal()
    policy = msgspec.structs.replace(log.ctx.policy, production=True)
    log.ctx = msgspec.structs.replace(told_to(log.ctx, None), policy=policy)
    found = await warned(log)
    assert {WarningCode.DATABASE_ROLE, WarningCode.AUDIT_NOT_TOLD} <= found
