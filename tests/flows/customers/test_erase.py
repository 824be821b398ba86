"""An erased customer: nothing readable is left of the person anywhere, and nothing else is gone."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import msgspec
import pytest

from paygate.api.event_object import event_body
from paygate.domain.access.roles import Action
from paygate.domain.audit import AuditEntry
from paygate.domain.customer import Customer, Payer
from paygate.domain.disputes.dispute import Dispute, move
from paygate.domain.disputes.evidence_chunk import EvidenceChunk
from paygate.domain.disputes.outcome import DisputeStatus
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.event import Event, of
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.payments.payment_intent import PaymentIntent, PaymentMethodType, Status
from paygate.domain.payments.payment_method import DirectDebit, Mandate
from paygate.domain.provider_event import EventStatus, ProviderEvent, ProviderEventBody
from paygate.domain.webhooks.delivery import WebhookBody
from paygate.flows.customers import erase as erasing
from paygate.flows.customers.erase import erase_as_asked, erase_customer
from paygate.flows.disputes.find import apply_dispute
from paygate.flows.disputes.stage_evidence import SentFile, stage_files, stage_texts
from paygate.flows.housekeeping.late_events import go_on_erasing
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.run_once import idempotently
from paygate.flows.payments.confirm import Confirmation, confirm_payment_intent
from paygate.jobs.messages import EraseCustomer
from paygate.storage.change import Change, Committed
from paygate.storage.connections.session import Connection
from tests.documents.made import pdf
from tests.flows.disputes.answering import REFERENCE, shown
from tests.flows.world import APPROVED, CARDLESS, World, answer, notice
from tests.making import START, make_audit
from tests.storage.stored import TABLE_OF, select

Connect = Callable[[], Awaitable[Connection]]
PLANTED = "Zq7xKw93Vb52"
ADA = Payer(email=f"{PLANTED}@shop.example", name=f"Ada {PLANTED}")
DEBIT = Confirmation(
    instrument=DirectDebit("pm_account", Mandate(START, "203.0.113.77", f"Browser {PLANTED}"))
)
ADDRESS = b"203.0.113.77"


async def paid(world: World, customer: Payer = ADA) -> PaymentIntent:
    """A debit that was attached in advance, so that its event and attempt hold the mandate."""
    types = (PaymentMethodType.CARD, PaymentMethodType.BANK_TRANSFER)
    intent = await world.create(customer=customer, payment_method_types=types)
    world.provider.answers.append(answer(APPROVED))
    return await confirm_payment_intent(world.ctx, world.caller, intent.id, DEBIT)


async def told(world: World, dispute: Dispute) -> None:
    """The merchant's event of a dispute, and what was sent for it."""
    now = world.ctx.now()
    event = of(
        dispute, "dispute.updated", event_id=world.ctx.new_id("event"), at=now, request_id=None
    )
    body = WebhookBody(id=event.id, merchant="default", body=event_body(event), created_at=now)
    await world.store(event, body)


async def staged_once(world: World, dispute: Dispute, key: str) -> Any:
    """Evidence that is staged under an idempotency key; the response shows its text."""
    texts = {"customer_name": f"Ada {PLANTED}", "uncategorized_text": f"It is {PLANTED}"}
    request = KeyedRequest(world.caller, Action.DISPUTE_STAGE, "sk POST", key, b"{}")
    return await idempotently(
        world.ctx,
        request,
        lambda ctx: stage_texts(ctx, world.caller, dispute.id, texts),
        msgspec.json.encode,
    )


async def disputed(world: World) -> Dispute:
    """A dispute of the newest payment, with evidence of every kind, that has come to its end."""
    world.provider.disputes_shown[REFERENCE] = said = shown(world, amount=1999)
    dispute = (await apply_dispute(world.ctx, world.caller, said)).dispute
    assert dispute is not None
    await staged_once(world, dispute, "key-1")
    file = SentFile("receipt", pdf(1, size=9_000), f"{PLANTED}.pdf", "application/pdf")
    dispute = await stage_files(world.ctx, world.caller, dispute.id, [file])
    await told(world, dispute)
    return dispute


async def lost(world: World, dispute: Dispute) -> None:
    closed = move(dispute, world.ctx.now(), status=DisputeStatus.LOST)
    verdict = await world.ctx.door.commit(Change(make_audit(), advances=(closed,)))
    assert isinstance(verdict, Committed)


async def heard(world: World, intent: PaymentIntent, reference: str) -> Any:
    """A provider's event of the payment, in whose body something stands that we do not read."""
    assert intent.attempt is not None
    attempt = await world.ctx.read.attempt(intent.merchant, intent.attempt)
    assert attempt is not None
    said = msgspec.json.encode(notice(attempt, CARDLESS, reference=reference))
    await world.receive(said[:-1] + b',"email":"%s@shop.example"}' % PLANTED.encode())
    event = (await world.all(ProviderEvent))[-1]
    return await world.apply(event) if event.status is EventStatus.RECEIVED else event


async def holding(world: World) -> dict[str, int]:
    """How many records of each table hold something of the person, all of them opened."""
    found: dict[str, int] = {}
    for kind, table in TABLE_OF.items():
        for row in await world.connection.fetch(select(table)):
            content = table.encode(world.records.open(kind, tuple(row)))
            if PLANTED.encode() in content or ADDRESS in content:
                found[table.name] = found.get(table.name, 0) + 1
    return found


async def customer_of(world: World, intent: PaymentIntent) -> Customer:
    found = await world.ctx.read.customer(intent.merchant, str(intent.customer))
    assert found is not None
    return found


async def erased(world: World, intent: PaymentIntent) -> Customer:
    return await erase_customer(world.ctx, world.caller, str(intent.customer))


async def filled(world: World) -> PaymentIntent:
    """A payment of Ada's that has ended, with all that is kept of her."""
    intent = await paid(world)
    await heard(world, intent, "evt_1")
    await lost(world, await disputed(world))
    planted = {"customer", "attempt", "dispute", "event", "webhook_body", "idempotency_key"}
    assert {*planted, "provider_event_body"} <= set(await holding(world))
    assert await world.all(EvidenceChunk)
    return intent


async def test_nothing_of_the_person_is_left_anywhere(world: World) -> None:
    intent = await filled(world)
    bystander = await paid(world, Payer(email="eve@shop.example", name="Eve"))
    before = len(await world.all(Event))
    world.clock.forward(60)
    customer = await erased(world, intent)
    assert (customer.email, customer.name, customer.erased_at) == (None, None, world.clock())
    theirs = await customer_of(world, bystander)
    assert theirs.name == "Eve", "nobody else's is touched"
    left = await holding(world)
    assert left.get("attempt") == 1, "the bystander's mandate"
    assert set(left) <= {"attempt", "event"}
    assert await world.all(EvidenceChunk) == []
    assert len(await world.all(Event)) == before, "what was told stays told"
    after, _ = await world.now(intent)
    assert (after.status, after.amount_received) == (Status.SUCCEEDED, 1999)
    entries: list[AuditEntry] = await world.all(AuditEntry)
    acts = [entry for entry in entries if entry.action == "customer.erase"]
    assert acts[0].actor == world.caller.actor
    assert {entry.subject_id for entry in acts} == {customer.id}
    assert all(not entry.details for entry in acts), "never what was there"


async def test_erased_again_it_answers_the_same(world: World) -> None:
    intent = await filled(world)
    first = await erased(world, intent)
    world.clock.forward(3600)
    assert await erased(world, intent) == first
    message = EraseCustomer("default", first.id)
    assert await erase_as_asked(world.ctx, message) is None
    assert await customer_of(world, intent) == first


async def test_while_something_is_open_nothing_goes_and_it_is_named(world: World) -> None:
    intent = await paid(world)
    second = await world.create(customer=Payer(id=intent.customer))
    with pytest.raises(Refusal, match=second.id) as refused:
        await erased(world, intent)
    assert refused.value.code is ErrorCode.CUSTOMER_IN_USE
    dispute = await disputed(world)
    with pytest.raises(Refusal, match=dispute.id):
        await erased(world, intent)
    assert (await customer_of(world, intent)).name == ADA.name


async def test_an_erased_customer_pays_no_more(world: World) -> None:
    intent = await paid(world)
    await erased(world, intent)
    for payer in (Payer(id=intent.customer), Payer(id=intent.customer, name="Ada")):
        with pytest.raises(Refusal) as refused:
            await world.create(customer=payer)
        assert refused.value.code is ErrorCode.CUSTOMER_ERASED
    assert (await customer_of(world, intent)).name is None


async def test_a_request_whose_answer_is_erased_is_not_made_again(world: World) -> None:
    intent = await paid(world)
    dispute = await disputed(world)
    await lost(world, dispute)
    await erased(world, intent)
    with pytest.raises(Refusal) as refused:
        await staged_once(world, dispute, "key-1")
    assert refused.value.code is ErrorCode.RESPONSE_ERASED
    keys: list[IdempotencyKey] = await world.all(IdempotencyKey)
    assert [(key.state, key.body) for key in keys] == [(KeyState.FINISHED, None)]


async def test_a_late_event_loses_its_body_within_the_hour(world: World) -> None:
    intent = await paid(world)
    await erased(world, intent)
    await heard(world, intent, "evt_late")
    assert "provider_event_body" in await holding(world)
    assert await go_on_erasing(world.ctx, "run_1") == 1
    assert await world.all(ProviderEventBody) == []
    assert await go_on_erasing(world.ctx, "run_2") == 0


async def test_an_event_that_waits_loses_its_body_when_it_ended(world: World) -> None:
    intent = await paid(world)
    assert intent.attempt is not None
    attempt = await world.ctx.read.attempt(intent.merchant, intent.attempt)
    assert attempt is not None
    event = await world.stored_only(notice(attempt, CARDLESS, reference="evt_1"))
    customer = await erased(world, intent)
    assert customer.erased_at is not None, "its subject is not known yet"
    await world.apply(event)
    await go_on_erasing(world.ctx, "run_1")
    assert await world.all(ProviderEventBody) == []


async def test_many_payments_go_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "PAGE", 2)
    first = await paid(world)
    for _ in range(4):
        await paid(world, Payer(id=first.customer))
    begun = await erased(world, first)
    assert begun.erased_at is None, "the job does it"
    assert await erase_as_asked(world.ctx, EraseCustomer("default", begun.id)) is None
    assert (await customer_of(world, first)).erased_at is not None
    assert await holding(world) == {}


async def test_the_schema_lets_nothing_else_through(world: World, connect: Connect) -> None:
    """Of whoever is not erased, everything stays as it was written."""
    await filled(world)
    raw = await connect()
    for statement in (
        "UPDATE event SET sealed = ''",
        "UPDATE attempt SET version = version + 1",
        "UPDATE idempotency_key SET version = version + 1",
        "DELETE FROM provider_event_body",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await raw.execute(statement)


async def test_of_the_erased_only_the_sealed_part_is_rewritten(
    world: World, connect: Connect
) -> None:
    intent = await filled(world)
    await erased(world, intent)
    raw = await connect()
    for statement in (
        "UPDATE event SET type = 'x'",
        "DELETE FROM event",
        "UPDATE attempt SET version = version + 1, state = 'declined'",
        "UPDATE idempotency_key SET version = version + 1, state = 'working'",
        "UPDATE customer SET version = version + 1, erased_at = NULL",
        "UPDATE customer SET version = version + 1, erasure_began_at = NULL, erased_at = NULL",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await raw.execute(statement)
