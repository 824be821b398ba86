"""The ledger read as a whole: it agrees, and whatever was changed behind our back is named."""

import asyncio
import itertools
from datetime import timedelta

import msgspec
import pytest

from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertType
from paygate.domain.ledger import Account, Entry, Mismatch, Transfer, TransferKind, Unbalanced
from paygate.domain.money import Currency
from paygate.domain.payments.attempt import AttemptState
from paygate.domain.payments.outcome import (
    Answer,
    Cancelled,
    Declined,
    Outcome,
    PaymentError,
    Unknown,
)
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.ledger.compare_with_provider import LOOKS_AGAIN_AFTER_SECONDS
from paygate.flows.ledger.report_mismatch import MOST_NAMED, Findings
from paygate.flows.ledger.verify import Verified, read_balances, verify_ledger
from paygate.storage.change import Change, Committed
from tests.flows.ledger.shown import ShownProvider, showing, shown
from tests.flows.payments.test_holds import HELD, capture, later, taken
from tests.flows.world import APPROVED, THEIRS, World, answer
from tests.making import START

DAY = timedelta(days=1)
DECLINED = Declined(PaymentError("card_declined", "no"))


async def paid(world: World, reference: str) -> PaymentIntent:
    world.provider.answers.append(answer(APPROVED, provider_reference=reference))
    return await world.confirm(await world.create())


async def held(world: World, reference: str) -> PaymentIntent:
    world.provider.answers.append(answer(HELD, provider_reference=reference))
    return await world.confirm(await world.create(capture_method="manual"))


def listed(world: World, reference: str, outcome: Outcome = APPROVED) -> None:
    """What was ordered last is at the provider so."""
    world.provider.objects.append(shown(reference, outcome, world.provider.orders[-1]))


def edited(world: World) -> None:
    """Somebody takes our marks off the payment that was listed last."""
    said = world.provider.objects[-1]
    assert isinstance(said, Answer)
    world.provider.objects[-1] = msgspec.structs.replace(
        said, installation=None, attempt=None, merchant=None
    )


async def verify(world: World, *, provider: bool = True) -> Verified:
    return await verify_ledger(world.ctx, world.caller, provider=provider)


def said(verified: Verified) -> list[str]:
    return sorted(mismatch.what for mismatch in verified.mismatches)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks again take no time."""
    pauses = tuple(0.0 for _ in LOOKS_AGAIN_AFTER_SECONDS)
    monkeypatch.setattr(
        "paygate.flows.ledger.compare_with_provider.LOOKS_AGAIN_AFTER_SECONDS", pauses
    )


@pytest.fixture
def provider(world: World) -> ShownProvider:
    return showing(world)


@pytest.mark.parametrize("amounts", [(), (5,), (5, -4), (0, 0), (5, 0, -5), (5, 5), (-5, 10, -4)])
def test_a_transfer_that_does_not_balance_cannot_be_made(amounts: tuple[int, ...]) -> None:
    with pytest.raises(Unbalanced):
        Transfer(
            id="lt_1",
            merchant="m",
            intent="pi_1",
            money_seq=1,
            kind=TransferKind.CAPTURE,
            currency=Currency("eur"),
            entries=tuple(Entry(Account.PROVIDER, amount) for amount in amounts),
            posted_at=START,
        )


async def test_it_sums_what_was_captured(world: World) -> None:
    await paid(world, "r1")
    await paid(world, "r2")
    hold = await held(world, THEIRS)
    world.provider.answers.append(later(taken(500)))
    await capture(world, hold, 500)
    balances = await read_balances(world.ctx, world.caller)
    eur = Currency("eur")
    assert balances == {
        ("default", eur, Account.PROVIDER): 4498,
        ("default", eur, Account.SALES): -4498,
    }
    assert (await world.audited())[-1].action is Action.LEDGER_READ


async def test_all_agrees(world: World, provider: ShownProvider) -> None:
    await paid(world, "r1")
    listed(world, "r1")
    await world.create()
    provider.objects.append(shown("foreign", Cancelled(None), None))
    verified = await verify(world)
    assert verified == Verified(1, 2, 2, ())
    assert verified.agrees
    assert await world.all(Alert) == []
    assert provider.retrieved == [], "what agrees at first sight costs no second look"


@pytest.mark.parametrize(
    ("reference", "outcome", "what"),
    [
        ("r1", taken(1000), "the provider took 1000, and we have 1999"),
        ("r1", Cancelled(None), "the provider took 0, and we have 1999"),
    ],
)
async def test_the_provider_says_otherwise(
    world: World, provider: ShownProvider, reference: str, outcome: Outcome, what: str
) -> None:
    intent = await paid(world, "r1")
    listed(world, reference, outcome)
    verified = await verify(world)
    assert verified.mismatches == (Mismatch(intent.id, what),)
    assert not verified.agrees
    (alert,) = await world.all(Alert)
    assert (alert.problem.type, alert.problem.message) == (AlertType.LEDGER_MISMATCH, what)


async def test_a_payment_that_nobody_here_knows(world: World, provider: ShownProvider) -> None:
    await paid(world, "r1")
    listed(world, "r1")
    order = msgspec.structs.replace(provider.orders[-1], attempt="at_lost", merchant="unknown")
    provider.objects.append(shown("r9", APPROVED, order))
    what = "the provider took 1999 for a payment that we do not know: r9"
    assert (await verify(world)).mismatches == (Mismatch("at_lost", what),)
    (alert,) = await world.all(Alert)
    assert alert.merchant == "default", "where somebody sees it"


async def test_the_providers_books_are_gone(world: World, provider: ShownProvider) -> None:
    intent = await paid(world, "r1")
    hold = await held(world, "h1")
    await world.create()
    world.provider.answers.append(answer(DECLINED, provider_reference="r3"))
    await world.confirm(await world.create())
    verified = await verify(world)
    assert set(verified.mismatches) == {
        Mismatch(intent.id, "the provider has no payment r1, and we have 1999"),
        Mismatch(hold.id, "the provider has no payment h1, and we have 1999 held"),
    }
    assert {a.problem.subject.id for a in await world.all(Alert)} == {intent.id, hold.id}


async def test_what_a_window_does_not_show_is_asked_for(
    world: World, provider: ShownProvider
) -> None:
    """A provider whose clock is a week behind has it, in another window."""
    await paid(world, "r1")
    listed(world, "r1")
    provider.made_at["r1"] = START - 7 * DAY
    assert (await verify(world)).agrees
    assert provider.retrieved == ["r1"]


async def test_holds_moved_in_the_dashboard_after_their_metadata(
    world: World, provider: ShownProvider
) -> None:
    for reference, outcome in (("h1", taken(700)), ("h2", Cancelled(None))):
        await held(world, reference)
        listed(world, reference, outcome)
        edited(world)
    assert said(await verify(world)) == [
        "the provider holds 0, and we have 1999 held",
        "the provider took 700, and we have 0",
    ]


async def test_an_earlier_try_is_captured_at_the_provider(
    world: World, provider: ShownProvider
) -> None:
    """Its id is in its attempt alone, and its metadata are gone."""
    intent = await paid(world, "r2")
    listed(world, "r2")
    _, (attempt,) = await world.now(intent)
    earlier = msgspec.structs.replace(
        attempt,
        id=world.ctx.new_id("attempt"),
        version=1,
        number=attempt.number + 1,
        state=AttemptState.DECLINED,
        provider_reference="r1",
    )
    audit = world.ctx.audit(world.caller, Action.INTENT_CONFIRM)
    # The schema takes it no longer, and may have it from before.
    await world.connection.execute("ALTER TABLE attempt DISABLE TRIGGER USER")
    assert isinstance(await world.ctx.door.commit(Change(audit, creates=(earlier,))), Committed)
    await world.connection.execute("ALTER TABLE attempt ENABLE TRIGGER USER")
    listed(world, "r1")
    edited(world)
    what = "the provider took 1999 once more, as r1: r2 has paid for it"
    assert (await verify(world)).mismatches == (Mismatch(intent.id, what),)


async def test_a_second_payment_with_our_marks_under_a_paid_intent(
    world: World, provider: ShownProvider
) -> None:
    intent = await paid(world, "r1")
    listed(world, "r1")
    listed(world, "r2")
    what = "the provider took 1999 once more, as r2: r1 has paid for it"
    assert (await verify(world)).mismatches == (Mismatch(intent.id, what),)


async def test_one_payment_that_pays_for_two(world: World, provider: ShownProvider) -> None:
    await paid(world, "r1")
    # The schema takes no second one: the first is from before its rows had the column.
    await world.connection.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
    await world.connection.execute("UPDATE payment_intent SET provider_reference_index = NULL")
    await world.connection.execute("ALTER TABLE payment_intent ENABLE TRIGGER USER")
    await paid(world, "r1")
    listed(world, "r1")
    (what,) = said(await verify(world))
    assert what.startswith("r1 pays for another payment intent as well: pi_")


async def test_what_is_in_doubt_is_the_sweeps_business(
    world: World, provider: ShownProvider
) -> None:
    await world.confirming(Unknown("timeout"), provider_reference=None)
    listed(world, "r1")
    assert (await verify(world)).agrees


async def test_payments_go_on_while_it_reads(world: World, provider: ShownProvider) -> None:
    """Whatever the run reads first and last: a payment that succeeds in between is none to alert
    for.
    """
    done = asyncio.Event()

    async def pay() -> None:
        while not done.is_set():
            await world.confirm(await world.create())

    payers = [asyncio.create_task(pay()) for _ in range(4)]
    found = [await verify(world) for _ in range(6)]
    done.set()
    await asyncio.gather(*payers)
    assert [verified for verified in found if not verified.agrees] == []
    assert found[-1].intents > found[0].intents
    assert await world.all(Alert) == []


async def test_a_payment_after_our_own_were_read(world: World, provider: ShownProvider) -> None:
    await world.create()

    async def pay() -> None:
        await paid(world, "r2")
        listed(world, "r2")

    provider.before_list = pay
    assert await verify(world) == Verified(0, 1, 1, ())


async def test_a_hold_is_captured_between_the_list_and_the_second_look(
    world: World, provider: ShownProvider
) -> None:
    hold = await held(world, "h1")
    listed(world, "h1", taken(500))

    async def capture_it() -> None:
        world.provider.answers.append(
            msgspec.structs.replace(later(taken(500)), provider_reference="h1")
        )
        await capture(world, hold, 500)

    provider.telling = capture_it
    assert (await verify(world)).agrees
    assert provider.retrieved == ["h1", "h1"], "ours had moved: neither look alone is of one moment"


async def test_what_agrees_by_itself_is_not_reported(world: World, provider: ShownProvider) -> None:
    """Captured in the dashboard: of one the event is applied at the third look, of one never."""
    first, second = await held(world, "h1"), await held(world, "h2")
    for reference in ("h1", "h2"):
        listed(world, reference, taken())

    async def apply_late() -> None:
        if provider.retrieved.count("h1") < 3:
            provider.telling = apply_late
            return
        said = msgspec.structs.replace(later(taken()), provider_reference="h1")
        world.provider.answers.append(said)
        await capture(world, first)

    provider.telling = apply_late
    verified = await verify(world)
    assert [m.intent for m in verified.mismatches] == [second.id]
    assert provider.retrieved.count("h2") == 1 + len(LOOKS_AGAIN_AFTER_SECONDS)
    assert len(await world.all(Alert)) == 1


async def test_an_outage_in_the_middle(world: World, provider: ShownProvider) -> None:
    """What was found before and after it stays found, and the part in between is named."""
    for day in range(6):
        reference = f"r{day}"
        await paid(world, reference)
        if day not in (1, 3):
            listed(world, reference, taken(1000) if day in (0, 5) else APPROVED)
            provider.made_at[reference] = world.clock()
        world.clock.forward(DAY.total_seconds())
    out = START + 3 * DAY
    provider.silent = lambda since, until: since <= out <= until
    verified = await verify(world)
    assert said(verified) == [
        "the provider has no payment r1, and we have 1999",
        "the provider took 1000, and we have 1999",
        "the provider took 1000, and we have 1999",
    ], "but not r3: it may be in the part that could not be read"
    (gap,) = verified.not_compared
    assert gap.since is not None
    assert gap.until is not None
    assert out - DAY < gap.since <= out <= gap.until < out + DAY
    assert len(await world.all(Alert)) == 3


async def test_windows_leave_nothing_out(world: World, provider: ShownProvider) -> None:
    """They follow each other by the second, from before the first payment to now."""
    await paid(world, "r1")
    listed(world, "r1")
    provider.made_at["r1"] = START
    world.clock.forward(400 * DAY.total_seconds())
    assert (await verify(world)).agrees
    first, *others = provider.windows
    assert first[0] < START
    assert first[1] - first[0] <= timedelta(hours=1)
    for (_, before), (since, _) in itertools.pairwise(provider.windows):
        assert since == before + timedelta(seconds=1)
    assert others[-1][1] > world.clock()
    assert len(provider.windows) < 40, "an idle year is a few calls"


async def test_what_broke_off_once_is_read_again(world: World, provider: ShownProvider) -> None:
    await paid(world, "r1")
    listed(world, "r1")
    provider.silent = lambda _since, _until: len(provider.windows) == 1
    assert await verify(world) == Verified(1, 1, 1, ())


async def test_a_silent_provider_proves_nothing(world: World, provider: ShownProvider) -> None:
    await paid(world, "r1")
    provider.silent = lambda _since, _until: True
    for _ in range(30):
        world.clock.forward(DAY.total_seconds())
    verified = await verify(world)
    assert verified.mismatches == ()
    assert not verified.agrees
    (gap,) = verified.not_compared
    assert gap.since is not None
    assert gap.since < START
    assert gap.until is not None
    assert gap.until > world.clock()
    assert len(provider.windows) <= 6, "an outage is not asked for every hour of a year"
    assert (await verify(world, provider=False)).agrees


async def test_a_provider_that_does_not_tell_of_one_payment(
    world: World, provider: ShownProvider
) -> None:
    await paid(world, "r1")
    provider.mute = True
    verified = await verify(world)
    assert verified.mismatches == ()
    assert [part.payments for part in verified.not_compared] == [1]
    assert await world.all(Alert) == []


async def test_so_many_are_named_and_the_rest_are_counted(world: World) -> None:
    findings = Findings(world.ctx, world.caller)
    assert not findings.full(10)
    findings.mismatches.extend([Mismatch("pi_1", "differs")] * MOST_NAMED)
    assert findings.full(10)
    assert findings.full(5)
    assert findings.more == 15


@pytest.mark.parametrize(
    ("tamper", "what"),
    [
        ("DELETE FROM ledger_transfer", "its captures do not sum to what it received"),
        ("DELETE FROM payment_intent", "its transfers have no payment intent"),
    ],
)
async def test_a_hand_in_the_database_is_found(world: World, tamper: str, what: str) -> None:
    await paid(world, "r1")
    table = tamper.rsplit(maxsplit=1)[-1]
    await world.connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await world.connection.execute(tamper)
    assert what in said(await verify(world, provider=False))


@pytest.mark.parametrize("table", ["payment_intent", "ledger_transfer", "attempt"])
async def test_a_record_that_does_not_open_hides_no_other(
    world: World, provider: ShownProvider, table: str
) -> None:
    broken = await paid(world, "r1")
    listed(world, "r1")
    wrong = await paid(world, "r2")
    listed(world, "r2", taken(5))
    await world.connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    column = "id" if table == "payment_intent" else "intent"
    await world.connection.execute(
        f"UPDATE {table} SET sealed = sealed || 'x' WHERE {column} = $1", broken.id
    )
    found = {mismatch.intent: mismatch.what for mismatch in (await verify(world)).mismatches}
    assert found[broken.id].startswith("altered, or not to be opened: ")
    assert found[wrong.id] == "the provider took 5, and we have 1999"
