"""Lines are matched by the page, and each is written once, whoever brings it."""

import asyncio

import pytest
from msgspec.structs import replace

from paygate.domain.alert import Alert, AlertType
from paygate.domain.settlements.line import LinePage, MatchedBy, MatchState
from paygate.domain.settlements.settlement import Matching, Settlement, Source, advanced
from paygate.flows.settlements.read_lines import SettlementClosed, line_id, read_page
from paygate.storage.change import Change
from tests.flows.settlements.paying import C, charged, line, paid
from tests.flows.spoilt import mend, spoil
from tests.flows.world import World
from tests.making import make_audit


async def settlement(world: World, reference: str = "po_1") -> Settlement:
    """One that waits for its lines."""
    new = Settlement(
        id=world.ctx.new_id("settlement"),
        merchant="default",
        livemode=False,
        provider_reference=reference,
        source=Source.REPORT,
        currency="eur",
        created_at=world.clock(),
        updated_at=world.clock(),
    )
    await world.store(new)
    return new


async def now(world: World, was: Settlement) -> Settlement:
    found = await world.ctx.settlements.settlement("default", was.id)
    assert found is not None
    return found


async def test_lines_are_matched_and_written_once(world: World) -> None:
    intent = await paid(world)
    po = await settlement(world)
    fee = line("txn_fee", -300, C.FEE, customer_amount=None)
    read = await read_page(world.ctx, world.caller, po, [charged(intent), fee])
    assert read[:4] == (2, 0, 0, 0)
    (page,) = await world.all(LinePage)
    matched, own = page.lines
    assert (matched.state, matched.by) == (MatchState.MATCHED, MatchedBy.PROVIDER_REFERENCE)
    assert (matched.payment_intent, matched.suspect) == (intent.id, False)
    assert own.state is MatchState.PROVIDER_ONLY
    # Brought once more, twice in a page and in another order, nothing is new.
    again = await read_page(world.ctx, world.caller, po, [fee, charged(intent), fee])
    assert again[:4] == (0, 3, 0, 0)
    # Nor in another settlement: a line is in one.
    other = await settlement(world, "po_2")
    assert (await read_page(world.ctx, world.caller, other, [fee]))[:4] == (0, 0, 1, 0)
    assert len(await world.all(LinePage)) == 1


async def test_two_workers_bring_the_same_lines(world: World) -> None:
    """Each line once, and no page holds a line that another has."""
    po = await settlement(world)
    lines = [line(f"txn_{n}", -n, C.FEE) for n in range(1, 61)]
    await asyncio.gather(
        *(
            read_page(world.ctx, world.caller, po, lines[start : start + 20])
            for start in (0, 10, 20, 30, 40, 0, 20, 40)
        )
    )
    pages: list[LinePage] = await world.all(LinePage)
    ids = [each.id for page in pages for each in page.lines]
    assert sorted(ids) == sorted(line_id(world.ctx, each.provider_reference) for each in lines)
    rows = await world.connection.fetchval("SELECT count(*) FROM settlement_line")
    assert rows == len(lines)


async def test_a_second_line_of_a_payment_is_found(world: World) -> None:
    """In whatever settlement it is: whoever concludes asks which payments have several."""
    intent = await paid(world)
    first, second = await settlement(world), await settlement(world, "po_2")
    await read_page(world.ctx, world.caller, first, [charged(intent)])
    await read_page(world.ctx, world.caller, second, [charged(intent, reference="txn_twice")])
    one, two = (page.lines[0] for page in await world.all(LinePage))
    assert await world.ctx.settlement_pages.several("default", [intent.id]) == {intent.id}
    spots = await world.ctx.settlement_pages.of_facts("default", [intent.id])
    found = [each.id async for each in world.ctx.settlement_pages.at("default", spots)]
    assert sorted(found) == sorted([one.id, two.id])


async def test_a_line_of_a_payment_that_cannot_be_read_is_held(world: World) -> None:
    """The others go on; once the record can be read, the line is matched as it should be."""
    intent = await paid(world)
    po = await settlement(world)
    await spoil(world, "payment_intent", intent.id)
    lines = [charged(intent), line("txn_fee", -300, C.FEE)]
    assert (await read_page(world.ctx, world.caller, po, lines))[:4] == (1, 0, 0, 1)
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.RECORD_UNREADABLE
    await mend(world, "payment_intent", intent.id)
    assert (await read_page(world.ctx, world.caller, po, lines))[:4] == (1, 1, 0, 0)
    assert [each.lines[0].payment_intent for each in await world.all(LinePage)] == [None, intent.id]


async def test_a_payment_under_the_hash_of_another_is_held(world: World) -> None:
    """Of a row that a line finds the seal is believed, and that it is what was asked for."""
    intent = await paid(world)
    po = await settlement(world)
    run = world.connection.execute
    (of_another,) = world.records.payment_indexes("pay_another")
    await run("ALTER TABLE payment_intent DISABLE TRIGGER USER")
    await run("UPDATE payment_intent SET status = 'failed'")
    assert (await read_page(world.ctx, world.caller, po, [charged(intent)]))[:4] == (1, 0, 0, 0)
    await run("UPDATE payment_intent SET provider_reference_index = $1", of_another)
    another = charged(intent, reference="txn_2", payment_reference="pay_another")
    assert (await read_page(world.ctx, world.caller, po, [another]))[:4] == (0, 0, 0, 1)
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.RECORD_UNREADABLE


async def test_what_is_concluded_waits_again_and_what_is_closed_stays(world: World) -> None:
    po = await settlement(world)
    fee, later, last = (line(f"txn_{n}", -n, C.FEE) for n in (1, 2, 3))
    await read_page(world.ctx, world.caller, po, [fee])
    concluded = advanced(po, world.clock(), matching=Matching.DISCREPANT)
    await world.ctx.door.commit(Change(make_audit(), advances=(concluded,)))
    assert (await read_page(world.ctx, world.caller, po, [fee, later]))[:4] == (1, 1, 0, 0)
    waiting = await now(world, po)
    assert (waiting.matching, waiting.version) == (Matching.WAITING, 3)
    shut = advanced(waiting, world.clock(), matching=Matching.BALANCED, closed_at=world.clock())
    await world.ctx.door.commit(Change(make_audit(), advances=(shut,)))
    with pytest.raises(SettlementClosed) as closed:
        await read_page(world.ctx, world.caller, po, [fee, last])
    assert closed.value.lines == (last,)
    assert (await read_page(world.ctx, world.caller, po, [fee]))[:4] == (0, 1, 0, 0)
    assert len(await world.all(LinePage)) == 2


async def test_a_page_that_was_changed_is_not_read(world: World) -> None:
    """A line must be where its row says, and a page is sealed for its number."""
    po = await settlement(world)
    for n in (1, 2):
        await read_page(world.ctx, world.caller, po, [line(f"txn_{n}", -n, C.FEE)])
    run = world.connection.execute
    await run("ALTER TABLE settlement_page DISABLE TRIGGER USER")
    await run("UPDATE settlement_page SET version = version + 10")
    with pytest.raises(Exception, match="settlement_page"):
        _ = [page async for page in world.ctx.settlement_pages.every("default", po.id)]


async def test_a_mark_finds_what_no_id_of_the_providers_names(world: World) -> None:
    intent = await paid(world)
    po = await settlement(world)
    bare = replace(charged(intent), payment_reference=None, source_reference=None)
    await read_page(world.ctx, world.caller, po, [bare])
    (page,) = await world.all(LinePage)
    assert (page.lines[0].by, page.lines[0].payment_intent) == (MatchedBy.ATTEMPT, intent.id)
