"""What a reconciliation found of one object: what differed, and whether it was healed or is held
for a person.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from paygate.domain.reconciliation.run import Stage
from paygate.domain.record import Recorded

Shown = Mapping[str, str | int | bool | None]
"""What one side says of a payment: amounts in the smallest unit."""


class FindingKind(StrEnum):
    """In what the two sides differ."""

    STATUS = "status"
    AMOUNT = "amount"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    DISPUTE = "dispute"
    ORPHAN = "orphan"
    """The provider has a payment that bears our mark and that no record of ours is about."""


class FindingAction(StrEnum):
    """What was done about it."""

    HEALED = "healed"
    HELD = "held"


class Again(Recorded, frozen=True):
    """How the next round asks for an object that this one could not examine: the list that showed
    it, whose alert tells of it, and when the provider made it, where its id alone finds nothing.
    """

    of: Stage
    merchant: str
    at: datetime | None = None


class Finding(Recorded, frozen=True, kw_only=True):
    """Append-only. Its id is derived from what it says, so that it is written once a round."""

    id: str
    merchant: str
    reconciliation: str
    livemode: bool
    kind: FindingKind
    action: FindingAction
    reason: str
    created_at: datetime
    payment_intent: str | None = None
    provider_reference: str | None = None
    ours: Shown = msgspec.field(default_factory=dict)
    theirs: Shown = msgspec.field(default_factory=dict)
    again: Again | None = None
    """Set when the object could not be examined, so that nothing is known of it."""
