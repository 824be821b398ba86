"""Where checkpoints are told to: a file that is only added to, an address that may contradict."""

import asyncio
import os
import resource
import signal
from pathlib import Path

import pytest

from paygate.checkpoints import MAX_LINE, CheckpointAddress, CheckpointFile, lines_of
from paygate.domain.addresses import Reach
from paygate.egress.client import Egress
from tests.receiver import OK, Receiver, answer

LINE, NEXT = b'{"number":1}\n', b'{"number":2}\n'


async def test_lines_are_added_and_read(tmp_path: Path) -> None:
    place = CheckpointFile(tmp_path / "told.jsonl")
    assert await place.last() is None
    assert list(place.lines() or ()) == []
    assert await place.put(LINE) == "kept"
    assert await place.put(NEXT) == "kept"
    assert await place.last() == NEXT.strip()
    assert list(place.lines() or ()) == [LINE.strip(), NEXT.strip()]
    assert (tmp_path / "told.jsonl").stat().st_mode & 0o777 == 0o600


async def test_a_line_that_a_crash_cut_off_is_not_the_last_one(tmp_path: Path) -> None:
    file = tmp_path / "told.jsonl"
    file.write_bytes(LINE + b'{"numb')
    place = CheckpointFile(file)
    assert await place.last() == LINE.strip()
    assert list(lines_of(file)) == [LINE.strip()]
    assert await place.put(NEXT) == "kept"
    assert file.read_bytes() == LINE + b'{"numb\n' + NEXT
    assert await place.last() == NEXT.strip()


async def test_a_line_that_the_disk_took_in_part_is_not_kept(tmp_path: Path) -> None:
    """As a disk that is nearly full does, or a process at its limit for files."""
    file = tmp_path / "told.jsonl"
    place = CheckpointFile(file)
    assert await place.put(LINE) == "kept"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(LINE) + 5, before[1]))
    try:
        assert await place.put(NEXT) == "failed"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert await place.last() == LINE.strip()
    assert await place.put(NEXT) == "kept"
    assert list(lines_of(file))[::2] == [LINE.strip(), NEXT.strip()]


async def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes, and a device without end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        place = CheckpointFile(tmp_path / name)
        for read in (place.last, lambda: asyncio.to_thread(list, lines_of(tmp_path / name))):  # noqa: B023
            with pytest.raises(OSError, match="not a regular file"):
                await read()
        assert await place.put(LINE) == "failed"


def test_a_line_without_end_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "told.jsonl").write_bytes(b"x" * (3 * MAX_LINE) + b"\n" + LINE)
    *pieces, last = lines_of(tmp_path / "told.jsonl")
    assert max(map(len, pieces)) == MAX_LINE
    assert last == LINE.strip()


async def test_a_file_that_cannot_be_added_to_fails(tmp_path: Path) -> None:
    assert await CheckpointFile(tmp_path / "no" / "such").put(LINE) == "failed"
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    assert await CheckpointFile(link).put(LINE) == "failed", "a link is not followed"
    assert not (tmp_path / "elsewhere").exists()
    place = CheckpointFile(tmp_path)
    with pytest.raises(OSError, match=os.strerror(21)):
        place.check()


async def test_an_address_keeps_contradicts_or_fails() -> None:
    egress = Egress(Reach(loopback=True), user_agent="paygate")
    async with Receiver() as keeper:
        place = CheckpointAddress(keeper.url(), egress)
        keeper.answers = [OK, answer(204), answer(409), answer(500), answer(302, "Location: /x")]
        said = [await place.put(LINE) for _ in range(5)]
    assert said == ["kept", "kept", "contradicted", "failed", "failed"]
    assert [request.body for request in keeper.requests] == [LINE] * 5
    assert await place.put(LINE) == "failed", "nobody is there"
    assert (await place.last(), place.lines()) == (None, None)
    await egress.close()
