"""The row of settlement, run small: it finds exactly what was injected, or says that it measured
nothing.
"""

import asyncio
from pathlib import Path

import pytest

from tests.gateway import Gateway
from tools.bench import BenchError, settlement
from tools.bench.merchant_side import Label


async def test_the_row_is_measured_once_all_is_found_and_nothing_else(tmp_path: Path) -> None:
    # A gateway of its own: no flow has made the records that the row writes.
    gateway = await asyncio.to_thread(Gateway.start, tmp_path / "gateway")
    try:
        ready, folder = gateway.ready, tmp_path / "rows"
        folder.mkdir()
        sample = await asyncio.to_thread(settlement.settled, ready, folder, "settled", 700)
    finally:
        assert await asyncio.to_thread(gateway.stop) == 0
    assert sample.keys() == {"settled", "settled/rate", "settled/memory"}
    assert all(value > 0 for value in sample.values())


@pytest.mark.parametrize("missing", [True, False])
def test_a_run_that_errs_has_measured_nothing(missing: bool) -> None:
    label = Label("amount_mismatch", "txn_300000bbb0000001389")
    found = set() if missing else {label, Label("late", label.about)}
    with pytest.raises(BenchError, match="missed" if missing else "found wrongly"):
        settlement._compare(found, {label})
