"""A process that puts evidence together, submits it, accepts a dispute or looks after one, and is
killed meanwhile, at a provider whose books are a file.
"""

import asyncio
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from paygate.domain.access.roles import Action
from paygate.domain.disputes.evidence_chunk import EvidenceChunk
from paygate.domain.disputes.outcome import (
    DisputeAnswer,
    Disputed,
    DisputeKind,
    DisputeReason,
    DisputeRejected,
    DisputeStatus,
    FileOutcome,
    FileUploaded,
    RejectionCode,
)
from paygate.flows.context import Context
from paygate.flows.disputes.accept import accept_dispute
from paygate.flows.disputes.find import apply_dispute
from paygate.flows.disputes.resolve import resolve_dispute_orders
from paygate.flows.disputes.stage_evidence import SentFile, stage_files, stage_texts
from paygate.flows.disputes.submit import submit_evidence
from paygate.providers.absence import Absent
from paygate.providers.dispute_orders import AcceptOrder, EvidenceOrder, UploadOrder
from paygate.storage.dispute_files import DisputeFiles
from tests.documents.made import png
from tests.races.durable_provider import FileProvider, Steps
from tests.races.dying import CALLER, Setting, keyed, opened

MADE_AT = datetime(2026, 11, 20, tzinfo=UTC)
DUE_BY = datetime(2100, 1, 1, tzinfo=UTC)
LARGE = SentFile("receipt", png(600_000), "r.png")
SMALL = SentFile("customer_signature", png(), "s.png")


class DisputeSetting(Setting, frozen=True):
    """`dispute` is what the flow is about; `late` is how long after the last try this one comes."""

    dispute: str = ""
    late: timedelta = timedelta(0)


class EvidenceBooks:
    """Disputes by the provider's id, files and submissions by the key that they came under."""

    def __init__(self, folder: Path) -> None:
        self._file = sqlite3.connect(folder / "disputes")
        for table in (
            "dispute (reference TEXT PRIMARY KEY, payment TEXT, status TEXT)",
            "upload (key TEXT PRIMARY KEY, content BLOB)",
            "submission (key TEXT PRIMARY KEY, reference TEXT, evidence BLOB)",
        ):
            self.write(f"CREATE TABLE IF NOT EXISTS {table}")

    def write(self, statement: str, *values: Any) -> None:
        self._file.execute(statement, values)
        self._file.commit()

    def read(self, query: str, *values: Any) -> list[Any]:
        return self._file.execute(query, values).fetchall()

    def submissions(self, reference: str) -> list[dict[str, Any]]:
        """The evidence that was submitted for a dispute."""
        rows = self.read("SELECT evidence FROM submission WHERE reference = ?", reference)
        return [msgspec.json.decode(row[0]) for row in rows]


class EvidenceProvider(FileProvider):
    """Does once per key what it is asked; a step on either side of each effect."""

    def __init__(self, folder: Path, steps: Steps) -> None:
        super().__init__(folder, steps, first="captured")
        self.evidence = EvidenceBooks(folder)

    async def retrieve_dispute(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> DisputeAnswer | Absent:
        self.steps.step()
        return self.shown(provider_reference)

    async def upload_file(self, order: UploadOrder, *, timeout_seconds: float) -> FileOutcome:
        self._do("INSERT OR IGNORE INTO upload VALUES (?, ?)", order.key, order.content)
        return FileUploaded(f"their_{order.key}")

    async def submit_evidence(
        self, order: EvidenceOrder, *, timeout_seconds: float
    ) -> DisputeAnswer:
        reference = order.provider_reference
        stands = self.shown(reference)
        assert isinstance(stands.outcome, Disputed)
        if stands.outcome.submission_count != order.expected_submission_count:
            said = "It was answered before."
            rejected = DisputeRejected(RejectionCode.ALREADY_SUBMITTED, said, stands=stands.outcome)
            return msgspec.structs.replace(stands, outcome=rejected)
        evidence = msgspec.json.encode({"texts": dict(order.texts), "files": dict(order.files)})
        row = (order.key, reference, evidence)
        self._do("INSERT OR IGNORE INTO submission VALUES (?, ?, ?)", *row)
        return self.shown(reference)

    async def accept_dispute(self, order: AcceptOrder, *, timeout_seconds: float) -> DisputeAnswer:
        lost = "UPDATE dispute SET status = 'lost' WHERE reference = ?"
        self._do(lost, order.provider_reference)
        return self.shown(order.provider_reference)

    def shown(self, reference: str) -> DisputeAnswer:
        """A dispute as it stands now."""
        ((payment, word),) = self.evidence.read(
            "SELECT payment, status FROM dispute WHERE reference = ?", reference
        )
        count, status = len(self.evidence.submissions(reference)), DisputeStatus(word)
        if count and status is DisputeStatus.NEEDS_RESPONSE:
            status = DisputeStatus.UNDER_REVIEW
        return DisputeAnswer(
            outcome=Disputed(
                kind=DisputeKind.CHARGEBACK,
                status=status,
                reason=DisputeReason.FRAUDULENT,
                amount=1999,
                currency="eur",
                refundable=False,
                created_at=MADE_AT,
                evidence_due_by=DUE_BY,
                past_due=False,
                submission_count=count,
                has_evidence=count > 0,
            ),
            provider_reference=reference,
            payment_reference=payment,
            as_of=datetime.now(UTC),
        )

    def _do(self, statement: str, *values: Any) -> None:
        self.steps.step()
        self.evidence.write(statement, *values)
        self.steps.step()


class SteppedFiles(DisputeFiles):
    """The files, with a step on either side of a chunk."""

    steps: Steps

    async def write(self, chunks: Iterable[EvidenceChunk]) -> None:
        for chunk in chunks:
            self.steps.step()
            await super().write((chunk,))
            self.steps.step()


def disputing(ctx: Context, setting: DisputeSetting, steps: Steps) -> Context:
    """The context with that provider, and so much later."""
    files = SteppedFiles(ctx.dispute_files._pool, ctx.dispute_files._records)
    files.steps = steps
    return msgspec.structs.replace(
        ctx,
        provider=EvidenceProvider(Path(setting.folder), steps),
        dispute_files=files,
        now=lambda: datetime.now(UTC) + setting.late,
    )


async def begun(ctx: Context, intent: str, *, stage: bool) -> str:
    """The id of a dispute of a payment, with its evidence put together."""
    paid = await ctx.read.payment_intent("default", intent)
    assert paid is not None
    reference, provider = f"du_{intent}", ctx.provider
    assert isinstance(provider, EvidenceProvider)
    row = (reference, paid.provider_reference, "needs_response")
    provider.evidence.write("INSERT INTO dispute VALUES (?, ?, ?)", *row)
    found = await apply_dispute(ctx, CALLER, provider.shown(reference))
    assert found.dispute is not None
    if stage:
        dispute_id = found.dispute.id
        await stage_texts(ctx, CALLER, dispute_id, {"product_description": "A hat."})
        await stage_files(ctx, CALLER, dispute_id, [LARGE, SMALL])
    return found.dispute.id


async def act(ctx: Context, setting: DisputeSetting) -> bytes:
    """The flow, as the edge or the worker runs it."""
    dispute = setting.dispute
    match setting.flow:
        case "stage":
            return await keyed(
                ctx,
                setting,
                Action.DISPUTE_STAGE,
                lambda c: stage_files(c, CALLER, dispute, [LARGE, SMALL]),
            )
        case "submit":
            return await keyed(
                ctx, setting, Action.DISPUTE_SUBMIT, lambda c: submit_evidence(c, CALLER, dispute)
            )
        case "accept":
            return await keyed(
                ctx, setting, Action.DISPUTE_ACCEPT, lambda c: accept_dispute(c, CALLER, dispute)
            )
        case "sweep":
            await resolve_dispute_orders(ctx, "run_1")
            return b"done"
    raise AssertionError(setting.flow)


def die_disputing(setting: DisputeSetting, kill_at: int) -> None:
    """The child's whole life."""

    async def live() -> None:
        steps = Steps(kill_at)
        async with opened(setting, steps) as ctx:
            await act(disputing(ctx, setting, steps), setting)

    asyncio.run(live())
