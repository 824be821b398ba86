"""Read the whole ledger: what every account holds, and whether it agrees with each payment intent
and with the provider's own list of payments.

A row put back from an old backup does open; that its sum no longer fits is found here.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from paygate.domain import ledger
from paygate.domain.access import Action, Caller
from paygate.domain.alert import AlertType, Concern
from paygate.domain.ledger import Balances, Mismatch, Transfer
from paygate.domain.outcome import Approved
from paygate.domain.payment_intent import PaymentIntent
from paygate.flows.context import Context, intent_subject
from paygate.flows.raise_alert import raise_alert
from paygate.flows.sweep import every
from paygate.storage.change import Change

PAGE: Final = 1000
CLOCKS: Final = timedelta(minutes=5)
"""How far the provider's clock may be from ours."""


class Verified(NamedTuple):
    """What was read, and what does not agree."""

    transfers: int
    intents: int
    provider_payments: int
    mismatches: tuple[Mismatch, ...]


async def read_balances(ctx: Context, caller: Caller) -> Balances:
    """What every account of every merchant holds."""
    await ctx.door.commit(Change(ctx.audit(caller, Action.LEDGER_READ)))
    return ledger.balances([transfer async for transfer in every(ctx.read.transfers_after, PAGE)])


async def verify_ledger(ctx: Context, caller: Caller, *, provider: bool = True) -> Verified:
    """Hold everything against everything, and raise an alert for each intent that disagrees.

    Raises:
        ProviderSilent: the provider's list could not be read to its end.
    """
    await ctx.door.commit(Change(ctx.audit(caller, Action.LEDGER_READ)))
    by_intent: dict[tuple[str, str], list[Transfer]] = defaultdict(list)
    count = 0
    async for transfer in every(ctx.read.transfers_after, PAGE):
        by_intent[transfer.merchant, transfer.intent].append(transfer)
        count += 1
    found: list[tuple[str, Mismatch]] = []
    received: dict[str, PaymentIntent] = {}
    first = last = None
    intents = 0
    async for intent in every(ctx.read.payment_intents_after, PAGE):
        intents += 1
        transfers = by_intent.pop((intent.merchant, intent.id), [])
        found += [(intent.merchant, m) for m in ledger.check_intent(intent, transfers)]
        if intent.provider_reference is not None:
            received[intent.provider_reference] = intent
        first, last = first or intent.created_at, max(last or ctx.now(), intent.updated_at)
    found += [(m, Mismatch(i, "its transfers have no payment intent")) for m, i in by_intent]
    payments = 0
    if provider and first is not None and last is not None:
        payments, differing = await _hold_against_provider(ctx, received, first, last)
        found += differing
    for merchant, mismatch in found:
        await _alert(ctx, Caller(caller.actor, merchant, caller.request_id), mismatch)
    return Verified(count, intents, payments, tuple(mismatch for _, mismatch in found))


async def _hold_against_provider(
    ctx: Context, intents: dict[str, PaymentIntent], first: datetime, last: datetime
) -> tuple[int, list[tuple[str, Mismatch]]]:
    """Our payments in the provider's list, by what it took for each."""
    found: list[tuple[str, Mismatch]] = []
    payments = 0
    timeout = ctx.policy.provider_timeout_seconds
    async for answer in ctx.provider.list_created(
        first - CLOCKS, last + CLOCKS, timeout_seconds=timeout
    ):
        if answer.installation != ctx.installation:
            continue
        payments += 1
        reference = answer.provider_reference or ""
        taken = answer.outcome.amount_received if isinstance(answer.outcome, Approved) else 0
        intent = intents.get(reference)
        if intent is None and taken:
            merchant = answer.merchant or "default"
            what = f"the provider took {taken} for a payment that we do not know: {reference}"
            found.append((merchant, Mismatch(answer.attempt or reference, what)))
        elif intent is not None and taken != intent.amount_received:
            what = f"the provider took {taken}, and we have {intent.amount_received}"
            found.append((intent.merchant, Mismatch(intent.id, what)))
    return payments, found


async def _alert(ctx: Context, caller: Caller, mismatch: Mismatch) -> None:
    concern = Concern(
        type=AlertType.LEDGER_MISMATCH,
        subject=intent_subject(mismatch.intent),
        severity="critical",
        message=mismatch.what,
        what_to_do="Compare the payment's audit log with the provider's dashboard. If a backup was"
        " restored, look at what happened since it was made.",
    )
    await raise_alert(ctx, caller, concern)
