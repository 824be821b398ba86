"""The claim on a merchant's reference, for those who want one payment an order.

Whether a reference is in use is told by its payment intents alone. The claim keeps two that ask at
once from both being told that it is not: each advances the claim that it saw by one version.
"""

from datetime import datetime

import msgspec

from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.record import Recorded


class ReferenceClaim(Recorded, frozen=True, kw_only=True):
    """`id` is a keyed hash of the reference, `intent` the one that claimed it last."""

    id: str
    merchant: str
    reference: str
    intent: str
    updated_at: datetime
    version: int = 1


def claimed(before: ReferenceClaim | None, intent: PaymentIntent, claim_id: str) -> ReferenceClaim:
    """The claim that `intent` has: one version beyond `before`, or the first under `claim_id`."""
    assert intent.reference is not None, "a reference is claimed"
    if before is None:
        return ReferenceClaim(
            id=claim_id,
            merchant=intent.merchant,
            reference=intent.reference,
            intent=intent.id,
            updated_at=intent.updated_at,
        )
    return msgspec.structs.replace(
        before,
        intent=intent.id,
        updated_at=max(intent.updated_at, before.updated_at),
        version=before.version + 1,
    )
