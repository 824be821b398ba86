"""What a superuser with every trigger switched off does to the log, verify finds: an edit of any
part of any entry, a deletion, an insertion, another order, a cut, and a whole log that is gone.
"""

import asyncio
from datetime import timedelta
from typing import Literal

import msgspec
import pytest

from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertStatus
from paygate.domain.audit_chain import GENESIS, digest_of
from paygate.flows.audit_log.checkpoint import Contradiction
from paygate.flows.audit_log.seal import LogSealer
from paygate.storage.audit_chain import PAGE
from paygate.storage.change import Change
from paygate.storage.tables import AUDIT_ENTRY
from tests.flows.audit_log.log import Log, told_to

MINUTE = 60.0
ENTRY = "UPDATE audit_entry SET {} WHERE id = '{}'"


async def sealed(log: Log, count: int = 6) -> list[str]:
    """A log of so many entries, sealed and told outside; their ids."""
    entries = await log.act(count)
    await log.seal()
    return [entry.id for entry in entries]


async def sealed_as(log: Log, entry_id: str, content: bytes) -> None:
    """Put other content into an entry, sealed with our own key: what even the application's owner
    could do.
    """
    place = AUDIT_ENTRY.place(("default", entry_id))
    sealed = log.world.records._sealer.seal(place, content)
    await log.by_superuser(ENTRY.format(f"sealed = '\\x{sealed.hex()}'", entry_id))


async def test_a_whole_log_is_good(log: Log) -> None:
    await sealed(log)
    verified = await log.verify()
    assert verified.is_good
    assert (verified.first, verified.head, verified.entries) == (1, 6, 6)
    assert (verified.checkpoints, verified.gaps) == (1, ())
    await log.act(2)
    await log.seal()
    # The verification itself was an act, too; what is new is gone through alone.
    verified = await log.verify(whole=False)
    assert (verified.is_good, verified.first, verified.entries) == (True, 7, 3)


COLUMNS = {
    "merchant": "'other'",
    "at": "at + interval '1 microsecond'",
    "subject": "NULL",
    "action": "'payment_intent.list'",
    "actor": "'key_other'",
    "sealed": "sealed || '\\x00'",
}


@pytest.mark.parametrize("column", COLUMNS)
async def test_an_edit_of_each_column_is_found(log: Log, column: str) -> None:
    """D4, D5. A null in a column that was added later opens, and is found all the same."""
    ids = await sealed(log)
    await log.by_superuser(ENTRY.format(f"{column} = {COLUMNS[column]}", ids[3]))
    assert await log.found() == (4, ids[3])
    (alert,) = [a for a in await log.world.all(Alert) if a.problem.type == "audit_tampered"]
    assert ids[3] in alert.problem.message


def leaves(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where each value of a nested object is."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    return [path]


async def test_an_edit_of_each_leaf_is_found(log: Log) -> None:
    """D5: sealed with the right key, as no stranger could: each nested field of the content."""
    ids = await sealed(log)
    (entry,) = [e for e in await log.world.audited() if e.id == ids[2]]
    content = AUDIT_ENTRY.encode(entry)
    everything = leaves(msgspec.msgpack.decode(content))
    assert {("actor", "role"), ("details", "amount"), ("subject", "id")} <= set(everything)
    for path in everything:
        changed = msgspec.msgpack.decode(content)
        place = changed
        for key in path[:-1]:
            place = place[key]
        old = place[path[-1]]
        place[path[-1]] = old + timedelta(1) if path == ("at",) else f"{old}x"
        await sealed_as(log, ids[2], msgspec.msgpack.encode(changed))
        assert await log.found() == (3, ids[2]), path
    await sealed_as(log, ids[2], content)
    assert (await log.verify()).is_good, "sealed anew it is the same entry"
    (alert,) = [a for a in await log.world.all(Alert) if a.problem.type == "audit_tampered"]
    assert alert.status is AlertStatus.CLOSED


SEAL = {
    "merchant": "'other'",
    "at": "at - interval '3 years'",
    "key": "key + 1",
    "format": "2",
    "leaf": "sha256(leaf)",
    "hash": "sha256(hash)",
}


@pytest.mark.parametrize("column", SEAL)
async def test_an_edit_of_a_seal_is_found(log: Log, column: str) -> None:
    ids = await sealed(log)
    await log.by_superuser(f"UPDATE audit_seal SET {column} = {SEAL[column]} WHERE number = 3")
    number, entry = await log.found()
    assert (number, entry) == (3, ids[2])


async def test_a_deleted_entry_is_found(log: Log) -> None:
    ids = await sealed(log)
    delete = f"DELETE FROM audit_entry WHERE id = '{ids[1]}'"
    await log.by_superuser(delete)
    assert await log.found() == (2, ids[1])
    await log.by_superuser("DELETE FROM audit_seal WHERE number = 2")
    assert await log.found() == (2, None), "with its seal, too"
    # Nor does it help to say that it was of a month that was taken away.
    await log.by_superuser("UPDATE audit_seal SET at = '2020-01-01' WHERE number = 3")
    assert (await log.found())[0] == 2


async def test_an_inserted_entry_is_found(log: Log) -> None:
    """Whatever place in the order it claims; a copy of a real one in another month, too."""
    ids = await sealed(log)
    columns = "merchant, id, at, subject, action, actor, sealed, written_in"
    insert = (
        f"INSERT INTO audit_entry ({columns}) SELECT {{}} FROM audit_entry WHERE id = '{ids[1]}'"
    )
    rest = "subject, action, actor, sealed"
    await log.connection.execute(insert.format(f"merchant, 'au_x', at, {rest}, '0'"))
    assert await log.found() == (None, "au_x")
    await log.by_superuser("DELETE FROM audit_entry WHERE id = 'au_x'")
    await log.connection.execute(
        insert.format(f"merchant, id, at - interval '70 days', {rest}, written_in")
    )
    assert await log.found() == (None, ids[1])


async def test_another_order_is_found(log: Log) -> None:
    ids = await sealed(log)
    swap = "UPDATE audit_seal SET number = {} WHERE number = {}"
    await log.by_superuser(swap.format(99, 2), swap.format(2, 3), swap.format(3, 99))
    assert await log.found() == (2, ids[2])


async def test_a_cut_tail_is_found(log: Log) -> None:
    """By what was told outside alone, where the cut is behind a signature (D9)."""
    await sealed(log, 4)
    backup = await log.copy()
    await sealed(log, 6)
    await log.put_back(backup)
    number, _ = await log.found()
    assert number == 5
    fault = (await log.verify()).fault
    assert fault is not None
    assert "number 10 was told outside" in fault.what
    # Without that nobody knows; where the cut is elsewhere, the signature is lacking.
    log.ctx = told_to(log.ctx, None)
    assert (await log.verify()).is_good
    await log.act(3)
    await log.seal()
    delete = "DELETE FROM {} WHERE {} = '{}'"
    last = (await log.copy())["audit_seal"][-1]
    before = await log.connection.fetchval(
        "SELECT hash FROM audit_seal WHERE number = $1", last["number"] - 1
    )
    await log.by_superuser(
        delete.format("audit_entry", "id", last["entry"]),
        delete.format("audit_seal", "number", last["number"]),
        f"UPDATE audit_head SET number = number - 1, hash = '\\x{before.hex()}'",
    )
    assert (await log.found())[0] == last["number"] - 1


async def test_a_start_refuses_to_sign_behind_a_cut(log: Log) -> None:
    """D9: the worker is told by the last checkpoint; entries wait, payments do not."""
    await sealed(log, 4)
    backup = await log.copy()
    await sealed(log, 6)
    await log.put_back(backup)
    await log.act(2)
    with pytest.raises(Contradiction, match="entry 10 was told outside"):
        await log.seal()
    stop = asyncio.Event()
    running = asyncio.create_task(LogSealer(log.ctx).run(stop))
    while not (alerts := await log.world.all(Alert)):
        await asyncio.sleep(0.02)
    stop.set()
    await running
    assert [a.problem.type for a in alerts] == ["audit_tampered"]
    assert (await log.ctx.audit_seals.state()).head.number == 4


async def test_a_log_that_is_gone_is_found(log: Log) -> None:
    """D8: nothing left is not valid."""
    await sealed(log)
    await log.by_superuser(
        "DELETE FROM audit_entry",
        "DELETE FROM audit_seal",
        f"UPDATE audit_head SET number = 0, hash = '\\x{GENESIS.hex()}', verified = NULL",
    )
    assert (await log.found())[0] == 1
    with pytest.raises(Contradiction):
        await log.seal()
    await log.by_superuser("UPDATE audit_head SET number = 6")
    assert (await log.found())[0] == 1, "nor when the counter stays"


async def test_a_merchants_log_that_is_gone_is_found(log: Log) -> None:
    ids = await sealed(log)
    await log.by_superuser(
        f"UPDATE audit_entry SET merchant = 'gone' WHERE id IN ('{ids[2]}', '{ids[4]}')",
        "DELETE FROM audit_entry WHERE merchant = 'gone'",
    )
    assert await log.found() == (3, ids[2])


async def test_a_rewrite_of_like_length_is_found(log: Log) -> None:
    """D7: the last entries are made anew and chained again, by our own sealer even: the numbers are
    the same, and the hashes outside are not.
    """
    await sealed(log, 4)
    backup = await log.copy()
    await sealed(log, 6)
    await log.put_back(backup)
    told, log.ctx = log.ctx, told_to(log.ctx, None)
    await log.act(6)
    await log.seal()
    assert (await log.ctx.audit_seals.state()).head.number == 10
    log.ctx = told
    assert (await log.found())[0] == 10
    with pytest.raises(Contradiction, match="not the one that was told"):
        await LogSealer(log.ctx).seal_waiting()


async def test_who_has_the_database_alone_chains_nothing_again(log: Log) -> None:
    """The leaf needs the salt, and the head a signature: neither is in the database."""
    ids = await sealed(log)
    await log.by_superuser(
        f"DELETE FROM audit_entry WHERE id = '{ids[5]}'",
        "DELETE FROM audit_seal WHERE number = 6",
        "UPDATE audit_head SET number = 5, hash = (SELECT hash FROM audit_seal WHERE number = 5)",
        "UPDATE audit_seal SET signature = decode(repeat('ab', 64), 'hex') WHERE number = 5",
    )
    log.ctx = told_to(log.ctx, None)
    assert await log.found() == (5, ids[4])
    with pytest.raises(Contradiction, match="not ours"):
        await LogSealer(log.ctx).seal_waiting()


async def test_checkpoints_that_are_not_ours_are_found(log: Log) -> None:
    await sealed(log)
    assert log.file is not None
    line = log.file.read_bytes()
    await sealed(log)
    both = log.file.read_bytes()
    forged = line.replace(b'"number":6', b'"number":5')
    for changed in (forged, forged + both[len(line) :], b"nonsense\n", b"nonsense\n" + both):
        log.file.write_bytes(changed)
        verified = await log.verify()
        assert verified.is_good is (changed == b"nonsense\n" + both), changed
    log.file.write_bytes(both + b'{"torn')
    assert (await log.verify()).is_good, "what a crash cut off never counted"
    await sealed(log, 1)
    assert (await log.verify()).is_good


async def test_checkpoints_that_are_gone_are_missed(log: Log) -> None:
    """An emptied file, one that was cut, or a folder that is not mounted."""
    await sealed(log)
    assert log.file is not None
    line = log.file.read_bytes()
    await sealed(log)
    both = log.file.read_bytes()
    for left in (b"", line, both[:-20]):
        log.file.write_bytes(left)
        assert await log.found() == (12, None), left
    log.file.unlink()
    assert await log.found() == (12, None)
    assert await log.found(whole=False) == (12, None)
    log.file.write_bytes(both)
    assert (await log.verify()).is_good


async def test_what_was_verified_last_cannot_be_forged(log: Log) -> None:
    """A verification of what is new begins where a signed one ended, and nowhere else."""
    ids = await sealed(log)
    assert (await log.verify()).is_good
    await log.act(2)
    await log.seal()
    kept = (await log.ctx.audit_seals.state()).verified
    assert kept is not None
    await log.by_superuser(ENTRY.format("subject = NULL", ids[1]))
    assert (await log.verify(whole=False)).first == 7
    deep = '{"x":' + "[" * 20_000 + "]" * 20_000 + "}"
    for forged in (kept.replace('"number":6', '"number":7'), deep, "[]", kept[:-1]):
        async with log.triggers_off():
            await log.connection.execute("UPDATE audit_head SET verified = $1", forged)
        verified = await log.verify(whole=False)
        assert (verified.first, verified.is_good) == (1, False)


async def test_verify_goes_on_in_pages(log: Log) -> None:
    """D14: more than two pages of seals, many batches, and a change on the last one of each."""
    number = 2 * PAGE + 7
    entries = [log.ctx.audit(log.world.caller, Action.INTENT_READ) for _ in range(number)]
    await asyncio.gather(*(log.ctx.door.commit(Change(entry)) for entry in entries))
    assert await log.seal() == number
    verified = await log.verify()
    assert (verified.is_good, verified.entries) == (True, number)
    for last in (2 * PAGE + 1, 2 * PAGE, PAGE + 1, PAGE, 1):
        changed = f"UPDATE audit_seal SET leaf = sha256(leaf) WHERE number = {last}"
        await log.by_superuser(changed)
        assert (await log.found())[0] == last


async def test_verify_finds_nothing_on_a_log_that_grows(log: Log) -> None:
    """D12: entries are written and sealed all the time."""
    stop = asyncio.Event()
    running = asyncio.create_task(LogSealer(log.ctx).run(stop))

    async def busy() -> None:
        while not stop.is_set():
            await log.act(5)

    acting = asyncio.create_task(busy())
    for turn in range(12):
        verified = await log.verify(whole=turn % 2 == 0)
        assert verified.is_good, verified.fault
        await asyncio.sleep(0.1)
    stop.set()
    await asyncio.gather(running, acting)
    assert await log.world.all(Alert) == []


class Keeper:
    """Somebody outside who takes what follows, and tells nobody what there is."""

    name = "keeper"

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    async def last(self) -> bytes | None:
        return None

    def lines(self) -> None:
        return None

    async def put(self, line: bytes) -> Literal["kept", "contradicted", "failed"]:
        previous = digest_of(self.kept[-1]) if self.kept else ""
        if msgspec.json.decode(line)["previous"] != previous:
            return "contradicted"
        self.kept.append(line)
        return "kept"


async def test_who_keeps_checkpoints_may_contradict(log: Log) -> None:
    """D9, D10: an address is not asked what it keeps; it says when something does not follow."""
    keeper = Keeper()
    log.ctx = told_to(log.ctx, keeper)
    await sealed(log, 4)
    backup = await log.copy()
    await sealed(log, 2)
    assert [msgspec.json.decode(line)["number"] for line in keeper.kept] == [4, 4, 6]
    assert (await log.verify()).is_good
    await log.put_back(backup)
    await log.act()
    with pytest.raises(Contradiction, match="does not extend"):
        await log.seal()
    assert (await log.ctx.audit_seals.state()).head.number == 4, "nothing was signed"
