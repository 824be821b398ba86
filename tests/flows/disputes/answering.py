"""A dispute that can be answered, and evidence for it."""

from datetime import timedelta
from typing import Any

from paygate.domain.access.roles import Action
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.outcome import (
    ComplianceNetwork,
    DisputeAnswer,
    Disputed,
    DisputeKind,
    DisputeReason,
    DisputeStatus,
)
from paygate.flows.disputes.accept import accept_dispute
from paygate.flows.disputes.find import apply_dispute
from paygate.flows.disputes.stage_evidence import SentFile, stage_files, stage_texts
from paygate.flows.disputes.submit import submit_evidence
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.run_once import StoredResponse, idempotently
from tests.documents.made import pdf
from tests.flows.world import APPROVED, THEIRS, World, encode

REFERENCE = "du_1"
DAYS = timedelta(days=8)
RECEIPT = SentFile("receipt", pdf(1), "Quittung.pdf", "application/pdf")


def shown(world: World, **changes: Any) -> DisputeAnswer:
    """A dispute as the provider shows it now."""
    said: dict[str, Any] = {
        "kind": DisputeKind.CHARGEBACK,
        "status": DisputeStatus.NEEDS_RESPONSE,
        "reason": DisputeReason.FRAUDULENT,
        "amount": 1999,
        "currency": "eur",
        "refundable": False,
        "created_at": world.clock(),
        "evidence_due_by": world.clock() + DAYS,
        "past_due": False,
        "submission_count": 0,
        "has_evidence": False,
    }
    return DisputeAnswer(
        outcome=Disputed(**said | changes),
        provider_reference=REFERENCE,
        payment_reference=THEIRS,
        as_of=world.clock(),
    )


async def disputed(world: World, **changes: Any) -> Dispute:
    """A payment's dispute, recorded; the clock goes on by a second."""
    await world.confirming(APPROVED)
    said = shown(world, **changes)
    world.provider.disputes_shown[REFERENCE] = said
    found = await apply_dispute(world.ctx, world.caller, said)
    assert found.dispute is not None, found
    world.clock.forward(1)
    return found.dispute


async def staged(world: World, **changes: Any) -> Dispute:
    """A dispute with a text and a file as its evidence."""
    dispute = await disputed(world, **changes)
    await stage_texts(world.ctx, world.caller, dispute.id, {"product_description": "A hat."})
    return await stage_files(world.ctx, world.caller, dispute.id, [RECEIPT])


async def now(world: World, dispute: Dispute) -> Dispute:
    """The dispute as it stands."""
    found = await world.ctx.disputes.dispute(dispute.merchant, dispute.id)
    assert found is not None
    return found


async def submit(world: World, dispute: Dispute, *fees: ComplianceNetwork) -> Dispute:
    return await submit_evidence(world.ctx, world.caller, dispute.id, fees)


async def submit_once(world: World, dispute: Dispute, key: str) -> StoredResponse:
    """Submit under an idempotency key, as the edge does."""
    request = KeyedRequest(world.caller, Action.DISPUTE_SUBMIT, "sk POST submit", key, b"{}")
    return await idempotently(
        world.ctx,
        request,
        lambda ctx: submit_evidence(ctx, world.caller, dispute.id),
        encode,
    )


async def accept(world: World, dispute: Dispute) -> Dispute:
    return await accept_dispute(world.ctx, world.caller, dispute.id)


async def chunks(world: World) -> dict[str, int]:
    """How many chunks of each file are kept, by the file's id."""
    rows = await world.connection.fetch("SELECT id, count(*) FROM dispute_file GROUP BY id")
    return {row["id"]: row["count"] for row in rows}
