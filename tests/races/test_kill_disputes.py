"""F01 for disputes: whoever puts evidence together, submits it, accepts or looks after a dispute is
killed at each step; then somebody comes again, and there is one submission of the same files.
"""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paygate.crypto.keyring import generate_keyring
from paygate.crypto.kms import FileKms
from paygate.domain.disputes.dispute import Dispute
from paygate.flows.context import Context
from paygate.flows.disputes.evidence_files import sweep_evidence_files
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from tests.flows.world import INSTALLATION
from tests.races.durable_provider import AMOUNT, Steps
from tests.races.dying import CALLER, opened
from tests.races.dying import act as act_before
from tests.races.dying_disputes import (
    LARGE,
    SMALL,
    DisputeSetting,
    EvidenceBooks,
    act,
    begun,
    die_disputing,
    disputing,
)
from tests.races.test_kill_every_step import NEVER, Connect, run_and_die

SWEPT = timedelta(minutes=11)
"""So long after a call it must be over; a file that no dispute names may be, six times as long."""
FEWEST = {"stage": 10, "submit": 14, "accept": 8, "sweep": 10}
"""Two steps for each commit, each chunk and each effect at the provider."""


async def prepared(setting: DisputeSetting) -> DisputeSetting:
    """A paid intent, and the dispute that the flow is about."""
    steps = Steps(NEVER)
    async with opened(setting, steps) as opened_ctx:
        ctx = disputing(opened_ctx, setting, steps)
        new = NewPaymentIntent(amount=AMOUNT, currency="eur")
        intent = (await create_payment_intent(ctx, CALLER, new)).intent.id
        ready = msgspec.structs.replace(setting, intent=intent)
        await act_before(ctx, msgspec.structs.replace(ready, flow="confirm"))
        dispute = await begun(ctx, intent, stage=setting.flow != "stage")
    ready = msgspec.structs.replace(ready, dispute=dispute)
    if setting.flow == "sweep":
        # One whose sender died when a file had just gone up.
        asked = msgspec.structs.replace(ready, flow="submit")
        assert await asyncio.to_thread(run_and_die, asked, 4, die_disputing)
    return ready


def later(setting: DisputeSetting) -> DisputeSetting:
    late = SWEPT if setting.flow == "sweep" else timedelta(0)
    return msgspec.structs.replace(setting, late=setting.late + late)


async def finished(setting: DisputeSetting) -> None:
    steps = Steps(NEVER)
    async with opened(setting, steps) as opened_ctx:
        ctx = disputing(opened_ctx, setting, steps)
        body = await act(ctx, setting)
        assert await act(ctx, setting) == body, "and once more: the same"
        dispute = await ctx.disputes.dispute("default", setting.dispute)
        assert dispute is not None
        assert dispute.pending_operation is None
        books = EvidenceBooks(Path(setting.folder))
        match setting.flow:
            case "stage":
                await only_the_named_are_kept(ctx, dispute)
            case "accept":
                assert (dispute.status, books.submissions(dispute.provider_reference)) == (
                    "lost",
                    [],
                )
            case _:
                submitted_once(books, dispute)


async def only_the_named_are_kept(ctx: Context, dispute: Dispute) -> None:
    assert [(f.field, f.size_bytes) for f in dispute.files] == [
        (sent.field, len(sent.content)) for sent in (LARGE, SMALL)
    ]
    now = ctx.now() + timedelta(hours=2)
    await sweep_evidence_files(msgspec.structs.replace(ctx, now=lambda: now))
    query = "SELECT DISTINCT id FROM dispute_file WHERE dispute = $1"
    rows = await ctx.dispute_files._pool.fetch(query, dispute.id)
    assert {row["id"] for row in rows} == {file.id for file in dispute.files}


def submitted_once(books: EvidenceBooks, dispute: Dispute) -> None:
    (evidence,) = books.submissions(dispute.provider_reference)
    assert evidence["texts"] == dispute.texts
    assert evidence["files"] == {file.field: file.provider_reference for file in dispute.files}
    uploads: dict[str, Any] = dict(books.read("SELECT key, content FROM upload"))
    for file, sent in zip(dispute.files, (LARGE, SMALL), strict=True):
        assert uploads[file.id] == sent.content
    assert (dispute.status, dispute.submission_count) == ("under_review", 1)
    assert dispute.submitted_at is not None


@pytest.mark.parametrize("flow", FEWEST)
async def test_killed_at_every_step_of_a_dispute(
    database: str, connect: Connect, tmp_path: Path, flow: str
) -> None:
    await (await connect()).execute("INSERT INTO merchant (id) VALUES ('default')")
    wrapped = generate_keyring(FileKms.create(tmp_path / "kek"), INSTALLATION)
    killed = 0
    for kill_at in range(1, NEVER):
        setting = DisputeSetting(database, str(tmp_path), wrapped, flow)
        setting = later(await prepared(setting))
        died = await asyncio.to_thread(run_and_die, setting, kill_at, die_disputing)
        await finished(later(setting))
        if not died:
            break
        killed += 1
    books = EvidenceBooks(tmp_path)
    keys = [row[0] for row in books.read("SELECT reference FROM submission")]
    assert len(keys) == len(set(keys)), "no dispute was answered twice"
    uploads = books.read("SELECT count(*) FROM upload")[0][0]
    assert uploads == 2 * len(keys), "each file went up once"
    assert killed >= FEWEST[flow]
