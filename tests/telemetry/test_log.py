"""The log says what it was given: every key that anything of ours reports is a declared one."""

import ast
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import paygate
from paygate.telemetry import log
from paygate.telemetry.request_log import RequestLine
from paygate.worker.scheduled import AT_WORK_ALREADY, RUNS
from tests.flows.world import World

LEVELS = {"debug", "info", "warning", "error", "critical"}
ERROR = "error"
"""Becomes `exception` and `frames`."""


def entries() -> Iterator[tuple[str, ast.Call]]:
    """Every call of the logger in the code, and where it stands."""
    for path in sorted(Path(paygate.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Call(func=target), attr=level)) if (
                    level in LEVELS and ast.unparse(target).endswith("logger")
                ):
                    yield f"{path.name}:{node.lineno}", node


def test_every_reported_key_is_declared() -> None:
    found = list(entries())
    assert len(found) > 30
    undeclared = {
        (place, keyword.arg)
        for place, call in found
        for keyword in call.keywords
        if keyword.arg is not None and keyword.arg not in {*log.KEYS, ERROR}
    }
    assert undeclared == set()


def test_only_a_jobs_report_gives_keys_that_the_code_does_not_show() -> None:
    spread = [place for place, call in entries() if any(k.arg is None for k in call.keywords)]
    assert [place.partition(":")[0] for place in spread] == ["main.py"]


@pytest.mark.parametrize("name", RUNS)
async def test_every_key_of_a_jobs_report_is_declared(name: str, world: World) -> None:
    report = await RUNS[name](world.ctx, "run_1")
    assert set(report) | {AT_WORK_ALREADY, "job"} <= log.KEYS


def test_every_key_of_a_requests_line_is_declared() -> None:
    assert {"event", *RequestLine.__struct_fields__} <= log.KEYS


LISTEN = """
from paygate.telemetry import log
log.configure()
log.logger().info("listening", port=8443, hunter2="hunter2")
"""


def test_away_from_a_terminal_it_is_json() -> None:
    ran = subprocess.run([sys.executable, "-c", LISTEN], capture_output=True, check=True)
    entry = json.loads(ran.stderr)
    assert (entry["event"], entry["port"], entry["undeclared"]) == ("listening", 8443, ["hunter2"])


@pytest.mark.parametrize("colours", [True, False])
def test_in_a_terminal_it_is_for_people(*, colours: bool) -> None:
    reader, writer = pty.openpty()
    environ = os.environ | {"NO_COLOR": "" if colours else "1"}
    try:
        subprocess.run([sys.executable, "-c", LISTEN], stderr=writer, env=environ, check=True)
        shown = os.read(reader, 1000).decode()
    finally:
        os.close(reader)
        os.close(writer)
    assert ("\x1b[" in shown) is colours
    if not colours:
        assert re.fullmatch(r"\S+ \[info +\] listening +port=8443 .*", shown.rstrip())
