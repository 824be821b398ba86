"""A correction: a payment that went backwards, on the provider's proof.

Money that was captured after all, or a refund that failed after all, is true whatever we had
concluded. The database lets an intent leave a final status only together with this record.
"""

from datetime import datetime

from paygate.domain.payments.payment_intent import CORRECTIONS, PaymentIntent, Status
from paygate.domain.record import Recorded


class Correction(Recorded, frozen=True, kw_only=True):
    """Append-only. `intent_version` is the intent's after it, `proof` what the provider said."""

    id: str
    merchant: str
    intent: str
    intent_version: int
    from_status: Status
    to_status: Status
    at: datetime
    reason: str
    proof: str | None = None


def correction_of(
    before: PaymentIntent,
    after: PaymentIntent,
    *,
    correction_id: str,
    reason: str,
    proof: str | None = None,
) -> Correction:
    """The record of what was corrected; `before` and `after` are one version apart."""
    assert after.version == before.version + 1, "one version at a time"
    assert after.status in CORRECTIONS[before.status], "not a correction"
    return Correction(
        id=correction_id,
        merchant=after.merchant,
        intent=after.id,
        intent_version=after.version,
        from_status=before.status,
        to_status=after.status,
        at=after.updated_at,
        reason=reason,
        proof=proof,
    )
