"""What the provider lists of a time, held against what we recorded: each page of its list in one
look at our side. What it lists and we never recorded is an orphan if it bears our mark.
"""

from datetime import timedelta
from typing import Final

from paygate.domain.payments.attempt import Operation
from paygate.domain.payments.outcome import Answer, Approved, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.reconciliation.finding import Finding
from paygate.domain.reconciliation.run import Stage
from paygate.flows.payments.sweeps.ask_provider import ask_provider
from paygate.flows.provider.lists import pages_created
from paygate.flows.reconciliation.examine import (
    examine_asked,
    examine_listed,
    examine_stranger,
    examine_unrecorded,
)
from paygate.flows.reconciliation.hold import Item, NotTold, or_held
from paygate.flows.reconciliation.read_list import ProviderList
from paygate.flows.reconciliation.report import Report
from paygate.flows.sweep import Crew, Faults
from paygate.providers.absence import Absent

AT_ONCE: Final = 25
"""Payments in hand that differ: each is a call or two."""
LAG: Final = timedelta(minutes=10)
"""How late an object may appear in the provider's lists after its own time: twice the longest that
is tried here. The end of what is known is so far before the end of what was read."""
_LOOKED_AT: Final = 20
"""Payments of ours that are looked at to tell whether an empty list is to be believed."""


def item_of(intent: PaymentIntent) -> Item:
    """The payment that an intent rests on."""
    return Item(Stage.PAYMENTS, str(intent.provider_reference), intent.merchant, intent.id)


async def _compare(report: Report, page: list[Answer]) -> None:
    ctx, faults = report.ctx, Faults()
    by_reference = {a.provider_reference: a for a in page if a.provider_reference is not None}
    resting, unread = await ctx.reconciliations.resting_on(by_reference)
    for fault in unread:
        await report.unreadable(fault)
    async with Crew(AT_ONCE, faults) as crew:
        for reference, answer in by_reference.items():
            intent = resting.get(reference)
            item = Item(Stage.PAYMENTS, reference)
            if intent is not None:
                report.seen.add(reference) if intent.final_at is None else None
                work = examine_listed(report, intent, answer)
                await crew.take(or_held(report, item_of(intent), work))
            elif answer.installation == ctx.installation:
                await crew.take(or_held(report, item, examine_unrecorded(report, answer)))
            elif ctx.policy.exclusive_account and isinstance(answer.outcome, Approved):
                await crew.take(or_held(report, item, examine_stranger(report, answer)))
            else:
                report.met(foreign=1)
    await report.told(report.run.place.stage, faults)


async def _ask(report: Report, finding: Finding) -> None:
    ctx, reference = report.ctx, str(finding.provider_reference)
    resting, unread = await ctx.reconciliations.resting_on([reference])
    if unread:
        raise unread[0]
    if reference in resting:
        await examine_asked(report, resting[reference])
        return
    answer = await ask_provider(ctx, reference)
    if isinstance(answer, Absent):
        return
    if isinstance(answer.outcome, Unknown) and not answer.outcome.idle:
        raise NotTold
    if answer.installation == ctx.installation:
        await examine_unrecorded(report, answer)
    elif ctx.policy.exclusive_account and isinstance(answer.outcome, Approved):
        await examine_stranger(report, answer)


PAYMENTS: Final = ProviderList(Stage.PAYMENTS, pages_created, _compare, _ask, shows_confirms=True)


async def lists_too_little(report: Report) -> bool:
    """Whether the provider must have had a payment of ours to list in the round's window: one whose
    confirm was sent within it, by the provider's clock, and got an id.
    """
    ctx, run = report.ctx, report.run
    assert run.since is not None and run.until is not None, "the window is set"  # noqa: PT018
    until = run.until - LAG
    for intent in await ctx.reconciliations.made_between(run.since, until, _LOOKED_AT):
        attempt = await ctx.read.attempt(intent.merchant, str(intent.attempt))
        if attempt is None or attempt.operation is not Operation.CONFIRM:
            continue
        sent = attempt.first_sent_as_of
        if sent is not None and run.since <= sent <= until:
            return True
    return False
