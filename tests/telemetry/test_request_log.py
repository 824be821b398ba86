"""A request's line: JSON in a file, readable in a terminal, and nobody waits for its reader."""

import asyncio
import fcntl
import json
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from paygate.telemetry.request_log import CHUNK_BYTES, RequestLog


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def write(requests: RequestLog, request_id: str = "req_1", status: int = 201) -> None:
    requests.write("POST", "/payment-intents", status, None, 3.214, request_id, "key_1")


def lines(fd: int, size: int = 1_000_000) -> list[dict[str, object]]:
    return [json.loads(line) for line in os.read(fd, size).splitlines()]


async def test_a_line_is_json_and_comes_by_itself(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    requests = RequestLog(writer)
    write(requests)
    requests.write("HUNTER2", None, 503, "overloaded", 0.5, "req_2", None)
    first, second = await asyncio.to_thread(lines, reader)
    assert first.pop("timestamp", "") != ""
    assert first == {
        "event": "request",
        "level": "info",
        "method": "POST",
        "route": "/payment-intents",
        "status": 201,
        "code": None,
        "duration_ms": 3.214,
        "request_id": "req_1",
        "caller": "key_1",
    }
    assert (second["method"], second["level"], second["code"]) == ("other", "error", "overloaded")


async def test_lines_that_nobody_reads_are_dropped_and_counted(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    requests = RequestLog(writer)
    for number in range(1000):  # many times what the pipe holds: a write that waited would hang
        write(requests, f"req_{number}")
    requests.flush()
    kept = lines(reader)
    assert [line["request_id"] for line in kept] == [f"req_{n}" for n in range(len(kept))]
    write(requests, "req_last")
    with capture_logs() as warnings:
        requests.flush()
    assert [line["request_id"] for line in lines(reader)] == ["req_last"]
    assert [(t["event"], t["counted"]) for t in warnings] == [
        ("log_lines_dropped", 1000 - len(kept))
    ]


async def test_a_file_takes_every_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        requests = RequestLog(file.fileno())
        for number in range(1000):
            write(requests, f"req_{number}")
        requests.flush()
        requests.flush()
    found = [json.loads(line)["request_id"] for line in path.read_text().splitlines()]
    assert found == [f"req_{n}" for n in range(1000)]


@pytest.mark.parametrize("colours", [True, False])
async def test_in_a_terminal_a_line_is_for_people(
    monkeypatch: pytest.MonkeyPatch, *, colours: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", "" if colours else "1")
    reader, writer = pty.openpty()
    try:
        requests = RequestLog(writer)
        write(requests, status=404)
        requests.flush()
        shown = os.read(reader, 1000).decode()
    finally:
        os.close(reader)
        os.close(writer)
    status = "\x1b[33m404\x1b[0m" if colours else "404"
    assert shown[8:].rstrip() == f" POST    /payment-intents {status} 3.2 ms req_1 key_1"
