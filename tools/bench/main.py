"""Runs the benchmark: every row, on a machine that does nothing else meanwhile."""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console

from tools.bench import long_rows, settlement
from tools.bench.commit_door import CommitDoor, open_door
from tools.bench.payments import QUICK, Load, Sizes, create_round, door_round
from tools.bench.processes import started
from tools.bench.report import WIDTH, figures, pairs, show, show_pairs
from tools.bench.revision import built
from tools.bench.rows import Sample
from tools.bench.webhooks import webhooks_round

CHECKOUT: Final = Path(__file__).parents[2]
"""Of this code."""
STORED: Final = {"stored": 100_000, "million": 1_000_000}
"""The rows of creates beside many payments, and how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command's options."""

    as_json: bool = False
    full: bool = False
    quick: bool = False
    rounds: int | None = None
    against: str | None = None

    def sizes(self) -> Sizes:
        """How much each round does."""
        sizes = QUICK if self.quick else Sizes()
        return replace(sizes, rounds=self.rounds or sizes.rounds)


@dataclass(slots=True)
class Side:
    """A gateway, and what each round has measured of it."""

    name: str
    load: Load
    rounds: list[dict[str, float]] = field(default_factory=list)


async def run(options: Options) -> None:
    """Measure and print."""
    progress = _progress_since(time.monotonic())
    with tempfile.TemporaryDirectory(prefix="paygate-bench-") as name:
        folder = Path(name)
        if options.against is None:
            await _measure(options, folder, progress)
        else:
            await _compare(options, options.against, folder, progress)


async def _measure(options: Options, folder: Path, progress: Callable[[str], None]) -> None:
    """This code alone, with the rows that need no other gateway."""
    sizes = options.sizes()
    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(open_door(folder))
        await door.drive(sizes.changes // 10)
        (side,) = await _sides(stack, {"": sys.executable}, folder, sizes, progress)
        await take_turns([side], "commit door", lambda _: door_round(door, sizes), sizes, progress)
        await measure([side], door, sizes, progress)
        await take_turns([side], "explain", Load.explained, sizes, progress)
        await take_turns([side], "refund", Load.refund, sizes, progress)
        await take_turns([side], "merchant told", told_step(sizes), sizes, progress)
        if not options.quick:
            rows = ("stored", "million") if options.full else ("stored",)
            await _many_stored(side, rows[:1], sizes, progress)
            progress("reconcile")
            ready, stored = side.load.ready, STORED["stored"]
            row = await asyncio.to_thread(long_rows.reconciled, ready, folder, stored)
            side.rounds[0].update(row)
            await _many_stored(side, rows[1:], sizes, progress)
        if options.full:
            ready = side.load.ready
            progress("ledger verify")
            side.rounds[0].update(await asyncio.to_thread(long_rows.verified, ready, folder))
            progress("attempts in doubt, and the provider slow")
            side.rounds[0].update(await long_rows.resolved(ready))
        if not options.quick:
            # Last, for no flow has made the records that they are settled against.
            reports = settlement.ROWS if options.full else settlement.ROWS[:1]
            for name, payments in reports:
                progress(f"settle a report of {payments:,} payments")
                ready = side.load.ready
                sample = await asyncio.to_thread(settlement.settled, ready, folder, name, payments)
                side.rounds[0].update(sample)
    found = figures(side.rounds)
    if options.as_json:
        _print_json({"figures": found})
    else:
        show(found, _console())


async def _compare(
    options: Options, revision: str, folder: Path, progress: Callable[[str], None]
) -> None:
    """Another revision and this code, in turns."""
    sizes = options.sizes()
    async with AsyncExitStack() as stack:
        progress(f"build {revision}")
        other = stack.enter_context(built(revision, CHECKOUT, folder / "tree", progress))
        door = await stack.enter_async_context(open_door(folder))
        pythons = {"a": other.python, "b": sys.executable}
        sides = await _sides(stack, pythons, folder, sizes, progress)
        await measure(sides, door, sizes, progress)
    found = pairs(*(side.rounds for side in sides))
    if options.as_json:
        _print_json({"against": other.commit, "pairs": found})
    else:
        show_pairs(found, (f"{revision} ({other.commit[:12]})", "this code"), _console())


async def _sides(
    stack: AsyncExitStack,
    pythons: dict[str, str],
    folder: Path,
    sizes: Sizes,
    progress: Callable[[str], None],
) -> list[Side]:
    """A warm gateway for the code of each interpreter."""
    sides = []
    for name, python in pythons.items():
        progress(f"start the gateway {name}".rstrip())
        gateway = stack.enter_context(started(folder / f"gateway{name}", python))
        sides.append(Side(name, await stack.enter_async_context(Load(gateway, sizes))))
    return sides


async def measure(
    sides: Sequence[Side], door: CommitDoor, sizes: Sizes, progress: Callable[[str], None]
) -> None:
    """Every row of a gateway under load, of each side in turn."""
    steps: dict[str, Callable[[Load], Awaitable[Sample]]] = {
        "idle": Load.idle,
        "create": partial(create_round, door=door, sizes=sizes),
        "fixed rate": Load.paced,
        "complete payment": Load.payment,
        "webhooks": Load.webhooks,
        "connections": Load.connections,
    }
    for what, step in steps.items():
        await take_turns(sides, what, step, sizes, progress)


def told_step(sizes: Sizes) -> Callable[[Load], Awaitable[Sample]]:
    """The rows of webhooks to a merchant."""

    async def step(load: Load) -> Sample:
        return await webhooks_round(load.ready, sizes)

    return step


async def take_turns(
    sides: Sequence[Side],
    what: str,
    step: Callable[[Load], Awaitable[Sample]],
    sizes: Sizes,
    progress: Callable[[str], None],
) -> None:
    """Every round of a step, each side in turn; who comes first changes from round to round."""
    for number in range(sizes.rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            progress(f"{what}, round {number + 1} of {sizes.rounds} {side.name}".rstrip())
            if len(side.rounds) == number:
                side.rounds.append({})
            side.rounds[number].update(await step(side.load))


async def _many_stored(
    side: Side, rows: Sequence[str], sizes: Sizes, progress: Callable[[str], None]
) -> None:
    """Creates when many payments are stored already, beside those when few intents were."""
    few = statistics.median(sample["create"] for sample in side.rounds)
    for row in rows:
        progress(f"store {STORED[row]:,} payments")
        await side.load.fill(STORED[row], progress)

        async def step(load: Load, row: str = row) -> Sample:
            rate = await load.stored()
            return {row: rate, f"{row}/ratio": rate / few}

        await take_turns([side], f"create, {STORED[row]:,} stored", step, sizes, progress)


def _console() -> Console:
    """As wide as the terminal, and for a file or a pipe as wide as the table."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)


def _print_json(found: dict[str, Any]) -> None:
    machine = {"cores": os.cpu_count(), "python": sys.version.split()[0]}
    print(msgspec.json.encode({"machine": machine, **found}).decode())  # noqa: T201 -- the report


def _progress_since(start: float) -> Callable[[str], None]:
    def progress(what: str) -> None:
        sys.stderr.write(f"{time.monotonic() - start:4.0f} s  {what} ...\n")

    return progress
