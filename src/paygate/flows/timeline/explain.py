"""Explain a payment: one timeline of what was asked, what the provider said, what came of it."""

from typing import Final, NamedTuple

from paygate.domain.access.roles import Action, Caller
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.timeline.entry import Entry
from paygate.domain.timeline.whole import told
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context, intent_subject
from paygate.flows.payments.read import find_payment_intent
from paygate.storage.change import Change
from paygate.storage.installation import DEFAULT_MERCHANT

REPORTED_MOST: Final = 20
"""Unreadable records that one reading has an alert for: without a key all are unreadable, and each
alert is a commit that the reader waits for. The sweeps tell of the rest."""


class Explained(NamedTuple):
    """A payment and its timeline, the oldest entry first."""

    intent: PaymentIntent
    entries: list[Entry]


async def explain_payment(ctx: Context, caller: Caller, intent_id: str) -> Explained:
    """The timeline, after an audit entry. A record that cannot be read is an entry that says so,
    and an alert.

    Raises:
        Refusal: `resource_missing` for an id that is malformed, unknown or another merchant's.
    """
    intent = await find_payment_intent(ctx, caller.merchant, intent_id)
    found = await ctx.timelines.of(intent, DEFAULT_MERCHANT)
    audit = ctx.audit(caller, Action.INTENT_EXPLAIN, intent_subject(intent.id))
    await ctx.door.commit(Change(audit))
    for fault in found.unread[:REPORTED_MOST]:
        await report_unreadable(ctx, caller, fault)
    return Explained(intent, told(intent, found.stored))
