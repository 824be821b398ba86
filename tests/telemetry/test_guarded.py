"""Nothing that a process writes to standard error has card data in it, whoever writes it."""

import json
import subprocess
import sys

import pytest

from tests.domain.card_data.card_numbers import NUMBERS, fours

NUMBER = NUMBERS[1]

WAYS = {
    "a declared key": f'log.logger().info("listening", reason="card {NUMBER}")',
    "an undeclared key": f'log.logger().info("listening", note="{NUMBER}")',
    "the event": f'log.logger().error("sent {fours(NUMBER)}")',
    "a list": f'log.logger().error("x", failing=["a", "{NUMBER}"])',
    "an error's words": f'log.logger().error("x", error=ValueError("{NUMBER}"))',
    "a library's line": f'logging.getLogger("lib").error("got {NUMBER}")',
    "a library's exception": f"""
try:
    raise ValueError("got {NUMBER}")
except ValueError:
    logging.getLogger("lib").exception("failed for {NUMBER}")
""",
    "a warning": f'warnings.warn("got {NUMBER}")',
    "a task that nobody awaits": f"""
async def fail():
    raise ValueError("got {NUMBER}")
async def main():
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
asyncio.run(main())
""",
    "a command's line": f'sys.stderr.write("paygate: no payment {NUMBER}\\n")',
    "an exception that ends it": f'raise ValueError("got {NUMBER}")',
    "an IBAN": 'sys.stderr.write("to DE89 3704 0044 0532 0130 00\\n")',
}
BEGIN = """
import asyncio, gc, logging, sys, warnings
from paygate.telemetry import log
from paygate.telemetry.guarded import guard_standard_error
guard_standard_error()
log.configure()
"""


def written(script: str) -> str:
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    return ran.stderr.decode()


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_past_it(way: str) -> None:
    shown = written(BEGIN + WAYS[way])
    assert shown or way == "a warning", "something is written"
    for hidden in (NUMBER, fours(NUMBER), "0532 0130"):
        assert hidden not in shown, shown


def test_a_line_of_the_log_stays_json_and_tells_the_last_four() -> None:
    shown = written(BEGIN + WAYS["a declared key"])
    assert json.loads(shown)["reason"] == "card ************5556"


def test_an_exception_of_a_librarys_is_its_type_and_frames() -> None:
    shown = written(BEGIN + WAYS["a library's exception"])
    assert "ValueError <module>:" in shown
    assert "got" not in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("api-keys", "create", "--role", "support", "--name", f"for {NUMBER}"),
            "nothing was done",
        ),
        (("merchants", "create", "DE89 3704 0044 0532 0130 00"), "nothing was done"),
        (("payments", "list", "--limit", "x"), "--limit"),
    ],
)
def test_a_command_takes_no_card_data_and_repeats_none(
    arguments: tuple[str, ...], says: str
) -> None:
    command = [sys.executable, "-m", "paygate.cli", *arguments]
    ran = subprocess.run(command, capture_output=True, check=False)
    assert ran.returncode != 0
    assert says in ran.stderr.decode()
    for hidden in (NUMBER, "0532 0130"):
        assert hidden not in (ran.stdout + ran.stderr).decode()
