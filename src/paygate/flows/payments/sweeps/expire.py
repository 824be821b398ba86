"""Expire payment intents: those that nobody confirmed in `PAYGATE_INTENT_TTL` are cancelled.

Any number of nodes may run this sweep at once: an intent is cancelled at the version that was read.
"""

import asyncio
from functools import partial
from typing import Final

from paygate.domain.access.roles import Action
from paygate.domain.errors import Refusal
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.context import Context
from paygate.flows.payments.cancel import cancelled, check_not_forgotten
from paygate.flows.payments.sweeps.close_overdue import EXPIRED
from paygate.flows.sweep import Sweep

BATCH: Final = 200
"""Intents cancelled together, in one or two commits; few enough to leave the door to payments."""


async def expire_payment_intents(ctx: Context, run_id: str) -> int:
    """Cancel every intent that is overdue. Returns how many this run cancelled itself."""
    before = ctx.now() - ctx.policy.intent_ttl
    total = 0
    sweep = Sweep(ctx, "expire-intents", run_id)

    async def expire(intent: PaymentIntent) -> bool:
        caller = sweep.caller(intent.merchant)
        with sweep:
            try:
                await check_not_forgotten(ctx, intent)
            except Refusal:
                return False  # it is paid, or may be: `ledger verify` names it
            return await cancelled(ctx, caller, Action.INTENT_EXPIRE, intent, EXPIRED) is not None
        return False

    read = partial(ctx.read.payment_intents_overdue, before)
    async for overdue in sweep.stretches(read, BATCH):
        total += sum(await asyncio.gather(*map(expire, overdue)))
    await sweep.end()
    return total
