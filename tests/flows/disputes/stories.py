"""What the tests of disputes have in common: a paid intent, what the provider shows and tells of a
dispute of it, and its books.
"""

from datetime import datetime
from typing import Any

import msgspec

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.alert import Alert, AlertStatus
from paygate.domain.disputes.dispute import Dispute, move
from paygate.domain.disputes.outcome import (
    DisputeAnswer,
    Disputed,
    DisputeUnfamiliar,
    FraudWarning,
    MoneyRow,
)
from paygate.domain.event import Event
from paygate.domain.ledger import Transfer, check_intent
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.disputes.find import Found, apply_dispute
from paygate.providers.contract import Notice
from paygate.storage.change import Change, Committed
from tests.domain.disputes import made
from tests.flows.world import APPROVED, INSTALLATION, THEIRS, World
from tests.making import START, make_audit

BANK = Caller(Actor("provider", id="scripted"), "default", request_id="req_bank")


async def paid(world: World) -> PaymentIntent:
    """An intent of 1999 eur that succeeded, as THEIRS."""
    intent, _ = await world.confirming(APPROVED)
    return intent


def said(
    world: World, status: str = "needs_response", *rows: MoneyRow, due_in: float = 8, **more: Any
) -> Disputed:
    """A dispute as the provider shows it, its deadline so many days from now."""
    due = datetime.fromtimestamp(world.clock.time.timestamp() + due_in * 86_400, START.tzinfo)
    known: dict[str, Any] = {"created_at": world.clock.time, "evidence_due_by": due}
    return made.said(status, *rows, **(known | more))


def shown(
    world: World, outcome: Disputed | DisputeUnfamiliar, reference: str = "du_1", **more: Any
) -> DisputeAnswer:
    """What a look-up shows from now on, a minute later."""
    world.clock.forward(60)
    known: dict[str, Any] = {
        "provider_reference": reference,
        "payment_reference": THEIRS,
        "as_of": world.clock.time,
        "livemode": False,
        "installation": INSTALLATION,
    }
    answer = DisputeAnswer(outcome=outcome, **(known | more))
    world.provider.disputes_shown[reference] = answer
    return answer


async def look_up(world: World, answer: DisputeAnswer) -> Found:
    """What a look-up comes to."""
    return await apply_dispute(world.ctx, BANK, answer)


async def disputed(
    world: World, status: str = "needs_response", *rows: MoneyRow, **more: Any
) -> Dispute:
    """The one dispute of the one payment, as the provider shows it now."""
    found = await look_up(world, shown(world, said(world, status, *rows, **more)))
    assert found.dispute is not None
    return found.dispute


async def stage(world: World, dispute: Dispute, texts: dict[str, str]) -> None:
    """Evidence that lies here, and is not submitted."""
    staged = move(dispute, world.clock(), texts=texts, staged_at=world.clock())
    change = Change(make_audit(), advances=(staged,))
    assert isinstance(await world.ctx.door.commit(change), Committed)


def told(answer: DisputeAnswer, reference: str, *, exact: bool = True) -> Notice:
    """An event of a dispute; it shows no mark."""
    bare = msgspec.structs.replace(answer, installation=None, merchant=None, attempt=None)
    return Notice(
        provider_reference=reference,
        type="charge.dispute.updated",
        created_at=answer.as_of,
        livemode=False,
        dispute=bare,
        exact=exact,
        handled=False,
    )


def warned(reference: str = "issfr_1", **more: Any) -> FraudWarning:
    """An early fraud warning of THEIRS, looked up."""
    known: dict[str, Any] = {
        "fraud_type": "made_with_stolen_card",
        "actionable": True,
        "payment_reference": THEIRS,
        "charge_amount": 1999,
        "charge_currency": "eur",
        "charge_refunded": 0,
        "charge_disputed": False,
        "installation": INSTALLATION,
    }
    return FraudWarning(provider_reference=reference, **(known | more))


def told_of(warning: FraudWarning, event: str) -> Notice:
    """An event of an early fraud warning."""
    return Notice(
        provider_reference=event,
        type="radar.early_fraud_warning.created",
        created_at=START,
        livemode=False,
        fraud_warning=warning,
        handled=False,
    )


async def check_books(world: World, intent: PaymentIntent) -> PaymentIntent:
    """The intent as it stands, held against its disputes and its transfers."""
    now, _ = await world.now(intent)
    disputes = [d for d in await world.all(Dispute) if d.intent == intent.id]
    assert now.disputes == len(disputes)
    assert now.disputes_blocking == sum(d.blocks_refunds for d in disputes)
    transfers = [t for t in await world.all(Transfer) if t.intent == intent.id]
    assert check_intent(now, transfers) == []
    rows = {row.provider_reference for d in disputes for row in d.rows if row.amount or row.fee}
    posted = [t.provider_reference for t in transfers if t.dispute is not None]
    assert sorted(p for p in posted if p in rows) == sorted(rows), "each row once"
    return now


async def events(world: World, dispute: Dispute) -> list[str]:
    """What the merchant was told of a dispute, in order of its versions."""
    found: list[Event] = [e for e in await world.all(Event) if e.object_id == dispute.id]
    return [e.type for e in sorted(found, key=lambda e: e.object_version)]


async def alerts(world: World, *, closed: bool = False) -> list[tuple[str, str | None]]:
    """The type and stage of every alert that stands, or of every one that there ever was."""
    found: list[Alert] = await world.all(Alert)
    stand = [a.problem for a in found if closed or a.status is not AlertStatus.CLOSED]
    return [(p.type.value, p.stage) for p in sorted(stand, key=lambda p: p.name)]
