"""`paygate bench`, as small as it gets, on the gateway of all these tests."""

import asyncio
import shutil
from pathlib import Path
from typing import cast

import paygate
from tests.cli.processes import children, is_one_clear_line, run, run_anew
from tests.gateway import Gateway
from tools.bench.commit_door import open_door
from tools.bench.main import Side, measure, take_turns, told_step
from tools.bench.payments import Load, Sizes, door_round
from tools.bench.processes import Gateway as Measured
from tools.bench.rows import ROWS

TINY = Sizes(
    rounds=1,
    connections=4,
    changes=64,
    pgbench_seconds=1,
    creates=24,
    paced_creates=10,
    paced_confirms=5,
    explained=2,
    payments=12,
    refunds=6,
    events=12,
    deliveries=20,
    paced_deliveries=5,
    idle_seconds=0.2,
    flushed_seconds=0.0,
)
LONG = {"stored", "stored/ratio", "million", "million/ratio", "verify", "verify/memory", "doubt"}
LONG |= {"reconcile", "reconcile/calls", "reconcile/memory"}
LONG |= {
    f"{row}{part}" for row in ("settled", "settled_million") for part in ("", "/rate", "/memory")
}
"""Rows of what is stored in bulk, whose parts have tests of their own."""
MAYBE_NONE = {"idle/gateway", "idle/database"}
"""In a fifth of a second a gateway at rest may do nothing at all."""
COUNTED = MAYBE_NONE | {"idle/transactions", "payment/transactions", "payment/fsyncs"}
"""Rows that are known when PostgreSQL's processes have reported, which takes ten seconds."""


async def test_every_row_is_measured(gateway: Gateway, tmp_path: Path) -> None:
    measured = Measured(gateway.ready, gateway.process.pid)
    said: list[str] = []
    async with open_door(tmp_path) as door, Load(measured, TINY) as load:
        side = Side("", load)
        await take_turns([side], "commit door", lambda _: door_round(door, TINY), TINY, said.append)
        await measure([side], door, TINY, said.append)
        await take_turns([side], "explain", Load.explained, TINY, said.append)
        await take_turns([side], "refund", Load.refund, TINY, said.append)
        await take_turns([side], "merchant told", told_step(TINY), TINY, said.append)
    assert len(side.rounds) == TINY.rounds
    assert len(said) == 10 * TINY.rounds
    for sample in side.rounds:
        assert set(sample) == set(ROWS) - LONG
        assert [row for row in set(sample) - COUNTED if sample[row] <= 0] == []
        assert sample["payment/cpu"] == sample["payment/gateway"] + sample["payment/database"]
        assert sample["create/ratio"] == sample["create"] / sample["create/limit"]


async def test_the_gateways_processes_are_the_api_and_the_worker(gateway: Gateway) -> None:
    started = await asyncio.to_thread(children, gateway.process.pid)
    cpu = Measured(gateway.ready, gateway.process.pid).cpu(but=())
    assert cpu.pids == {pid for pid, command in started.items() if command[0] != "sandbox"}


async def test_sides_take_turns_and_who_is_first_changes() -> None:
    order: list[str] = []
    sides = [Side(name, cast(Load, None)) for name in "ab"]

    async def step(_: Load) -> dict[str, float]:
        return {"create": float(len(order))}

    await take_turns(sides, "create", step, Sizes(rounds=3), order.append)
    assert [said[-1] for said in order] == ["a", "b", "b", "a", "a", "b"]
    assert [[s["create"] for s in side.rounds] for side in sides] == [[1, 4, 5], [2, 3, 6]]


def test_help_explains_every_row(tmp_path: Path) -> None:
    ran = run("bench", "--help", cwd=tmp_path)
    shown = " ".join(ran.out.split())
    rows = [row for row in ROWS.values() if row.explained]
    assert [r.name for r in rows if f"{r.name.strip()}: {r.explained}" not in shown] == []


def test_long_rows_of_a_quick_run_are_refused(tmp_path: Path) -> None:
    ran = run("bench", "--full", "--quick", cwd=tmp_path)
    assert (ran.status, ran.out) == (2, "")
    assert "--full" in ran.err


def test_a_revision_that_is_none_is_said(tmp_path: Path) -> None:
    ran = run("bench", "--against", "nonsense", cwd=tmp_path)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.splitlines()[-1].startswith("paygate: nonsense is no revision of ")


def test_an_installed_copy_says_that_it_has_no_benchmark(tmp_path: Path) -> None:
    code = Path(paygate.__file__).parent
    shutil.copytree(code, tmp_path / "site" / "paygate", ignore=shutil.ignore_patterns("*.pyc"))
    environ = {"PYTHONPATH": str(tmp_path / "site")}
    ran = run_anew("bench", "--against", "HEAD", cwd=tmp_path, environ=environ)
    is_one_clear_line(ran, "checkout", "installed copy")
