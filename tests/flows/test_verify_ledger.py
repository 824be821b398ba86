"""The ledger read as a whole: it agrees, and whatever was changed behind our back is named."""

import pytest

from paygate.domain.access import Action
from paygate.domain.alert import Alert, AlertType
from paygate.domain.ledger import Account, Entry, Mismatch, Transfer, TransferKind, Unbalanced
from paygate.domain.money import Currency
from paygate.domain.outcome import Cancelled, Outcome
from paygate.domain.payment_intent import PaymentIntent
from paygate.flows.verify_ledger import Verified, read_balances, verify_ledger
from paygate.providers.contract import Absent, ProviderSilent
from tests.flows.test_holds import capture, held, later, taken
from tests.flows.world import APPROVED, INSTALLATION, World, answer
from tests.making import START


async def paid(world: World, reference: str) -> PaymentIntent:
    world.provider.answers.append(answer(APPROVED, provider_reference=reference))
    return await world.confirm(await world.create())


def listed(world: World, reference: str, outcome: Outcome = APPROVED) -> None:
    said = answer(outcome, provider_reference=reference, installation=INSTALLATION)
    world.provider.objects.append(said)


async def verify(world: World, *, provider: bool = True) -> Verified:
    return await verify_ledger(world.ctx, world.caller, provider=provider)


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
    hold = await held(world)
    world.provider.answers.append(later(taken(500)))
    await capture(world, hold, 500)
    balances = await read_balances(world.ctx, world.caller)
    eur = Currency("eur")
    assert balances == {
        ("default", eur, Account.PROVIDER): 4498,
        ("default", eur, Account.SALES): -4498,
    }
    assert (await world.audited())[-1].action is Action.LEDGER_READ


async def test_all_agrees(world: World) -> None:
    await paid(world, "r1")
    await world.create()
    listed(world, "r1")
    listed(world, "foreign", Cancelled(None))
    assert await verify(world) == (1, 2, 2, ())
    assert await world.all(Alert) == []


@pytest.mark.parametrize(
    ("reference", "outcome", "what"),
    [
        ("r1", taken(1000), "the provider took 1000, and we have 1999"),
        ("r1", Cancelled(None), "the provider took 0, and we have 1999"),
        ("r9", APPROVED, "the provider took 1999 for a payment that we do not know: r9"),
    ],
)
async def test_the_provider_says_otherwise(
    world: World, reference: str, outcome: Outcome, what: str
) -> None:
    await paid(world, "r1")
    listed(world, reference, outcome)
    (mismatch,) = (await verify(world)).mismatches
    assert mismatch.what == what
    (alert,) = await world.all(Alert)
    assert (alert.concern.type, alert.concern.message) == (AlertType.LEDGER_MISMATCH, what)


async def test_a_silent_provider_proves_nothing(world: World) -> None:
    await paid(world, "r1")
    world.provider.objects.append(Absent())
    with pytest.raises(ProviderSilent):
        await verify(world)
    assert (await verify(world, provider=False)).mismatches == ()


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
    mismatches: tuple[Mismatch, ...] = (await verify(world, provider=False)).mismatches
    assert what in [mismatch.what for mismatch in mismatches]
