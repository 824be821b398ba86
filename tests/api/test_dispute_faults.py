"""Evidence submitted while the provider's answers fail: once, with each file, whatever is lost."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_dispute_evidence import case
from tests.cli.processes import run
from tests.documents.made import pdf, png
from tests.gateway import Gateway

KINDS = ("drop_reply", "error_before", "error_after", "rate_limit", "hang")
LONG_AFTER = timedelta(minutes=11)


@pytest.fixture(scope="module")
async def failing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    running = Gateway.start(
        tmp_path_factory.mktemp("failing"), environment={"PAYGATE_PROVIDER_TIMEOUT": "2s"}
    )
    await running.open()
    yield running
    await running.close()
    running.stop()


@pytest.mark.parametrize("kind", KINDS)
async def test_under_each_fault_there_is_one_submission(
    failing: Gateway, tmp_path: Path, kind: str
) -> None:
    gateway = failing
    c = await case(gateway)
    texts = {"uncategorized_text": "losing_evidence", "product_description": "A hat."}
    assert (await c.put({"texts": texts})).status == 200
    sent = await c.send(("receipt", pdf(), "r.pdf"), ("customer_signature", png(), "s.png"))
    assert sent.status == 200, sent
    fault = {"on": "*", "kind": kind, "count": 3, "seconds": 30}
    await gateway.sandbox("POST", "/_sandbox/faults", fault)
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    answer = await c.shop.call("POST", f"{c.path}/submit", {}, headers=headers)
    assert answer.status in {200, 503}, answer
    await gateway.sandbox("DELETE", "/_sandbox/faults")
    later = datetime.now(UTC)
    shown: dict[str, Any] = {}
    for _ in range(10):
        shown = await c.read()
        if shown["pending_operation"] is None:
            break
        later += LONG_AFTER
        command = ("jobs", "run", "resolve-attempts", "--now", later.isoformat())
        data = ("--data", gateway.ready["data_dir"])
        ran = await asyncio.to_thread(run, *command, *data, cwd=tmp_path)
        assert ran.status == 0, ran
    assert (shown["pending_operation"], shown["evidence"]["submission_count"]) == (None, 1)
    assert shown["evidence"]["refusals"] == []
    theirs = await gateway.sandbox("GET", f"/v1/disputes/{c.reference}")
    assert theirs["evidence_details"]["submission_count"] == 1
    for field in ("receipt", "customer_signature"):
        assert theirs["evidence"][field].startswith("file_")
    assert theirs["evidence"]["product_description"] == "A hat."
    again = await c.shop.call("POST", f"{c.path}/submit", {}, headers=headers)
    assert again.status == 200, again
