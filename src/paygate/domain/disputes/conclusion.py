"""What the provider's word about a dispute does to it and to its payment intent. Pure, and the same
for every way that the word can come: an event, a look-up, a call's own reply.

The provider's rows are facts that never change, so that each is booked once, whatever the time of
the answer that shows it. All else is the state of a moment: an older one moves nothing.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from paygate.domain.disputes.dispute import MOVES, OPEN, Dispute, DisputeOperation, move
from paygate.domain.disputes.outcome import (
    Disputed,
    DisputeKind,
    DisputeStatus,
    EvidenceRefusal,
    MoneyRow,
)
from paygate.domain.payments.confirmation import AHEAD
from paygate.domain.payments.payment_intent import PaymentIntent, Status, Trigger, advance

PAID: Final = frozenset({Status.SUCCEEDED, Status.REFUNDED})
"""Statuses of an intent whose money can be disputed."""
_TOLD: Final = (
    *("kind", "status", "reason", "amount", "currency", "refundable", "evidence_due_by"),
    *("past_due", "submission_count", "provider_reason", "network_reason_code", "case_type"),
    "compliance",
)
"""The fields of a dispute that are the provider's word, by the same names."""


ESCALATED: Final = (
    "The inquiry became a chargeback before the evidence was submitted: look at it once more, and"
    " submit it for that."
)


class DisputePosting(StrEnum):
    """What a dispute's move does to the ledger."""

    WITHDRAW = "dispute_withdraw"
    """The provider took what is disputed, and perhaps a fee."""
    REINSTATE = "dispute_reinstate"
    """It gave back what it had taken, and perhaps a fee."""
    FEE = "dispute_fee"
    """It took a fee alone, or gave one back."""
    LOSE = "dispute_lose"
    """What was taken is lost."""
    REGAIN = "dispute_regain"
    """What was lost is contested again, or was won after all."""


class DisputeUnmoved(StrEnum):
    """Why an answer moves nothing."""

    NOTHING_NEW = "nothing_new"
    STALE = "stale"
    """It is older than what was applied already."""
    TIE = "tie"
    """It is of the same second as what was applied, or of no time, and differs; or it leads back
    from the end: fetch, then apply that."""
    BACKWARDS = "backwards"
    """It calls a chargeback an inquiry again: a person must look."""
    PAYMENT_FIRST = "payment_first"
    """The intent does not know of its own money yet: the payment is looked up first."""


class DisputeMoved(msgspec.Struct, frozen=True):
    """The intent `before` and after, and the dispute, each one version on; an intent that the move
    leaves alone is the one before. `was` is the dispute before, None of one that is new here.
    """

    before: PaymentIntent
    intent: PaymentIntent
    was: Dispute | None
    dispute: Dispute
    posting: DisputePosting | None = None
    row: MoneyRow | None = None
    """The provider's row that is booked by the move."""

    @property
    def escalates(self) -> bool:
        """Whether the bank had only asked until now."""
        was = self.was
        inquiry = was is not None and was.kind is DisputeKind.INQUIRY
        return inquiry and self.dispute.kind is DisputeKind.CHARGEBACK

    @property
    def ends(self) -> bool:
        """Whether the move is the dispute's end."""
        was_open = self.was is None or self.was.is_open
        return was_open and not self.dispute.is_open


def record(
    intent: PaymentIntent, dispute: Dispute, rows: tuple[MoneyRow, ...]
) -> DisputeMoved | DisputeUnmoved:
    """A dispute that the provider made, as its first version here, with the first of its rows."""
    assert (dispute.version, dispute.rows) == (1, ()), "a dispute is recorded once"
    if intent.status not in PAID:
        return DisputeUnmoved.PAYMENT_FIRST
    row = rows[0] if rows else None
    if row is not None:
        dispute = msgspec.structs.replace(dispute, rows=(row,))
    return _with(intent, None, dispute, row)


def conclude_dispute(
    intent: PaymentIntent,
    dispute: Dispute,
    said: Disputed,
    as_of: datetime | None,
    at: datetime,
    *,
    fetched: bool = False,
) -> DisputeMoved | DisputeUnmoved:
    """Apply what the provider said, at `as_of` by its clock, to a dispute and its intent: the
    first of its rows that is not booked, or else what it says of how the dispute stands. So it is
    applied again and again, until nothing moves.

    `fetched` says that it was asked for after the newest applied fact was known.
    """
    booked = {row.provider_reference for row in dispute.rows}
    for row in said.rows:
        if row.provider_reference not in booked:
            after = move(dispute, at, rows=(*dispute.rows, row))
            return _with(intent, dispute, after, row)
    changes = {n: getattr(said, n) for n in _TOLD if getattr(said, n) != getattr(dispute, n)}
    if dispute.unfamiliar_status is not None:
        changes["unfamiliar_status"] = None
    if not changes:
        return DisputeUnmoved.NOTHING_NEW
    if unordered := _unordered(dispute, said, as_of, at, fetched=fetched):
        return unordered
    if said.status not in MOVES[dispute.status]:
        return DisputeUnmoved.BACKWARDS
    changes |= _answered(dispute, said, at)
    changes["provider_as_of"] = as_of or dispute.provider_as_of
    return _with(intent, dispute, move(dispute, at, **changes), None)


def unfamiliar(
    intent: PaymentIntent,
    dispute: Dispute,
    status: str,
    as_of: datetime | None,
    at: datetime,
) -> DisputeMoved | DisputeUnmoved:
    """Keep the provider's word for a status that means nothing here. The dispute stays as it is."""
    if dispute.unfamiliar_status == status:
        return DisputeUnmoved.NOTHING_NEW
    if as_of is not None and dispute.provider_as_of is not None and as_of < dispute.provider_as_of:
        return DisputeUnmoved.STALE
    return _with(intent, dispute, move(dispute, at, unfamiliar_status=status), None)


def taken_from(intent: PaymentIntent, dispute: Dispute) -> int:
    """How much of what the intent received a dispute has taken and not given back, in the intent's
    currency: by its rows of that currency, and never more than was received.

    Where the rows are of another currency, it is the part of what is disputed that has not come
    back, rounded up; and nothing once the dispute is won and money came back: rates move.
    """
    sums = dispute.sums
    own = sums.get(intent.currency)
    if own is not None and own.withdrawn:
        return min(max(0, own.outstanding), intent.amount_received)
    taken = [each for each in sums.values() if each.withdrawn]
    came_back = any(each.reinstated for each in sums.values())
    if not taken or (came_back and dispute.status is DisputeStatus.WON):
        return 0
    disputed = dispute.amount if dispute.currency == intent.currency else intent.amount_received
    if len(taken) == 1:
        disputed = -(-disputed * max(0, taken[0].outstanding) // taken[0].withdrawn)
    return min(disputed, intent.amount_received)


def _unordered(
    dispute: Dispute, said: Disputed, as_of: datetime | None, at: datetime, *, fetched: bool
) -> DisputeUnmoved | None:
    """Why the answer's time does not let it move the dispute; None when it does."""
    known = dispute.provider_as_of
    reopens = not dispute.is_open and said.status in OPEN
    if reopens and not fetched:
        return DisputeUnmoved.TIE
    if known is None:
        return None
    if as_of is None:
        return None if fetched else DisputeUnmoved.TIE
    # A time from the future orders nothing, though it was written down.
    believed = known <= at + AHEAD
    if believed and as_of < known:
        return DisputeUnmoved.STALE
    if not fetched and (not believed or as_of == known):
        return DisputeUnmoved.TIE
    return None


def _answered(dispute: Dispute, said: Disputed, at: datetime) -> dict[str, Any]:
    """What the provider's word means for evidence, and for our own orders."""
    changes: dict[str, Any] = {}
    submitted = said.submission_count > dispute.submission_count
    if dispute.kind is DisputeKind.INQUIRY and said.kind is DisputeKind.CHARGEBACK:
        changes |= {"answered_before": said.submission_count, "submitted_at": None}
        if dispute.pending_operation is DisputeOperation.SUBMIT and not submitted:
            # What was meant for the bank's question would be the one answer to its chargeback.
            refusals = (EvidenceRefusal(None, ESCALATED),)
            changes |= {"pending_operation": None, "refusals": refusals}
    if submitted and dispute.submitted_at is None:
        changes["submitted_at"] = at
    done = submitted and dispute.pending_operation is DisputeOperation.SUBMIT
    if done or said.status not in OPEN:
        changes["pending_operation"] = None
    return changes


def _with(
    intent: PaymentIntent, was: Dispute | None, dispute: Dispute, row: MoneyRow | None
) -> DisputeMoved:
    """The dispute, and the intent as the dispute's move leaves it."""
    posting = _posting(was, dispute, row)
    changes: dict[str, Any] = {
        "disputes": intent.disputes + (was is None),
        "disputes_blocking": intent.disputes_blocking + _more(was, dispute, _blocks),
        "inquiries_open": intent.inquiries_open + _more(was, dispute, _is_open_inquiry),
    }
    before = 0 if was is None else taken_from(intent, was)
    taken = intent.amount_disputed + taken_from(intent, dispute) - before
    changes["amount_disputed"] = taken
    if row is not None:
        currency = row.currency
        changes["withdrawn"] = _added(intent.withdrawn, currency, -row.amount)
        changes["dispute_fees"] = _added(intent.dispute_fees, currency, row.fee)
    if all(getattr(intent, name) == value for name, value in changes.items()) and not posting:
        return DisputeMoved(intent, intent, was, dispute, row=row)
    changes["money_seq"] = intent.money_seq + (posting is not None)
    after = advance(intent, Trigger.DISPUTE, dispute.updated_at, **changes)
    return DisputeMoved(intent, after, was, dispute, posting, row)


def _posting(was: Dispute | None, dispute: Dispute, row: MoneyRow | None) -> DisputePosting | None:
    """What the ledger says of the move; None when no money moves."""
    if row is not None:
        if row.amount:
            return DisputePosting.WITHDRAW if row.amount < 0 else DisputePosting.REINSTATE
        return DisputePosting.FEE if row.fee else None
    was_lost = was is not None and was.status is DisputeStatus.LOST
    is_lost = dispute.status is DisputeStatus.LOST
    if was_lost == is_lost or not any(each.outstanding for each in dispute.sums.values()):
        return None
    return DisputePosting.LOSE if is_lost else DisputePosting.REGAIN


def _blocks(dispute: Dispute) -> bool:
    return dispute.blocks_refunds


def _is_open_inquiry(dispute: Dispute) -> bool:
    return dispute.is_open and dispute.kind is DisputeKind.INQUIRY


def _more(was: Dispute | None, dispute: Dispute, counts: Callable[[Dispute], bool]) -> int:
    """By how many more disputes count since the move: -1, 0 or 1."""
    return counts(dispute) - (was is not None and counts(was))


def _added(totals: Mapping[str, int], currency: str, amount: int) -> dict[str, int]:
    """The totals with an amount more of a currency; what comes to nothing is left out."""
    after = dict(totals)
    after[currency] = after.get(currency, 0) + amount
    return {code: total for code, total in after.items() if total}
