"""Expire payment intents: those that nobody confirmed in `PAYGATE_INTENT_TTL` are cancelled.

Any number of nodes may run it at once: each intent is cancelled by the version it was read at.
"""

import asyncio
from typing import Final

from paygate.domain.access import Action, Actor, Caller
from paygate.flows.cancel_payment_intent import cancelled
from paygate.flows.close_overdue_attempts import EXPIRED
from paygate.flows.context import Context

BATCH: Final = 200
"""Cancelled together, in one or two commits; few enough to leave the door to payments."""


async def expire_payment_intents(ctx: Context, run_id: str) -> int:
    """Cancel every intent that is overdue; how many this run did itself."""
    before = ctx.now() - ctx.policy.intent_ttl
    total = 0
    while overdue := await ctx.read.payment_intents_overdue(before, BATCH):
        done = await asyncio.gather(
            *(
                cancelled(
                    ctx,
                    Caller(Actor("job", name="expire-intents"), intent.merchant, run_id),
                    Action.INTENT_EXPIRE,
                    intent,
                    EXPIRED,
                )
                for intent in overdue
            )
        )
        ours = sum(intent is not None for intent in done)
        total += ours
        if not ours:
            break  # another run has them in hand
    return total
