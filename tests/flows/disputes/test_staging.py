"""Evidence is put together here: texts merge, files replace, limits hold at once too."""

import asyncio
import hashlib
from datetime import timedelta
from typing import Any

import pytest

from paygate.documents.inspect import AT_ONCE, WAITING_MOST
from paygate.domain.audit import AuditEntry
from paygate.domain.disputes.evidence import FILES_MOST, TEXTS
from paygate.domain.disputes.evidence_chunk import chunks_of
from paygate.domain.disputes.outcome import DisputeStatus
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.disputes.evidence_files import (
    delete_evidence_file,
    read_evidence_file,
    sweep_evidence_files,
)
from paygate.flows.disputes.find import apply_dispute
from paygate.flows.disputes.stage_evidence import SentFile, stage_files, stage_texts
from paygate.jobs.messages import DeleteEvidenceFile, decode
from paygate.storage.unreadable import Unreadable
from tests.documents.made import jpeg, pdf, png
from tests.flows.disputes.answering import DAYS, RECEIPT, chunks, disputed, now, shown, staged
from tests.flows.spoilt import mend, spoil
from tests.flows.world import World

CODE = ErrorCode


async def put(world: World, dispute: Any, **texts: str | None) -> Any:
    return await stage_texts(world.ctx, world.caller, dispute.id, texts)


async def send(world: World, dispute: Any, *files: SentFile) -> Any:
    return await stage_files(world.ctx, world.caller, dispute.id, files)


async def test_texts_merge_and_null_takes_one_out(world: World) -> None:
    dispute = await disputed(world)
    await put(world, dispute, customer_name="Ada", product_description="A hat.\nRed.")
    world.clock.forward(5)
    after = await put(world, dispute, customer_name=None, service_date="2026-11-01")
    assert after == await now(world, dispute)
    prefilled = {"uncategorized_text": dispute.texts["uncategorized_text"]}
    set_ = {"product_description": "A hat.\nRed.", "service_date": "2026-11-01"}
    assert after.texts == prefilled | set_
    assert after.staged_at == world.clock()
    assert after.submission_count == 0
    assert not world.provider.submitted, "saving never submits"


async def test_a_file_is_kept_in_sealed_chunks_and_read_as_it_was(world: World) -> None:
    dispute = await disputed(world)
    content = pdf(3, size=700_000)
    after = await send(world, dispute, SentFile("receipt", content, "../Beleg (ü).PNG", ""))
    (file,) = after.files
    assert (file.field, file.name, file.content_type, file.pages) == (
        "receipt",
        "Beleg_u.pdf",
        "application/pdf",
        3,
    )
    assert (file.size_bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert await chunks(world) == {file.id: 3}
    assert await read_evidence_file(world.ctx, after, file) == content
    rows = await world.connection.fetch("SELECT sealed FROM dispute_file")
    assert all(b"Catalog" not in row["sealed"] for row in rows)
    entry = [e for e in await world.all(AuditEntry) if e.action == "dispute.stage_evidence"][-1]
    assert entry.details == {"files": "receipt"}
    assert entry.subject is not None
    assert entry.subject.id == dispute.id


async def test_a_later_file_of_a_field_takes_the_place_of_the_first(world: World) -> None:
    dispute = await staged(world)
    (first,) = dispute.files
    after = await send(world, dispute, SentFile("receipt", png(), "r.png", "image/png"))
    (second,) = after.files
    assert (second.name, second.content_type) == ("r.png", "image/png")
    rows = await world.connection.fetch(
        "SELECT payload FROM pgqueuer WHERE entrypoint = 'delete_evidence_file'"
    )
    (message,) = [decode(row["payload"]) for row in rows]
    assert message == DeleteEvidenceFile("default", first.id)
    assert isinstance(message, DeleteEvidenceFile)
    await delete_evidence_file(world.ctx, message)
    await delete_evidence_file(world.ctx, DeleteEvidenceFile("default", second.id))
    assert await chunks(world) == {second.id: 1}, "the one that is named stays"


async def test_a_file_is_taken_out(world: World) -> None:
    dispute = await staged(world)
    after = await stage_texts(world.ctx, world.caller, dispute.id, {}, ["receipt"])
    assert (after.files, after.texts) == ((), dispute.texts)


TOO_LARGE: list[tuple[str, list[SentFile], str, ErrorCode]] = [
    ("50 pages", [SentFile("receipt", pdf(50))], "receipt", CODE.EVIDENCE_TOO_LARGE),
    ("51 pages", [SentFile("receipt", pdf(51))], "receipt", CODE.EVIDENCE_TOO_LARGE),
    (
        "49 pages and a picture",
        [SentFile("receipt", pdf(49)), SentFile("uncategorized_file", png())],
        "receipt",
        CODE.EVIDENCE_TOO_LARGE,
    ),
    (
        "two of 2.4 MB",
        [SentFile("receipt", png(2_400_000)), SentFile("uncategorized_file", png(2_400_000))],
        "receipt",
        CODE.EVIDENCE_TOO_LARGE,
    ),
    ("4.6 MB", [SentFile("receipt", png(4_600_000))], "receipt", CODE.EVIDENCE_TOO_LARGE),
    ("5.1 MB", [SentFile("receipt", png(5_100_000))], "receipt", CODE.FILE_NOT_TAKEN),
    ("empty", [SentFile("receipt", b"", "r.pdf")], "receipt", CODE.FILE_NOT_TAKEN),
    ("encrypted", [SentFile("receipt", pdf(password="x"))], "receipt", CODE.FILE_NOT_TAKEN),
    (
        "another type than it says",
        [SentFile("receipt", png(), "r.pdf", "application/pdf")],
        "receipt",
        CODE.FILE_NOT_TAKEN,
    ),
    (
        "text",
        [SentFile("receipt", b"Hello", "r.txt", "text/plain")],
        "receipt",
        CODE.FILE_NOT_TAKEN,
    ),
]


@pytest.mark.parametrize(
    ("files", "param", "code"), [pytest.param(*each[1:], id=each[0]) for each in TOO_LARGE]
)
async def test_what_banks_do_not_take_is_refused_and_leaves_nothing(
    world: World, files: list[SentFile], param: str, code: ErrorCode
) -> None:
    dispute = await disputed(world)
    with pytest.raises(Refusal) as refused:
        await send(world, dispute, *files)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert await chunks(world) == {}
    assert (await now(world, dispute)).files == ()


async def test_49_pages_and_types_by_other_names_are_taken(world: World) -> None:
    dispute = await disputed(world)
    await send(world, dispute, SentFile("receipt", pdf(48), "r", "application/x-pdf"))
    sent = SentFile("customer_signature", jpeg(), None, "image/jpg")
    after = await send(world, dispute, sent)
    assert [file.name for file in after.files] == ["r.pdf", "customer_signature.jpg"]


async def test_two_at_once_do_not_exceed_what_banks_take(world: World) -> None:
    dispute = await disputed(world)
    fields = ("receipt", "uncategorized_file", "service_documentation")
    outcomes = await asyncio.gather(
        *(send(world, dispute, SentFile(field, png(2_400_000))) for field in fields),
        return_exceptions=True,
    )
    refused = [each for each in outcomes if isinstance(each, Refusal)]
    assert [each.code for each in refused] == [CODE.EVIDENCE_TOO_LARGE] * 2
    kept = (await now(world, dispute)).files
    assert sum(file.size_bytes for file in kept) <= FILES_MOST
    assert set(await chunks(world)) == {file.id for file in kept}, "the other is not kept"


async def test_texts_are_counted_by_characters_each_and_all_together(world: World) -> None:
    dispute = await disputed(world)
    await put(world, dispute, product_description="ü" * 20_000, customer_name="é" * 5_000)
    for field, most in TEXTS.items():
        with pytest.raises(Refusal) as refused:
            await put(world, dispute, **{field: "x" * (most + 1)})
        assert (refused.value.code, refused.value.param) == (
            CODE.PARAMETER_INVALID,
            f"texts.{field}",
        )
    long = [field for field, most in TEXTS.items() if most == 20_000]
    assert len(long) == 8
    with pytest.raises(Refusal) as refused:
        await put(world, dispute, **dict.fromkeys(long, "x" * 19_000))
    assert (refused.value.code, refused.value.param) == (CODE.EVIDENCE_TOO_LARGE, "texts")
    await put(world, dispute, customer_name=None, **dict.fromkeys(long, "x" * 18_750))
    total = sum(map(len, (await now(world, dispute)).texts.values()))
    assert total == 150_000, "as many as there may be"
    with pytest.raises(Refusal):
        await put(world, dispute, customer_name="x")


async def test_texts_at_once_do_not_exceed_the_limit(world: World) -> None:
    dispute = await disputed(world)
    long = [field for field, most in TEXTS.items() if most == 20_000]
    outcomes = await asyncio.gather(
        *(put(world, dispute, **{field: "x" * 19_000}) for field in long), return_exceptions=True
    )
    assert [each.code for each in outcomes if isinstance(each, Refusal)] == [
        CODE.EVIDENCE_TOO_LARGE
    ]
    texts = (await now(world, dispute)).texts
    assert sum(len(text) == 19_000 for text in texts.values()) == 7


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"status": DisputeStatus.WON}, CODE.STATE_CONFLICT),
        ({"status": DisputeStatus.UNDER_REVIEW, "submission_count": 1}, CODE.DISPUTE_ANSWERED),
        ({"submission_count": 1}, CODE.DISPUTE_ANSWERED),
    ],
)
async def test_what_cannot_be_answered_takes_no_evidence(
    world: World, changes: dict[str, Any], code: ErrorCode
) -> None:
    dispute = await disputed(world, **changes)
    for staging in (put(world, dispute, customer_name="Ada"), send(world, dispute, RECEIPT)):
        with pytest.raises(Refusal) as refused:
            await staging
        assert refused.value.code is code
        assert refused.value.subject == dispute


async def test_too_late_is_said_with_the_deadline(world: World) -> None:
    """By the clock: that `past_due` is false says nothing of it."""
    dispute = await disputed(world)
    world.clock.forward(DAYS.total_seconds())
    with pytest.raises(Refusal) as refused:
        await put(world, dispute, customer_name="Ada")
    assert refused.value.code is CODE.EVIDENCE_DEADLINE_PASSED
    assert dispute.evidence_due_by is not None
    assert f"{dispute.evidence_due_by:%Y-%m-%dT%H:%M:%SZ}" in refused.value.message


async def test_without_a_deadline_evidence_is_taken(world: World) -> None:
    dispute = await disputed(world, evidence_due_by=None)
    assert (await put(world, dispute, customer_name="Ada")).texts


async def test_another_merchants_is_not_there(world: World) -> None:
    dispute = await disputed(world)
    for dispute_id in (dispute.id[:-1] + "0", "../x", "dp_"):
        with pytest.raises(Refusal) as refused:
            await stage_texts(world.ctx, world.caller, dispute_id, {"customer_name": "Ada"})
        assert refused.value.code is CODE.RESOURCE_MISSING


async def test_files_that_no_dispute_names_are_swept_away_when_they_are_old(world: World) -> None:
    dispute = await staged(world)
    (kept,) = dispute.files
    orphan = SentFile("uncategorized_file", png())

    class Dies(Exception):
        pass

    async def dies(_: object) -> None:
        raise Dies

    door = world.ctx.door
    world.use(door=type("Door", (), {"commit": staticmethod(dies)})())
    with pytest.raises(Dies):
        await send(world, dispute, orphan)
    world.use(door=door)
    assert len(await chunks(world)) == 2
    assert await sweep_evidence_files(world.ctx) == 0, "its request may be under way"
    world.clock.forward(timedelta(hours=1, seconds=1).total_seconds())
    assert await sweep_evidence_files(world.ctx) == 1
    assert await chunks(world) == {kept.id: 1}


@pytest.mark.parametrize("days", [1, 3, 400])
async def test_a_file_that_no_dispute_names_is_found_whenever_it_is_looked_for(
    world: World, days: int
) -> None:
    """The worker was away, or the dispute could not be read until now."""
    dispute = await staged(world)
    (kept,) = dispute.files
    for _ in range(3):
        name = world.ctx.new_id("dispute_file")
        pieces = chunks_of(b"left", name, dispute.merchant, dispute.id, world.clock())
        await world.ctx.dispute_files.write(pieces)
    world.clock.forward(timedelta(days=days).total_seconds())
    await spoil(world, "dispute")
    with pytest.raises(Unreadable):
        await sweep_evidence_files(world.ctx)
    assert len(await chunks(world)) == 4
    world.clock.forward(timedelta(days=days).total_seconds())
    await mend(world, "dispute")
    assert await sweep_evidence_files(world.ctx) == 3
    assert await chunks(world) == {kept.id: 1}


async def test_more_files_at_once_than_can_be_looked_at_are_refused(world: World) -> None:
    """A picture waits for none of them, and who comes again is served."""
    dispute = await disputed(world)
    documents, content = world.ctx.documents, pdf(49)
    others = [
        asyncio.create_task(documents.inspect(content)) for _ in range(AT_ONCE + WAITING_MOST)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as refused:
        await send(world, dispute, RECEIPT)
    assert (refused.value.code, refused.value.retry_after_seconds) == (CODE.OVERLOADED, 5)
    assert await chunks(world) == {}
    await send(world, dispute, SentFile("uncategorized_file", png()))
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    after = await send(world, dispute, RECEIPT)
    assert {file.field for file in after.files} == {"receipt", "uncategorized_file"}


async def test_evidence_put_together_beside_an_event_is_not_lost(world: World) -> None:
    dispute = await disputed(world)
    for number in range(5):
        world.clock.forward(1)
        said = shown(world, network_reason_code=str(number))
        await asyncio.gather(
            apply_dispute(world.ctx, world.caller, said),
            put(world, dispute, uncategorized_text=str(number)),
        )
        after = await now(world, dispute)
        assert (after.network_reason_code, after.texts["uncategorized_text"]) == (str(number),) * 2
