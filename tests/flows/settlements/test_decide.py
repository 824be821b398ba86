"""What people decide: discrepancies explained and resolved, suggestions taken or refused, what the
bank received; and that no run takes any of it back.
"""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.audit import AuditEntry
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.settlements.discrepancy import DecisionAction, Discrepancy
from paygate.domain.settlements.line import LineMatch, MatchedBy, MatchState
from paygate.domain.settlements.outcome import PayoutStatus
from paygate.domain.settlements.settlement import Matching
from paygate.flows.settlements import offer
from paygate.flows.settlements.decide import match_line, resolve_discrepancy
from paygate.flows.settlements.read import (
    LineFilters,
    list_lines,
    read_discrepancy,
    read_settlement,
)
from paygate.flows.settlements.record_bank_amount import record_bank_amount
from paygate.flows.settlements.settle import Outcome, settle_read
from paygate.flows.settlements.work_on import conclude_as_asked
from paygate.jobs.messages import ConcludeSettlement, decode
from tests.flows.settlements.paying import C, changed, charged, line, paid, paying, pays
from tests.flows.settlements.stories import kinds, lines_of, run, settle, stands, told
from tests.flows.world import World

EXPLAIN, RESOLVE = DecisionAction.EXPLAIN, DecisionAction.RESOLVE


async def work(world: World) -> None:
    """Do what decisions asked of the worker."""
    rows = await world.connection.fetch(
        "DELETE FROM pgqueuer WHERE entrypoint = 'conclude_settlement' RETURNING payload"
    )
    for row in rows:
        message = decode(row["payload"])
        assert isinstance(message, ConcludeSettlement)
        await conclude_as_asked(world.ctx, message)


async def refused(work: Any) -> ErrorCode:
    with pytest.raises(Refusal) as refusal:
        await work
    return refusal.value.code


async def odd(world: World) -> Discrepancy:
    """A payout with a line of an unknown category."""
    adjusted = line("txn_odd", -70, C.UNKNOWN, customer_amount=None)
    pays(world, "po_1", charged(await paid(world)), adjusted)
    await settle(world)
    found: list[Discrepancy] = await world.all(Discrepancy)
    assert len(found) == 1
    return found[0]


async def test_a_discrepancy_is_explained_then_resolved_and_stays_so(world: World) -> None:
    found = await odd(world)
    ctx, ana = world.ctx, replace(world.caller, actor=replace(world.caller.actor, name="ana"))
    explained = await resolve_discrepancy(ctx, ana, found.id, EXPLAIN, "asked the provider")
    assert explained.decision is not None
    assert (explained.status, explained.decision.actor) == ("explained", "ana")
    await work(world)
    await run(world)
    assert (await read_discrepancy(ctx, ana, found.id)).status == "explained"
    # All lines are accounted for or decided now, and it is paid and sums: it closes itself.
    of = await stands(world)
    assert (of.matching, of.is_open) == (Matching.BALANCED, False)
    resolved = await resolve_discrepancy(ctx, ana, found.id, RESOLVE, "credited")
    assert resolved.status == "resolved"
    again = resolve_discrepancy(ctx, ana, found.id, RESOLVE, "once more")
    assert await refused(again) is ErrorCode.STATE_CONFLICT
    await run(world)
    assert (await read_discrepancy(ctx, ana, found.id)).decision == resolved.decision
    assert (await told(world))[-1] == "discrepancy.resolved"
    entries: list[AuditEntry] = await world.all(AuditEntry)
    assert [e.details["reason"] for e in entries if e.action == "discrepancy.resolve"] == [
        "asked the provider",
        "credited",
    ]


async def test_two_people_resolve_at_once_and_one_is_told(world: World) -> None:
    found = await odd(world)
    done = await asyncio.gather(
        *(
            resolve_discrepancy(world.ctx, world.caller, found.id, RESOLVE, f"{n}")
            for n in range(5)
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(each, Exception) for each in done) == 1
    assert (await told(world)).count("discrepancy.resolved") == 1


async def suggested(world: World, amount: int = 1999) -> str:
    """A line without ids that two payments might be for. Its id."""
    await paid(world), await paid(world)
    bare = line("row 1", amount, fee=59)
    pays(world, "po_1", bare)
    await settle(world)
    return next(each.id for each in await lines_of(world) if each.said.category is C.CHARGE)


async def test_what_fits_is_suggested_and_a_person_takes_it(world: World) -> None:
    """Two payments of the amount on a day: two candidates, no match. The settlement stays open."""
    line_id = await suggested(world)
    of = await stands(world)
    (bare,) = [each for each in await lines_of(world) if each.id == line_id]
    assert (bare.state, len(bare.candidates)) == (MatchState.SUGGESTED, 2)
    assert (of.counts.suggested, of.matching) == (1, Matching.DISCREPANT)
    ctx, taken = world.ctx, bare.candidates[1].payment_intent
    wrong = match_line(ctx, world.caller, of.id, line_id, "pi_01hzy3v8g5r4m2k9d7c6b5a4z3", None)
    assert await refused(wrong) is ErrorCode.PARAMETER_INVALID
    done = await match_line(ctx, world.caller, of.id, line_id, taken, "the order's day")
    assert (done.line.state, done.line.by) == (MatchState.MATCHED, MatchedBy.PERSON)
    again = match_line(ctx, world.caller, of.id, line_id, taken, None)
    assert await refused(again) is ErrorCode.STATE_CONFLICT
    await work(world)
    of = await stands(world)
    assert (of.is_open, of.counts.matched, of.counts.suggested) == (False, 1, 0)
    shown = await list_lines(
        ctx, world.caller, of.id, LineFilters(payment_intent=taken), 10, None, ""
    )
    assert [each.id for each in shown.items] == [line_id]
    closed = match_line(ctx, world.caller, of.id, line_id, None, None)
    assert await refused(closed) is ErrorCode.STATE_CONFLICT


async def test_of_many_payments_without_a_line_the_nearest_are_looked_through(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than are looked through for a page, the oldest of them long ago."""
    monkeypatch.setattr(offer, "MOST", 10)
    for _ in range(12):
        await paid(world)
    world.clock.forward(9 * 86_400)
    near = {(await paid(world)).id for _ in range(2)}
    pays(world, "po_1", line("row 1", 1999, fee=59, created_at=world.clock()))
    await settle(world)
    (bare,) = [each for each in await lines_of(world) if each.said.category is C.CHARGE]
    assert {each.payment_intent for each in bare.candidates} == near


async def test_a_suggestion_is_refused(world: World) -> None:
    """Then the line has nothing behind it, and that is a discrepancy."""
    line_id = await suggested(world)
    of = await stands(world)
    done = await match_line(world.ctx, world.caller, of.id, line_id, None, "not ours")
    assert (done.line.state, done.line.candidates) == (MatchState.UNMATCHED, ())
    await work(world)
    assert await kinds(world) == {"missing_internally": 1}
    again = match_line(world.ctx, world.caller, of.id, line_id, None, None)
    assert await refused(again) is ErrorCode.STATE_CONFLICT


async def test_no_amount_but_the_same_is_suggested(world: World) -> None:
    line_id = await suggested(world, 1998)
    (bare,) = [each for each in await lines_of(world) if each.id == line_id]
    assert (bare.state, bare.candidates) == (MatchState.UNMATCHED, ())


async def test_a_candidate_that_another_line_settled_is_not_taken(world: World) -> None:
    line_id = await suggested(world)
    (bare,) = [each for each in await lines_of(world) if each.id == line_id]
    of, first = await stands(world), bare.candidates[0].payment_intent
    intent = await world.ctx.read.payment_intent("default", first)
    assert intent is not None
    pays(world, "po_2", charged(intent))
    await settle(world, "po_2")
    late = match_line(world.ctx, world.caller, of.id, line_id, first, None)
    assert await refused(late) is ErrorCode.STATE_CONFLICT


async def test_a_record_of_a_line_and_of_a_persons_match_is_used_twice(world: World) -> None:
    """Its own line came in another payout while the person looked, and was by itself right."""
    line_id = await suggested(world)
    (bare,) = [each for each in await lines_of(world) if each.id == line_id]
    of, candidate = await stands(world), bare.candidates[0]
    intent = await world.ctx.read.payment_intent("default", candidate.payment_intent)
    assert intent is not None
    pays(world, "po_2", charged(intent), status=PayoutStatus.IN_TRANSIT)
    await settle(world, "po_2")
    assert await kinds(world) == {}
    match = LineMatch(
        id=line_id,
        merchant="default",
        settlement=of.id,
        taken=candidate,
        actor="ana",
        created_at=world.clock(),
    )
    await world.store(match)
    changed(world, "po_2", status=PayoutStatus.PAID)
    await settle(world, "po_2")
    assert await kinds(world) == {"duplicate_at_provider": 1}
    assert (await stands(world, "po_2")).is_open


async def test_two_people_decide_a_line_at_once(world: World) -> None:
    line_id = await suggested(world)
    of = await stands(world)
    done = await asyncio.gather(
        *(match_line(world.ctx, world.caller, of.id, line_id, None, f"{n}") for n in range(4)),
        return_exceptions=True,
    )
    assert sum(not isinstance(each, Exception) for each in done) == 1
    assert len(await world.all(LineMatch)) == 1


async def test_what_the_bank_received(world: World) -> None:
    found = await odd(world)
    of = await stands(world)
    after = await record_bank_amount(world.ctx, world.caller, of.id, 1800)
    assert after.bank_amount == 1800
    await work(world)
    assert await kinds(world) == {"unexpected_adjustment": 1, "payout_total_mismatch": 1}
    await record_bank_amount(world.ctx, world.caller, of.id, 1870)
    await work(world)
    assert await kinds(world) == {"unexpected_adjustment": 1}, "the right amount heals it"
    await resolve_discrepancy(world.ctx, world.caller, found.id, RESOLVE, "known")
    await work(world)
    shut = record_bank_amount(world.ctx, world.caller, of.id, 1)
    assert await refused(shut) is ErrorCode.STATE_CONFLICT


async def test_keys_of_other_merchants_find_nothing(world: World) -> None:
    found = await odd(world)
    of = await stands(world)
    other = Caller(Actor("api_key", id="key_1"), "another", "req_2")
    ctx = world.ctx
    for work_ in (
        read_settlement(ctx, other, of.id),
        read_discrepancy(ctx, other, found.id),
        list_lines(ctx, other, of.id, LineFilters(), 10, None, ""),
        record_bank_amount(ctx, other, of.id, 1),
        match_line(ctx, other, of.id, "sl_1", None, None),
        resolve_discrepancy(ctx, other, found.id, RESOLVE, "x"),
        read_settlement(ctx, world.caller, "st_unknown"),
        read_discrepancy(ctx, world.caller, "dc_unknown"),
        match_line(ctx, world.caller, of.id, "sl_unknown", None, None),
    ):
        assert await refused(work_) is ErrorCode.RESOURCE_MISSING


async def test_a_record_that_is_known_later_is_found(world: World) -> None:
    """As after a restore: the line stays as it was read, and its match stands beside it."""
    intent = await paid(world)
    hidden = charged(intent)
    run_ = world.connection.execute
    await run_("ALTER TABLE payment_intent DISABLE TRIGGER USER")
    await run_("UPDATE payment_intent SET provider_reference_index = NULL, merchant = 'gone'")
    pays(world, "po_1", hidden)
    assert (await settle(world)).outcome is Outcome.CONCLUDED
    assert await kinds(world) == {"missing_internally": 1}
    index = world.records.payment_indexes(str(intent.provider_reference))[0]
    put_back = "UPDATE payment_intent SET provider_reference_index = $1, merchant = 'default'"
    await run_(put_back, index)
    await run_("ALTER TABLE payment_intent ENABLE TRIGGER USER")
    done = await settle_read(world.ctx, world.caller, await stands(world))
    assert done.outcome is Outcome.CLOSED
    assert await kinds(world) == {}
    (match,) = await world.all(LineMatch)
    assert (match.by, match.fact) == (MatchedBy.PROVIDER_REFERENCE, intent.id)
    assert paying(world).lines["po_1"]
