"""Bank transfers in a world of flows: what merchants ask for, what the provider tells of them."""

from datetime import timedelta
from typing import Any, Final

from paygate.domain.alert import Alert, AlertType
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    BankAccount,
    BankTransfer,
    Outcome,
    TransferInstructions,
)
from paygate.domain.payments.payment_intent import PaymentIntent, PaymentMethodType
from paygate.domain.payments.payment_method import DirectDebit, Mandate, PushTransfer
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.confirm import Confirmation, confirm_payment_intent
from paygate.jobs.messages import Message, decode
from paygate.providers.contract import Notice
from tests.flows.world import World, answer, notice
from tests.making import START

PUSH: Final = Confirmation(
    instrument=PushTransfer("DE"),
)
DEBIT: Final = Confirmation(
    instrument=DirectDebit("pm_account", Mandate(START, "203.0.113.9", "Mozilla"))
)
BY_PUSH: Final = BankTransfer("push", "DE")
BY_DEBIT: Final = BankTransfer("debit", None, "6789")
PAID: Final = Approved(
    captured=True, amount_received=1999, amount_capturable=0, payment_method=BY_PUSH
)
ACCOUNT: Final = BankAccount("iban", "A Provider", "DE", {"iban": "DE00", "bic": "XXXX"})


def instructions(received: int = 0) -> TransferInstructions:
    """What the provider wants to be sent, and where."""
    return TransferInstructions(
        amount_remaining=1999 - received,
        amount_received=received,
        currency="eur",
        reference="REF1",
        hosted_url=None,
        accounts=(ACCOUNT,),
    )


def funded(received: int = 0) -> ActionRequired:
    """A transfer of which so much has come."""
    return ActionRequired(instructions(received), BY_PUSH)


def at(seconds: float, outcome: Outcome) -> Answer:
    """What the provider answers, by its own clock so long after the start."""
    return answer(outcome, as_of=START + timedelta(seconds=seconds))


def notice_at(
    attempt: Attempt, outcome: Outcome, seconds: float, reference: str = "evt_1"
) -> Notice:
    """What an event tells, by the provider's own clock so long after the start."""
    as_of = START + timedelta(seconds=seconds)
    return notice(attempt, outcome, reference=reference, as_of=as_of)


async def to_transfer(world: World, **more: Any) -> PaymentIntent:
    """An intent that may be paid by transfer."""
    kinds = (PaymentMethodType.CARD, PaymentMethodType.BANK_TRANSFER)
    return await world.create(payment_method_types=kinds, **more)


async def confirm_by(
    world: World, intent: PaymentIntent, request: Confirmation = PUSH
) -> PaymentIntent:
    return await confirm_payment_intent(world.ctx, world.caller, intent.id, request)


async def paying(
    world: World, outcome: Outcome, request: Confirmation = PUSH, **more: Any
) -> tuple[PaymentIntent, Attempt]:
    """An intent whose transfer was answered so."""
    world.provider.answers.append(answer(outcome))
    intent = await confirm_by(world, await to_transfer(world, **more), request)
    (attempt,) = (await world.now(intent))[1]
    return intent, attempt


async def cancel(world: World, intent: PaymentIntent) -> PaymentIntent:
    return await cancel_payment_intent(world.ctx, world.caller, intent.id, reason="out of stock")


async def alerts(world: World, kind: AlertType) -> list[Alert]:
    return [a for a in await world.all(Alert) if a.problem.type is kind]


async def jobs(world: World, kind: type[Message]) -> list[Message]:
    """What waits in the queue."""
    rows = await world.connection.fetch("SELECT payload FROM pgqueuer ORDER BY id")
    return [m for m in (decode(row["payload"]) for row in rows) if isinstance(m, kind)]
