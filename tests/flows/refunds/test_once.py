"""One request, one refund: under its key, behind a restore, beside the dashboard, and where a flow
forgets its guard.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from paygate.domain import ledger
from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertType
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.conclusion import RefundMoved, reserve
from paygate.domain.refunds.outcome import RefundAnswer, Refunded, RefundPending
from paygate.domain.refunds.refund import Refund, RefundState
from paygate.flows.alerts.close import close_alerts
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.purge import purge_idempotency_keys
from paygate.flows.idempotency.run_once import idempotently
from paygate.flows.refunds.create import NewRefund, refund_payment_intent
from paygate.flows.refunds.find import Finding, apply_refund
from paygate.flows.refunds.read import read_refund
from paygate.flows.refunds.resolve import expire_refund_approvals, resolve_refunds
from paygate.storage.change import Change, Impossible, Outdated
from tests.flows.refunds.stories import (
    GONE,
    check_books,
    of_the_dashboard,
    paid,
    refund,
    shown,
    use_limits,
)
from tests.flows.world import INSTALLATION, World, encode
from tests.storage.newer import made_newer

DAY = 24 * 3600


async def refund_once(
    world: World, intent: PaymentIntent, key: str, amount: int = 500
) -> dict[str, Any]:
    """A refund under an idempotency key, as the edge does it."""
    world.requests += 1
    caller = msgspec.structs.replace(world.caller, request_id=f"req_k{world.requests}")
    scope, new = f"sk POST refund {intent.id}", NewRefund(amount)
    request = KeyedRequest(caller, Action.REFUND_CREATE, scope, key, encode(amount))
    flow = lambda ctx: refund_payment_intent(ctx, caller, intent.id, new)  # noqa: E731 -- as the edge
    found: dict[str, Any] = msgspec.json.decode(
        (await idempotently(world.ctx, request, flow, encode)).body
    )
    return found


async def test_a_key_refunds_once_and_two_keys_twice(world: World) -> None:
    intent = await paid(world)
    said = [await refund_once(world, intent, key) for key in ("a", "a", "b", "b")]
    assert said[0] == said[1] != said[2] == said[3]
    assert (await check_books(world, intent)).amount_refunded == 1000
    with pytest.raises(Refusal) as refused:
        await refund_once(world, intent, "a", 600)
    assert refused.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert len(world.provider.refunded) == 2


async def test_an_unknown_outcome_is_answered_and_never_asked_again_by_the_key(
    world: World,
) -> None:
    intent = await paid(world)
    world.provider.refunding.append(RefundAnswer(Unknown("reset")))
    first = await refund_once(world, intent, "a")
    assert first["state"] == "unknown"
    assert await refund_once(world, intent, "a") == first
    assert (await refund_once(world, intent, "b"))["state"] == "succeeded", "wanted twice"
    world.clock.forward(31)
    await resolve_refunds(world.ctx, "run")
    assert (await check_books(world, intent)).amount_refunded == 1000
    assert len({order.refund for order in world.provider.refunded}) == 2


async def test_what_was_not_sent_is_sent_by_the_same_key_under_the_same_id(world: World) -> None:
    intent = await paid(world)
    world.provider.refunding.append(RefundAnswer(NotSent("refused")))
    with pytest.raises(Refusal):
        await refund_once(world, intent, "a")
    again = await refund_once(world, intent, "a")
    assert again["state"] == "succeeded"
    assert len({order.refund for order in world.provider.refunded}) == 1
    assert (await check_books(world, intent)).amount_refunded == 500


async def test_a_key_that_is_used_anew_after_its_time_is_another_refund(world: World) -> None:
    intent = await paid(world)
    first = await refund_once(world, intent, "a")
    world.clock.forward(2 * DAY)
    assert (await purge_idempotency_keys(world.ctx, "run")).deleted
    second = await refund_once(world, intent, "a", 300)
    assert (second["amount"], second["id"] != first["id"]) == (300, True)
    assert (await check_books(world, intent)).amount_refunded == 800


async def forget(world: World) -> None:
    """The database is put back to before the refund; the provider is not."""
    for table in ("refund", "ledger_transfer", "payment_intent", "idempotency_key"):
        await world.connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    await world.connection.execute("DELETE FROM refund; DELETE FROM idempotency_key")
    await world.connection.execute("DELETE FROM ledger_transfer WHERE money_seq > 1")


async def restored(world: World, before: PaymentIntent) -> None:
    await forget(world)
    row = world.records.rows(
        Change(world.ctx.audit(world.caller, Action.INTENT_READ), advances=(before,))
    )
    sealed = row[1][1][-1]
    await world.connection.execute(
        "UPDATE payment_intent SET version = $1, status = $2, money_seq = $3, updated_at = $4,"
        " sealed = $5",
        *(before.version, before.status, before.money_seq, before.updated_at, sealed),
    )
    for table in ("refund", "ledger_transfer", "payment_intent", "idempotency_key"):
        await world.connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")


async def test_behind_a_restore_the_same_key_asks_for_the_same_refund(world: World) -> None:
    intent = await paid(world)
    first = await refund_once(world, intent, "a")
    await restored(world, intent)
    assert (await check_books(world, intent)).amount_refunded == 0
    again = await refund_once(world, intent, "a")
    assert again["id"] == first["id"]
    assert len({order.refund for order in world.provider.refunded}) == 1, "one key there"
    assert (await check_books(world, intent)).amount_refunded == 500


async def test_behind_a_restore_the_provider_tells_of_it_first(world: World) -> None:
    """Found again under its own id, so that the repeated request finds it too."""
    intent = await paid(world)
    first = msgspec.convert(await refund_once(world, intent, "a"), Refund)
    await restored(world, intent)
    found = await apply_refund(world.ctx, world.caller, await shown(world, first, Refunded()))
    assert (found.finding, found.refund and found.refund.id) == (Finding.ADOPTED, first.id)
    assert (await refund_once(world, intent, "a"))["id"] == first.id
    assert (await check_books(world, intent)).amount_refunded == 500
    assert len(world.provider.refunded) == 1


async def test_our_mark_copied_to_a_refund_of_the_dashboard_is_no_proof(world: World) -> None:
    intent = await paid(world)
    ours = await refund(world, intent, 500)
    copied = of_the_dashboard(
        world, 100, refund=ours.id, installation=INSTALLATION, merchant="default"
    )
    found = await apply_refund(world.ctx, world.caller, copied)
    assert found.finding is Finding.ADOPTED
    assert found.refund is not None
    assert (found.refund.external, found.refund.id != ours.id) == (True, True)
    assert (await check_books(world, intent)).amount_refunded == 600


@pytest.mark.parametrize("ours", [True, False])
async def test_a_refund_of_a_payment_that_is_not_known(world: World, *, ours: bool) -> None:
    """It waits for its payment when it bears our mark, and is nobody's otherwise."""
    more = {"installation": INSTALLATION if ours else None, "payment_reference": "ref_none"}
    found = await apply_refund(world.ctx, world.caller, of_the_dashboard(world, 5, **more))
    assert found.finding is (Finding.PAYMENT_FIRST if ours else Finding.FOREIGN)


async def test_running_totals_and_missing_amounts_book_nothing(world: World) -> None:
    """Two of the dashboard, told in reverse and twice: each once, with its own amount (R15, R9)."""
    intent = await paid(world)
    two = of_the_dashboard(world, 200, provider_reference="re_a")
    three = of_the_dashboard(world, 300, provider_reference="re_b")
    for said in (three, two, three, two):
        await apply_refund(world.ctx, world.caller, said)
    assert (await check_books(world, intent)).amount_refunded == 500


async def test_failures_told_three_times_are_reversed_once(world: World) -> None:
    intent = await paid(world)
    made = [await refund(world, intent, amount) for amount in (300, 200)]
    for _ in range(3):
        for each in made:
            await apply_refund(world.ctx, world.caller, await shown(world, each, GONE))
    assert (await check_books(world, intent)).amount_refundable == 1999
    whole = await refund(world, intent)
    assert whole.amount == 1999, "those that failed count for nothing"
    alerts = [a for a in await world.all(Alert) if a.problem.type is AlertType.REFUND_FAILED]
    assert [a.count for a in alerts] == [1, 1]


async def test_a_pending_one_is_reserved_until_it_is_cancelled_at_the_provider(
    world: World,
) -> None:
    intent = await paid(world)
    short = RefundPending("The provider's balance is too short: it refunds when it can.")
    world.provider.refunding.append(RefundAnswer(short))
    first = await refund(world, intent, 400)
    assert (first.pending_reason, first.message) == ("provider", short.message)
    with pytest.raises(Refusal):
        await refund(world, intent, 1999)
    await apply_refund(world.ctx, world.caller, await shown(world, first, GONE))
    assert (await check_books(world, intent)).amount_refundable == 1999


async def test_the_answer_of_a_refund_that_stands_here_as_another(world: World) -> None:
    """The provider answers with a refund that was adopted: nothing is booked twice, people hear."""
    intent = await paid(world)
    await apply_refund(world.ctx, world.caller, of_the_dashboard(world, 500))
    said = RefundAnswer(Refunded(), provider_reference="re_dashboard", amount=500)
    world.provider.refunding.append(said)
    after = await refund(world, intent, 500)
    assert after.state is RefundState.UNKNOWN
    assert (await check_books(world, intent)).amount_refunded == 500
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.RECONCILIATION_DRIFT


async def test_one_in_doubt_for_long_is_alerted_until_it_is_found_out(world: World) -> None:
    intent = await paid(world)
    world.provider.refunding += [RefundAnswer(Unknown("reset"))] * 2
    await refund(world, intent, 500)
    world.clock.forward(3601)
    assert await resolve_refunds(world.ctx, "run") == (0, 1)
    (alert,) = await world.all(Alert)
    assert (alert.problem.type, alert.problem.subject.object) == ("attempt_unresolved", "refund")
    assert (await close_alerts(world.ctx, "run")).closed == 0
    world.clock.forward(31)
    assert await resolve_refunds(world.ctx, "run") == (1, 0)
    assert (await close_alerts(world.ctx, "run")).closed == 1


async def test_a_list_that_cannot_be_read_proves_nothing(world: World) -> None:
    intent = await paid(world)
    world.provider.refunding.append(RefundAnswer(Unknown("reset")))
    await refund(world, intent)
    world.provider.refunds_silent = True
    for _ in range(3):
        world.clock.forward(DAY)
        assert await resolve_refunds(world.ctx, "run") == (0, 1)
    (after,) = await world.all(Refund)
    assert (after.state, after.missed_at) == (RefundState.UNKNOWN, None)


async def test_what_is_found_missing_while_its_event_comes_stays_as_the_event_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = await paid(world)
    world.provider.refunding.append(RefundAnswer(Unknown("reset")))
    doubtful = await refund(world, intent)
    world.clock.forward(DAY)
    await resolve_refunds(world.ctx, "run")
    world.clock.forward(601)
    heard = await shown(world, doubtful, Refunded())

    async def empty(*_: Any, **__: Any) -> AsyncIterator[RefundAnswer]:
        await apply_refund(world.ctx, world.caller, heard)
        for each in list[RefundAnswer]():
            yield each

    monkeypatch.setattr(world.provider, "list_refunds", empty)
    await resolve_refunds(world.ctx, "run")
    (after,) = await world.all(Refund)
    assert after.state is RefundState.SUCCEEDED
    assert (await check_books(world, intent)).amount_refunded == 1999


async def test_a_reply_that_its_key_repeats_does_not_undo_what_came_since(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = await paid(world)
    world.provider.refunding.append(RefundAnswer(Unknown("reset")))
    doubtful = await refund(world, intent)
    world.clock.forward(31)
    came_back = await shown(world, doubtful, GONE)

    async def fails(_: Any) -> None:
        await apply_refund(world.ctx, world.caller, came_back)

    async def now(*_: Any, **__: Any) -> RefundAnswer:
        return came_back

    world.provider.amid_refund = fails
    monkeypatch.setattr(world.provider, "retrieve_refund", now)
    await resolve_refunds(world.ctx, "run")
    (after,) = await world.all(Refund)
    assert after.state is RefundState.FAILED
    assert (await check_books(world, intent)).amount_refundable == 1999


def as_if_first(intent: PaymentIntent, made: Refund, ctx: Any) -> RefundMoved:
    """A reservation that was decided on by an intent of before."""
    again = msgspec.structs.replace(
        made, id=ctx.new_id("refund"), version=1, state=RefundState.STARTED, provider_reference=None
    )
    return reserve(intent, again)


async def test_a_guard_taken_out_on_purpose_is_caught_by_the_database(world: World) -> None:
    """A flow that reserves by an old intent and does not advance it: `money_seq` collides."""
    old = await paid(world)
    made = await refund(world, old, 1500)
    moved = as_if_first(old, made, world.ctx)
    audit = world.ctx.audit(world.caller, Action.REFUND_CREATE)
    unguarded = Change(
        audit,
        creates=(
            moved.refund,
            ledger.refund(moved, transfer_id=world.ctx.new_id("ledger_transfer")),
        ),
    )
    with pytest.raises(Impossible):
        await world.ctx.door.commit(unguarded)
    now = await check_books(world, old)
    newest = ledger.refund(
        msgspec.structs.replace(
            moved,
            before=msgspec.structs.replace(now, money_seq=now.money_seq),
            intent=msgspec.structs.replace(now, money_seq=now.money_seq + 1),
        ),
        transfer_id=world.ctx.new_id("ledger_transfer"),
    )
    with pytest.raises(Impossible):  # the next place, which the intent has not advanced to
        await world.ctx.door.commit(Change(audit, creates=(moved.refund, newest)))
    assert (await check_books(world, old)).amount_refunded == 1500


async def test_a_refund_of_a_newer_version_is_left_to_its_nodes(world: World) -> None:
    use_limits(world, refund_approval_above={"usd": 1})
    waits = await refund(
        world,
        await paid(world),
        5,
        msgspec.structs.replace(
            world.caller, actor=msgspec.structs.replace(world.caller.actor, name="ana")
        ),
    )
    use_limits(world, refund_approval_above=None)
    intent = (await world.all(PaymentIntent))[0]
    world.provider.refunding.append(RefundAnswer(Unknown("reset")))
    doubtful = await refund(world, intent, 5)
    for each in (waits, doubtful):
        await made_newer(world.connection, world.records, each)
    world.clock.forward(8 * DAY)
    before = await world.connection.fetch("SELECT * FROM refund ORDER BY id")
    await resolve_refunds(world.ctx, "run")
    await expire_refund_approvals(world.ctx, "run")
    assert await world.connection.fetch("SELECT * FROM refund ORDER BY id") == before
    assert len(world.provider.refunded) == 1
    with pytest.raises(Outdated):
        await read_refund(world.ctx, world.caller, waits.id)
