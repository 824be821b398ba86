"""A backup that was put back is behind what was told outside: verify fails until somebody declares
the gap, and shows it from then on. Over an edit nothing can be declared (D15).
"""

from pathlib import Path

import pytest

from paygate.checkpoints import lines_of
from paygate.domain.access.roles import Actor, Caller
from paygate.domain.audit_chain import Gap
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.audit_log.checkpoint import Contradiction
from paygate.flows.audit_log.lost import lost_by_restore
from paygate.flows.restores.declare import declare_restore
from tests.flows.audit_log.log import Log, told_to
from tests.flows.audit_log.test_export import checked, exported

ANA = Caller(Actor("command", name="ana"), "default", "req_restored")


CUT_TO_3 = "UPDATE audit_head SET number = 3, hash = (SELECT hash FROM audit_seal WHERE number = 3)"


def silent(*_: object) -> None:
    return None


async def lose(log: Log) -> None:
    """Four entries are kept by the backup, six more are lost, of which eight were told outside."""
    await log.act(4)
    await log.seal()
    backup = await log.copy()
    await log.act(4)
    await log.seal()
    told, log.ctx = log.ctx, told_to(log.ctx, None)
    await log.act(2)
    await log.seal()
    log.ctx = told
    await log.put_back(backup)


async def declare(log: Log) -> dict[str, str]:
    lost = await lost_by_restore(log.ctx, ANA, progress=silent)
    await declare_restore(log.ctx, ANA, None, lost)
    return lost


async def test_a_declared_gap_is_shown_and_no_fault(log: Log, tmp_path: Path) -> None:
    await lose(log)
    assert (await log.found())[0] == 5
    await log.act(2)
    with pytest.raises(Contradiction):
        await log.seal()
    assert (await declare(log))["lost"] == "5-8"
    await log.act(2)
    assert await log.seal() >= 5
    for _ in range(2):
        verified = await log.verify()
        assert verified.is_good, verified.fault
        assert verified.gaps == (Gap(5, 8, "ana"),)
        assert await log.seal() > 0
    numbers = [row["number"] for row in (await log.copy())["audit_seal"]]
    assert numbers[:5] == [1, 2, 3, 4, 9]
    # What is new alone, and what a verifier of somebody else's says.
    assert (await log.verify(whole=False)).is_good
    await log.seal()
    code, said = checked(tmp_path, await exported(log), "", str(log.file))
    assert (code, said.splitlines()[0]) == (0, "declared gap: numbers 5-8, lost by a restore")


async def test_a_second_restore_is_a_gap_too(log: Log, tmp_path: Path) -> None:
    """First the same backup once more, whose gap takes in the first one; then one of after it."""
    await log.act(4)
    await log.seal()
    backup = await log.copy()
    gaps: list[Gap] = []
    for last in range(3):
        await log.act(3)
        await log.seal()
        if last == 2:
            backup = await log.copy()
            await log.act(3)
            await log.seal()
        head = max(row["number"] for row in backup["audit_seal"])
        tip = max(row["number"] for row in (await log.copy())["audit_seal"])
        await log.put_back(backup)
        assert (await declare(log))["lost"] == f"{head + 1}-{tip}"
        log.world.clock.forward(1)
        assert (await declare(log))["lost"] == f"{head + 1}-{tip}", "said twice is said once"
        assert await log.seal() >= 2
        log.world.clock.forward(1)
        gaps = [*(gap for gap in gaps if gap.last <= head), Gap(head + 1, tip, "ana")]
        verified = await log.verify()
        assert (verified.fault, verified.gaps) == (None, tuple(gaps))
        assert checked(tmp_path, await exported(log), "", str(log.file))[0] == 0
    assert len(gaps) == 2


async def test_declarations_that_do_not_open_hide_none(log: Log) -> None:
    """Whoever may add entries has no key, and writes more of them than a page has."""
    await lose(log)
    await declare(log)
    await log.connection.execute(
        "INSERT INTO audit_entry (merchant, id, at, sealed, action)"
        " SELECT 'default', 'au_z' || n, now(), 'x', 'restore.declare'"
        " FROM generate_series(1, 250) n"
    )
    assert await log.seal() > 0
    numbers = [row["number"] for row in (await log.copy())["audit_seal"]]
    assert numbers[:5] == [1, 2, 3, 4, 9]


async def test_what_waited_for_its_seal_in_a_dump_is_no_edit(log: Log) -> None:
    """A dump of a gateway at work has entries of its last second that have no seal. In another
    server they are counted from another beginning, and so is what was written there before.
    """
    await lose(log)
    await log.act(2)
    far = "(pg_current_xact_id()::text::bigint + 1000000)::text::xid8"
    await log.by_superuser(
        f"UPDATE audit_entry SET written_in = {far}", f"UPDATE audit_head SET written_in = {far}"
    )
    await log.act(2)
    fault = (await log.verify()).fault
    assert fault is not None
    assert "was told outside" in fault.what
    assert (await declare(log))["lost"] == "5-8"
    assert await log.seal() >= 5
    verified = await log.verify()
    assert (verified.fault, verified.gaps) == (None, (Gap(5, 8, "ana"),))


async def test_nothing_lost_is_no_gap(log: Log) -> None:
    await log.act(3)
    await log.seal()
    assert await declare(log) == {}
    await log.seal()
    assert (await log.verify()).gaps == ()


@pytest.mark.parametrize("edit", ["entry", "seal", "cut", "checkpoint"])
async def test_a_gap_over_an_edit_is_refused(log: Log, edit: str) -> None:
    await lose(log)
    ids = [row["id"] for row in (await log.copy())["audit_entry"]]
    assert log.file is not None
    if edit == "entry":
        await log.by_superuser(f"UPDATE audit_entry SET subject = NULL WHERE id = '{ids[1]}'")
    elif edit == "seal":
        await log.by_superuser("UPDATE audit_seal SET leaf = sha256(leaf) WHERE number = 2")
    elif edit == "cut":
        await log.by_superuser(
            f"DELETE FROM audit_entry WHERE id = '{ids[3]}'",
            "DELETE FROM audit_seal WHERE number = 4",
            CUT_TO_3,
        )
    else:
        log.file.write_bytes(log.file.read_bytes().replace(b'"number":8', b'"number":9'))
    with pytest.raises(Refusal) as refused:
        await declare(log)
    assert refused.value.code is ErrorCode.AUDIT_LOG_NOT_WHOLE
    with pytest.raises(Contradiction):
        await log.seal()


async def test_a_declaration_holds_for_its_own_gap_alone(log: Log) -> None:
    """Entries are cut once more after it: it names another head."""
    await lose(log)
    await declare(log)
    await log.by_superuser(
        "DELETE FROM audit_seal WHERE number = 4",
        CUT_TO_3,
    )
    with pytest.raises(Contradiction):
        await log.seal()


async def test_an_edit_of_the_declaration_is_found(log: Log) -> None:
    await lose(log)
    await declare(log)
    await log.seal()
    await log.by_superuser("UPDATE audit_entry SET actor = 'x' WHERE action = 'restore.declare'")
    assert (await log.found())[0] == 5, "there is no declaration any more"


async def test_checkpoints_that_somebody_else_keeps_are_named(log: Log) -> None:
    """An address that is not asked what it keeps: its lines come in a file."""
    await lose(log)
    told, log.ctx = log.ctx, told_to(log.ctx, None)
    file = log.file
    assert file is not None
    lost = await lost_by_restore(log.ctx, ANA, lines=lambda: lines_of(file), progress=silent)
    assert lost["lost"] == "5-8"
    await declare_restore(log.ctx, ANA, None, lost)
    log.ctx = told
    await log.seal()
    verified = await log.verify(lines=lambda: lines_of(file))
    assert (verified.is_good, verified.gaps) == (True, (Gap(5, 8, "ana"),))
