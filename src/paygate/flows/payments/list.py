"""List payment intents: a page of a merchant's, by status, reference, customer and time."""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.audit_list import audit_list
from paygate.flows.context import Context
from paygate.storage.pages import Cut, Page
from paygate.storage.reader import IntentFilters


async def list_payment_intents(
    ctx: Context, caller: Caller, cut: Cut, filters: IntentFilters, query: str
) -> Page[PaymentIntent]:
    """The page of intents as they stand; `query` is for the audit log."""
    page = await ctx.read.payment_intents(caller.merchant, cut, filters)
    ids = [intent.id for intent in page.items]
    await audit_list(ctx, caller, Action.INTENT_LIST, query, ids, page.unread)
    return page
