"""Details that change after the payer was made known: the provider is told, before the next payment
at the latest.
"""

import msgspec
import pytest

from paygate.domain.customer import Customer, Payer
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import AttemptState
from paygate.domain.payments.outcome import Answer, NotSent, Rejected, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.customers.introduce import KEYS, update_provider_customer
from paygate.jobs.messages import UpdateProviderCustomer, decode
from paygate.providers.absence import Absent
from paygate.providers.contract import CustomerMade, KeySpent
from paygate.storage.change import Change, Committed
from tests.flows.customers.test_introduce_customer import ADA, customer_of, payers
from tests.flows.payments.transfers import PUSH, confirm_by, funded, paying, to_transfer
from tests.flows.world import Changed, World, answer
from tests.making import make_audit

NEW = "new@shop.example"
SPENT = KeySpent("500")


async def known(world: World) -> PaymentIntent:
    """A payment of Ada's, whom the provider knows from now on."""
    intent, _ = await paying(world, funded(), customer=ADA)
    return intent


def changed_of(intent: PaymentIntent, **details: str) -> Payer:
    return Payer(id=intent.customer, **({"email": NEW} | details))


async def pays_again(world: World, intent: PaymentIntent, details: Payer) -> None:
    reference = f"ref_{len(world.provider.orders) + 1}"
    world.provider.answers.append(answer(funded(), provider_reference=reference))
    await confirm_by(world, await to_transfer(world, customer=details))


def changes_sent(world: World) -> list[tuple[str, str | None, str | None]]:
    """What the provider was told of changes: of whom, and the details."""
    return [(theirs, order.email, order.name) for theirs, order in world.provider.changed]


async def jobs(world: World) -> list[UpdateProviderCustomer]:
    query = "SELECT payload FROM pgqueuer WHERE entrypoint = 'update_provider_customer' ORDER BY id"
    messages = [decode(row["payload"]) for row in await world.connection.fetch(query)]
    return [message for message in messages if isinstance(message, UpdateProviderCustomer)]


async def test_the_next_payment_tells_the_provider_first(world: World) -> None:
    first = await known(world)
    theirs = f"cus {first.customer}"
    await pays_again(world, first, changed_of(first))
    assert changes_sent(world) == [(theirs, NEW, "Ada")]
    assert payers(world) == [theirs, theirs]
    assert len(world.provider.introduced) == 1
    after = await customer_of(world, first)
    assert (after.email, after.provider_reference) == (NEW, theirs)
    # And once only.
    await pays_again(world, first, Payer(id=first.customer))
    await pays_again(world, first, changed_of(first))
    assert len(changes_sent(world)) == 1


async def test_each_version_of_the_details_has_a_key_of_its_own(world: World) -> None:
    first = await known(world)
    for name in ("B", "C", "B"):
        await pays_again(world, first, changed_of(first, name=name))
    assert [details for _, *details in changes_sent(world)] == [[NEW, "B"], [NEW, "C"], [NEW, "B"]]
    keys = [order.key for _, order in world.provider.changed]
    keys += [order.key for order in world.provider.introduced]
    assert len(set(keys)) == 4


async def test_a_job_tells_where_no_payment_follows(world: World) -> None:
    first = await known(world)
    await world.create(customer=changed_of(first))
    (message,) = await jobs(world)
    assert message == UpdateProviderCustomer("default", str(first.customer))
    assert await update_provider_customer(world.ctx, message)
    assert changes_sent(world) == [(f"cus {first.customer}", NEW, "Ada")]
    assert await update_provider_customer(world.ctx, message), "a job may come twice"
    assert len(changes_sent(world)) == 1
    await pays_again(world, first, Payer(id=first.customer))
    assert len(changes_sent(world)) == 1


async def test_who_is_not_known_there_needs_no_job(world: World) -> None:
    intent = await world.create(customer=ADA)
    await world.create(customer=changed_of(intent))
    await world.create(customer=changed_of(intent))
    assert await jobs(world) == []
    message = UpdateProviderCustomer("default", str(intent.customer))
    assert await update_provider_customer(world.ctx, message)
    assert changes_sent(world) == []


@pytest.mark.parametrize("said", [Unknown("timeout"), NotSent("refused"), *[SPENT]])
async def test_a_silent_provider_is_asked_again(world: World, said: Changed) -> None:
    first = await known(world)
    intent = await to_transfer(world, customer=changed_of(first))
    (message,) = await jobs(world)
    world.provider.changes = [said] * (KEYS if said is SPENT else 1)
    assert not await update_provider_customer(world.ctx, message)
    world.provider.changes = [said] * (KEYS if said is SPENT else 1)
    with pytest.raises(Refusal) as refused:
        await world.confirm_once(intent, "k", request=PUSH)
    assert refused.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert len(world.provider.orders) == 1, "nothing is paid meanwhile"
    world.provider.answers.append(answer(funded(), provider_reference="ref_2"))
    await world.confirm_once(intent, "k", request=PUSH)
    assert (await world.now(intent))[0].status is Status.REQUIRES_ACTION
    assert (await customer_of(world, first)).email == NEW


async def test_a_spent_key_does_not_keep_details_from_the_provider(world: World) -> None:
    first = await known(world)
    world.provider.changes = [SPENT, SPENT]
    await pays_again(world, first, changed_of(first))
    one, two, three = (order.key for _, order in world.provider.changed)
    assert (two, three) == (f"{one}-2", f"{one}-3")
    assert len(payers(world)) == 2


@pytest.mark.parametrize("by", ["payment", "job"])
async def test_who_was_deleted_there_is_made_known_anew_at_once(world: World, by: str) -> None:
    first = await known(world)
    world.provider.changes = [Absent()]
    world.provider.customers = [CustomerMade("cus_anew")]
    if by == "payment":
        await pays_again(world, first, changed_of(first))
    else:
        await world.create(customer=changed_of(first))
        (message,) = await jobs(world)
        assert await update_provider_customer(world.ctx, message)
        assert (await customer_of(world, first)).provider_reference is None
        await pays_again(world, first, Payer(id=first.customer))
    assert payers(world)[-1] == "cus_anew"
    assert [order.email for order in world.provider.introduced] == ["ada@shop.example", NEW]
    assert len({order.key for order in world.provider.introduced}) == 2


async def test_details_that_the_provider_refuses_fail_the_payment_and_forget_nobody(
    world: World,
) -> None:
    """Its customer is the same one still: money may lie on its account."""
    first = await known(world)
    theirs = (await customer_of(world, first)).provider_reference
    world.provider.changes = [Rejected("customer_refused", "no such domain")]
    intent = await confirm_by(world, await to_transfer(world, customer=changed_of(first)))
    after, (attempt,) = await world.now(intent)
    assert (after.status, attempt.state) == (Status.FAILED, AttemptState.REJECTED)
    assert after.last_payment_error is not None
    assert after.last_payment_error.code == "customer_refused"
    assert (await customer_of(world, first)).provider_reference == theirs
    await pays_again(world, first, changed_of(first, email="ada@shop.example"))
    assert payers(world) == [theirs, theirs]


async def test_details_that_change_while_they_are_told_are_told_again(world: World) -> None:
    first = await known(world)

    async def change() -> None:
        world.provider.introducing = None
        await world.create(customer=changed_of(first, name="Ada L."))

    intent = await to_transfer(world, customer=changed_of(first))
    world.provider.introducing = change
    world.provider.answers.append(answer(funded(), provider_reference="ref_2"))
    await confirm_by(world, intent)
    assert [details for _, *details in changes_sent(world)] == [[NEW, "Ada"], [NEW, "Ada L."]]


async def test_who_was_made_known_before_this_was_written_down_is_told_once(world: World) -> None:
    first = await known(world)
    before = await customer_of(world, first)
    old = msgspec.structs.replace(before, introduced_version=None, version=before.version + 1)
    assert await world.ctx.door.commit(Change(make_audit(), advances=(old,))) == Committed()
    for _ in range(2):
        await pays_again(world, first, Payer(id=first.customer))
    assert changes_sent(world) == [(f"cus {first.customer}", "ada@shop.example", "Ada")]
    assert isinstance(await customer_of(world, first), Customer)


async def test_who_is_made_known_anew_has_a_key_of_their_own(world: World) -> None:
    """Under the old one the provider would give the customer again that was deleted there."""
    first = await known(world)
    gone = Rejected("customer_refused", "the provider does not know the payer any more")
    world.provider.answers.append(Answer(gone))
    await confirm_by(world, await to_transfer(world, customer=Payer(id=first.customer)))
    assert (await customer_of(world, first)).provider_reference is None
    await pays_again(world, first, Payer(id=first.customer))
    one, two = world.provider.introduced
    assert (one.email, one.name) == (two.email, two.name)
    assert one.key != two.key
