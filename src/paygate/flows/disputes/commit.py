"""What is committed with a move of a dispute: the dispute, its intent, the audit entry, the event,
the transfer in the ledger, the alerts. Every flow that moves a dispute commits here.
"""

from paygate.domain import event, ledger
from paygate.domain.access.roles import Action, Caller
from paygate.domain.disputes.conclusion import DisputeMoved
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.event import Event
from paygate.flows.alerts.raise_alert import occurrence, to_raise
from paygate.flows.context import Context
from paygate.flows.disputes.problems import dispute_subject, problems_of
from paygate.storage.change import Appended, Change, Committed, Versioned


async def commit_dispute(
    ctx: Context,
    caller: Caller,
    action: Action,
    moved: DisputeMoved,
    *,
    response: Dispute | None = None,
) -> bool:
    """Whether the move is durable, with all that belongs to it; False when the intent or the
    dispute has moved on meanwhile. The request ends with what it is answered with, `response`.
    """
    change = change_of_dispute(ctx, caller, action, moved, response=response)
    return isinstance(await ctx.door.commit(change), Committed)


def change_of_dispute(
    ctx: Context,
    caller: Caller,
    action: Action,
    moved: DisputeMoved,
    *,
    response: Dispute | None = None,
) -> Change:
    """The commit of what a caller did to a dispute, or came to know of it."""
    dispute = moved.dispute
    creates: list[Versioned | Appended] = []
    advances: list[Versioned] = []
    (creates if moved.was is None else advances).append(dispute)
    changed = moved.intent.version != moved.before.version
    if changed:
        advances.append(moved.intent)
    if moved.posting is not None:
        creates.append(ledger.dispute(moved, transfer_id=ctx.new_id("ledger_transfer")))
    creates += [_event(ctx, dispute, happened, caller.request_id) for happened in _news(moved)]
    alerts = tuple(
        occurrence(ctx, dispute.merchant, each) for each in problems_of(moved, ctx.now())
    )
    return Change(
        ctx.audit(caller, action, dispute_subject(dispute), details=_details(moved)),
        creates=(*creates, *alerts),
        advances=tuple(advances),
        jobs=to_raise(*alerts),
        stands=None if changed else moved.before,
        response=response,
    )


def _news(moved: DisputeMoved) -> list[str]:
    """The types of the events that a dispute's move is worth."""
    first = ["dispute.created"] if moved.was is None else []
    if moved.ends:
        return [*first, "dispute.closed"]
    return first or ["dispute.updated"]


def _event(ctx: Context, dispute: Dispute, type_: str, request_id: str) -> Event:
    return event.of(
        dispute,
        type_,
        event_id=ctx.new_id("event"),
        at=dispute.updated_at,
        request_id=request_id,
    )


def _details(moved: DisputeMoved) -> dict[str, str]:
    dispute = moved.dispute
    details = {
        "payment_intent": dispute.intent,
        "amount": f"{dispute.amount} {dispute.currency}",
        "status": dispute.status,
    }
    if moved.row is not None:
        row = moved.row
        details["row"] = row.provider_reference
        details["moved"] = f"{row.amount} {row.currency}, fee {row.fee}"
    return details
