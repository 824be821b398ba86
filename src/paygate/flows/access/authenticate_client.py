"""Let a payer's browser in: with an intent's client secret a publishable key opens that one."""

from datetime import datetime, timedelta
from typing import Final

from paygate.domain.access.roles import Caller
from paygate.domain.errors import missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.context import Context

AFTER_THE_END: Final = timedelta(hours=1)
"""How long the payer may still see how the payment ended."""


async def authenticate_client(
    ctx: Context,
    caller: Caller,
    intent_id: str,
    *,
    client_secret: str | None,
    session_id: str | None,
) -> None:
    """Returns when this browser may see and confirm the intent.

    Raises:
        Refusal: `resource_missing`, alike for a wrong secret, a wrong session, another merchant's
            intent, an unknown one, and a secret past its time. All take the same steps.
    """
    intent = None
    if is_id(PREFIXES["payment_intent"], intent_id):
        intent = await ctx.read.payment_intent(caller.merchant, intent_id)
    secret_hash = session_hash = None
    bound = True
    if intent is not None and ctx.now() < closes_at(intent, ctx.policy.intent_ttl):
        secret_hash, session_hash = intent.client_secret_hash, intent.session_hash
        bound = session_hash is not None or ctx.policy.production
    genuine = ctx.hasher.client_secret_matches(client_secret or "", secret_hash)
    present = ctx.hasher.session_matches(intent_id, session_id or "", session_hash)
    if not genuine or (bound and not present):
        raise missing("payment intent")


def closes_at(intent: PaymentIntent, ttl: timedelta) -> datetime:
    """When the client secret ends: an hour after the payment does, and never later than its time
    to live and that hour.
    """
    last = intent.created_at + ttl
    return min(intent.final_at or last, last) + AFTER_THE_END
